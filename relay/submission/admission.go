package submission

import (
	"context"
	"net/netip"
	"sync"
)

// admission knows all connections and how many there may be.
type admission struct {
	max, perAddress int

	mu       sync.Mutex
	all      map[*transport]struct{}
	from     map[netip.Prefix]int
	draining bool
	empty    chan struct{} // closed when draining and nobody is left
}

func newAdmission(maxAll, perAddress int) *admission {
	return &admission{max: maxAll, perAddress: perAddress,
		all: map[*transport]struct{}{}, from: map[netip.Prefix]int{}, empty: make(chan struct{})}
}

// household is what one client can be expected to have: a v4 address or a v6 /64.
func household(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero prefix for the zero address
	return p
}

// admit reports whether the connection may come in. Neighbours, who are on the
// socket or in a trusted network, count in all but not by address: a site that
// sends from 200 workers at once is no attack.
func (a *admission) admit(t *transport) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining || len(a.all) >= a.max {
		return false
	}
	if home := household(t.remote); !t.local && !t.trusted {
		if a.from[home] >= a.perAddress {
			return false
		}
		a.from[home]++
	}
	a.all[t] = struct{}{}
	return true
}

func (a *admission) leave(t *transport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.all[t]; !ok {
		return
	}
	delete(a.all, t)
	if home := household(t.remote); !t.local && !t.trusted {
		if a.from[home]--; a.from[home] <= 0 {
			delete(a.from, home)
		}
	}
	if a.draining && len(a.all) == 0 {
		close(a.empty)
	}
}

func (a *admission) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

// drain tells all connections to end and waits for them, at most as long as
// ctx; then it ends them.
func (a *admission) drain(ctx context.Context) error {
	for _, t := range a.close() {
		t.drain()
	}
	select {
	case <-a.empty:
		return nil
	case <-ctx.Done():
	}
	for _, t := range a.left() {
		t.abort()
	}
	<-a.empty
	return ctx.Err()
}

func (a *admission) close() []*transport {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.draining {
		a.draining = true
		if len(a.all) == 0 {
			close(a.empty)
		}
	}
	return a.list()
}

func (a *admission) left() []*transport {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list()
}

func (a *admission) list() []*transport {
	ts := make([]*transport, 0, len(a.all))
	for t := range a.all {
		ts = append(ts, t)
	}
	return ts
}
