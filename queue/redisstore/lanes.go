package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"postrider/queue"
)

// parking knows the lanes that this node parked, so that it can give them back.
type parking struct {
	mu    sync.Mutex
	until map[queue.Lane]time.Time
	tidy  int
}

func (k *parking) note(lane queue.Lane, now, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = make(map[queue.Lane]time.Time)
	}
	if !until.After(now) {
		delete(k.until, lane)
		return
	}
	if len(k.until) >= max(k.tidy, 1024) {
		for l, t := range k.until {
			if !t.After(now) {
				delete(k.until, l)
			}
		}
		k.tidy = 2 * len(k.until)
	}
	k.until[lane] = until
}

func (k *parking) empty() map[queue.Lane]time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.until
	k.until = nil
	return all
}

// Park keeps a lane from being leased by this node; other nodes serve it when
// they have nothing else to do.
func (s *Store) Park(ctx context.Context, lane queue.Lane, now, until time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.parked.note(lane, now, until)
	woke, err := s.park(ctx, lane, s.ms(now), s.ms(until))
	if err != nil {
		return fmt.Errorf("park lane %s: %w", lane, err)
	}
	if woke {
		s.wake.Send()
	}
	return nil
}

func (s *Store) park(ctx context.Context, lane queue.Lane, now, until int64) (woke bool, err error) {
	errs := make([]error, len(s.parts))
	wakes := make([]bool, len(s.parts))
	inParallel(len(s.parts), func(i int) {
		var v any
		v, errs[i] = s.sv.run(ctx, s.o.Patience, &call{script: scripts.park, key: s.parts[i],
			args: []any{now, until, string(lane), s.node, s.touch()}})
		wakes[i] = v == int64(1)
	})
	for _, w := range wakes {
		woke = woke || w
	}
	return woke || until <= now, errors.Join(errs...)
}

// unparkAll lets the others serve what this node parked.
func (s *Store) unparkAll(ctx context.Context) {
	for lane := range s.parked.empty() {
		if _, err := s.park(ctx, lane, s.ms(s.o.Now()), 0); err != nil {
			return // each ends by itself
		}
	}
}

// NextDue returns when Lease may find work. The end of a lease is such a time.
func (s *Store) NextDue(ctx context.Context, now time.Time) (time.Time, bool, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, false, err
	}
	defer s.leave()
	dues := make([]int64, len(s.parts))
	errs := make([]error, len(s.parts))
	inParallel(len(s.parts), func(i int) { dues[i], _, errs[i] = s.partDue(ctx, s.parts[i], now) })
	first := int64(-1)
	for _, d := range dues {
		if d >= 0 && (first < 0 || d < first) {
			first = d
		}
	}
	switch err := errors.Join(errs...); {
	case first < 0 && err != nil:
		return time.Time{}, false, fmt.Errorf("look for what is due next: %w", err)
	case first < 0:
		return time.Time{}, false, nil
	case first <= s.ms(now):
		return now, true, nil
	}
	return time.UnixMilli(first).Add(-s.skew()).UTC(), true, nil
}

// partDue asks a partition, in the servers' milliseconds; -1 for never. account
// is the one whose turn it is, if something is ready.
func (s *Store) partDue(ctx context.Context, part string, now time.Time) (due int64, account string, err error) {
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.due, key: part, args: []any{s.ms(now), s.node}})
	if err != nil {
		return -1, "", err
	}
	list, _ := v.([]any)
	if len(list) != 2 {
		return -1, "", fmt.Errorf("due answered %v: %w", v, queue.ErrUnavailable)
	}
	text := textOf(list, 0)
	if text == "" {
		return -1, "", nil
	}
	if due, err = strconv.ParseInt(text, 10, 64); err != nil {
		return -1, "", fmt.Errorf("due answered %v: %w", v, queue.ErrUnavailable)
	}
	return due, textOf(list, 1), nil
}
