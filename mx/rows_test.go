package mx_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

// row is one rule of routing with a zone of its own, row.test, in which it shows.
type row struct {
	name   string
	zone   string
	set    map[string]dnssim.Behavior // by "name type"
	change func(*mx.Options)
	domain string // default row.test

	hosts  string // "name=addr,addr name=addr"; or
	fails  string // "kind code enhanced"
	detail string // a part of the error's text
}

const (
	mxA   = "@ MX 10 a\na A 8.8.0.1\n"
	mxAB  = mxA + "@ MX 20 b\nb A 8.8.0.2\n"
	chain = "c1 CNAME c2\nc2 CNAME c3\nc3 CNAME c4\nc4 CNAME c5\nc5 CNAME c6\nc6 CNAME c7\nc7 CNAME c8\nc8 CNAME c9\nc9 CNAME c10\nc10 MX 10 a\n" + mxA
	own   = "8.8.9.9"
)

func one(target string, b dnssim.Behavior) map[string]dnssim.Behavior {
	return map[string]dnssim.Behavior{target: b}
}

func literals(o *mx.Options) { o.AllowLiterals = true }
func ipv6(o *mx.Options)     { o.IPv6 = true }

// The rules of RFC 5321 §5.1 and what other mail servers add to them.
func routeRows() []row {
	return []row{
		{name: "1 an internationalised domain is asked for by its A-label", zone: "xn--bcher-kva MX 10 a\n" + mxA, domain: "BÜCHER.row.test", hosts: "a=8.8.0.1"},
		{name: "1 sharp s is not mapped to ss", zone: "xn--strae-oqa MX 10 a\nstrasse MX 10 b\n" + mxAB, domain: "Straße.row.test", hosts: "a=8.8.0.1"},
		{name: "1 case and a final dot do not matter", zone: mxA, domain: "ROW.Test.", hosts: "a=8.8.0.1"},
		{name: "1 a domain that IDNA forbids", domain: "a\u200db.row.test", fails: "syntax 553 5.1.3"},
		{name: "1 a right-to-left domain that mixes directions", domain: "a\u05d0.row.test", fails: "syntax 553 5.1.3"},
		{name: "1 a label that is too long", domain: strings.Repeat("a", 64) + ".row.test", fails: "syntax 553 5.1.3"},

		{name: "2 an address literal is refused", domain: "[8.8.0.1]", fails: "literal 550 5.1.2"},
		{name: "2 an IPv6 literal is refused", domain: "[IPv6:2a00::1]", fails: "literal 550 5.1.2"},
		{name: "2 an address literal where they are allowed", domain: "[8.8.0.1]", change: literals, hosts: "[8.8.0.1]=8.8.0.1"},
		{name: "2 an IPv6 literal where they are allowed", domain: "[IPv6:2a00::1]", change: literals, hosts: "[IPv6:2a00::1]=2a00::1"},

		{name: "3 the domain is a CNAME", zone: "www CNAME @\n" + mxA, domain: "www.row.test", hosts: "a=8.8.0.1"},
		{name: "3 ten CNAMEs are followed", zone: "c0 CNAME c1\n" + chain, domain: "c0.row.test", hosts: "a=8.8.0.1"},
		{name: "3 ten CNAMEs, one by one", zone: "c0 CNAME c1\n" + chain, set: one("*", dnssim.Behavior{Unfollowed: true}), domain: "c0.row.test", hosts: "a=8.8.0.1"},
		{name: "3 eleven CNAMEs are too many", zone: "c00 CNAME c0\nc0 CNAME c1\n" + chain, domain: "c00.row.test", fails: "cname 451 4.4.3"},
		{name: "3 a CNAME to itself", zone: "@ MX 10 l\nl CNAME l\n", fails: "cname 451 4.4.3"},
		{name: "3 a CNAME to a domain without MX", zone: "www CNAME x\nx A 8.8.0.7\n", domain: "www.row.test", hosts: "www=8.8.0.7"},

		{name: "4 targets that are no host names are dropped", zone: mxA + "@ MX 1 8.8.8.8.\n@ MX 2 -x\n@ MX 3 a\\032b\n", hosts: "a=8.8.0.1"},
		{name: "4 only targets that are no host names", zone: "@ MX 1 8.8.8.8.\n", fails: "gone 451 4.4.4"},
		{name: "4 null MX", zone: "@ MX 0 .\n@ A 8.8.0.1\n", fails: "null-mx 556 5.1.10"},
		{name: "4 null MX beside others is dropped", zone: mxA + "@ MX 0 .\n", hosts: "a=8.8.0.1"},
		{name: "4 MX localhost is null MX", zone: "@ MX 10 localhost.\n", fails: "null-mx 556 5.1.10"},

		{name: "5 the domain does not exist", domain: "none.row.test", fails: "nxdomain 550 5.1.2"},
		{name: "5 no MX: the domain's own addresses", zone: "@ A 8.8.0.1\n@ A 8.8.0.2\n", hosts: "@=8.8.0.1,8.8.0.2"},
		{name: "5 no MX, IPv6 only", zone: "@ AAAA 2a00::1\n", change: ipv6, hosts: "@=2a00::1"},
		{name: "5 no MX and no address", zone: "@ TXT x\n", fails: "nodata 550 5.4.4"},
		{name: "5 a name that exists only as the parent of others", zone: "x.e A 8.8.0.1\n", domain: "e.row.test", fails: "nodata 550 5.4.4"},

		{name: "6 a failed question for MX never becomes one for addresses", zone: "@ A 8.8.0.1\n", set: one("row.test MX", dnssim.Behavior{Rcode: "SERVFAIL"}), fails: "dns 451 4.4.3"},
		{name: "6 REFUSED", zone: mxA, set: one("row.test MX", dnssim.Behavior{Rcode: "REFUSED"}), fails: "dns 451 4.4.3"},
		{name: "6 time-out", zone: mxA, set: one("row.test MX", dnssim.Behavior{Drop: true}), fails: "dns 451 4.4.3"},
		{name: "6 FORMERR", zone: mxA, set: one("row.test MX", dnssim.Behavior{Rcode: "FORMERR"}), fails: "dns 451 4.4.3"},
		{name: "6 NOTIMP", zone: mxA, set: one("row.test MX", dnssim.Behavior{Rcode: "NOTIMP"}), fails: "dns 451 4.4.3"},
		{name: "6 truncated, and no TCP", zone: mxA, set: one("row.test MX", dnssim.Behavior{Truncate: true, DropTCP: true}), fails: "dns 451 4.4.3"},
		{name: "6 truncated, with TCP", zone: mxA, set: one("row.test MX", dnssim.Behavior{Truncate: true}), hosts: "a=8.8.0.1"},
		{name: "6 bogus", zone: mxA, set: one("row.test MX", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 6}), fails: "bogus 451 4.7.5"},

		{name: "7 by preference, families by turns, every address", zone: mxAB + "a AAAA 2a00::1\n", change: ipv6, hosts: "a=2a00::1,8.8.0.1 b=8.8.0.2"},
		{name: "7 an MX target that is a CNAME", zone: "@ MX 10 m\nm CNAME a\na A 8.8.0.1\n", hosts: "m=8.8.0.1"},
		{name: "7 one host cannot be found: the others", zone: mxA + "@ MX 5 gone\n", hosts: "a=8.8.0.1"},
		{name: "7 one host is in DNS trouble: the others", zone: mxAB, set: one("a.row.test A", dnssim.Behavior{Rcode: "SERVFAIL"}), hosts: "b=8.8.0.2"},
		{name: "7 one family is in DNS trouble: the other", zone: mxA, change: ipv6, set: one("a.row.test AAAA", dnssim.Behavior{Rcode: "SERVFAIL"}), hosts: "a=8.8.0.1"},
		{name: "7 a host named twice is tried once", zone: mxA + "@ MX 30 a\n", hosts: "a=8.8.0.1"},

		{name: "8 our own preference and what follows is discarded", zone: mxAB + "@ MX 20 own\n@ MX 30 c\nown A " + own + "\nc A 8.8.0.3\n", hosts: "a=8.8.0.1"},
		{name: "8 this host is the best", zone: mxA + "@ MX 5 own\nown A " + own + "\n", fails: "loop 550 5.4.6"},
		{name: "8 a public address that leads here", zone: "@ MX 5 nat\nnat A 8.8.9.8\n", fails: "loop 550 5.4.6"},
		{name: "8 the domain's own address is ours", zone: "@ A " + own + "\n", fails: "loop 550 5.4.6"},
		{name: "8 an alias that leads to us", zone: "@ MX 5 m\nm CNAME own\nown A " + own + "\n", fails: "loop 550 5.4.6"},
		{name: "8 one of the host's addresses is ours", zone: mxA + "@ MX 5 own\nown A 8.8.0.9\nown A " + own + "\n", fails: "loop 550 5.4.6"},
		{name: "8 better hosts cannot be found", zone: "@ MX 1 gone\n@ MX 5 own\nown A " + own + "\n", fails: "unroutable 451 4.4.4"},
		{name: "8 better hosts are in DNS trouble", zone: mxA + "@ MX 20 own\nown A " + own + "\n", set: one("a.row.test A", dnssim.Behavior{Rcode: "SERVFAIL"}), fails: "unroutable 451 4.4.4"},
		{name: "8 our address as a literal", domain: "[" + own + "]", change: literals, fails: "loop 550 5.4.6"},

		{name: "9 private addresses are dropped", zone: mxA + "a A 10.0.0.1\na A 127.0.0.1\n@ MX 5 p\np A 192.168.0.1\n", hosts: "a=8.8.0.1"},
		{name: "9 only private addresses", zone: "@ MX 5 p\np A 192.168.0.1\np A 169.254.169.254\n", fails: "prohibited 550 5.4.4", detail: "p.row.test"},
		{name: "9 a private address behind an IPv6 one", zone: "@ MX 5 p\np AAAA 64:ff9b::a00:1\n", change: ipv6, fails: "prohibited 550 5.4.4"},
		{name: "9 a private address as a literal", domain: "[10.0.0.1]", change: literals, fails: "prohibited 550 5.4.4"},
		{name: "9 private addresses where they are allowed", zone: "@ MX 5 p\np A 192.168.0.1\n", change: func(o *mx.Options) { o.AllowPrivate = true }, hosts: "p=192.168.0.1"},
		{name: "9 private addresses, and a host in DNS trouble", zone: "@ MX 5 p\np A 192.168.0.1\n" + mxA, set: one("a.row.test A", dnssim.Behavior{Rcode: "SERVFAIL"}), fails: "dns 451 4.4.3"},

		{name: "10 IPv6 is not used where it is off", zone: mxA + "a AAAA 2a00::1\n", hosts: "a=8.8.0.1"},
		{name: "10 a host with IPv6 only waits where it is off", zone: "@ MX 10 a\na AAAA 2a00::1\n", fails: "unroutable 451 4.4.4"},
	}
}

