package delivery

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
)

// A domain that does not exist is asked for again after recheckMin to twice
// that, once: new domains and failing registries look like that too.
const recheckMin = 5 * time.Minute

// hops is where a lease goes.
type hops struct {
	site    string
	relay   bool // to a smart host
	private bool
	targets []outbound.Target // to be tried in turn
}

// sortOut keeps the recipients that belong into the lease's lane and moves the
// others to theirs: the routes were changed after they were accepted.
func (d *Dispatcher) sortOut(ctx context.Context, r *run) {
	var gone []*queue.Recipient
	var moves []queue.Settlement
	stay := r.open[:0]
	domain, lane := "", r.lease.Lane
	for _, rc := range r.open {
		if rc.Address.Domain != domain {
			domain = rc.Address.Domain
			lane = d.o.Lane(domain)
		}
		if lane == r.lease.Lane {
			stay = append(stay, rc)
			continue
		}
		gone = append(gone, rc)
		moves = append(moves, queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDeferred, Due: r.start, Lane: lane,
			Class: rc.Class, Reason: "the route of the domain has changed",
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
	plan, err := d.plan(ctx, r.open[0].Address.Domain)
	d.observe(queue.StageRoute, began)
	switch {
	case err == nil:
		return d.hopsOf(&plan, r.lease.Message.Envelope.RequireTLS), true
	case ctx.Err() != nil:
		d.abandon(keep, r, r.open, context.Cause(ctx))
	default:
		d.noRoute(keep, r, err)
	}
	return hops{}, false
}

func (d *Dispatcher) plan(ctx context.Context, domain string) (mx.Plan, error) {
	if route, ok := d.o.Routes.Lookup(domain); ok {
		return d.o.Router.PlanRoute(ctx, route)
	}
	return d.o.Router.Plan(ctx, domain)
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
	a := queue.Attempt{Start: r.start, Took: d.o.Now().Sub(r.start), Stage: queue.StageRoute, Error: clip(err.Error(), 512)}
	missing := false
	var e *mx.Error
	if errors.As(err, &e) {
		enhanced, _ := queue.ParseEnhanced(e.Enhanced)
		a.Reply = queue.Reply{Code: e.Code, Enhanced: enhanced, Text: e.Detail}
		missing = (e.Kind == mx.KindNXDomain || e.Kind == mx.KindProhibited) && !e.Temporary
	}
	_, smartHost := d.o.Routes.Lookup(r.open[0].Address.Domain)
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		a := a
		a.Number = rc.Attempts + 1
		ss[i], _ = d.judge(r, rc, &a, smartHost)
		if smartHost {
			ss[i].Class = queue.ClassRouteBad
		}
		if missing && a.Number == 1 && ss[i].Outcome == queue.StateBounced {
			again := r.start.Add(recheckMin + time.Duration(d.o.Rand()*float64(recheckMin)))
			ss[i] = d.deferral(r, rc, &a, ss[i].Class, again)
		}
	}
	d.settle(ctx, r, r.open, ss)
}

// hopsOf makes targets of a plan: one for all hosts, but where a route has hosts
// with different policies. With strict none of them is sent to without TLS.
func (d *Dispatcher) hopsOf(p *mx.Plan, strict bool) hops {
	h := hops{site: p.Site, relay: p.Route != "", private: p.AllowPrivate}
	for i := range p.Hosts {
		t := d.targetOf(p, &p.Hosts[i])
		if strict {
			requireTLS(&t)
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

func (d *Dispatcher) targetOf(p *mx.Plan, host *mx.Host) outbound.Target {
	t := outbound.Target{Site: p.Pool, HELO: d.o.Hostname, TLS: d.o.MXTLS}
	port := d.o.MXPort
	if via := host.Via; via != nil {
		port = via.Port
		t.TLS = policyOf(via)
		t.Auth.Username, t.Auth.Password = via.Auth.Reveal()
		// Whoever wrote tls=none or opportunistic beside a password meant it.
		t.Auth.AllowPlaintext = !via.Auth.IsZero() && via.TLS != mx.TLSRequired
	}
	t.Hosts = []outbound.Host{{Name: host.Name, Addrs: unmapped(host.Addrs), Port: port, Preference: host.Preference}}
	return t
}

// requireTLS lets a target be sent to over TLS only, whatever the certificate
// where the policy does not ask for a good one. Sessions are shared by targets of
// one policy, so that none without TLS is used for it.
func requireTLS(t *outbound.Target) {
	if t.TLS.Mode == outbound.TLSOpportunistic || t.TLS.Mode == outbound.TLSNone {
		t.TLS.Mode, t.TLS.Verify = outbound.TLSRequired, false
	}
	t.Auth.AllowPlaintext = false
}

func unmapped(addrs []netip.Addr) []netip.Addr {
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}

func policyOf(via *mx.SmartHost) outbound.TLS {
	switch {
	case via.Implicit:
		return outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}
	case via.TLS == mx.TLSRequired:
		return outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	case via.TLS == mx.TLSNone:
		return outbound.TLS{Mode: outbound.TLSNone}
	}
	return outbound.TLS{Mode: outbound.TLSOpportunistic}
}
