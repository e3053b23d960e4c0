package delivery_test

import (
	"context"
	"testing"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
	"postrider/relay/tlspolicy"
)

// apart gives each host a policy of its own, as TLSA records do.
type apart struct{}

func (apart) Decide(_ context.Context, p *mx.Plan, _ tlspolicy.Want) (tlspolicy.Decision, error) {
	var d tlspolicy.Decision
	for _, h := range p.Hosts {
		d.Hosts = append(d.Hosts, tlspolicy.Host{TLS: outbound.TLS{Policy: h.Name}})
	}
	return d, nil
}

// What one host cannot take another may, and what may go well later is not given
// up because another cannot.
func TestHostsWithPoliciesOfTheirOwnAreTriedInTurn(t *testing.T) {
	t.Parallel()
	small, large := smtpsim.Options{MaxSize: 1}, smtpsim.Options{}
	busy := smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.Reply(421, "4.3.2", "Too busy"))}}}
	for _, c := range []struct {
		name          string
		first, second smtpsim.Options
		state         queue.State
		class         queue.Class
	}{
		{"the second takes it", small, large, queue.StateDelivered, ""},
		{"neither takes it", small, small, queue.StateBounced, queue.ClassSize},
		{"the second may take it later", small, busy, queue.StateDeferred, queue.ClassRateSite},
		{"the first may take it later", busy, small, queue.StateDeferred, queue.ClassRateSite},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.dns.Load("pair.test", "@ MX 10 mx.a.test.\n@ MX 20 mx.b.test.\n"); err != nil {
				t.Fatal(err)
			}
			first, second := w.hop(addrA, c.first), w.hop(addrB, c.second)
			w.options.Security = apart{}
			w.start()
			r := w.until(w.queue("joe@pair.test"), "tried", func(rs []queue.Recipient) bool { return rs[0].Attempts == 1 && rs[0].State != queue.StateActive })[0]
			if r.State != c.state || r.Class != c.class {
				t.Errorf("%+v, last %+v", r, r.Last)
			}
			if a, b := first.Counters().Connections, second.Counters().Connections; a != 1 || b != 1 {
				t.Errorf("%d and %d connections", a, b)
			}
		})
	}
}
