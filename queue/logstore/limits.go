package logstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/queue"
)

// limits counts in memory: there is one process. What has run out is dropped
// when a table has doubled since the last time.
type limits struct {
	mu    sync.Mutex
	rates map[string]int64 // nanos: when the key's bucket is full again
	slots map[string]map[string]int64
	prune int
}

const minPrune = 1024

// TakeRate takes n from a rate by the generic cell rate algorithm.
func (s *Store) TakeRate(ctx context.Context, key string, now time.Time, rate queue.Rate, n int) (bool, time.Duration, error) {
	if err := s.enter(ctx); err != nil {
		return false, 0, err
	}
	defer s.leave()
	if rate.Count <= 0 || rate.Per <= 0 {
		return false, 0, errors.New("take rate: it has no count or no period")
	}
	ok, wait := s.limits.take(key, nanos(now), rate, n)
	return ok, wait, nil
}

func (l *limits) take(key string, now int64, rate queue.Rate, n int) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tidy(now)
	step := int64(rate.Per) / int64(rate.Count)
	depth := step * int64(max(rate.Burst, 1))
	full := max(l.rates[key], now) + step*int64(n)
	if wait := full - depth - now; wait > 0 {
		return false, time.Duration(wait)
	}
	l.rates[key] = full
	return true, 0
}

// tidy drops what has run out, with l.mu held.
func (l *limits) tidy(now int64) {
	if l.rates == nil {
		l.rates, l.slots = make(map[string]int64), make(map[string]map[string]int64)
	}
	if len(l.rates)+len(l.slots) < max(l.prune, minPrune) {
		return
	}
	for k, full := range l.rates {
		if full <= now {
			delete(l.rates, k)
		}
	}
	for k, holders := range l.slots {
		if dropEnded(holders, now); len(holders) == 0 {
			delete(l.slots, k)
		}
	}
	l.prune = 2 * (len(l.rates) + len(l.slots))
}

func dropEnded(holders map[string]int64, now int64) {
	for h, end := range holders {
		if end <= now {
			delete(holders, h)
		}
	}
}

// AcquireSlot takes or renews a slot.
func (s *Store) AcquireSlot(ctx context.Context, key, holder string, now time.Time, limit int, ttl time.Duration) (bool, error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	l := &s.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tidy(nanos(now))
	holders := l.slots[key]
	if holders == nil {
		holders = make(map[string]int64, 1)
		l.slots[key] = holders
	}
	dropEnded(holders, nanos(now))
	if _, renew := holders[holder]; !renew && len(holders) >= limit {
		return false, nil
	}
	holders[holder] = nanos(now.Add(ttl))
	return true, nil
}

// ReleaseSlot gives a slot back.
func (s *Store) ReleaseSlot(ctx context.Context, key, holder string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	l := &s.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.slots[key], holder)
	if len(l.slots[key]) == 0 {
		delete(l.slots, key)
	}
	return nil
}

// claims are in memory as well; their fences grow over restarts.
type claims struct {
	mu     sync.Mutex
	byName map[string]claim
}

type claim struct {
	holder string
	end    int64
	fence  uint64
}

// Claim takes or renews exclusive work.
func (s *Store) Claim(ctx context.Context, name, holder string, now time.Time, ttl time.Duration) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	c, known := s.claims.byName[name]
	if known && c.holder != "" && c.holder != holder && c.end > nanos(now) {
		return 0, queue.ErrClaimed
	}
	if !known || c.holder != holder {
		c.fence = max(c.fence, s.epoch<<32) + 1
	}
	c.holder, c.end = holder, nanos(now.Add(ttl))
	if s.claims.byName == nil {
		s.claims.byName = make(map[string]claim)
	}
	s.claims.byName[name] = c
	return c.fence, nil
}

// Unclaim gives exclusive work back. The name is remembered for its fence.
func (s *Store) Unclaim(ctx context.Context, name, holder string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	if c, ok := s.claims.byName[name]; ok && c.holder == holder {
		c.holder = ""
		s.claims.byName[name] = c
	}
	return nil
}
