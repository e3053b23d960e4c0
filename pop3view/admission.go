package pop3view

import (
	"context"
	"net/netip"
	"sync"
)

// admission knows all connections, and how many there may be.
type admission struct {
	max, perAddress, perAccount int

	mu       sync.Mutex
	all      map[*session]struct{}
	places   int
	from     map[netip.Prefix]int
	of       map[string]int
	draining bool
	empty    chan struct{} // closed when draining and nobody is left
}

func newAdmission(o Options) *admission {
	return &admission{max: o.MaxConnections, perAddress: o.MaxPerAddress, perAccount: o.MaxPerAccount,
		all: map[*session]struct{}{}, from: map[netip.Prefix]int{}, of: map[string]int{}, empty: make(chan struct{})}
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

// admit reports whether the connection may come in.
func (a *admission) admit(n *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	home := household(n.remote)
	if a.draining || a.places >= a.max || a.from[home] >= a.perAddress {
		return false
	}
	a.places++
	a.from[home]++
	n.placed = true
	a.all[n] = struct{}{}
	return true
}

// settle counts the session for an account; it reports whether there was room.
func (a *admission) settle(n *session, account string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[account] >= a.perAccount {
		return false
	}
	a.of[account]++
	n.counted = account
	return true
}

// unsettle takes back what settle counted.
func (a *admission) unsettle(n *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uncount(n)
}

func (a *admission) uncount(n *session) {
	if n.counted == "" {
		return
	}
	if a.of[n.counted]--; a.of[n.counted] <= 0 {
		delete(a.of, n.counted)
	}
	n.counted = ""
}

// free gives the session's place to somebody else: before its last words, for
// the client may come again at once.
func (a *admission) free(n *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.release(n)
}

func (a *admission) release(n *session) {
	a.uncount(n)
	if !n.placed {
		return
	}
	n.placed = false
	a.places--
	home := household(n.remote)
	if a.from[home]--; a.from[home] <= 0 {
		delete(a.from, home)
	}
}

// leave is the end of the session: nothing of it runs any more.
func (a *admission) leave(n *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.release(n)
	delete(a.all, n)
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
// ctx; then it cuts them.
func (a *admission) drain(ctx context.Context) error {
	for _, n := range a.close() {
		n.drain()
	}
	select {
	case <-a.empty:
		return nil
	case <-ctx.Done():
	}
	for _, n := range a.list() {
		n.cut()
	}
	<-a.empty
	return ctx.Err()
}

func (a *admission) close() []*session {
	a.mu.Lock()
	if !a.draining {
		a.draining = true
		if len(a.all) == 0 {
			close(a.empty)
		}
	}
	a.mu.Unlock()
	return a.list()
}

func (a *admission) list() []*session {
	a.mu.Lock()
	defer a.mu.Unlock()
	ns := make([]*session, 0, len(a.all))
	for n := range a.all {
		ns = append(ns, n)
	}
	return ns
}
