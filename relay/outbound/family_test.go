package outbound_test

import (
	"net/netip"
	"testing"

	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// A host that refuses an address without a name, as some do over IPv6 alone.
func refusing(family string, stage smtpsim.Stage, code int, enhanced string) []smtpsim.Rule {
	return []smtpsim.Rule{{
		Stage: stage,
		When: func(x *smtpsim.Exchange) bool {
			a := netip.MustParseAddrPort(x.Client).Addr()
			return family == "any" || a.Is6() == (family == "IPv6")
		},
		Do: smtpsim.Do(smtpsim.Reply(code, enhanced, "your address has no PTR record")),
	}}
}

func TestARefusalByPolicyIsTriedOverTheOtherFamilyOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		rules    []smtpsim.Rule
		again    bool
		from     outbound.Target
		want     outbound.Outcome
		sessions int64 // over IPv4
	}{
		{name: "at the end of the content", rules: refusing("IPv6", smtpsim.Dot, 550, "5.7.1"), want: outbound.Accepted, sessions: 1},
		{name: "at RCPT", rules: refusing("IPv6", smtpsim.Rcpt, 550, "5.7.25"), want: outbound.Accepted, sessions: 1},
		{name: "over both", rules: refusing("any", smtpsim.Mail, 554, "5.7.1"), want: outbound.Permanent, sessions: 1},
		{name: "for another reason", rules: refusing("IPv6", smtpsim.Rcpt, 550, "5.1.1"), want: outbound.Permanent},
		{name: "for now", rules: refusing("IPv6", smtpsim.Rcpt, 450, "4.7.1"), want: outbound.Temporary},
		{name: "not at the first try", rules: refusing("IPv6", smtpsim.Dot, 550, "5.7.1"), again: true, want: outbound.Permanent},
		{name: "not without an address of ours", rules: refusing("IPv6", smtpsim.Dot, 550, "5.7.1"), from: outbound.Target{LocalAddr6: netip.MustParseAddr("::1")}, want: outbound.Permanent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v4, v6, h := dualStack(t, smtpsim.Options{Rules: tt.rules})
			p := pool(t, outbound.Options{})
			tg := tt.from
			tg.Hosts = []outbound.Host{h}
			tx := message("b@rcpt.test")
			tx.FirstTry = !tt.again
			r := p.Deliver(within(t), tg, tx).Recipients[0]
			if r.Outcome != tt.want {
				t.Errorf("recipient %+v", r)
			}
			if c4, c6 := v4.Counters(), v6.Counters(); c4.Connections != tt.sessions || c6.Connections != 1 || c4.Messages+c6.Messages > 1 {
				t.Errorf("IPv4 %+v, IPv6 %+v", c4, c6)
			}
			if n := p.Stats(); n.Open != 1 || n.Idle != 1 {
				t.Errorf("connections %+v", n)
			}
		})
	}
}

func TestOnlyTheRefusedAreTriedOverTheOtherFamily(t *testing.T) {
	t.Parallel()
	rules := refusing("IPv6", smtpsim.Rcpt, 550, "5.7.1")
	rules[0].Rcpt = "r1@rcpt.test"
	v4, v6, h := dualStack(t, smtpsim.Options{Rules: rules})
	tx := message(many(3)...)
	tx.FirstTry = true
	accepted(t, pool(t, outbound.Options{}).Deliver(within(t), outbound.Target{Hosts: []outbound.Host{h}}, tx))
	if a, b := v6.Messages()[0].Rcpts, v4.Messages()[0].Rcpts; len(a) != 2 || len(b) != 1 || b[0].Address != "r1@rcpt.test" {
		t.Errorf("over IPv6 %v, over IPv4 %v", a, b)
	}
}

// What the other family does not answer stays as it was refused.
func TestADeadOtherFamilyChangesNothing(t *testing.T) {
	t.Parallel()
	s, err := smtpsim.Start(smtpsim.Options{Addr: "[::1]:0", Rules: refusing("IPv6", smtpsim.Dot, 550, "5.7.1")})
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	h := host(s)
	h.Addrs = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	p := pool(t, outbound.Options{})
	tx := message("b@rcpt.test")
	tx.FirstTry = true
	res := p.Deliver(within(t), outbound.Target{Hosts: []outbound.Host{h}}, tx)
	if r := res.Recipients[0]; r.Outcome != outbound.Permanent || r.Attempt.Reply.Code != 550 || res.Err != nil {
		t.Errorf("result %+v", res)
	}
	if n := p.Stats(); n.Open != 0 {
		t.Errorf("connections %+v", n)
	}
}
