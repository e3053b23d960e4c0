package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// mark is a keyed hash: what is remembered of a login tells nothing to somebody
// who reads the memory later.
type mark [sha256.Size]byte

// memory remembers marks for a while, at most so many, oldest forgotten first.
type memory struct {
	size int
	ttl  time.Duration

	mu    sync.Mutex
	marks map[mark]remembered
	order []mark // as they were added; may hold forgotten ones
}

type remembered struct {
	version uint64
	end     time.Time
}

func newMemory(size int, ttl time.Duration) *memory {
	return &memory{size: size, ttl: ttl, marks: map[mark]remembered{}}
}

// has reports whether m was kept with the same version and is not over.
func (m *memory) has(k mark, version uint64, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.marks[k]
	return ok && r.version == version && now.Before(r.end)
}

func (m *memory) keep(k mark, version uint64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.marks[k]; !ok {
		if len(m.order) >= m.size {
			delete(m.marks, m.order[0])
			m.order = m.order[1:]
		}
		m.order = append(m.order, k)
	}
	m.marks[k] = remembered{version: version, end: now.Add(m.ttl)}
}

// marker makes marks under a key of the process.
type marker struct{ key [32]byte }

func newMarker() *marker {
	var m marker
	_, _ = rand.Read(m.key[:])
	return &m
}

func (m *marker) mark(parts ...string) (k mark) {
	h := hmac.New(sha256.New, m.key[:])
	for _, p := range parts {
		h.Write([]byte{byte(len(p) >> 8), byte(len(p))})
		h.Write([]byte(p))
	}
	h.Sum(k[:0])
	return k
}

// household is what one client can be expected to have: a v4 address or a v6
// /64. It is empty for the local socket.
func household(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails for bad bits only
	return p.String()
}
