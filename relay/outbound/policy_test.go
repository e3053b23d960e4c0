package outbound_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// judge takes certificates that are for one name, or none at all.
type judge struct{ key, name string }

func (j *judge) Key() string { return j.key }

func (j *judge) Verify(s tls.ConnectionState, _ time.Time) error {
	if j.name == "" || s.PeerCertificates[0].VerifyHostname(j.name) == nil {
		return nil
	}
	return &outbound.Fault{Type: "tlsa-invalid", Err: errors.New("not the certificate that was expected")}
}

func TestAnAuthenticatorDecides(t *testing.T) {
	t.Parallel()
	good := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Hostname: "good.test"})
	bad := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Hostname: "bad.test"})
	for _, tt := range []struct {
		name  string
		hosts []*smtpsim.Server
		want  outbound.Outcome
		fault string
	}{
		{"the right host is used, whoever issued its certificate", []*smtpsim.Server{good}, outbound.Accepted, ""},
		{"the wrong host leads to the next", []*smtpsim.Server{bad, good}, outbound.Accepted, ""},
		{"wrong hosts alone are never sent to", []*smtpsim.Server{bad, bad}, outbound.Temporary, "tlsa-invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tg := target(tt.hosts...)
			tg.TLS = outbound.TLS{
				Mode: outbound.TLSRequired, Policy: "dane", ServerName: "base.test", Peer: &judge{"k", "good.test"},
			}
			before := bad.Counters().Transactions
			a := pool(t, outbound.Options{}).Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]
			if a.Outcome != tt.want || a.Attempt.TLSFault != tt.fault || a.Attempt.TLSPolicy != "dane" {
				t.Errorf("recipient %+v", a)
			}
			if tt.want == outbound.Accepted && a.Attempt.TLSPeer != "verified by dane" {
				t.Errorf("verdict %q", a.Attempt.TLSPeer)
			}
			if tt.want == outbound.Temporary && (a.Attempt.Stage != queue.StageTLS || !strings.Contains(a.Attempt.Error, "not the certificate")) {
				t.Errorf("attempt %+v", a.Attempt)
			}
			if bad.Counters().Transactions != before {
				t.Error("something was sent to the wrong host")
			}
		})
	}
	if name := good.Messages()[0].TLS.ServerName; name != "base.test" {
		t.Errorf("SNI %q", name)
	}
}

