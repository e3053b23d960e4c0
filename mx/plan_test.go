package mx_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

func TestPlanHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ name, domain, hosts string }{
		{"one MX", "plain.test", "mx1.plain.test"},
		{"upper case and a final dot", "PLAIN.Test.", "mx1.plain.test"},
		{"by preference", "two.test", "a.two.test b.two.test"},
		{"no MX: the domain itself", "implicit.test", "implicit.test"},
		{"a null MX beside others is dropped", "nulls.test", "mx1.plain.test"},
		{"a target that is no host name is dropped", "badtarget.test", "mx1.plain.test"},
		{"the domain is a CNAME", "alias.test", "mx1.plain.test"},
		{"a chain of CNAMEs", "longalias.test", "mx1.plain.test"},
		{"an MX target that is a CNAME", "mxalias.test", "alias-host.test"},
		{"one target of two does not exist", "halfgone.test", "mx1.plain.test"},
		{"hosts from our own preference on are discarded", "backup.test", "a.two.test"},
		{"an internationalised domain", "BÜCHER.test", "mx1.plain.test"},
		{"the same as A-label", "xn--bcher-kva.test", "mx1.plain.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := w.plan(c.domain)
			if got := strings.Join(hostNames(p), " "); got != c.hosts {
				t.Errorf("hosts = %s; want %s", got, c.hosts)
			}
			for _, h := range p.Hosts {
				if len(h.Addrs) == 0 {
					t.Errorf("%s has no address", h.Name)
				}
			}
		})
	}
	if p := w.plan("implicit.test"); !p.Implicit {
		t.Error("the plan of a domain without MX is not marked implicit")
	}
	if p := w.plan("mixed.test"); len(p.Hosts[0].Addrs) != 1 || p.Hosts[0].Addrs[0] != netip.MustParseAddr("8.8.8.1") {
		t.Errorf("addrs of mixed.test = %v; want only the public one", p.Hosts[0].Addrs)
	}
}

