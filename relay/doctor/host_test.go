package doctor_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/mx/dnssim"
	"postrider/relay/doctor"
	"postrider/relay/smtpsim"
)

func TestAddressesAndNames(t *testing.T) {
	t.Parallel()
	const ptr = "7.113.0.203.in-addr.arpa PTR mail.example.com."
	reverse := func(name string) string { return strings.ReplaceAll(goodReverse, "mail.example.com.", name) }
	for _, tt := range []struct {
		name  string
		zones []string
		want  expectation
	}{
		{"a reverse name", []string{good, goodReverse}, expectation{id: "ip.ptr", level: doctor.OK, found: "mail.example.com"}},
		{"that leads back", []string{good, goodReverse}, expectation{id: "ip.fcrdns", level: doctor.OK, found: "leads back"}},
		{"no reverse name", []string{good}, expectation{id: "ip.ptr", level: doctor.Fail, found: "no reverse name", publish: ptr, where: "provider"}},
		{"a name made of the address", []string{good, reverse("203-0-113-7.isp.test.")}, expectation{id: "ip.ptr", level: doctor.Warn, found: "203-0-113-7.isp.test", publish: ptr}},
		{"a name for anybody", []string{good, reverse("host1.dyn.isp.test.")}, expectation{id: "ip.ptr", level: doctor.Warn, found: "looks like", publish: ptr}},
		{"two names", []string{good, goodReverse + "7 PTR www.example.com.\n"}, expectation{id: "ip.ptr", level: doctor.Warn, found: "several names", publish: ptr}},
		{"a reverse name that leads elsewhere", []string{instead(good, "mail A", "mail A 203.0.113.8"), goodReverse},
			expectation{id: "ip.fcrdns", level: doctor.Fail, found: "has 203.0.113.8", publish: "mail.example.com A 203.0.113.7", where: "at the DNS of example.com"}},

		{"a name in EHLO that leads to us", []string{good, goodReverse}, expectation{id: "host.helo", level: doctor.OK, found: "203.0.113.7"}},
		{"a name in EHLO that does not exist", []string{instead(good, "mail"), goodReverse},
			expectation{id: "host.helo", level: doctor.Fail, found: "does not exist", publish: "mail.example.com A 203.0.113.7"}},
		{"a name in EHLO that leads elsewhere", []string{instead(good, "mail A", "mail A 203.0.113.8"), goodReverse},
			expectation{id: "host.helo", level: doctor.Warn, found: "mail leaves from 203.0.113.7", publish: "mail.example.com A 203.0.113.7"}},
		{"another reverse name", []string{good, reverse("www.example.com.")},
			expectation{id: "host.helo", level: doctor.Warn, found: "www.example.com, another one", publish: ptr}},

		{"SPF of the name in EHLO", []string{good, goodReverse}, expectation{id: "host.spf", level: doctor.OK, found: "pass"}},
		{"no SPF of the name in EHLO", []string{instead(good, "mail TXT"), goodReverse},
			expectation{id: "host.spf", level: doctor.Warn, found: "no SPF record", publish: "mail.example.com TXT v=spf1 a -all"}},
		{"SPF of the name in EHLO that forbids us", []string{instead(good, "mail TXT", `mail TXT "v=spf1 -all"`), goodReverse},
			expectation{id: "host.spf", level: doctor.Fail, found: "fail", publish: "mail.example.com TXT v=spf1 a -all"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.zones...)
			w.c.Domains = nil
			tt.want.check(t, w.examine(t))
		})
	}
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]string{
		"localhost": "no dot", "box.localdomain": "nothing that ends in .localdomain", "[203.0.113.7]": "an address", "203.0.113.7": "an address",
	} {
		w := newWorld(t, good)
		w.c.Hostname, w.c.Domains = name, nil
		expectation{id: "host.helo", level: doctor.Fail, found: why, where: "configuration"}.check(t, w.examine(t))
	}
}

