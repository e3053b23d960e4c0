package outbound

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

// peeked says how an idle connection looks.
type peeked uint8

const (
	peekQuiet  peeked = iota // nothing has come
	peekData                 // something to read
	peekClosed               // the peer has closed
)

// poolKey is what connections must have in common to be exchangeable.
type poolKey struct {
	site, helo string
	tls        TLS
	auth       Auth
	local      netip.Addr
}

// Pool delivers, and keeps connections for the next delivery. Its methods are
// safe for concurrent use.
type Pool struct {
	o     Options
	tls   tlsPolicies
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
		tls:    newTLSPolicies(),
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

// take removes an idle session that serves t. If there is none and no room for
// another, it removes the one that is idle for longest instead.
func (g *group) take(t *Target, l Limits) (s, stale *session) {
	for i := len(g.idle) - 1; i >= 0; i-- {
		s := g.idle[i]
		if s.messages < s.limit(l) && t.leadsTo(s.host, s.addr) {
			g.idle = slices.Delete(g.idle, i, i+1)
			return s, nil
		}
	}
	if g.open >= l.Connections && len(g.idle) > 0 {
		stale = g.idle[0]
		g.idle = slices.Delete(g.idle, 0, 1)
	}
	return nil, stale
}

// limit is how many transactions the session may have.
func (s *session) limit(l Limits) int {
	if s.caps.mailMax > 0 {
		return min(l.MessagesPerConnection, s.caps.mailMax)
	}
	return l.MessagesPerConnection
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

// release gives back the right to a connection, and the connection (nil if
// there is none) if it is fit for another message.
func (p *Pool) release(d *delivery, s *session) {
	keep := s != nil && !s.dead && !s.r.buffered() && s.messages < s.limit(d.limits)
	p.mu.Lock()
	d.session = nil
	g := p.groups[d.key]
	if keep = keep && !p.closed; keep {
		s.idleSince = time.Now()
		g.idle = append(g.idle, s)
		p.startSweeper()
	} else {
		g.open--
	}
	g.wake()
	p.forget(d.key, g)
	p.mu.Unlock()
	if s != nil && !keep {
		s.end(!s.dead, p.o.Timeouts.Reset)
	}
}

// startSweeper looks at idle connections from time to time while there are any.
// The lock is held.
func (p *Pool) startSweeper() {
	if p.sweeper == nil && !p.closed {
		p.sweeping.Add(1)
		p.sweeper = time.AfterFunc(min(time.Second, p.o.IdleTimeout/2+1), p.sweep)
	}
}

// sweep ends connections that waited for too long or were closed by the peer.
func (p *Pool) sweep() {
	defer p.sweeping.Done()
	now := time.Now()
	p.mu.Lock()
	p.sweeper = nil
	var over, gone []*session
	left := 0
	for key, g := range p.groups {
		n := len(over) + len(gone)
		g.idle = slices.DeleteFunc(g.idle, func(s *session) bool {
			switch {
			case now.Sub(s.idleSince) >= p.o.IdleTimeout:
				over = append(over, s)
			case peek(s.raw) == peekClosed, peek(s.raw) == peekData && s.tls == "":
				gone = append(gone, s)
			default:
				left++
				return false
			}
			return true
		})
		for range len(over) + len(gone) - n {
			g.open--
			g.wake()
		}
		p.forget(key, g)
	}
	if left > 0 {
		p.startSweeper()
	}
	p.mu.Unlock()
	p.endAll(over)
	for _, s := range gone {
		s.end(false, 0)
	}
}

func (p *Pool) observe(stage queue.Stage, began time.Time) {
	if p.o.Observe != nil {
		p.o.Observe(stage, time.Since(began))
	}
}