func TestPlanFailures(t *testing.T) {
	t.Parallel()
	type behaviors map[string]dnssim.Behavior // "name type"
	for _, c := range []struct {
		name, domain string
		set          behaviors
		kind         mx.Kind
		enhanced     string
		code         int
		temporary    bool
	}{
		{"the domain does not exist", "nothing.test", nil, mx.KindNXDomain, "5.1.2", 550, false},
		{"a CNAME to a domain that does not exist", "dangling.test", nil, mx.KindNXDomain, "5.1.2", 550, false},
		{"neither MX nor address", "empty.test", nil, mx.KindNoData, "5.4.4", 550, false},
		{"null MX", "null.test", nil, mx.KindNullMX, "5.1.10", 556, false},
		{"MX localhost is a null MX", "local.test", nil, mx.KindNullMX, "5.1.10", 556, false},
		{"no valid MX target", "onlybad.test", nil, mx.KindGone, "4.4.4", 451, true},
		{"SERVFAIL for the MX, never the address instead", "implicit.test", behaviors{"implicit.test. MX": {Rcode: "SERVFAIL"}}, mx.KindTrouble, "4.4.3", 451, true},
		{"REFUSED", "plain.test", behaviors{"plain.test. MX": {Rcode: "REFUSED"}}, mx.KindTrouble, "4.4.3", 451, true},
		{"time-out", "plain.test", behaviors{"plain.test. MX": {Drop: true}}, mx.KindTrouble, "4.4.3", 451, true},
		{"FORMERR", "plain.test", behaviors{"plain.test. MX": {Rcode: "FORMERR"}}, mx.KindTrouble, "4.4.3", 451, true},
		{"truncated and no TCP", "plain.test", behaviors{"plain.test. MX": {Truncate: true, DropTCP: true}}, mx.KindTrouble, "4.4.3", 451, true},
		{"a referral is not an empty answer", "plain.test", behaviors{"plain.test. MX": {Lame: true}}, mx.KindTrouble, "4.4.3", 451, true},
		{"DNSSEC bogus", "plain.test", behaviors{"plain.test. MX": {Rcode: "SERVFAIL", ExtendedError: 7, ExtraText: "signature expired"}}, mx.KindBogus, "4.7.5", 451, true},
		{"SERVFAIL for the only MX host", "plain.test", behaviors{"mx1.plain.test. A": {Rcode: "SERVFAIL"}}, mx.KindTrouble, "4.4.3", 451, true},
		{"SERVFAIL for the address of an implicit MX", "implicit.test", behaviors{"implicit.test. A": {Rcode: "SERVFAIL"}}, mx.KindTrouble, "4.4.3", 451, true},
		{"all MX targets do not exist", "gone.test", nil, mx.KindGone, "4.4.4", 451, true},
		{"CNAME loop", "loop1.test", nil, mx.KindCNAME, "4.4.3", 451, true},
		{"CNAME loop at the MX target", "mxloop.test", nil, mx.KindCNAME, "4.4.3", 451, true},
		{"the best MX is this host", "mine.test", nil, mx.KindLoop, "5.4.6", 550, false},
		{"the domain's own address is this host", "mineimplicit.test", nil, mx.KindLoop, "5.4.6", 550, false},
		{"better MX than this host cannot be found", "backupgone.test", nil, mx.KindUnroutable, "4.4.4", 451, true},
		{"better MX than this host in DNS trouble", "backup.test", behaviors{"a.two.test. A": {Rcode: "SERVFAIL"}}, mx.KindUnroutable, "4.4.4", 451, true},
		{"only private addresses", "private.test", nil, mx.KindProhibited, "5.4.4", 550, false},
		{"only IPv6 and that is off", "six.test", nil, mx.KindUnroutable, "4.4.4", 451, true},
		{"address literal", "[8.8.8.8]", nil, mx.KindLiteral, "5.1.2", 550, false},
		{"broken address literal", "[8.8.8]", nil, mx.KindSyntax, "5.1.3", 553, false},
		{"a number for a domain", "8.8.8.8", nil, mx.KindSyntax, "5.1.3", 553, false},
		{"no domain", "", nil, mx.KindSyntax, "5.1.3", 553, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for target, b := range c.set {
				name, qtype, _ := strings.Cut(target, " ")
				w.set(name, qtype, b)
			}
			e := w.fails(c.domain)
			if e.Kind != c.kind || e.Enhanced != c.enhanced || e.Code != c.code || e.Temporary != c.temporary || e.Detail == "" {
				t.Errorf("got %+v; want %s %d %s temporary=%v", e, c.kind, c.code, c.enhanced, c.temporary)
			}
		})
	}
}

func TestBogusTellsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 7, ExtraText: "expired\r\n2025"})
	e := w.fails("plain.test")
	if !strings.Contains(e.Detail, "Signature Expired") || !strings.Contains(e.Detail, "expired  2025") {
		t.Errorf("detail %q does not tell the extended error on one line", e.Detail)
	}
}

func TestEqualPreferenceIsShuffledPerCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	firsts := make(map[string]bool)
	for range 200 {
		names := hostNames(w.plan("equal.test"))
		firsts[names[0]] = true
		if len(names) != 4 || names[3] != "d.equal.test" {
			t.Fatalf("hosts = %v; want the worse preference last", names)
		}
	}
	if len(firsts) != 3 {
		t.Errorf("first hosts over 200 calls: %v; want all three", firsts)
	}
	if n := w.sim.Count("equal.test", "MX"); n != 1 {
		t.Errorf("MX was asked for %d times; want 1", n)
	}
}

func TestRandIsInjected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.Rand = func(n int) int { return n - 1 } }) // no swaps
	first := hostNames(w.plan("equal.test"))
	for range 20 {
		if got := hostNames(w.plan("equal.test")); !slices.Equal(got, first) {
			t.Fatalf("order %v and then %v with a constant rand", first, got)
		}
	}
}

func TestPlanBelongsToCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.plan("plain.test")
	p.Hosts[0].Name, p.Hosts[0].Addrs[0] = "changed", netip.Addr{}
	if q := w.plan("plain.test"); q.Hosts[0].Name != "mx1.plain.test" || !q.Hosts[0].Addrs[0].IsValid() {
		t.Errorf("a change to one plan is seen in the next: %+v", q)
	}
}

