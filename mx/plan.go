package mx

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Plan says where mail for a domain goes, best host first. It belongs to the
// caller. It has at least one host, and each host at least one address.
type Plan struct {
	// Domain is the domain in the spelling of [NormalizeDomain].
	Domain string
	// Site is the provider behind the hosts, the same for all domains it
	// serves, such as "google.com"; it does not change with a DNS failure of
	// one of the hosts. Use it as the key of limits.
	Site string
	// Pool names exactly this set of hosts and their order of preference: a
	// connection made for one domain may carry mail of another one with the
	// same Pool. Sites that give each customer its own hosts have many pools.
	Pool string
	// Hosts to try in order.
	Hosts []Host
	// AD is set when the MX answer is authenticated, or its absence where the
	// domain itself is the host. Also see [Host.AD].
	AD bool
	// MXName is the domain that has the MX records: Domain, or where its CNAMEs
	// led. It is empty where the plan is not made of MX records.
	MXName string
	// Implicit is set when the domain has no MX and is its own host.
	Implicit bool
	// Route is the id of the static route, or "" when DNS made the plan.
	Route string
	// AllowPrivate is what to give to [DialControl] for this plan.
	AllowPrivate bool
}

// Host is a mail server to try.
type Host struct {
	// Name is the MX target or smart host, for TLS and the log; for an address
	// literal it is the literal.
	Name string
	// Preference is that of the MX record, or the place in the static route.
	Preference uint16
	// Addrs are the addresses in the order to try, families alternating.
	Addrs []netip.Addr
	// AD is set when the addresses are authenticated, and with them every
	// CNAME between Name and AddrName.
	AD bool
	// AddrName is the name that has the addresses: Name, or where its CNAMEs
	// led. It is empty where DNS was not asked.
	AddrName string
	// Via has port, TLS and credentials when the host comes from a static
	// route; nil means an ordinary mail server.
	Via *SmartHost
}

// Plan finds where mail for a domain goes, by DNS. Hosts of equal preference
// and the addresses of each host are in a new random order on every call
// (RFC 5321 §5.1). The error is an [*Error].
func (r *Resolver) Plan(ctx context.Context, domain string) (Plan, error) {
	name, err := NormalizeDomain(domain)
	if err != nil {
		return Plan{}, err
	}
	if addr, ok := parseLiteral(name); ok {
		return r.planLiteral(name, addr)
	}
	now := r.o.Now()
	if c, ok := r.plans.get(name); ok && now.Before(c.expires) {
		r.stats.planHits.Add(1)
		if c.use.hot() && !now.Before(renewAt(c.stored, c.expires)) && c.use.claimRenewal(now, r.o.FailureTTL) {
			r.background(func(ctx context.Context) { r.renewPlan(ctx, name) })
		}
		return r.arrange(c), nil
	}
	c, err := r.compile(ctx, name, false)
	if err != nil {
		return Plan{}, err
	}
	r.plans.put(name, c)
	return r.arrange(c), nil
}

// renewPlan replaces a plan that is much in use before it expires. When that
// fails the old one stays until then.
func (r *Resolver) renewPlan(ctx context.Context, domain string) {
	if c, err := r.compile(ctx, domain, true); err == nil {
		r.plans.put(domain, c)
	}
}

func (r *Resolver) planLiteral(name string, addr netip.Addr) (Plan, error) {
	addr = addr.Unmap()
	switch {
	case !r.o.AllowLiterals:
		return Plan{}, newError(KindLiteral, name, "mail to address literals is not allowed here")
	case r.isOwn(addr):
		return Plan{}, newError(KindLoop, name, "the address is our own: mail would loop back")
	case !r.o.AllowPrivate && ProhibitedAddr(addr):
		return Plan{}, newError(KindProhibited, name, "the address is private or reserved (delivery.allow_private_destinations lets mail go there)")
	}
	return Plan{
		Domain: name, Site: name, Pool: name, Implicit: true, AllowPrivate: r.o.AllowPrivate,
		Hosts: []Host{{Name: name, Addrs: []netip.Addr{addr}}},
	}, nil
}

func (r *Resolver) isOwn(a netip.Addr) bool {
	_, own := r.own[a]
	return own
}

// compiled is all that is known of a domain's hosts, before any shuffling.
type compiled struct {
	domain, site, pool string
	mxName             string // where the CNAMEs of the domain led
	ad, implicit       bool
	hosts              []compiledHost // by preference
	stored, expires    time.Time
	use                use
}

type compiledHost struct {
	Record
	v4, v6 []netip.Addr
	name   string // where the CNAMEs led
	ad     bool
}

