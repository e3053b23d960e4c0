package mx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzAnswer reads replies that a hostile server may send.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"a.test. 60 MX 10 mx.a.test.", "a.test. 60 CNAME b.test.\nb.test. 60 MX 0 .", "a.test. 60 CNAME a.test.",
		"a.test. 4294967295 TLSA 3 1 1 00ff", "a.test. 60 TXT \"v=STSv1; id=1\"", "a.test. 60 A 192.0.2.1\na.test. 60 AAAA ::ffff:192.0.2.1",
		"a.test. 60 PTR b.test.", "a.test. 60 SOA ns h 1 2 3 4 5",
	} {
		m := new(dns.Msg).SetQuestion("a.test.", dns.TypeMX)
		m.Response = true
		for zp := dns.NewZoneParser(strings.NewReader(text), ".", ""); ; {
			rr, ok := zp.Next()
			if !ok {
				break
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, dns.TypeMX)
		f.Add(b, dns.TypeTLSA)
		f.Add(b, dns.TypeCNAME)
	}
	r, err := New(Options{Servers: []string{"127.0.0.1:9"}, OwnAddrs: []netip.Addr{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = r.Close() })
	f.Fuzz(func(t *testing.T, b []byte, qtype uint16) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil || len(m.Question) != 1 {
			return
		}
		m.Question[0].Qtype = qtype
		extendedError(m)
		r.fault(&server{addr: "127.0.0.1:9"}, m)
		c := chain{name: "a.test.", left: maxChain, ttl: time.Hour}
		c.walk(m)
		a := r.read(m, c, qtype)
		if len(a.mx) > maxMX || len(a.addrs) > maxAddrs || len(a.texts) > maxTexts || len(a.tlsa) > maxTLSA {
			t.Fatalf("more is kept than allowed: %+v", a)
		}
		if some := len(a.mx)+len(a.addrs)+len(a.texts)+len(a.tlsa) > 0; some == (a.kind != "") {
			t.Fatalf("kind %q with records: %v", a.kind, some)
		}
		if life := a.expires.Sub(a.stored); life < r.o.MinNegativeTTL || life > r.o.MaxTTL {
			t.Fatalf("kept for %v", life)
		}
	})
}

func FuzzHostsFile(f *testing.F) {
	for _, s := range []string{"127.0.0.1 localhost\n::1 localhost ip6-localhost # loopback", "1.2.3.4", "# x", "fe80::1%eth0 link", "1.2.3.4\ta\tb.\n1.2.3.5 A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, addrs := range parseHosts(strings.NewReader(s)) {
			if name != strings.ToLower(name) || strings.ContainsAny(name, " \t#\n") || len(addrs) == 0 {
				t.Fatalf("%q: %v", name, addrs)
			}
		}
	})
}
