package dnssim_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/mx/dnssim"
)

const zone = `
$ORIGIN sim.test.
@        600 SOA ns hostmaster 7 3600 600 86400 90
@            MX 10 mx
mx           A 192.0.2.1
www          CNAME mx
out          CNAME host.other.test.
loop         CNAME loop
*.wild       A 192.0.2.2
x.y          TXT "z"
`

func start(t *testing.T) *dnssim.Server {
	t.Helper()
	s, err := dnssim.New(dnssim.Options{Zones: []string{zone, "host.other.test. 60 A 192.0.2.3"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func ask(t *testing.T, s *dnssim.Server, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m, err := try(s, network, name, qtype, 2*time.Second)
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	return m
}

func try(s *dnssim.Server, network, name string, qtype uint16, timeout time.Duration) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)
	m, _, err := (&dns.Client{Net: network, Timeout: timeout}).Exchange(q, s.Addr())
	return m, err
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			name    string
			qtype   uint16
			rcode   int
			answers int
			soa     bool
		}{
			{"sim.test.", dns.TypeMX, dns.RcodeSuccess, 1, false},
			{"SIM.Test.", dns.TypeMX, dns.RcodeSuccess, 1, false},
			{"sim.test.", dns.TypeTXT, dns.RcodeSuccess, 0, true},
			{"www.sim.test.", dns.TypeA, dns.RcodeSuccess, 2, false},
			{"www.sim.test.", dns.TypeTXT, dns.RcodeSuccess, 1, true},
			{"out.sim.test.", dns.TypeA, dns.RcodeSuccess, 2, false},
			{"a.b.wild.sim.test.", dns.TypeA, dns.RcodeSuccess, 1, false},
			{"y.sim.test.", dns.TypeA, dns.RcodeSuccess, 0, true},
			{"none.sim.test.", dns.TypeA, dns.RcodeNameError, 0, true},
			{"elsewhere.example.", dns.TypeA, dns.RcodeNameError, 0, true},
		} {
			m := ask(t, s, network, c.name, c.qtype)
			if m.Rcode != c.rcode || len(m.Answer) != c.answers || (len(m.Ns) == 1) != c.soa || !m.RecursionAvailable {
				t.Errorf("%s %s over %s:\n%v", c.name, dns.TypeToString[c.qtype], network, m)
			}
		}
	}
	if m := ask(t, s, "udp", "loop.sim.test.", dns.TypeA); len(m.Answer) == 0 || m.Rcode != dns.RcodeSuccess {
		t.Errorf("a CNAME loop: %v", m)
	}
	if soa := ask(t, s, "udp", "none.sim.test.", dns.TypeA).Ns[0].(*dns.SOA); soa.Minttl != 90 {
		t.Errorf("SOA = %v; want that of the zone", soa)
	}
}

func TestLoadReplaces(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.Load("sim.test", "mx A 192.0.2.9"); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeA); !strings.Contains(m.Answer[0].String(), "192.0.2.9") {
		t.Errorf("after Load: %v", m.Answer)
	}
	if m := ask(t, s, "udp", "sim.test.", dns.TypeMX); len(m.Answer) != 0 {
		t.Errorf("a record of the zone before is left: %v", m.Answer)
	}
	for _, bad := range []string{"mx A", "other.example. A 192.0.2.1", "@ SOA a b 1 2 3 4 5\n@ SOA a b 1 2 3 4 5"} {
		if err := s.Load("sim.test", bad); err == nil {
			t.Errorf("zone %q was taken", bad)
		}
	}
	if _, err := dnssim.New(dnssim.Options{Zones: []string{"; nothing"}}); err == nil {
		t.Error("an empty zone was taken")
	}
}