// compile asks DNS for everything a plan needs. With fresh it renews what is
// due for renewal.
func (r *Resolver) compile(ctx context.Context, domain string, fresh bool) (*compiled, error) {
	a, err := r.wait(ctx, r.begin(key{dns.Fqdn(domain), dns.TypeMX}, fresh))
	if err != nil {
		return nil, err
	}
	c := &compiled{domain: domain, ad: a.ad, stored: r.o.Now(), expires: a.expires}
	var targets []Record
	switch a.kind {
	case "":
		c.mxName = a.name
		if targets, err = r.targets(domain, a.mx); err != nil {
			return nil, err
		}
	case KindNoData: // RFC 5321 §5.1: the domain is its own MX, preference 0.
		c.implicit = true
		targets = []Record{{Host: domain}}
	default:
		return nil, a.err(domain)
	}
	c.site, c.pool = siteOf(targets), poolOf(targets)
	if len(targets) > r.o.MaxHosts {
		targets = targets[:r.o.MaxHosts]
	}
	found, err := r.resolveHosts(ctx, targets, fresh)
	if err != nil {
		return nil, err
	}
	return c, r.choose(c, targets, found)
}

// targets returns the MX records that can be used, by preference, in random
// order where that is equal.
func (r *Resolver) targets(domain string, records []Record) ([]Record, error) {
	var usable []Record
	null := 0
	for _, rec := range records {
		switch {
		case rec.Host == "." || rec.Host == "localhost":
			// RFC 7505 §3: no mail here; beside other records it means nothing.
			null++
		case domainFault(rec.Host) == "":
			usable = append(usable, rec)
		}
	}
	if len(usable) == 0 && null == len(records) {
		return nil, newError(KindNullMX, domain, "the domain takes no mail (null MX)")
	}
	if len(usable) == 0 {
		return nil, newError(KindGone, domain, "no MX record of the domain names a valid host")
	}
	shuffle(usable, r.o.Rand)
	slices.SortStableFunc(usable, func(a, b Record) int { return int(a.Preference) - int(b.Preference) })
	seen := make(map[string]bool, len(usable))
	return slices.DeleteFunc(usable, func(rec Record) bool {
		again := seen[rec.Host]
		seen[rec.Host] = true
		return again
	}), nil
}

func (r *Resolver) resolveHosts(ctx context.Context, targets []Record, fresh bool) ([]hostAddrs, error) {
	pending := make([]families, len(targets))
	for i, t := range targets {
		pending[i] = r.beginFamilies(dns.Fqdn(t.Host), r.o.IPv6, fresh)
	}
	found := make([]hostAddrs, len(targets))
	for i, f := range pending {
		h, err := r.waitFamilies(ctx, f)
		if err != nil {
			return nil, err
		}
		found[i] = h
	}
	return found, nil
}

// choose puts the hosts that can be used into c, or says why none can.
func (r *Resolver) choose(c *compiled, targets []Record, found []hostAddrs) error {
	own := 1 << 16 // RFC 5321 §5.1: hosts from our own preference on would send it back
	for i, h := range found {
		if slices.ContainsFunc(h.v4, r.isOwn) || slices.ContainsFunc(h.v6, r.isOwn) {
			own = min(own, int(targets[i].Preference))
		}
	}
	var out tally
	for i, h := range found {
		if h.expires.Before(c.expires) {
			c.expires = h.expires
		}
		if int(targets[i].Preference) >= own {
			continue
		}
		v4, v6 := h.v4, h.v6
		if !r.o.AllowPrivate {
			v4, v6 = permitted(v4), permitted(v6)
		}
		if h.kind == "" && len(v4)+len(v6) > 0 {
			c.hosts = append(c.hosts, compiledHost{targets[i], v4, v6, h.name, h.ad})
			continue
		}
		out.count(targets[i].Host, h)
	}
	if len(c.hosts) > 0 {
		return nil
	}
	return out.verdict(c, own < 1<<16)
}

func permitted(addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), ProhibitedAddr)
}

// tally collects why hosts cannot be used.
type tally struct {
	temporary  *Error
	absent     *Error
	prohibited string
}

func (t *tally) count(host string, h hostAddrs) {
	switch h.kind {
	case "":
		t.prohibited = host
	case KindNXDomain, KindNoData:
		t.absent = newError(h.kind, host, h.detail)
	default:
		t.temporary = newError(h.kind, host, h.detail).because(h.cause)
	}
}

// verdict is the error of a domain without usable hosts.
func (t *tally) verdict(c *compiled, own bool) error {
	switch {
	case own && (t.temporary != nil || t.absent != nil):
		return newError(KindUnroutable, c.domain, "we are a backup mail server of the domain, and those before us cannot be found")
	case own:
		return newError(KindLoop, c.domain, "the best mail server of the domain is this one: mail would loop back")
	case t.temporary != nil:
		return newError(t.temporary.Kind, c.domain, "mail server "+t.temporary.Domain+": "+t.temporary.Detail).because(t.temporary.err)
	case t.prohibited != "":
		return newError(KindProhibited, c.domain, "mail server "+t.prohibited+" has only private or reserved addresses (delivery.allow_private_destinations lets mail go there)")
	case c.implicit:
		return newError(KindNoData, c.domain, "the domain has no mail server and no address (neither MX, A nor AAAA)")
	}
	return newError(KindGone, c.domain, "no mail server of the domain can be found; "+t.absent.Domain+": "+strings.TrimSpace(t.absent.Detail))
}