// What DNS says, and what becomes of it.
func statusRows() []row {
	servfail := dnssim.Behavior{Rcode: "SERVFAIL"}
	bogus := dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 7, ExtraText: "expired yesterday"}
	return []row{
		{name: "NXDOMAIN", domain: "none.row.test", fails: "nxdomain 550 5.1.2", detail: "does not exist"},
		{name: "NXDOMAIN behind a CNAME", zone: "www CNAME none\n", domain: "www.row.test", fails: "nxdomain 550 5.1.2"},
		{name: "no data and no address", zone: "@ TXT x\n", fails: "nodata 550 5.4.4", detail: "neither MX, A nor AAAA"},
		{name: "null MX", zone: "@ MX 0 .\n", fails: "null-mx 556 5.1.10", detail: "takes no mail"},
		{name: "SERVFAIL", set: one("row.test MX", servfail), fails: "dns 451 4.4.3", detail: "SERVFAIL"},
		{name: "time-out", set: one("row.test MX", dnssim.Behavior{Drop: true}), fails: "dns 451 4.4.3"},
		{name: "REFUSED", set: one("row.test MX", dnssim.Behavior{Rcode: "REFUSED"}), fails: "dns 451 4.4.3", detail: "REFUSED"},
		{name: "a referral", set: one("row.test MX", dnssim.Behavior{Lame: true}), fails: "dns 451 4.4.3"},
		{name: "SERVFAIL for the addresses of every host", zone: mxAB, set: map[string]dnssim.Behavior{"a.row.test": servfail, "b.row.test": servfail}, fails: "dns 451 4.4.3"},
		{name: "SERVFAIL for one host, NXDOMAIN for the other", zone: mxA + "@ MX 20 none\n", set: one("a.row.test", servfail), fails: "dns 451 4.4.3"},
		{name: "every MX target is NXDOMAIN", zone: "@ MX 10 x\n@ MX 20 y\n", fails: "gone 451 4.4.4", detail: "NXDOMAIN"},
		{name: "every MX target is without address", zone: "@ MX 10 x\nx TXT y\n", fails: "gone 451 4.4.4", detail: "no"},
		{name: "CNAME loop", zone: "x CNAME y\ny CNAME x\n", domain: "x.row.test", fails: "cname 451 4.4.3"},
		{name: "CNAME chain too long", zone: "c00 CNAME c0\nc0 CNAME c1\n" + chain, domain: "c00.row.test", fails: "cname 451 4.4.3"},
		{name: "DNSSEC bogus", set: one("row.test MX", bogus), fails: "bogus 451 4.7.5", detail: "expired yesterday"},
		{name: "DNSSEC bogus at the host", zone: mxA, set: one("a.row.test", bogus), fails: "bogus 451 4.7.5", detail: "expired yesterday"},
		{name: "own address", zone: "@ MX 10 own\nown A " + own + "\n", fails: "loop 550 5.4.6", detail: "loop back"},
	}
}