func TestFamiliesAlternate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.IPv6 = true })
	begins := make(map[bool]bool)
	for range 100 {
		addrs := w.plan("dual.test").Hosts[0].Addrs
		if len(addrs) != 4 {
			t.Fatalf("addrs = %v; want 4", addrs)
		}
		for i := 1; i < len(addrs); i++ {
			if addrs[i].Is4() == addrs[i-1].Is4() {
				t.Fatalf("families do not alternate: %v", addrs)
			}
		}
		begins[addrs[0].Is4()] = true
	}
	if len(begins) != 2 {
		t.Error("it always begins with the same family")
	}
	if p := w.plan("six.test"); len(p.Hosts[0].Addrs) != 1 {
		t.Errorf("six.test = %+v; want its IPv6 address", p)
	}

	off := newWorld(t)
	for _, a := range off.plan("dual.test").Hosts[0].Addrs {
		if a.Is6() {
			t.Errorf("%v in a plan with IPv6 off", a)
		}
	}
}

func TestPlanLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.MaxAddrs = 5 })
	var counts []int
	for _, h := range w.plan("many.test").Hosts {
		counts = append(counts, len(h.Addrs))
	}
	if !slices.Equal(counts, []int{3, 1, 1}) {
		t.Errorf("addresses per host = %v; want 3, 1, 1: every host gets one", counts)
	}
	few := newWorld(t, func(o *mx.Options) { o.MaxHosts = 2 })
	if got := hostNames(few.plan("many.test")); !slices.Equal(got, []string{"a.many.test", "b.many.test"}) {
		t.Errorf("hosts = %v; want the best two", got)
	}
	two := newWorld(t, func(o *mx.Options) { o.MaxAddrs = 2 })
	if got := hostNames(two.plan("many.test")); len(got) != 2 {
		t.Errorf("hosts = %v; want two with one address each", got)
	}
}

func TestAllowPrivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.AllowPrivate = true })
	if p := w.plan("private.test"); len(p.Hosts[0].Addrs) != 2 || !p.AllowPrivate {
		t.Errorf("plan = %+v; want both private addresses", p)
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.AllowLiterals = true })
	p := w.plan("[ipv6:2A00:1450::1]")
	if p.Hosts[0].Name != "[IPv6:2a00:1450::1]" || p.Hosts[0].Addrs[0] != netip.MustParseAddr("2a00:1450::1") {
		t.Errorf("plan = %+v", p)
	}
	if e := w.fails("[127.0.0.1]"); e.Kind != mx.KindProhibited {
		t.Errorf("loopback literal: %v", e)
	}
	if e := w.fails("[IPv6:::ffff:10.0.0.1]"); e.Kind != mx.KindProhibited {
		t.Errorf("mapped private literal: %v", e)
	}
	if e := w.fails("[8.8.9.9]"); e.Kind != mx.KindLoop {
		t.Errorf("own address literal: %v", e)
	}
}

func TestOwnAddrsDefaultToInterfaces(t *testing.T) {
	t.Parallel()
	addrs, err := mx.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.IsLoopback() {
			t.Errorf("%v: loopback counts as own", a)
		}
	}
	i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is4() })
	if i < 0 {
		return // A host with loopback only has nothing more to show.
	}
	sim := startSim(t, "self.test. MX 10 mx.self.test.\nmx.self.test. A "+addrs[i].String())
	r := newResolver(t, mx.Options{Servers: []string{sim.Addr()}, AllowPrivate: true})
	p, err := r.Plan(ctx(t), "self.test")
	if e := wantError(t, p, err); e.Kind != mx.KindLoop {
		t.Errorf("got %v; want a loop", e)
	}
}

func TestADIsCarried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("two.test", "MX", dnssim.Behavior{Authenticated: true})
	w.set("a.two.test", "", dnssim.Behavior{Authenticated: true})
	p := w.plan("two.test")
	if !p.AD || !p.Hosts[0].AD || p.Hosts[1].AD {
		t.Errorf("AD of plan, first and second host = %v %v %v; want true true false", p.AD, p.Hosts[0].AD, p.Hosts[1].AD)
	}
	if w.plan("plain.test").AD {
		t.Error("AD without the bit in the answer")
	}
	w.set("plain.test", "", dnssim.Behavior{})
	w.set("alias.test", "MX", dnssim.Behavior{Authenticated: true, Unfollowed: true})
	if w.plan("alias.test").AD {
		t.Error("AD though the second half of the CNAME chain is not authenticated")
	}
}

