package dane_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dane"
	"postrider/mx/dnssim"
)

const (
	digest = "00000000000000000000000000000000000000000000000000000000000000aa"
	good   = "TLSA 2 1 1 " + digest
)

// The zones signed.test and target.test count as signed, plain.test does not.
const signedZone = `
$TTL 600
@            MX 10 mx
mx           A 8.8.1.1
_25._tcp.mx  ` + good + `
_2525._tcp.mx TLSA 3 1 1 ` + "bb" + `
none         MX 10 mx.none
mx.none      A 8.8.1.2
half         MX 10 mx.half
mx.half      A 8.8.1.3
x._tcp.mx.half A 8.8.1.3
pkix         MX 10 mx.pkix
mx.pkix      A 8.8.1.4
_25._tcp.mx.pkix TLSA 0 0 1 ` + digest + `
_25._tcp.mx.pkix TLSA 1 1 1 ` + digest + `
_25._tcp.mx.pkix TLSA 3 7 1 ` + digest + `
_25._tcp.mx.pkix TLSA 3 1 9 ` + digest + `
_25._tcp.mx.pkix TLSA 3 1 1 aabb
_25._tcp.mx.pkix TLSA 3 1 2 ` + digest + `
_25._tcp.mx.pkix TLSA 2 0 0 aabb
_25._tcp.mx.pkix TLSA 2 1 0 aabb
mixed        MX 10 mx.mixed
mx.mixed     A 8.8.1.5
_25._tcp.mx.mixed TLSA 1 1 1 ` + digest + `
_25._tcp.mx.mixed TLSA 3 1 1 ` + digest + `
weak         MX 10 mx.plain.test.
tlsacname    MX 10 mx.tlsacname
mx.tlsacname A 8.8.1.6
_25._tcp.mx.tlsacname CNAME tlsa.plain.test.
shared       MX 10 mx.shared
mx.shared    A 8.8.1.7
_25._tcp.mx.shared CNAME _dane.signed.test.
_dane        ` + good + `
implicit     A 8.8.1.8
_25._tcp.implicit ` + good + `
aliased      CNAME sub.target.test.
both         MX 10 both.mx
both.mx      CNAME mx.target.test.
_25._tcp.both.mx TLSA 3 1 1 ` + digest + `
atalias      MX 10 atalias.mx
atalias.mx   CNAME bare.target.test.
_25._tcp.atalias.mx ` + good + `
toplain      MX 10 toplain.mx
toplain.mx   CNAME mx.plain.test.
_25._tcp.toplain.mx ` + good + `
toplainnone  MX 10 toplainnone.mx
toplainnone.mx CNAME mx.plain.test.
fromplain    MX 10 alias.plain.test.
`

const targetZone = `
$TTL 600
mx           A 8.8.2.1
_25._tcp.mx  ` + good + `
bare         A 8.8.2.2
sub          MX 10 mx
`

const plainZone = `
$TTL 600
@            MX 10 mx.signed.test.
mx           A 8.8.3.1
_25._tcp.mx  ` + good + `
tlsa         ` + good + `
alias        CNAME mx.target.test.
`

