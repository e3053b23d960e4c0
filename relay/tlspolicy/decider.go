package tlspolicy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"postrider/mx"
	"postrider/mx/dane"
	"postrider/mx/mtasts"
)

// Policies knows the MTA-STS policies of domains; *mtasts.Cache is one.
type Policies interface {
	Policy(ctx context.Context, domain string) (mtasts.Policy, error)
	// Refetch is Policy after a look whether it has changed.
	Refetch(ctx context.Context, domain string) (mtasts.Policy, error)
}

// Options are what a Decider asks.
type Options struct {
	DNS  dane.Resolver // nil: DANE is not used
	STS  Policies      // nil: MTA-STS is not used
	Port uint16        // of mail exchangers; 0: 25

	Logger *slog.Logger // nil: discard
}

// Decider decides. It is safe for concurrent use.
type Decider struct{ o Options }

// New makes a Decider. It logs if DANE cannot be used.
func New(o Options) *Decider {
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Decider{o}
	if o.DNS != nil && !d.DANEAvailable() {
		o.Logger.Warn("dane is not used: the dns servers are not trusted to check signatures; " +
			"run a validating resolver on this host and name it in dns.servers")
	}
	return d
}

// DANEAvailable reports whether DANE can be used: it needs a resolver that
// validates, and a way to it that nobody can change.
func (d *Decider) DANEAvailable() bool { return d.o.DNS != nil && d.o.DNS.TrustsAD() }

// Decide says what is asked of connections to the hosts of a plan. It asks DNS,
// and fetches the policy of the domain where none is known. The error is that of
// ctx, or of Want.Optional, and means that nothing is decided.
//
// Smart hosts have the TLS that their route gives them, which only w.RequireTLS
// and w.Encrypted make stronger.
func (d *Decider) Decide(ctx context.Context, plan *mx.Plan, w Want) (Decision, error) {
	l := ladder{plan: plan, w: w}
	if l.needsPolicies() {
		if err := l.discover(ctx, d); err != nil {
			return Decision{}, err
		}
		if ctx.Err() != nil { // what failed may have failed for that
			return Decision{}, context.Cause(ctx)
		}
	}
	out := Decision{Hosts: make([]Host, len(plan.Hosts))}
	for i := range plan.Hosts {
		out.Hosts[i] = l.host(i)
	}
	return out, nil
}

// needsPolicies reports whether what the recipient's domain says is of interest.
func (l *ladder) needsPolicies() bool {
	switch {
	case l.plan.Route != "":
		return false
	case l.w.RequireTLS: // it needs a proof, whatever the route thinks enough
		return true
	}
	return l.w.Override != None && l.w.Override != Opportunistic
}

// discover looks for policies of the recipient's domain. Whoever may go without
// them forgets them again.
func (l *ladder) discover(ctx context.Context, d *Decider) error {
	l.dane = d.findDANE(ctx, l.plan)
	if d.o.STS != nil && !l.allByDANE() {
		l.sts, l.stsErr = d.o.STS.Policy(ctx, l.plan.Domain)
	}
	if l.w.Optional != nil && l.w.Override != DANE && !l.w.strict() && l.binding() {
		optional, err := l.w.Optional(ctx)
		if err != nil {
			return fmt.Errorf("look for TLS-Required: %w", err)
		}
		if optional {
			l.dane, l.sts, l.stsErr = nil, mtasts.Policy{Mode: mtasts.None}, nil
			return nil
		}
	}
	if l.sts.Mode == mtasts.Enforce && l.noneMatches() {
		// The hosts may be new, and the policy we know an old one.
		if p, err := d.o.STS.Refetch(ctx, l.plan.Domain); err == nil {
			l.sts = p
		}
	}
	return nil
}

// found is what DANE asks of a host.
type found struct {
	policy dane.Policy
	err    error
}

func (d *Decider) findDANE(ctx context.Context, plan *mx.Plan) []found {
	if !d.DANEAvailable() || !plan.AD {
		return nil
	}
	out := make([]found, len(plan.Hosts))
	var all sync.WaitGroup
	for i := range plan.Hosts {
		all.Go(func() {
			out[i].policy, out[i].err = dane.Find(ctx, d.o.DNS, plan, &plan.Hosts[i], d.o.Port)
		})
	}
	all.Wait()
	return out
}
