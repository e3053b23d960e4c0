package imapview

import (
	"context"
	"net/netip"
	"sync"
)

// admission knows all connections, and how many there may be.
type admission struct {
	max, perAddress, perAccount int

	mu       sync.Mutex
	all      map[*conn]struct{}
	from     map[netip.Prefix]int
	accounts map[string]int
	draining bool
	empty    chan struct{} // closed when draining and nobody is left
}

func newAdmission(o Options) *admission {
	return &admission{max: o.MaxConnections, perAddress: o.MaxPerAddress, perAccount: o.MaxPerAccount,
		all: map[*conn]struct{}{}, from: map[netip.Prefix]int{}, accounts: map[string]int{}, empty: make(chan struct{})}
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
func (a *admission) admit(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	home := household(c.remote)
	if a.draining || len(a.all) >= a.max || a.from[home] >= a.perAddress {
		return false
	}
	a.from[home]++
	a.all[c] = struct{}{}
	return true
}

// login reports whether the account may have one more connection; leave ends it.
func (a *admission) login(account string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.accounts[account] >= a.perAccount {
		return false
	}
	a.accounts[account]++
	return true
}

// leave takes a connection out; account is empty if it never logged in.
func (a *admission) leave(c *conn, account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.all[c]; !ok {
		return
	}
	delete(a.all, c)
	less(a.from, household(c.remote))
	if account != "" {
		less(a.accounts, account)
	}
	if a.draining && len(a.all) == 0 {
		close(a.empty)
	}
}

func less[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// Stats is how a Server is.
type Stats struct {
	Connections int // open
	LoggedIn    int // of them
	Accounts    int // that have one

	Accepted   uint64 // connections since the start
	TurnedAway uint64 // because there were too many
	Logins     uint64
	Refused    uint64 // logins with wrong name or password
}

func (a *admission) stats() (s Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Connections, s.Accounts = len(a.all), len(a.accounts)
	for _, n := range a.accounts {
		s.LoggedIn += n
	}
	return s
}

// drain wakes all connections, which then end, and waits for them, at most as
// long as ctx; then it ends them.
func (a *admission) drain(ctx context.Context) error {
	for _, c := range a.close() {
		c.wire.drain()
	}
	select {
	case <-a.empty:
		return nil
	case <-ctx.Done():
	}
	for _, c := range a.close() {
		_ = c.wire.Close()
	}
	<-a.empty
	return ctx.Err()
}

// close lets nobody in any more, and returns who is there.
func (a *admission) close() []*conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.draining {
		a.draining = true
		if len(a.all) == 0 {
			close(a.empty)
		}
	}
	cs := make([]*conn, 0, len(a.all))
	for c := range a.all {
		cs = append(cs, c)
	}
	return cs
}
