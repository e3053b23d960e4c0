package delivery_test

import (
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/smtpsim"
)

// A site that has no TLS, or none that works, gets what may go without, before
// and after, also over a connection that is warm; what may not waits.
func TestMailThatRequiresTLSNeverGoesWithout(t *testing.T) {
	t.Parallel()
	refuse := func(code int, enhanced string) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.Reply(code, enhanced, "no"))}}
	}
	for name, sim := range map[string]smtpsim.Options{
		"no STARTTLS":             {},
		"STARTTLS is stripped":    {TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideStartTLS: true}},
		"STARTTLS is refused":     {TLS: smtpsim.StartTLS, Rules: refuse(454, "4.7.0")},
		"STARTTLS is refused 5yz": {TLS: smtpsim.StartTLS, Rules: refuse(554, "5.7.0")},
		"the handshake fails":     {TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.PlaintextForTLS())}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hop := w.hop(addrA, sim)
			w.start()
			w.all(w.queue("before@a.test"), queue.StateDelivered)
			id := w.accept(mail{to: []string{"strict@a.test"}, strict: true})
			r := w.tried(id, 1)
			if r.State != queue.StateDeferred || r.Class != queue.ClassTLSRequired || r.Last.Stage != queue.StageTLS || r.Last.TLS != "" {
				t.Errorf("recipient is %+v, last attempt %+v", r, r.Last)
			}
			w.all(w.queue("after@a.test"), queue.StateDelivered)
			for _, m := range hop.Messages() {
				if m.Rcpts[0].Address == "strict@a.test" {
					t.Error("it was sent without TLS")
				}
			}
			if n := hop.Counters().Messages; n != 2 {
				t.Errorf("the site got %d messages, want 2", n)
			}
			// Its end comes with the same reason.
			w.clock.add(73 * time.Hour)
			if r := w.all(id, queue.StateExpired)[0]; r.Class != queue.ClassTLSRequired {
				t.Errorf("it expired as %s", r.Class)
			}
		})
	}
}

func TestMailThatRequiresTLSTakesAnyCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hop := w.hop(addrA, smtpsim.Options{TLS: smtpsim.StartTLS})
	w.start()
	r := w.all(w.accept(mail{to: []string{"strict@a.test"}, strict: true}), queue.StateDelivered)[0]
	if r.Last.TLS == "" || hop.Messages()[0].TLS == nil {
		t.Errorf("it was sent without TLS: %+v", r.Last)
	}
}

// A route without TLS is one for mail that may go without.
func TestMailThatRequiresTLSOverridesTheRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	via, err := mx.ParseSmartHost("smtp://u:p@" + addrB + ":587?tls=none")
	if err != nil {
		t.Fatal(err)
	}
	if w.options.Routes, err = mx.NewRoutes([]mx.Rule{{Pattern: "*", Route: mx.Route{ID: "hub", Hosts: []mx.SmartHost{via}}}}); err != nil {
		t.Fatal(err)
	}
	hop := w.hop(addrB, smtpsim.Options{TLS: smtpsim.StartTLS, Users: map[string]string{"u": "p"}})
	w.start()
	for _, strict := range []bool{false, true, false, true} {
		to := "plain@a.test"
		if strict {
			to = "strict@a.test"
		}
		id := w.accept(mail{to: []string{to}, lane: "hub", strict: strict})
		if r := w.all(id, queue.StateRelayed)[0]; (r.Last.TLS != "") != strict {
			t.Errorf("%s was sent with TLS %q", to, r.Last.TLS)
		}
	}
	for _, m := range hop.Messages() {
		if strict := m.Rcpts[0].Address == "strict@a.test"; (m.TLS != nil) != strict {
			t.Errorf("%s came over TLS: %t", m.Rcpts[0].Address, m.TLS != nil)
		}
	}
}