func TestBehaviors(t *testing.T) {
	t.Parallel()
	s := start(t)
	set := func(name, qtype string, b dnssim.Behavior) {
		t.Helper()
		if err := s.Set(name, qtype, b); err != nil {
			t.Fatal(err)
		}
	}
	for name, code := range map[string]int{"SERVFAIL": dns.RcodeServerFailure, "refused": dns.RcodeRefused, "NXDOMAIN": dns.RcodeNameError} {
		set("mx.sim.test", "A", dnssim.Behavior{Rcode: name})
		if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeA); m.Rcode != code || len(m.Answer) != 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
	if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeAAAA); m.Rcode != dns.RcodeSuccess {
		t.Errorf("the behaviour of A is that of AAAA: %v", m)
	}

	set("mx.sim.test", "A", dnssim.Behavior{Truncate: true, Authenticated: true})
	if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeA); !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("truncated: %v", m)
	}
	if m := ask(t, s, "tcp", "mx.sim.test.", dns.TypeA); m.Truncated || len(m.Answer) != 1 || !m.AuthenticatedData {
		t.Errorf("over TCP: %v", m)
	}

	set("mx.sim.test", "", dnssim.Behavior{RefuseEDNS: true})
	if err := s.Clear("mx.sim.test", "A"); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeA); m.Rcode != dns.RcodeFormatError {
		t.Errorf("with EDNS: %v", m)
	}

	set("*", "", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 6, ExtraText: "bogus"})
	m := ask(t, s, "udp", "any.example.", dns.TypeA)
	if opt := m.IsEdns0(); opt == nil || len(opt.Option) != 1 || opt.Option[0].(*dns.EDNS0_EDE).InfoCode != 6 {
		t.Errorf("extended error: %v", m)
	}
	if m := ask(t, s, "udp", "mx.sim.test.", dns.TypeA); m.Rcode != dns.RcodeFormatError {
		t.Errorf("the behaviour of every name beats that of one: %v", m)
	}

	set("once.example", "", dnssim.Behavior{Drop: true, Times: 1})
	if _, err := try(s, "udp", "once.example.", dns.TypeA, 50*time.Millisecond); err == nil {
		t.Error("dropped question got a reply")
	}
	if _, err := try(s, "udp", "once.example.", dns.TypeA, 2*time.Second); err != nil {
		t.Errorf("the second question: %v", err)
	}

	begin := time.Now()
	set("late.example", "", dnssim.Behavior{Delay: 30 * time.Millisecond})
	if ask(t, s, "udp", "late.example.", dns.TypeA); time.Since(begin) < 30*time.Millisecond {
		t.Error("the reply came before its delay")
	}
	if s.Set("x", "NOSUCH", dnssim.Behavior{}) == nil || s.Set("x", "", dnssim.Behavior{Rcode: "NOSUCH"}) == nil || s.Clear("x", "NOSUCH") == nil {
		t.Error("unknown types or codes were taken")
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	s := start(t)
	ask(t, s, "udp", "Sim.test.", dns.TypeMX)
	ask(t, s, "tcp", "sim.test.", dns.TypeMX)
	ask(t, s, "udp", "sim.test.", dns.TypeA)
	ask(t, s, "udp", "mx.sim.test.", dns.TypeA)
	for _, c := range []struct {
		name, qtype string
		all, tcp    int
	}{{"sim.test", "MX", 2, 1}, {"SIM.test.", "", 3, 1}, {"*", "A", 2, 0}, {"*", "", 4, 1}, {"none", "", 0, 0}, {"*", "NOSUCH", 0, 0}} {
		if all, tcp := s.Count(c.name, c.qtype), s.CountTCP(c.name, c.qtype); all != c.all || tcp != c.tcp {
			t.Errorf("count of %s %s = %d, %d; want %d, %d", c.name, c.qtype, all, tcp, c.all, c.tcp)
		}
	}
	s.ResetCounts()
	if n := s.Count("*", ""); n != 0 {
		t.Errorf("%d after reset", n)
	}
}

func TestStartAndClose(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	if err := s.Set("slow.example", "", dnssim.Behavior{Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := (&dns.Conn{Conn: conn}).WriteMsg(new(dns.Msg).SetQuestion("slow.example.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(time.Millisecond); s.Count("slow.example", "A") == 0; <-tick.C {
	}
	if err := s.Close(); err != nil { // does not wait for the hour
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := try(s, "udp", "sim.test.", dns.TypeMX, 100*time.Millisecond); err == nil {
		t.Error("a closed server replied")
	}
}

func TestAuthenticatedZones(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.Load("signed.test", "@ MX 10 mx\nmx A 192.0.2.7\n_25._tcp.mx TLSA 3 1 1 00\ninside CNAME mx\noutside CNAME www.sim.test.\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Load("unsigned.test", "in CNAME mx.signed.test.\n"); err != nil {
		t.Fatal(err)
	}
	s.Authenticate("Signed.test")
	for _, c := range []struct {
		name  string
		qtype uint16
		ad    bool
	}{
		{"signed.test.", dns.TypeMX, true}, {"_25._tcp.mx.signed.test.", dns.TypeTLSA, true},
		{"none.signed.test.", dns.TypeA, true}, {"mx.signed.test.", dns.TypeTXT, true}, {"inside.signed.test.", dns.TypeA, true},
		{"outside.signed.test.", dns.TypeA, false}, {"outside.signed.test.", dns.TypeCNAME, true},
		{"in.unsigned.test.", dns.TypeA, false}, {"sim.test.", dns.TypeMX, false}, {"nowhere.", dns.TypeMX, false},
	} {
		if m := ask(t, s, "udp", c.name, c.qtype); m.AuthenticatedData != c.ad {
			t.Errorf("%s %s: AD = %v; want %v", c.name, dns.TypeToString[c.qtype], m.AuthenticatedData, c.ad)
		}
	}
}