func TestRequireTLS(t *testing.T) {
	t.Parallel()
	offers := smtpsim.Capabilities{RequireTLS: true}
	for _, tt := range []struct {
		name     string
		sims     []smtpsim.Options
		tls      outbound.TLS
		want     outbound.Outcome
		stage    queue.Stage
		enhanced queue.Enhanced
	}{
		{
			name: "it is passed on", sims: []smtpsim.Options{{TLS: smtpsim.StartTLS, Capabilities: offers}},
			tls: outbound.TLS{Mode: outbound.TLSRequired, Verify: true}, want: outbound.Accepted, stage: queue.StageDot, enhanced: queue.Enhanced{2, 0, 0},
		},
		{
			name: "it makes TLS required", sims: []smtpsim.Options{{Capabilities: offers}},
			want: outbound.Temporary, stage: queue.StageTLS,
		},
		{
			name: "a server without it is refused for good", sims: []smtpsim.Options{{TLS: smtpsim.StartTLS}},
			tls: outbound.TLS{Mode: outbound.TLSRequired}, want: outbound.Permanent, stage: queue.StageMail, enhanced: queue.Enhanced{5, 7, 30},
		},
		{
			name: "another server may have it", sims: []smtpsim.Options{{TLS: smtpsim.StartTLS}, {TLS: smtpsim.StartTLS}, {TLS: smtpsim.StartTLS, Capabilities: offers}},
			tls: outbound.TLS{Mode: outbound.TLSRequired}, want: outbound.Accepted, stage: queue.StageDot, enhanced: queue.Enhanced{2, 0, 0},
		},
		{
			name: "another server may have it tomorrow", sims: []smtpsim.Options{{TLS: smtpsim.StartTLS}, {}},
			tls: outbound.TLS{Mode: outbound.TLSRequired}, want: outbound.Temporary, stage: queue.StageTLS,
		},
		{
			name: "what is offered before TLS does not count",
			sims: []smtpsim.Options{{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{
				Stage: smtpsim.Ehlo, When: func(x *smtpsim.Exchange) bool { return !x.OverTLS },
				Do: smtpsim.Do(smtpsim.Reply(250, "", "sim.test", "PIPELINING", "STARTTLS", "REQUIRETLS")),
			}}}},
			tls: outbound.TLS{Mode: outbound.TLSRequired}, want: outbound.Permanent, stage: queue.StageMail, enhanced: queue.Enhanced{5, 7, 30},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var hosts []*smtpsim.Server
			for _, o := range tt.sims {
				hosts = append(hosts, sim(t, o))
			}
			last := hosts[len(hosts)-1]
			tg := target(hosts...)
			tg.TLS = tt.tls
			tg.TLS.RequireTLS = true
			r := pool(t, outbound.Options{RootCAs: last.RootCAs()}).Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]
			if r.Outcome != tt.want || r.Attempt.Stage != tt.stage || r.Attempt.Reply.Enhanced != tt.enhanced {
				t.Fatalf("recipient %+v", r)
			}
			if tt.want != outbound.Accepted {
				for _, s := range hosts {
					if s.Counters().Transactions > 0 {
						t.Error("it was sent")
					}
				}
				return
			}
			if m := last.Messages()[0]; m.TLS == nil || !strings.Contains(strings.Join(m.From.Params, " "), "REQUIRETLS") {
				t.Errorf("message %+v", m.From)
			}
			clean(t, last)
		})
	}
}

func TestOtherMailDoesNotAskForTLSOfTheNextHop(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{RequireTLS: true}})
	accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), message("b@rcpt.test")))
	if p := s.Messages()[0].From.Params; strings.Contains(strings.Join(p, " "), "REQUIRETLS") {
		t.Errorf("parameters %v", p)
	}
}

func TestCapabilitiesFromBeforeTLSAreForgotten(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{
		Stage: smtpsim.Ehlo, When: func(x *smtpsim.Exchange) bool { return x.OverTLS }, Do: smtpsim.Do(smtpsim.Reply(250, "", "sim.test")),
	}}})
	res := accepted(t, pool(t, outbound.Options{}).Deliver(within(t), target(s), message("b@rcpt.test")))
	m := s.Messages()[0]
	if m.TLS == nil || len(m.From.Params) != 0 || res.Recipients[0].DSNPassed {
		t.Errorf("parameters %v, result %+v", m.From.Params, res)
	}
	for _, v := range s.Violations() {
		t.Errorf("violation: %v", v)
	}
}

func TestAReplyToSTARTTLSMayHaveManyLines(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{
		Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.Reply(220, "2.0.0", "Ready", "to", "start")),
	}}})
	tg := target(s)
	tg.TLS = outbound.TLS{Mode: outbound.TLSRequired}
	accepted(t, pool(t, outbound.Options{}).Deliver(within(t), tg, message("b@rcpt.test")))
}

// A ticket of one policy would let another be taken for checked.
func TestSessionsAreNotResumedAcrossPolicies(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS})
	p := pool(t, outbound.Options{RootCAs: s.RootCAs()})
	policies := []outbound.TLS{
		{},
		{Verify: true, Policy: "mta-sts-testing"},
		{Mode: outbound.TLSRequired},
		{Mode: outbound.TLSRequired, Verify: true},
		{Mode: outbound.TLSRequired, Verify: true, Policy: "mta-sts"},
		{Mode: outbound.TLSRequired, Policy: "dane", Peer: &judge{key: "a"}},
		{Mode: outbound.TLSRequired, Policy: "dane", Peer: &judge{key: "b"}},
	}
	for round := range 2 {
		for i, policy := range policies {
			tg := target(s)
			tg.TLS = policy
			tg.Limits.MessagesPerConnection = 1
			accepted(t, p.Deliver(within(t), tg, message("b@rcpt.test")))
			if m := s.Messages(); m[len(m)-1].TLS.DidResume != (round == 1) {
				t.Errorf("round %d, policy %d: resumed %t", round, i, round == 0)
			}
		}
	}
}

