package delivery

import (
	"net/netip"

	"postrider/mx"
	"postrider/queue"
)

// Source is an address that mail leaves from. One of the families at least is
// set; receivers are reached over those that are.
type Source struct {
	V4, V6 netip.Addr
	HELO   string // empty: Options.Hostname
}

// way is where the recipients of a run go: a step of a chain.
type way struct {
	chain mx.Chain
	step  int
}

func (w *way) route() mx.Route { return w.chain.Route(w.step) }

// chainOf returns the way of a message to a domain.
func (d *Dispatcher) chainOf(m *queue.Message, domain string) mx.Chain {
	return d.o.Routes.Find(mx.Mail{Account: m.Account, Sender: m.SenderDomain(), Domain: domain})
}

// blocked reports that port 25 is found blocked for a way.
func (d *Dispatcher) blocked(c mx.Chain) bool {
	return d.o.Blocked != nil && d.o.Blocked(d.o.Sources[c.Source].V4)
}

// wayOf returns at which step of its way a recipient is that waits in a lane,
// and the lane of that step. Only what is stored, the routes and whether the way
// is open decide that, so that it is the same after a restart.
func (d *Dispatcher) wayOf(m *queue.Message, rc *queue.Recipient, in queue.Lane) (way, queue.Lane) {
	w := way{chain: d.chainOf(m, rc.Address.Domain)}
	if w.chain.Len() > 1 {
		p := mx.Progress{Lane: string(in), Attempts: rc.Attempts, Class: string(rc.Class), InDoubt: rc.InDoubt}
		if rc.Last != nil {
			p.Site = rc.Last.Site
		}
		p.Closed = string(d.lanes.closedBy(in, d.o.Now()))
		w.step = w.chain.Step(rc.Address.Domain, p, d.blocked(w.chain))
	}
	return w, queue.Lane(w.chain.Lane(w.step, rc.Address.Domain))
}

// leadsAway reports that no recipient of a lease stays in its lane, so that no
// site need be asked for room.
func (d *Dispatcher) leadsAway(l *queue.Lease) bool {
	if d.o.Blocked == nil && !d.lanes.anyClosed() {
		return false
	}
	for i := range l.Recipients {
		if _, lane := d.wayOf(&l.Message, &l.Recipients[i], l.Lane); lane == l.Lane {
			return false
		}
	}
	return len(l.Recipients) > 0
}

// advance moves a recipient on if the failed attempt a, of a class, leads to the
// next step of its way: it is tried there at once, since it has waited already
// and nothing was heard from there. A final verdict ends it unless its class is
// one that the next step is for; and none leads on if the mail may have been
// delivered, since another way is one more chance of a second copy.
func (d *Dispatcher) advance(r *run, rc *queue.Recipient, a *queue.Attempt, class queue.Class, final bool) (s queue.Settlement, ok bool) {
	chain, domain := d.chainOf(&r.lease.Message, rc.Address.Domain), rc.Address.Domain
	doubt := a.InDoubt || rc.InDoubt
	// Where it is now the lane alone says; what is decided here comes behind.
	p := mx.Progress{Lane: string(r.lease.Lane)}
	at := chain.Step(domain, p, false)
	next := at
	switch {
	case final && doubt:
	case final:
		next, ok = chain.Rescue(at, string(class))
		if !ok {
			next = at
		}
	default:
		p.Attempts, p.Site, p.Class, p.InDoubt = a.Number, chain.Route(at).Site(), string(class), doubt
		next = chain.Step(domain, p, d.blocked(chain))
	}
	if next == at {
		return s, false
	}
	s = d.deferral(r, rc, a, class, d.o.Now())
	s.Lane = queue.Lane(chain.Lane(next, domain))
	s.Reason = clip("it goes on by "+chain.Route(next).String(), 512)
	return s, true
}