type world struct {
	t   *testing.T
	dns *dnssim.Server
	r   *mx.Resolver
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sim, err := dnssim.New(dnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for origin, text := range map[string]string{"signed.test": signedZone, "target.test": targetZone, "plain.test": plainZone} {
		if err := sim.Load(origin, text); err != nil {
			t.Fatal(err)
		}
	}
	sim.Authenticate("signed.test")
	sim.Authenticate("target.test")
	if err := sim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	r, err := mx.New(mx.Options{
		Servers: []string{sim.Addr()}, OwnAddrs: []netip.Addr{}, Timeouts: []time.Duration{300 * time.Millisecond},
		AllowLiterals: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return &world{t, sim, r}
}

func (w *world) plan(domain string) *mx.Plan {
	w.t.Helper()
	p, err := w.r.Plan(w.t.Context(), domain)
	if err != nil {
		w.t.Fatal(err)
	}
	return &p
}

func (w *world) find(domain string) (dane.Policy, error) {
	w.t.Helper()
	p := w.plan(domain)
	return dane.Find(w.t.Context(), w.r, p, &p.Hosts[0], 25)
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name, domain string
		mode         dane.Mode
		base, names  string
		records      int
		unasked      string // a name whose TLSA records must not be asked for
	}{
		{"all is authenticated", "signed.test", dane.Secure, "mx.signed.test", "signed.test", 1, ""},
		{"no TLSA name", "none.signed.test", dane.NotUsed, "", "", 0, ""},
		{"a TLSA name without records", "half.signed.test", dane.NotUsed, "", "", 0, ""},
		{"no usable record", "pkix.signed.test", dane.Unusable, "mx.pkix.signed.test", "", 0, ""},
		{"a usable record beside others", "mixed.signed.test", dane.Secure, "mx.mixed.signed.test", "", 1, ""},
		{"the MX is not authenticated", "plain.test", dane.NotUsed, "", "", 0, "mx.signed.test"},
		{"the host's address is not authenticated", "weak.signed.test", dane.NotUsed, "", "", 0, "mx.plain.test"},
		{"the TLSA records are not authenticated", "tlsacname.signed.test", dane.NotUsed, "", "", 0, ""},
		{"the TLSA name is a CNAME", "shared.signed.test", dane.Secure, "mx.shared.signed.test", "shared.signed.test", 1, ""},
		{"no MX: the domain itself", "implicit.signed.test", dane.Secure, "implicit.signed.test", "", 1, ""},
		{"the domain is an alias", "aliased.signed.test", dane.Secure, "mx.target.test", "aliased.signed.test sub.target.test", 1, ""},
		{"an alias, secure to its end, with records at both", "both.signed.test", dane.Secure, "mx.target.test", "both.mx.signed.test both.signed.test", 1, "both.mx.signed.test"},
		{"an alias, secure to its end, with records at the alias", "atalias.signed.test", dane.Secure, "atalias.mx.signed.test", "atalias.signed.test", 1, ""},
		{"a secure alias of a host that is not", "toplain.signed.test", dane.Secure, "toplain.mx.signed.test", "toplain.signed.test", 1, "mx.plain.test"},
		{"the same without records", "toplainnone.signed.test", dane.NotUsed, "", "", 0, "mx.plain.test"},
		{"an alias that is not secure of a host that is", "fromplain.signed.test", dane.NotUsed, "", "", 0, "mx.target.test"},
		{"an address literal", "[8.8.8.8]", dane.NotUsed, "", "", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.dns.ResetCounts()
			p, err := w.find(c.domain)
			if err != nil {
				t.Fatal(err)
			}
			if p.Mode != c.mode || p.Base != c.base || strings.Join(p.Names, " ") != c.names || len(p.Records) != c.records {
				t.Errorf("policy = %+v; want mode %v, base %q, names %q, %d records", p, c.mode, c.base, c.names, c.records)
			}
			if n := w.dns.Count("_25._tcp."+c.unasked, "TLSA"); c.unasked != "" && n != 0 {
				t.Errorf("%s was asked for TLSA records %d times", c.unasked, n)
			}
		})
	}
}

func TestFindAsksForThePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := w.plan("signed.test")
	p, err := dane.Find(t.Context(), w.r, plan, &plan.Hosts[0], 2525)
	if err != nil || p.Mode != dane.Unusable { // "bb" is no digest
		t.Errorf("policy = %+v, %v; want the one of port 2525", p, err)
	}
}

// A host that DANE may protect is not used while nobody knows whether it does.
func TestDNSTroubleForbidsTheHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domain, target, qtype string
		b                     dnssim.Behavior
		result                dane.Result
	}{
		"SERVFAIL":       {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"}, dane.ResultValidationFailure},
		"REFUSED":        {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Rcode: "REFUSED"}, dane.ResultValidationFailure},
		"NOTIMP":         {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Rcode: "NOTIMP"}, dane.ResultValidationFailure},
		"time-out":       {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Drop: true}, dane.ResultValidationFailure},
		"bogus":          {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 6}, dane.ResultDNSSECInvalid},
		"truncated":      {"signed.test", "_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Truncate: true, DropTCP: true}, dane.ResultValidationFailure},
		"at the target":  {"both.signed.test", "_25._tcp.mx.target.test", "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"}, dane.ResultValidationFailure},
		"at the alias":   {"atalias.signed.test", "_25._tcp.atalias.mx.signed.test", "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"}, dane.ResultValidationFailure},
		"about an alias": {"toplain.signed.test", "toplain.mx.signed.test", "CNAME", dnssim.Behavior{Rcode: "SERVFAIL"}, dane.ResultValidationFailure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.dns.Set(c.target, c.qtype, c.b); err != nil {
				t.Fatal(err)
			}
			p, err := w.find(c.domain)
			var le *dane.LookupError
			var me *mx.Error
			if !errors.As(err, &le) || le.Result != c.result || !errors.As(err, &me) || !me.Temporary {
				t.Errorf("got %+v, %v; want a lookup error with result %s", p, err, c.result)
			}
		})
	}
}

func TestLargeAnswersComeOverTCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.dns.Set("_25._tcp.mx.signed.test", "TLSA", dnssim.Behavior{Truncate: true}); err != nil {
		t.Fatal(err)
	}
	if p, err := w.find("signed.test"); err != nil || p.Mode != dane.Secure {
		t.Errorf("policy = %+v, %v", p, err)
	}
}

type distrustful struct{ *mx.Resolver }

func (distrustful) TrustsAD() bool { return false }

func TestNothingIsFoundWithoutATrustedResolver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := w.plan("signed.test")
	p, err := dane.Find(t.Context(), distrustful{w.r}, plan, &plan.Hosts[0], 25)
	if err != nil || p.Mode != dane.NotUsed || w.dns.Count("*", "TLSA") != 0 {
		t.Errorf("policy = %+v, %v after %d questions", p, err, w.dns.Count("*", "TLSA"))
	}
}

func TestHostsThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	via, err := mx.ParseSmartHost("smtp://mx.signed.test:25")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := w.r.PlanRoute(t.Context(), mx.Route{ID: "r", Hosts: []mx.SmartHost{via}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := dane.Find(t.Context(), w.r, &plan, &plan.Hosts[0], 25)
	if err != nil || p.Mode != dane.Secure || p.Base != "mx.signed.test" || !slices.Equal(p.Names, []string{}) {
		t.Errorf("policy = %+v, %v", p, err)
	}
}