func TestTrustAD(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		servers []string
		trust   bool
		want    bool
	}{
		{"loopback servers", []string{"127.0.0.1:53", "[::1]:53"}, false, true},
		{"one of them elsewhere", []string{"127.0.0.1:53", "9.9.9.9:53"}, false, false},
		{"elsewhere, vouched for", []string{"9.9.9.9:53"}, true, true},
	} {
		r := newResolver(t, mx.Options{Servers: c.servers, TrustAD: c.trust})
		if r.TrustsAD() != c.want {
			t.Errorf("%s: trusts AD = %v; want %v", c.name, r.TrustsAD(), c.want)
		}
	}
	if r, err := mx.New(mx.Options{Servers: []string{"dns.example:53"}}); err == nil {
		t.Errorf("a server by name was accepted: %v", r.Close())
	}
}

func TestSiteAndPool(t *testing.T) {
	t.Parallel()
	zone := `
$TTL 600
g1.example. MX 5 gmail-smtp-in.l.google.com.
g1.example. MX 10 alt1.gmail-smtp-in.l.google.com.
g2.example. MX 10 alt1.gmail-smtp-in.l.google.com.
g2.example. MX 5 gmail-smtp-in.l.google.com.
gw.example. MX 1 aspmx.l.google.com.
gw.example. MX 10 aspmx2.googlemail.com.
o1.example. MX 0 o1-example.mail.protection.outlook.com.
o2.example. MX 0 o2-example.mail.protection.outlook.com.
uk.example. MX 10 mx.provider.co.uk.
split.example. MX 10 mx.z.example.
split.example. MX 20 mx.a.test.
sub.implicit.example. A 8.8.1.1
`
	hosts := `
$ORIGIN com.
$TTL 600
gmail-smtp-in.l.google A 8.8.0.1
alt1.gmail-smtp-in.l.google A 8.8.0.2
aspmx.l.google A 8.8.0.3
aspmx2.googlemail A 8.8.0.4
*.mail.protection.outlook A 8.8.0.5
`
	sim := startSim(t)
	for origin, text := range map[string]string{
		"example": zone + "mx.z.example. A 8.8.2.1", "com": hosts,
		"uk": "mx.provider.co.uk. 600 A 8.8.0.6", "test": "mx.a.test. 600 A 8.8.2.2",
	} {
		if err := sim.Load(origin, text); err != nil {
			t.Fatal(err)
		}
	}
	r := newResolver(t, mx.Options{Servers: []string{sim.Addr()}, OwnAddrs: []netip.Addr{}})
	plan := func(domain string) mx.Plan {
		p, err := r.Plan(ctx(t), domain)
		if err != nil {
			t.Fatalf("%s: %v", domain, err)
		}
		return p
	}
	for domain, site := range map[string]string{
		"g1.example": "google.com", "g2.example": "google.com", "gw.example": "google.com",
		"o1.example": "outlook.com", "o2.example": "outlook.com",
		"uk.example": "provider.co.uk", "split.example": "a.test+z.example",
		"sub.implicit.example": "implicit.example",
	} {
		if got := plan(domain).Site; got != site {
			t.Errorf("site of %s = %s; want %s", domain, got, site)
		}
	}
	if a, b := plan("g1.example").Pool, plan("g2.example").Pool; a != b || a != "gmail-smtp-in.l.google.com/alt1.gmail-smtp-in.l.google.com" {
		t.Errorf("pools of the same hosts: %s and %s", a, b)
	}
	if a, b := plan("o1.example").Pool, plan("o2.example").Pool; a == b {
		t.Errorf("customers with their own hosts share the pool %s", a)
	}
}

func TestSiteStaysWhenAHostFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.plan("backup.test")
	w.clock.advance(2 * time.Hour)
	w.set("b.two.test", "A", dnssim.Behavior{Rcode: "SERVFAIL"})
	after := w.plan("backup.test")
	if before.Site != after.Site || before.Pool != after.Pool {
		t.Errorf("site and pool changed: %q %q, then %q %q", before.Site, before.Pool, after.Site, after.Pool)
	}
}

func TestCanceledCallerIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Drop: true})
	c, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := w.r.Plan(c, "plain.test")
	if e := wantError(t, p, err); !e.Temporary || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want a temporary error that wraps context.Canceled", err)
	}
}
