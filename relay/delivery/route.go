package delivery

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/tlspolicy"
)

// A domain that does not exist is asked for again after recheckMin to twice
// that, once: new domains and failing registries look like that too.
const recheckMin = 5 * time.Minute

// hops is where a lease goes.
type hops struct {
	site    string // for the record
	key     string // of the limits
	private bool
	targets []outbound.Target // to be tried in turn
}

// sortOut keeps the recipients that belong into the lease's lane, and moves the
// others to theirs: the routes were changed, or the way was found closed, after
// they were accepted.
func (d *Dispatcher) sortOut(ctx context.Context, r *run) {
	var gone []*queue.Recipient
	var moves []queue.Settlement
	stay := r.open[:0]
	for _, rc := range r.open {
		w, lane := d.wayOf(&r.lease.Message, rc, r.lease.Lane)
		if lane == r.lease.Lane {
			if len(stay) == 0 {
				r.way = w
			}
			stay = append(stay, rc)
			continue
		}
		gone = append(gone, rc)
		moves = append(moves, queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDeferred, Due: r.start, Lane: lane, Class: rc.Class,
			Reason: clip("its route leads by "+w.route().String()+" now", 512),
		})
	}
	r.open = stay
	if len(gone) > 0 {
		d.settle(ctx, r, gone, moves)
		r.settled = len(stay) == 0
	}
}

// findRoute plans the way of the recipients; if there is none it settles them.
func (d *Dispatcher) findRoute(ctx, keep context.Context, r *run) (hops, bool) {
	began := time.Now()
	plan, err := d.plan(ctx, r)
	var decided tlspolicy.Decision
	if err == nil {
		decided, err = d.secure(ctx, r, &plan)
	}
	d.observe(queue.StageRoute, began)
	switch {
	case err == nil && (len(decided.Hosts) == 0 || decided.Usable()):
		return d.hopsOf(r, &plan, decided), true
	case ctx.Err() != nil:
		d.abandon(keep, r, r.open, context.Cause(ctx))
	case err == nil:
		d.noHost(keep, r, plan.Site, decided.Refusal())
	default:
		d.noRoute(keep, r, err)
	}
	return hops{}, false
}

func (d *Dispatcher) plan(ctx context.Context, r *run) (mx.Plan, error) {
	if route := r.way.route(); !route.ByMX() {
		return d.o.Router.PlanRoute(ctx, route)
	}
	return d.o.Router.Plan(ctx, r.open[0].Address.Domain)
}

func (d *Dispatcher) observe(stage queue.Stage, began time.Time) {
	if d.o.Hooks.Stage != nil {
		d.o.Hooks.Stage(stage, time.Since(began))
	}
}

// noRoute settles what the lookup found out. A domain that does not exist, or has
// only private addresses, is looked up once more before that is final: DNS may
// be in the middle of a change.
func (d *Dispatcher) noRoute(ctx context.Context, r *run, err error) {
	a := queue.Attempt{
		Start: r.start, Took: d.o.Now().Sub(r.start), Site: r.way.route().Site(), Stage: queue.StageRoute, Error: clip(err.Error(), 512),
	}
	missing := false
	var e *mx.Error
	if errors.As(err, &e) {
		e = e.After(r.start.Sub(r.lease.Message.AcceptedAt))
		enhanced, _ := queue.ParseEnhanced(e.Enhanced)
		a.Reply = queue.Reply{Code: e.Code, Enhanced: enhanced, Text: e.Detail}
		missing = (e.Kind == mx.KindNXDomain || e.Kind == mx.KindProhibited) && !e.Temporary
	}
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		a := a
		a.Number = rc.Attempts + 1
		ss[i], _ = d.judge(r, rc, &a)
		if missing && a.Number == 1 && ss[i].Outcome == queue.StateBounced {
			again := r.start.Add(recheckMin + time.Duration(d.o.Rand()*float64(recheckMin)))
			ss[i] = d.deferral(r, rc, &a, ss[i].Class, again)
		}
	}
	d.settle(ctx, r, r.open, ss)
}

// noHost settles recipients whose hosts may not be used, for what is asked of
// TLS.
func (d *Dispatcher) noHost(ctx context.Context, r *run, site string, why *tlspolicy.Refusal) {
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		a := why.Attempt()
		a.Number, a.Start, a.Took, a.Site, a.Error = rc.Attempts+1, r.start, d.o.Now().Sub(r.start), site, clip(a.Error, 512)
		ss[i], _ = d.judge(r, rc, &a)
	}
	d.settle(ctx, r, r.open, ss)
}

// hopsOf makes targets of a plan: one for all hosts, but where hosts have
// different policies. Those that may not be used are left out.
func (d *Dispatcher) hopsOf(r *run, p *mx.Plan, decided tlspolicy.Decision) hops {
	source := d.o.Sources[r.way.chain.Source]
	h := hops{site: p.Site, private: p.AllowPrivate, key: d.keyOf(r, p)}
	for i := range p.Hosts {
		t := d.targetOf(r, p, &p.Hosts[i])
		if len(decided.Hosts) > 0 {
			if decided.Hosts[i].Refused != nil {
				continue
			}
			t.TLS = decided.Hosts[i].TLS
		}
		if r.lease.Message.Envelope.RequireTLS {
			requireTLS(&t)
		}
		t.LocalAddr, t.LocalAddr6 = source.V4, source.V6
		if source.HELO != "" {
			t.HELO = source.HELO
		}
		if n := len(h.targets); n > 0 && h.targets[n-1].TLS == t.TLS && h.targets[n-1].Auth == t.Auth {
			h.targets[n-1].Hosts = append(h.targets[n-1].Hosts, t.Hosts...)
			continue
		}
		if len(h.targets) == 0 {
			t.Hosts = append(make([]outbound.Host, 0, len(p.Hosts)), t.Hosts...)
		}
		h.targets = append(h.targets, t)
	}
	return h
}

// keyOf names the limits of a plan. Smart hosts have limits of their own: what a
// provider allows to strangers says nothing about its customers.
func (d *Dispatcher) keyOf(r *run, p *mx.Plan) string {
	var names []string
	if r.way.route().ByMX() {
		names = make([]string, len(p.Hosts))
		for i := range p.Hosts {
			names[i] = p.Hosts[i].Name
		}
	}
	return d.o.Limits.Key(p.Site, names, r.way.chain.Source)
}

func (d *Dispatcher) targetOf(r *run, p *mx.Plan, host *mx.Host) outbound.Target {
	t := outbound.Target{Site: p.Pool, HELO: d.o.Hostname}
	port := d.o.MXPort
	if via := host.Via; via != nil {
		port = via.Port
		t.TLS = policyOf(via)
		t.Auth.Username, t.Auth.Password = via.Auth.Reveal()
		// Whoever wrote tls=none or opportunistic beside a password meant it.
		t.Auth.AllowPlaintext = !via.Auth.IsZero() && via.TLS != mx.TLSRequired
	} else {
		t.TLS = d.mxTLS(r.way.chain.TLS)
	}
	t.Hosts = []outbound.Host{{Name: host.Name, Addrs: unmapped(host.Addrs), Port: port, Preference: host.Preference}}
	return t
}

func unmapped(addrs []netip.Addr) []netip.Addr {
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}
