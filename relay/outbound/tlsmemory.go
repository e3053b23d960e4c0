package outbound

import (
	"context"
	"sync"
	"time"

	"postrider/queue"
)

// TLSMemory remembers next hops whose STARTTLS does not work, so that
// opportunistic sessions need not fail first. What it forgets costs one
// connection; its methods are safe for concurrent use.
type TLSMemory interface {
	// TLSBroken reports whether host was remembered and its time is not over.
	TLSBroken(ctx context.Context, host string, now time.Time) bool
	// RememberTLSBroken remembers host until now+ttl.
	RememberTLSBroken(ctx context.Context, host string, now time.Time, ttl time.Duration)
}

// CacheTLSMemory keeps the memory in a store's cache, where nodes share it.
func CacheTLSMemory(c queue.Cache) TLSMemory { return cacheMemory{c} }

type cacheMemory struct{ cache queue.Cache }

const cachePrefix = "tls-broken/"

func (m cacheMemory) TLSBroken(ctx context.Context, host string, now time.Time) bool {
	_, err := m.cache.CacheGet(ctx, cachePrefix+host, now)
	return err == nil
}

func (m cacheMemory) RememberTLSBroken(ctx context.Context, host string, now time.Time, ttl time.Duration) {
	// A cache may forget at any time, so an error is no more than that.
	_ = m.cache.CachePut(ctx, cachePrefix+host, []byte{1}, now, ttl)
}

// tlsMemory is bounded; when it is full, some other host is forgotten.
type tlsMemory struct {
	limit int
	mu    sync.Mutex
	until map[string]time.Time
}

func newTLSMemory(limit int) *tlsMemory {
	return &tlsMemory{limit: limit, until: map[string]time.Time{}}
}

func (m *tlsMemory) TLSBroken(_ context.Context, host string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.until[host]
	if ok && !now.Before(until) {
		delete(m.until, host)
		return false
	}
	return ok
}

func (m *tlsMemory) RememberTLSBroken(_ context.Context, host string, now time.Time, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.until[host]; !known && len(m.until) >= m.limit {
		for other := range m.until {
			delete(m.until, other)
			break
		}
	}
	m.until[host] = now.Add(ttl)
}
