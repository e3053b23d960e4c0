package authority_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/mx/dnssim/authority"
)

const text = `
@      MX 10 mx
mx     A 8.8.1.1
stale  A 8.8.1.2
forged A 8.8.1.3
a.b    TXT "deep"
alias  CNAME mx
`

func parse(t *testing.T, apex, text string) *authority.Zone {
	t.Helper()
	z, err := authority.Parse(apex, text)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func start(t *testing.T, zones ...*authority.Zone) *authority.Server {
	t.Helper()
	s, err := authority.Start(zones...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(t *testing.T, s *authority.Server, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
	r, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).Exchange(m, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verify checks every signature of a section and counts the sets.
func verify(t *testing.T, key *dns.DNSKEY, section []dns.RR) (good, bad int) {
	t.Helper()
	for _, rr := range section {
		sig, ok := rr.(*dns.RRSIG)
		if !ok {
			continue
		}
		var set []dns.RR
		for _, rr := range section {
			if h := rr.Header(); h.Name == sig.Hdr.Name && h.Rrtype == sig.TypeCovered {
				set = append(set, rr)
			}
		}
		if sig.Verify(key, set) == nil && sig.ValidityPeriod(time.Now()) {
			good++
		} else {
			bad++
		}
	}
	return good, bad
}

func TestSignaturesHoldWhereTheyShould(t *testing.T) {
	t.Parallel()
	z := parse(t, "signed.test", text)
	key, err := z.Sign(authority.Damage{Expired: []string{"stale.signed.test"}, Forged: []string{"forged.signed.test"}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, z)
	for _, c := range []struct {
		name      string
		qtype     uint16
		rcode     int
		good, bad int // signatures
	}{
		{"signed.test.", dns.TypeMX, dns.RcodeSuccess, 1, 0},
		{"signed.test.", dns.TypeDNSKEY, dns.RcodeSuccess, 1, 0},
		{"MX.signed.test.", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"alias.signed.test.", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"stale.signed.test.", dns.TypeA, dns.RcodeSuccess, 0, 1},
		{"forged.signed.test.", dns.TypeA, dns.RcodeSuccess, 0, 1},
		{"mx.signed.test.", dns.TypeTLSA, dns.RcodeSuccess, 2, 0},            // SOA, NSEC of the name
		{"b.signed.test.", dns.TypeA, dns.RcodeSuccess, 2, 0},                // nothing there but below
		{"zz.signed.test.", dns.TypeA, dns.RcodeNameError, 3, 0},             // and of the wildcard
		{"_25._tcp.mx.signed.test.", dns.TypeTLSA, dns.RcodeNameError, 2, 0}, // which are one
	} {
		for _, network := range []string{"udp", "tcp"} {
			r := ask(t, s, network, c.name, c.qtype)
			good, bad := verify(t, key, append(r.Answer, r.Ns...))
			if r.Rcode != c.rcode || !r.Authoritative || r.Truncated || good != c.good || bad != c.bad {
				t.Errorf("%s %s over %s: %d good and %d bad signatures in\n%v", c.name, dns.TypeToString[c.qtype], network, good, bad, r)
			}
		}
	}
}

func TestWhatIsAbsentIsDeniedByNamesAroundIt(t *testing.T) {
	t.Parallel()
	z := parse(t, "signed.test", text)
	if _, err := z.Sign(authority.Damage{}); err != nil {
		t.Fatal(err)
	}
	r := ask(t, start(t, z), "udp", "lost.signed.test.", dns.TypeA)
	var spans []string
	for _, rr := range r.Ns {
		if nsec, ok := rr.(*dns.NSEC); ok {
			spans = append(spans, nsec.Hdr.Name+" "+nsec.NextDomain)
		}
	}
	want := "forged.signed.test. mx.signed.test., signed.test. alias.signed.test."
	if got := strings.Join(spans, ", "); got != want {
		t.Errorf("denied by %s, want %s", got, want)
	}
}

func TestQuestionsFailAndZonesChange(t *testing.T) {
	t.Parallel()
	s := start(t, parse(t, "plain.test", "@ A 8.8.1.1"))
	s.Fail("plain.test", dns.TypeMX)
	if r := ask(t, s, "udp", "plain.test.", dns.TypeMX); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("MX: %v", r)
	}
	if r := ask(t, s, "udp", "elsewhere.test.", dns.TypeA); r.Rcode != dns.RcodeRefused {
		t.Errorf("another zone: %v", r)
	}
	if r := ask(t, s, "udp", "plain.test.", dns.TypeTXT); r.Rcode != dns.RcodeSuccess || len(r.Ns) != 1 {
		t.Errorf("no TXT: %v", r)
	}
	s.Replace(parse(t, "plain.test", "@ A 8.8.1.2"))
	if r := ask(t, s, "udp", "plain.test.", dns.TypeA); len(r.Answer) != 1 || r.Answer[0].(*dns.A).A.String() != "8.8.1.2" {
		t.Errorf("A: %v", r)
	}
}

func TestBadZonesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"@ A nonsense", "elsewhere.example. A 8.8.1.1"} {
		if _, err := authority.Parse("plain.test", text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
