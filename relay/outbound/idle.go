package outbound

import (
	"slices"
	"time"
)

// peeked says how an idle connection looks.
type peeked uint8

const (
	peekQuiet  peeked = iota // nothing has come
	peekData                 // something to read
	peekClosed               // the peer has closed
)

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
	if s.spent {
		return 0
	}
	if s.caps.mailMax > 0 {
		return min(l.MessagesPerConnection, s.caps.mailMax)
	}
	return l.MessagesPerConnection
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
