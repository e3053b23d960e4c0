package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// tick is the unit in which rates are counted: epoch times in it are exact as
// the numbers of scripts.
const tick = 100 * time.Nanosecond

// keepBeyond is how long servers keep a limit or a cached value after its end by
// the callers' clocks.
const keepBeyond = 10 * time.Minute

// TakeRate takes n from a rate by the generic cell rate algorithm.
func (s *Store) TakeRate(ctx context.Context, key string, now time.Time, rate queue.Rate, n int) (bool, time.Duration, error) {
	if err := s.enter(ctx); err != nil {
		return false, 0, err
	}
	defer s.leave()
	if rate.Count <= 0 || rate.Per <= 0 {
		return false, 0, errors.New("take rate: it has no count or no period")
	}
	step := rate.Per / time.Duration(rate.Count) / tick
	depth := step * time.Duration(max(rate.Burst, 1))
	v, err := s.sv.run(ctx, s.o.Timeout, &call{script: scripts.rate, key: s.keys.rate(key), once: true,
		args: []any{s.ticks(now), int64(step) * int64(n), int64(depth), keepBeyond.Milliseconds()}})
	if err != nil {
		return false, 0, fmt.Errorf("take rate: %w", err)
	}
	text, _ := v.(string)
	if text == "" {
		return true, 0, nil
	}
	wait, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, 0, fmt.Errorf("rate answered %v: %w", v, queue.ErrUnavailable)
	}
	return false, time.Duration(wait) * tick, nil
}

func (s *Store) ticks(now time.Time) int64 { return now.Add(s.skew()).UnixNano() / int64(tick) }

// AcquireSlot takes or renews a slot.
func (s *Store) AcquireSlot(ctx context.Context, key, holder string, now time.Time, limit int, ttl time.Duration) (bool, error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	v, err := s.sv.run(ctx, s.o.Timeout, &call{script: scripts.slot, key: s.keys.slot(key),
		args: []any{s.ms(now), s.ms(now.Add(ttl)), holder, limit}})
	if err != nil {
		return false, fmt.Errorf("acquire slot: %w", err)
	}
	return v == int64(1), nil
}

// ReleaseSlot gives a slot back.
func (s *Store) ReleaseSlot(ctx context.Context, key, holder string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.sv.run(ctx, s.o.Timeout, &call{script: scripts.free, key: s.keys.slot(key), args: []any{holder}}); err != nil {
		return fmt.Errorf("release slot: %w", err)
	}
	return nil
}

// Claim takes or renews exclusive work.
func (s *Store) Claim(ctx context.Context, name, holder string, now time.Time, ttl time.Duration) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	v, err := s.change(ctx, scripts.claim, s.keys.claim(name), []any{s.ms(now), s.ms(now.Add(ttl)), holder}, nil)
	if err != nil {
		return 0, fmt.Errorf("claim %s: %w", name, err)
	}
	text, ok := v.(string)
	if !ok {
		return 0, queue.ErrClaimed
	}
	return strconv.ParseUint(text, 10, 64)
}

// Unclaim gives exclusive work back.
func (s *Store) Unclaim(ctx context.Context, name, holder string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.unclaim, key: s.keys.claim(name), args: []any{holder}}); err != nil {
		return fmt.Errorf("unclaim %s: %w", name, err)
	}
	return nil
}

// CacheGet returns a value that lasts beyond now.
func (s *Store) CacheGet(ctx context.Context, key string, now time.Time) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	k := s.keys.cache(key)
	cmds, err := s.sv.ask(ctx, s.o.Timeout, k, func(ctx context.Context, p redis.Pipeliner) { p.Get(ctx, k) })
	if err != nil {
		return nil, fmt.Errorf("read cached value: %w", err)
	}
	b, err := cmds[0].(*redis.StringCmd).Bytes()
	if err != nil || len(b) < 8 || int64(binary.BigEndian.Uint64(b)) <= s.ticks(now) {
		return nil, queue.ErrNotFound
	}
	return b[8:], nil
}

// CachePut keeps a value.
func (s *Store) CachePut(ctx context.Context, key string, value []byte, now time.Time, ttl time.Duration) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(s.ticks(now.Add(ttl))))
	_, err := s.sv.run(ctx, s.o.Timeout, &call{script: scripts.cache, key: s.keys.cache(key),
		args: []any{append(b, value...), (max(ttl, 0) + keepBeyond).Milliseconds()}})
	if err != nil {
		return fmt.Errorf("keep cached value: %w", err)
	}
	return nil
}
