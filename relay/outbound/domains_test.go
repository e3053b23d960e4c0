package outbound_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// Recipients of three domains, mixed, as a route has them.
func mixed() *outbound.Transaction {
	return message("a@one.test", "b@two.test", "c@ONE.test", "d@three.test", "e@two.test")
}

func TestDomainsOfATransaction(t *testing.T) {
	t.Parallel()
	google := func(x *smtpsim.Exchange) bool {
		return len(x.Rcpts) > 0 && !strings.EqualFold(smtpsim.Domain(x.Rcpts[0].Address), smtpsim.Domain(x.Rcpt))
	}
	for _, tt := range []struct {
		name     string
		sim      smtpsim.Options
		limits   outbound.Limits
		messages int64
		refused  int64
	}{
		{name: "any number", messages: 1},
		{name: "the target's limit", limits: outbound.Limits{DomainsPerTransaction: 1}, messages: 3},
		{
			name: "found out, once for the connection", messages: 3, refused: 3,
			sim: smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, When: google, Do: smtpsim.Do(
				smtpsim.Reply(451, "4.3.0", "Multiple destination domains per transaction is unsupported.", "Please try again."))}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sim(t, tt.sim)
			tg := target(s)
			tg.Limits = tt.limits
			res := pool(t, outbound.Options{}).Deliver(within(t), tg, mixed())
			for _, r := range res.Recipients {
				if r.Outcome != outbound.Accepted {
					t.Errorf("recipient %+v", r)
				}
			}
			if c := s.Counters(); c.Messages != tt.messages || c.Recipients != 5 || c.Refusals != tt.refused || c.Connections != 1 {
				t.Errorf("counters %+v", c)
			}
			clean(t, s)
		})
	}
}

func TestDomainsOfAConnection(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{Extra: []string{"LIMITS RCPTDOMAINMAX=2"}}})
	p := pool(t, outbound.Options{})
	res := p.Deliver(within(t), target(s), mixed())
	if got := fmt.Sprint(outcomes(res)); got != "[accepted accepted accepted not attempted accepted]" || res.Err != nil {
		t.Errorf("outcomes %v, %v", got, res.Err)
	}
	if c := s.Counters(); c.Messages != 1 || c.Refusals != 0 {
		t.Errorf("counters %+v", c)
	}
	if n := p.Stats().Idle; n != 0 {
		t.Errorf("%d connections are kept that take no further domain", n)
	}
}

func TestAWarmConnectionTakesNoFurtherDomain(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{Extra: []string{"LIMITS RCPTDOMAINMAX=1"}}})
	p := pool(t, outbound.Options{})
	for _, to := range []string{"a@one.test", "b@one.test", "c@two.test", "d@two.test"} {
		accepted(t, p.Deliver(within(t), target(s), message(to)))
	}
	if n := s.Counters().Connections; n != 2 {
		t.Errorf("%d connections for two domains", n)
	}
}