func TestBlockLists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, list, zone string
		want             expectation
	}{
		{"not on the list", "zen.spamhaus.org", lists, expectation{id: "ip.dnsbl", level: doctor.OK, found: "not on zen"}},
		{"on the list", "zen.spamhaus.org", lists + "7.113.0.203 A 127.0.0.2\n7.113.0.203 TXT \"https://example.net/why\"\n",
			expectation{id: "ip.dnsbl", level: doctor.Fail, found: `it is on zen.spamhaus.org (127.0.0.2): "https://example.net/why"`}},
		{"an address of people at home", "zen.spamhaus.org", lists + "7.113.0.203 A 127.0.0.11\n",
			expectation{id: "ip.dnsbl", level: doctor.Fail, found: "should not come straight from"}},
		{"a public resolver is refused", "zen.spamhaus.org", "*.zen.spamhaus.org. A 127.255.255.254",
			expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "does not answer this resolver (127.255.255.254)"}},
		{"a list without its test entry", "zen.spamhaus.org", "zen.spamhaus.org. A 203.0.113.1",
			expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "even its test entry"}},
		{"answers that are made up", "bl.test", "*.bl.test. A 203.0.113.99",
			expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "does not answer this resolver"}},
		{"a list of domains", "dbl.spamhaus.org", "example.com.dbl.spamhaus.org. A 127.0.1.2",
			expectation{id: "ip.dnsbl", level: doctor.Fail, found: "it is on dbl.spamhaus.org"}},
		{"not on a list of domains", "dbl.spamhaus.org", "dbl.spamhaus.org. TXT x\ndbltest.com.dbl.spamhaus.org. A 127.0.1.2",
			expectation{id: "ip.dnsbl", level: doctor.OK, found: "not on dbl"}},
		{"a list of domains that is silent", "dbl.spamhaus.org", "dbl.spamhaus.org. TXT x",
			expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "even its test entry"}},
		{"a list of domains that refuses", "multi.uribl.com", "*.multi.uribl.com. A 127.0.0.1",
			expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "does not answer this resolver"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, good, goodReverse, tt.zone)
			w.options.Lists = []string{tt.list}
			tt.want.check(t, w.examine(t))
		})
	}
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, good, goodReverse)
		expectation{id: "ip.dnsbl", level: doctor.Unknown, found: "doctor.dnsbl is off"}.check(t, w.examine(t))
	})
}

// nextHop is a mail exchanger of probe.test.
func nextHop(t *testing.T, w *world, rules ...smtpsim.Rule) *smtpsim.Server {
	t.Helper()
	s, err := smtpsim.Start(smtpsim.Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := w.here.Load("probe.test", "probe.test. MX 10 mx.probe.test.\nmx.probe.test. A 127.0.0.1\nprobe.test. TXT \"x\"\nprobe.test. A 127.0.0.1\n"); err != nil {
		t.Fatal(err)
	}
	w.options.Probes, w.options.MXPort = []string{"probe.test"}, uint16(s.Port())
	w.c.Sources, w.c.Domains = nil, nil
	return s
}

func TestPort25IsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	s := nextHop(t, w)
	expectation{id: "net.port25", level: doctor.OK, found: "mx.probe.test answered"}.check(t, w.examine(t))
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestAServerThatDoesNotWantUsIsReachedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	nextHop(t, w, smtpsim.Rule{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.Reply(554, "", "no service"))})
	expectation{id: "net.port25", level: doctor.OK, found: "mx.probe.test answered"}.check(t, w.examine(t))
}

func TestPort25IsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	_ = nextHop(t, w).Close()
	r := w.examine(t)
	expectation{id: "net.port25", level: doctor.Fail, found: "nobody could be reached: mx.probe.test [127.0.0.1]", where: "provider"}.check(t, r)
	expectation{id: "ip.ptr", level: doctor.Unknown, found: "the public address of this machine is not known"}.check(t, r)
	if n := r.Count(doctor.Fail); r.Level() != doctor.Fail || n == 0 {
		t.Errorf("the report is %s with %d failures", r.Level(), n)
	}
}

func TestWhatDeliveriesFoundOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	w.c.Domains = nil
	expectation{id: "net.port25", level: doctor.Unknown, found: "port25_probe is off"}.check(t, w.examine(t))
	w.c.Port25 = []doctor.Port25{{}}
	expectation{id: "net.port25", level: doctor.OK, found: "deliveries connect"}.check(t, w.examine(t))
	w.c.Port25 = []doctor.Port25{{Source: netip.MustParseAddr("203.0.113.7"), Blocked: true, Detail: "i/o timeout", Since: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}}
	r := w.examine(t)
	expectation{id: "net.port25", level: doctor.Fail, found: "blocked since 2026-05-01 12:00 UTC: i/o timeout", where: "provider"}.check(t, r)
	if all := findings(r, "net.port25"); len(all) != 1 || all[0].Subject != "203.0.113.7" {
		t.Errorf("got %s", told(all))
	}
}

func TestNoEncryptionOnTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	nextHop(t, w)
	expectation{id: "tls.out", level: doctor.Warn, found: "mx.probe.test offers none here"}.check(t, w.examine(t))
}

func TestNoProbesInNetworksWithPrivateAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	s := nextHop(t, w)
	w.options.AllowPrivate = false
	w.examine(t)
	if n := len(s.Sessions()); n != 0 {
		t.Errorf("a mail exchanger at a loopback address was connected to %d times", n)
	}
}

func TestTheAddressThatOthersSee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good, goodReverse)
	nextHop(t, w, smtpsim.Rule{Stage: smtpsim.Ehlo, Do: smtpsim.Do(smtpsim.Reply(250, "", "mx.probe.test at your service, [203.0.113.7]", "SIZE"))})
	r := w.examine(t)
	expectation{id: "net.source", level: doctor.OK, found: "seen as 203.0.113.7, connecting from 127.0.0.1"}.check(t, r)
	expectation{id: "ip.ptr", level: doctor.OK, found: "mail.example.com"}.check(t, r)

	w.c.Sources = []doctor.Source{{Addr: netip.MustParseAddr("127.0.0.1")}}
	w.options.AllowPrivate = true
	if f := findings(w.examine(t), "net.source")[0]; f.Level == doctor.Fail {
		t.Errorf("a source behind a NAT: %s", f.Found)
	}
}

// wary is a resolver that does not believe its servers.
type wary struct{ doctor.Resolver }

func (wary) TrustsAD() bool { return false }

func TestAResolverThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "$ORIGIN probe.test.\n@ A 203.0.113.1\n@ MX 10 mx\n@ TXT \"x\"\n")
	w.options.Probes, w.c.Domains, w.options.MXPort, w.options.Resolver = []string{"probe.test"}, nil, 1, wary{w.options.Resolver}
	if err := w.here.Set(".", "SOA", dnssim.Behavior{Authenticated: true}); err != nil {
		t.Fatal(err)
	}
	expectation{id: "dns.resolver", level: doctor.OK, found: "is not trusted to: DANE cannot be used", where: "configuration"}.check(t, w.examine(t))
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	const names = "$ORIGIN probe.test.\n@ A 203.0.113.1\n@ MX 10 mx\n@ TXT \"x\"\n"
	for _, tt := range []struct {
		name string
		set  func(s *dnssim.Server) error
		want expectation
	}{
		{"one that does not validate", func(*dnssim.Server) error { return nil }, expectation{id: "dns.resolver", level: doctor.OK, found: "does not validate DNSSEC: DANE cannot be used"}},
		{"one that validates", func(s *dnssim.Server) error { return s.Set(".", "SOA", dnssim.Behavior{Authenticated: true}) },
			expectation{id: "dns.resolver", level: doctor.OK, found: "validates DNSSEC"}},
		{"one that lets anything pass", func(s *dnssim.Server) error {
			if err := s.Load("dnssec-failed.org", "dnssec-failed.org. A 203.0.113.1"); err != nil {
				return err
			}
			return s.Set(".", "SOA", dnssim.Behavior{Authenticated: true})
		}, expectation{id: "dns.resolver", level: doctor.Warn, found: "claims to validate"}},
		{"one without TCP", func(s *dnssim.Server) error { return s.Set("probe.test", "TXT", dnssim.Behavior{DropTCP: true}) },
			expectation{id: "dns.resolver", level: doctor.Warn, found: "does not answer over TCP"}},
		{"one that refuses us", func(s *dnssim.Server) error { return s.Set("probe.test", "", dnssim.Behavior{Rcode: "REFUSED"}) },
			expectation{id: "dns.resolver", level: doctor.Fail, found: "the answer is REFUSED"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, names)
			w.options.Probes, w.c.Domains, w.options.MXPort = []string{"probe.test"}, nil, 1
			if err := tt.set(w.here); err != nil {
				t.Fatal(err)
			}
			tt.want.check(t, w.examine(t))
		})
	}
}
