package mx_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/mx"
	"postrider/mx/dnssim"
)

const tlsaZone = `
$TTL 600
@              MX 10 mx
mx             A 8.8.1.1
_25._tcp.mx    TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
_25._tcp.mx    TLSA 2 0 2 ff
_25._tcp.cn    CNAME _25._tcp.mx
alias          CNAME target.plain.example.
two            CNAME alias
`

func tlsaWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for origin, text := range map[string]string{"signed.example": tlsaZone, "plain.example": "target A 8.8.1.2\ntarget MX 10 mx.signed.example.\n"} {
		if err := w.sim.Load(origin, text); err != nil {
			t.Fatal(err)
		}
	}
	w.sim.Authenticate("signed.example")
	return w
}

func TestTLSA(t *testing.T) {
	t.Parallel()
	w := tlsaWorld(t)
	for _, name := range []string{"_25._tcp.mx.signed.example", "_25._tcp.CN.signed.example."} {
		a, err := w.r.TLSA(ctx(t), name)
		if err != nil {
			t.Fatal(err)
		}
		var records []string
		for _, r := range a.Values {
			records = append(records, r.String())
		}
		slices.Sort(records)
		want := []string{"2 0 2 ff", "3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}
		if !slices.Equal(records, want) || !a.AD || a.Name != "_25._tcp.mx.signed.example" {
			t.Errorf("%s: %v, AD %v, name %s", name, records, a.AD, a.Name)
		}
	}
	none, err := w.r.TLSA(ctx(t), "_25._tcp.none.signed.example")
	if e := wantError(t, none, err); e.Temporary || e.Kind != mx.KindNXDomain {
		t.Errorf("no such name: %v", e)
	}
	for kind, b := range map[mx.Kind]dnssim.Behavior{
		mx.KindTrouble: {Rcode: "SERVFAIL"}, mx.KindBogus: {Rcode: "SERVFAIL", ExtendedError: 9},
	} {
		w.set("_25._tcp."+string(kind)+".example", "TLSA", b)
		failed, err := w.r.TLSA(ctx(t), "_25._tcp."+string(kind)+".example")
		if e := wantError(t, failed, err); !e.Temporary || e.Kind != kind {
			t.Errorf("%s: %v", kind, e)
		}
	}
}

func TestCNAME(t *testing.T) {
	t.Parallel()
	w := tlsaWorld(t)
	for name, target := range map[string]string{"alias.signed.example": "target.plain.example", "two.signed.example": "alias.signed.example"} {
		a, err := w.r.CNAME(ctx(t), name)
		if err != nil || !slices.Equal(a.Values, []string{target}) || !a.AD {
			t.Errorf("%s: %+v, %v; want %s, authenticated", name, a, err, target)
		}
	}
	a, err := w.r.CNAME(ctx(t), "mx.signed.example")
	if e := wantError(t, a, err); e.Kind != mx.KindNoData {
		t.Errorf("a name that is no alias: %v", e)
	}
}

func TestPlansTellWhereAliasesLed(t *testing.T) {
	t.Parallel()
	w := tlsaWorld(t)
	if err := w.sim.Load("d.example", "@ MX 10 alias.signed.example.\nwww CNAME @\n"); err != nil {
		t.Fatal(err)
	}
	p := w.plan("www.d.example")
	if h := p.Hosts[0]; p.MXName != "d.example" || h.Name != "alias.signed.example" || h.AddrName != "target.plain.example" || h.AD {
		t.Errorf("plan = %+v", p)
	}
	p = w.plan("signed.example")
	if h := p.Hosts[0]; !p.AD || !h.AD || p.MXName != "signed.example" || h.AddrName != h.Name {
		t.Errorf("plan = %+v", p)
	}
	if p := w.plan("implicit.test"); p.MXName != "" || p.Hosts[0].AddrName != "implicit.test" {
		t.Errorf("plan = %+v", p)
	}
}

// captured answers every question with nothing and tells what it was asked.
func captured(t *testing.T) (addr string, questions <-chan *dns.Msg) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan *dns.Msg, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			asked <- q
			reply, err := new(dns.Msg).SetRcode(q, dns.RcodeNameError).Pack()
			if err == nil {
				_, _ = pc.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = pc.Close(); <-done })
	return pc.LocalAddr().String(), asked
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	addr, asked := captured(t)
	r := newResolver(t, mx.Options{Servers: []string{addr}, OwnAddrs: []netip.Addr{}, Timeouts: []time.Duration{5 * time.Second}})
	_, _ = r.TXT(ctx(t), "Name.example")
	q := <-asked
	opt := q.IsEdns0()
	switch {
	case len(q.Question) != 1 || q.Question[0].Name != "name.example." || !q.RecursionDesired || !q.AuthenticatedData:
		t.Errorf("question:\n%v", q)
	case opt == nil || opt.UDPSize() != 1232 || !opt.Do():
		t.Errorf("want EDNS0 with 1232 octets and DO:\n%v", q)
	case len(opt.Option) != 0:
		t.Errorf("options that tell about us, such as the client's subnet:\n%v", q)
	}
}