func TestRoutingTable(t *testing.T) { t.Parallel(); runRows(t, routeRows()) }

func TestStatusTable(t *testing.T) { t.Parallel(); runRows(t, statusRows()) }

func runRows(t *testing.T, rows []row) {
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// zoneServer serves the row's zone.
func (c row) zoneServer(t *testing.T) *dnssim.Server {
	t.Helper()
	sim := startSim(t)
	if err := sim.Load("row.test", "@ SOA ns h 1 2 3 4 60\n"+c.zone); err != nil {
		t.Fatal(err)
	}
	for target, b := range c.set {
		name, qtype, _ := strings.Cut(target, " ")
		if err := sim.Set(name, qtype, b); err != nil {
			t.Fatal(err)
		}
	}
	return sim
}

func (c row) options(server string, timeout time.Duration) mx.Options {
	o := mx.Options{
		Servers: []string{server}, Timeouts: []time.Duration{timeout},
		OwnAddrs: []netip.Addr{netip.MustParseAddr(own)}, PublicAddrs: []netip.Addr{netip.MustParseAddr("8.8.9.8")},
	}
	if c.change != nil {
		c.change(&o)
	}
	return o
}

func (c row) asked() string {
	if c.domain == "" {
		return "row.test"
	}
	return c.domain
}

func (c row) run(t *testing.T) {
	p, err := newResolver(t, c.options(c.zoneServer(t).Addr(), 200*time.Millisecond)).Plan(ctx(t), c.asked())
	if c.hosts != "" {
		if got := describe(p); err != nil || got != c.hosts {
			t.Errorf("%q, %v; want %q", got, err, c.hosts)
		}
		return
	}
	e := wantError(t, p, err)
	if got := fmt.Sprintf("%s %d %s", e.Kind, e.Code, e.Enhanced); got != c.fails || !strings.Contains(e.Detail, c.detail) || e.Temporary != (e.Code < 500) {
		t.Errorf("%s %q, temporary %v; want %s and %q", got, e.Detail, e.Temporary, c.fails, c.detail)
	}
}

// describe writes a plan like row.hosts, with the addresses sorted.
func describe(p mx.Plan) string {
	var hosts []string
	for _, h := range p.Hosts {
		var addrs []string
		for _, a := range h.Addrs {
			addrs = append(addrs, a.String())
		}
		slices.Sort(addrs)
		name := strings.TrimSuffix(h.Name, ".row.test")
		if name == "row.test" {
			name = "@"
		}
		hosts = append(hosts, name+"="+strings.Join(addrs, ","))
	}
	return strings.Join(hosts, " ")
}

func TestMissingMailServersAreFinalAfterADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.fails("gone.test")
	if e := gone.After(24*time.Hour - time.Second); !e.Temporary || e.Enhanced != "4.4.4" {
		t.Errorf("within a day: %+v", e)
	}
	if e := gone.After(24 * time.Hour); e.Temporary || e.Enhanced != "5.4.4" || e.Code != 550 || e.Detail != gone.Detail {
		t.Errorf("after a day: %+v", e)
	}
	if !gone.Temporary {
		t.Error("the error itself has changed")
	}
	w.set("plain.test", "MX", dnssim.Behavior{Rcode: "SERVFAIL"})
	if e := w.fails("plain.test").After(time.Hour * 1000); !e.Temporary {
		t.Errorf("trouble of DNS became final: %+v", e)
	}
}
