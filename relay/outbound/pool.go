package outbound

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

// poolKey is what connections must have in common to be exchangeable.
type poolKey struct {
	site, helo string
	tls        TLS    // without Peer and Fault
	peer       string // the key of Peer
	auth       Auth
	local      netip.Addr
	local6     netip.Addr
}

func keyOf(t *Target) poolKey {
	k := poolKey{site: t.Site, helo: t.HELO, tls: t.TLS, auth: t.Auth, local: t.LocalAddr, local6: t.LocalAddr6}
	if k.tls.Peer != nil {
		k.peer = k.tls.Peer.Key()
	}
	k.tls.Peer, k.tls.Fault = nil, ""
	return k
}

// Pool delivers, and keeps connections for the next delivery. Its methods are
// safe for concurrent use.
type Pool struct {
	o     Options
	tls   tlsShared
	outs  sync.Pool // *[]byte of writeBlock
	reads sync.Pool // *[]byte of readBlock

	mu       sync.Mutex
	closed   bool
	groups   map[poolKey]*group
	active   map[*delivery]struct{}
	sweeper  *time.Timer // nil while nothing is idle
	sweeping sync.WaitGroup
	inFlight sync.WaitGroup
}

// group are the connections of one key: those in use or being opened, and the
// idle ones, the last used at the end.
type group struct {
	open    int // with the idle ones
	idle    []*session
	waiters []chan struct{}
}

// New makes a Pool. It needs no start; Drain or Close ends it.
func New(o Options) *Pool {
	o.setDefaults()
	return &Pool{
		o:      o,
		tls:    newTLSShared(),
		outs:   sync.Pool{New: func() any { b := make([]byte, 0, writeBlock); return &b }},
		reads:  sync.Pool{New: func() any { b := make([]byte, readBlock); return &b }},
		groups: map[poolKey]*group{},
		active: map[*delivery]struct{}{},
	}
}

// Stats counts connections.
type Stats struct {
	Open int // with the idle ones and those being opened
	Idle int
}

// Stats returns the counts of now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s Stats
	for _, g := range p.groups {
		s.Open += g.open
		s.Idle += len(g.idle)
	}
	return s
}

// Drain refuses new deliveries, closes idle connections and waits for the
// deliveries under way. When ctx ends first, they are broken off, those between
// the dot and its reply as well, which are InDoubt then, and Drain returns
// ctx's error once they have returned.
func (p *Pool) Drain(ctx context.Context) error {
	p.stopAccepting()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.inFlight.Wait()
		p.sweeping.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	p.abandonAll()
	<-done
	return ctx.Err()
}

// Close breaks off all deliveries and waits for them to return.
func (p *Pool) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Drain(ctx)
}

func (p *Pool) stopAccepting() {
	p.mu.Lock()
	p.closed = true
	var idle []*session
	for key, g := range p.groups {
		idle = append(idle, g.idle...)
		g.open -= len(g.idle)
		g.idle = nil
		g.wakeAll()
		p.forget(key, g)
	}
	if p.sweeper != nil && p.sweeper.Stop() {
		p.sweeping.Done()
	}
	p.sweeper = nil
	p.mu.Unlock()
	p.endAll(idle)
}

func (p *Pool) abandonAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d := range p.active {
		d.abandoned = true
		d.cancel(ErrClosed)
		if d.session != nil {
			d.session.abandon()
		}
	}
}

func (p *Pool) endAll(ss []*session) {
	for _, s := range ss {
		s.end(true, p.o.Timeouts.Reset)
	}
}

// enter admits a delivery.
func (p *Pool) enter(d *delivery) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.active[d] = struct{}{}
	p.inFlight.Add(1)
	return true
}

func (p *Pool) leave(d *delivery) {
	p.mu.Lock()
	delete(p.active, d)
	p.mu.Unlock()
	p.inFlight.Done()
}

// use notes which session a delivery uses, so that it can be abandoned.
func (p *Pool) use(d *delivery, s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.session = s
	return !d.abandoned
}

// acquire gives the delivery the right to one connection, and an idle one if
// there is a fit one. It waits while there are as many as allowed.
func (p *Pool) acquire(ctx context.Context, d *delivery) (*session, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		g := p.groups[d.key]
		if g == nil {
			g = &group{}
			p.groups[d.key] = g
		}
		s, stale := g.take(d.target, d.limits)
		var wait chan struct{}
		switch {
		case s != nil:
		case stale != nil: // its place is ours
		case g.open < d.limits.Connections:
			g.open++
		default:
			wait = make(chan struct{}, 1)
			g.waiters = append(g.waiters, wait)
		}
		if s != nil {
			d.session = s
		}
		p.mu.Unlock()
		switch {
		case s != nil && s.idleAlive():
			return s, nil
		case s != nil:
			p.drop(d, s, false)
			d.ended(s, s.messages, nil)
			return nil, nil
		case stale != nil:
			stale.end(true, p.o.Timeouts.Reset)
			return nil, nil
		case wait == nil:
			return nil, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			p.mu.Lock()
			if i := slices.Index(g.waiters, wait); i >= 0 {
				g.waiters = slices.Delete(g.waiters, i, i+1)
			} else {
				g.wake() // the signal was ours: hand it on
			}
			if p.groups[d.key] == g {
				p.forget(d.key, g)
			}
			p.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
}

func (g *group) wake() {
	if len(g.waiters) > 0 {
		g.waiters[0] <- struct{}{}
		g.waiters = slices.Delete(g.waiters, 0, 1)
	}
}

func (g *group) wakeAll() {
	for len(g.waiters) > 0 {
		g.wake()
	}
}

func (p *Pool) forget(key poolKey, g *group) {
	if g.open == 0 && len(g.waiters) == 0 {
		delete(p.groups, key)
	}
}

// drop closes the delivery's session; its right to a connection stays.
func (p *Pool) drop(d *delivery, s *session, politely bool) {
	p.mu.Lock()
	d.session = nil
	p.mu.Unlock()
	s.end(politely && !s.dead, p.o.Timeouts.Reset)
}

func (p *Pool) observe(stage queue.Stage, began time.Time) {
	if p.o.Observe != nil {
		p.o.Observe(stage, time.Since(began))
	}
}
