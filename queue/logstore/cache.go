package logstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

const (
	maxCacheKey   = 512
	maxCacheValue = 64 << 10
)

// CacheGet returns a value that lasts beyond now.
func (s *Store) CacheGet(ctx context.Context, key string, now time.Time) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	value, end, err := s.cached(key)
	if err == nil && !end.After(now) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cache entry %q: %w", key, err)
	}
	return value, nil
}

func (s *Store) cached(key string) (value []byte, end time.Time, err error) {
	err = get(s.db, nameKey(nil, keyCache, key), func(b []byte) error {
		d := codec.Decoder{B: b}
		d.Version()
		end, value = d.Time(), d.Bytes()
		if err := d.Done(); err != nil {
			return damaged("a cache entry", err)
		}
		return nil
	})
	return value, end, err
}

// CachePut keeps a value for a while. It counts as mail where space is short.
func (s *Store) CachePut(ctx context.Context, key string, value []byte, now time.Time, ttl time.Duration) error {
	if len(key) > maxCacheKey || len(value) > maxCacheValue {
		return errors.New("cache: keys have at most 512 bytes, values 64 KiB")
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	l := s.names.of(hashString("cache", key))
	l.Lock()
	defer l.Unlock()
	var x edits
	_, old, err := s.cached(key)
	switch {
	case err == nil:
		x.drop(cacheEndKey(nil, old, key))
	case !errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("cache entry %q: %w", key, err)
	}
	end := now.Add(ttl)
	var e codec.Encoder
	e.Version()
	e.Time(end)
	e.Bytes(value)
	x.put(nameKey(nil, keyCache, key), e.B)
	if err == nil && old.Equal(end) {
		x.delete = nil
	}
	x.put(cacheEndKey(nil, end, key), nil)
	b := &commitlog.Batch{Records: []commitlog.Record{{Type: recordIndex, Payload: x.encode()}}}
	if err := s.append(ctx, b); err != nil {
		return fmt.Errorf("cache entry %q: %w", key, err)
	}
	return nil
}