func TestConnectsAreTold(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	dead := deadHost(t)
	var mu sync.Mutex
	var told []string
	o := outbound.Options{
		Control: mx.DialControl(true),
		Connected: func(host string, addr netip.AddrPort, err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %d %t", host, addr.Port(), err == nil))
		},
	}
	tg := target(s)
	tg.Hosts = append([]outbound.Host{dead}, tg.Hosts...)
	accepted(t, pool(t, o).Deliver(within(t), tg, message("b@rcpt.test")))
	if got, want := strings.Join(told, ", "), fmt.Sprintf("dead.test %d false, sim.test %d true", dead.Port, s.Port()); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	// What we refuse to connect to says nothing about the network.
	told = nil
	o.Control = mx.DialControl(false)
	pool(t, o).Deliver(within(t), tg, message("b@rcpt.test"))
	if len(told) != 0 {
		t.Errorf("told %v", told)
	}
}

// dualStack is a server that listens on both loopback addresses, or skips.
func dualStack(t *testing.T, o smtpsim.Options) (v4, v6 *smtpsim.Server, h outbound.Host) {
	t.Helper()
	v4 = sim(t, o)
	o.Addr = net.JoinHostPort("::1", fmt.Sprint(v4.Port()))
	v6, err := smtpsim.Start(o)
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	t.Cleanup(func() { v6.Close() })
	h = host(v4)
	h.Addrs = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	return v4, v6, h
}

func TestSourceAddresses(t *testing.T) {
	t.Parallel()
	v4, v6, h := dualStack(t, smtpsim.Options{})
	ip4, ip6 := netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::1")
	for _, tt := range []struct {
		name  string
		from  outbound.Target
		addrs []netip.Addr
		want  *smtpsim.Server
		local netip.Addr
	}{
		{"the system's choice", outbound.Target{}, h.Addrs, v6, ip6},
		{"IPv4 alone passes IPv6 over", outbound.Target{LocalAddr: ip4}, h.Addrs, v4, ip4},
		{"IPv6 alone passes IPv4 over", outbound.Target{LocalAddr6: ip6}, []netip.Addr{h.Addrs[1], h.Addrs[0]}, v6, ip6},
		{"both use each", outbound.Target{LocalAddr: ip4, LocalAddr6: ip6}, []netip.Addr{h.Addrs[1]}, v4, ip4},
		{"both use each other", outbound.Target{LocalAddr: ip4, LocalAddr6: ip6}, h.Addrs, v6, ip6},
		{"IPv6 to a host with IPv4 alone", outbound.Target{LocalAddr6: ip6}, h.Addrs[1:], nil, netip.Addr{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tg := tt.from
			tg.Site, tg.HELO = tt.name, "source.test"
			tg.Hosts = []outbound.Host{{Name: h.Name, Addrs: tt.addrs, Port: h.Port}}
			r := pool(t, outbound.Options{}).Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]
			if tt.want == nil {
				if r.Outcome != outbound.Temporary || !strings.Contains(r.Attempt.Error, "other family") {
					t.Errorf("recipient %+v", r)
				}
				return
			}
			all := tt.want.Messages()
			if r.Outcome != outbound.Accepted || r.Attempt.Local != tt.local || len(all) == 0 {
				t.Fatalf("recipient %+v", r)
			}
			m := all[len(all)-1]
			if from, err := netip.ParseAddrPort(m.Client); err != nil || from.Addr() != tt.local || m.Hello != "source.test" {
				t.Errorf("it came from %s, which said it was %s", m.Client, m.Hello)
			}
		})
	}
}
