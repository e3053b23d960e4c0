package outbound_test

import (
	"slices"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// A server that takes so many messages over a connection gets all of them, and
// how many it takes is told.
func TestMessagesThatAConnectionTakesAreTold(t *testing.T) {
	t.Parallel()
	refuse := func(code int, text string) smtpsim.Action { return smtpsim.Reply(code, "", text) }
	for name, tt := range map[string]struct {
		do       smtpsim.Action
		said     bool
		decides  bool // the reply is one to the message
		setbacks int
	}{
		"421 that says it":       {do: refuse(421, "Max message per connection reached, closing transmission channel"), said: true, setbacks: 1},
		"421 in other words":     {do: refuse(421, "4.7.0 too many messages in this connection"), said: true, setbacks: 1},
		"452 that says it":       {do: refuse(452, "4.5.3 Too many messages sent over one SMTP session"), said: true, setbacks: 1},
		"550 that says it":       {do: refuse(550, "Maximum number of messages per connection exceeded"), said: true},
		"421 without a reason":   {do: refuse(421, "closing connection"), setbacks: 1},
		"no reply at all":        {do: smtpsim.Drop()},
		"451 for other reasons":  {do: refuse(451, "too many mails from your host, closing this connection soon"), decides: true},
		"a 5yz about the sender": {do: refuse(550, "sender unknown"), decides: true},
	} {
		for _, pipelining := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := sim(t, smtpsim.Options{
					Capabilities: smtpsim.Capabilities{NoPipelining: !pipelining},
					Rules:        []smtpsim.Rule{{Stage: smtpsim.Mail, AfterMessages: 3, Do: smtpsim.Do(tt.do)}},
				})
				p := pool(t, outbound.Options{})
				var endings []outbound.Ending
				setbacks, failed := 0, 0
				for range 7 {
					res := p.Deliver(within(t), target(s), message("b@rcpt.test"))
					endings = append(endings, res.Endings...)
					for _, b := range res.Setbacks {
						if setbacks++; b.Enough != tt.said || b.Attempt.Stage != queue.StageMail {
							t.Errorf("setback %+v", b)
						}
					}
					if res.Recipients[0].Outcome != outbound.Accepted {
						failed++
					}
				}
				if tt.decides {
					if failed == 0 || len(endings) > 0 {
						t.Errorf("%d messages failed, endings %+v", failed, endings)
					}
					return
				}
				if failed > 0 || setbacks != 2*tt.setbacks {
					t.Errorf("%d messages failed, %d setbacks", failed, setbacks)
				}
				told := slices.ContainsFunc(endings, func(e outbound.Ending) bool { return e.Messages != 3 || e.Said != tt.said })
				// A machine that is slow may not see that it was so soon.
				if told || tt.said && len(endings) != 2 {
					t.Errorf("endings %+v", endings)
				}
			})
		}
	}
}

// What a connection was idle for before it ended says nothing of its messages.
func TestIdleConnectionsThatEndTellNothing(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{IdleTimeout: 400 * time.Millisecond})
	p := pool(t, outbound.Options{})
	accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
	if err := s.WaitFor(within(t), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	res := accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
	if len(res.Endings) > 0 || res.Reused {
		t.Errorf("result %+v", res)
	}
}

// What failed of the first host's TLS is kept where the second one takes the mail.
func TestTLSFaultOfTheFirstHostIsKept(t *testing.T) {
	t.Parallel()
	starttls := func(do smtpsim.Action) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(do)}}
	}
	for name, tt := range map[string]struct {
		first  smtpsim.Options
		policy outbound.TLS
		fault  string
	}{
		"wrong name": {
			first:  smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.WrongCertificate("other.test"))},
			policy: outbound.TLS{Mode: outbound.TLSRequired, Verify: true, Policy: "mta-sts"}, fault: outbound.FaultHostMismatch,
		},
		"no STARTTLS": {
			policy: outbound.TLS{Mode: outbound.TLSRequired, Policy: "dane"}, fault: outbound.FaultNoStartTLS,
		},
		"a broken handshake": {
			first:  smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.DropHandshake())},
			policy: outbound.TLS{Mode: outbound.TLSRequired}, fault: outbound.FaultValidation,
		},
		"a wrong name under a policy in mode testing, lost at DATA": {
			first: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: append(starttls(smtpsim.WrongCertificate("other.test")),
				smtpsim.Rule{Stage: smtpsim.Data, Do: smtpsim.Do(smtpsim.Drop())})},
			policy: outbound.TLS{Verify: true, Policy: "mta-sts-testing"}, fault: outbound.FaultHostMismatch,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := sim(t, tt.first), sim(t, smtpsim.Options{TLS: smtpsim.StartTLS})
			tg := target(first, second)
			tg.TLS = tt.policy
			p := pool(t, outbound.Options{RootCAs: second.RootCAs()})
			res := accepted(t, p.Deliver(within(t), tg, message("b@rcpt.test")))
			if len(res.Setbacks) != 1 {
				t.Fatalf("setbacks %+v", res.Setbacks)
			}
			a := res.Setbacks[0].Attempt
			if int(a.Addr.Port()) != first.Port() || a.TLSFault != tt.fault || a.TLSPolicy != tg.TLS.Policy && tg.TLS.Policy != "" || !a.Local.IsValid() {
				t.Errorf("setback %+v", a)
			}
			if r := res.Recipients[0].Attempt; r.Addr == a.Addr || r.TLSFault != "" {
				t.Errorf("attempt %+v", r)
			}
		})
	}
}
