package delivery_test

import (
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/smtpsim"
)

func TestDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	w.start()
	body := "From: shop@sender.test\r\nSubject: dots\r\n\r\n.one\r\n..two\r\n"
	id := w.accept(mail{to: []string{"joe@a.test", "ann@a.test"}, body: body})
	rs := w.all(id, queue.StateDelivered)
	a := rs[0].Last
	if a.Number != 1 || a.Host != "mx.a.test" || a.Site != "a.test" || a.Stage != queue.StageDot || a.Reply.Code != 250 ||
		a.Addr.Addr().String() != addrA || !a.Reports {
		t.Errorf("attempt is %+v", a)
	}
	msgs := sim.Messages()
	if len(msgs) != 1 || len(msgs[0].Rcpts) != 2 || string(msgs[0].Raw) != body || msgs[0].Hello != "relay.test" {
		t.Errorf("the next hop got %+v", msgs)
	}
	w.logged("msg=delivered ", 2)
	for _, key := range []string{" id=" + id.String(), " rcpt=joe@a.test", " domain=a.test", " site=a.test", " hop=mx.a.test", " attempt=1", " code=250", " status=2", " took="} {
		if !strings.Contains(w.log.String(), key) {
			t.Errorf("no %q in the log:\n%s", key, w.log)
		}
	}
}

func TestRelayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrB, smtpsim.Options{Users: map[string]string{"u": "p"}, RequireAuth: true})
	via, err := mx.ParseSmartHost("smtp://u:p@" + addrB + ":587?tls=none")
	if err != nil {
		t.Fatal(err)
	}
	w.options.Routes, err = mx.NewRoutes([]mx.Rule{{Pattern: "*", Route: mx.Route{ID: "hub", Hosts: []mx.SmartHost{via}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test", "ann@b.test", "x@nowhere.invalid"}, lane: "hub"})
	rs := w.all(id, queue.StateRelayed)
	if got := rs[2].Last; got.Site != "route:hub" || got.Host != addrB || got.Addr.Port() != 587 {
		t.Errorf("attempt is %+v", got)
	}
	if msgs := sim.Messages(); len(msgs) != 1 || len(msgs[0].Rcpts) != 3 {
		t.Errorf("want one transaction with three recipients, got %+v", msgs)
	}
}

func TestRouteChangedAfterAcceptance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test", "ann@b.test"}, lane: "a-route-that-is-gone"})
	for _, r := range w.all(id, queue.StateDelivered) {
		if r.Attempts != 1 || string(r.Lane) != r.Address.Domain {
			t.Errorf("%s: %d attempts, lane %s", r.Address, r.Attempts, r.Lane)
		}
	}
}

func TestSmartHostsWithDifferentPoliciesAreTriedInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrB, smtpsim.Options{})
	first, err1 := mx.ParseSmartHost("smtps://u:p@" + addrDead + ":465")
	second, err2 := mx.ParseSmartHost("smtp://" + addrB + ":25?tls=none")
	routes, err3 := mx.NewRoutes([]mx.Rule{{Pattern: "*", Route: mx.Route{ID: "hub", Hosts: []mx.SmartHost{first, second}}}})
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	w.options.Routes = routes
	w.start()
	w.all(w.accept(mail{to: []string{"joe@a.test"}, lane: "hub"}), queue.StateRelayed)
	if n := len(sim.Messages()); n != 1 {
		t.Errorf("the second host got %d messages", n)
	}
}

func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Rcpt: "nobody@a.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "no such user"))},
		{Stage: smtpsim.Rcpt, Rcpt: "full@a.test", Do: smtpsim.Do(smtpsim.Reply(452, "4.2.2", "mailbox full"))},
	}})
	w.start()
	id := w.queue("nobody@a.test", "full@a.test", "joe@a.test")
	rs := w.until(id, "tried", func(rs []queue.Recipient) bool {
		return rs[0].State.Final() && rs[1].Attempts == 1 && rs[2].State.Final()
	})
	if r := rs[0]; r.State != queue.StateBounced || r.Class != queue.ClassRcptUnknown || r.Last.Reply.Code != 550 {
		t.Errorf("unknown: %+v", r)
	}
	if r := rs[1]; r.State != queue.StateDeferred || r.Class != queue.ClassRcptFull {
		t.Errorf("full: %+v", r)
	}
	if r := rs[2]; r.State != queue.StateDelivered {
		t.Errorf("good: %+v", r)
	}
}

func TestDeferredThenDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Times: 2, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "later"))},
	}})
	w.start()
	id := w.queue("joe@a.test")
	for n, want := range []time.Duration{5 * time.Minute, 10 * time.Minute} {
		r := w.tried(id, n+1)
		if got := r.Due.Sub(w.clock.Now()); r.State != queue.StateDeferred || got > want || got < want-30*time.Second {
			t.Fatalf("after %d tries: %s for %v, want deferred for %v", n+1, r.State, got, want)
		}
		w.clock.add(want + time.Second)
	}
	if r := w.all(id, queue.StateDelivered)[0]; r.Last.Number != 3 {
		t.Errorf("delivered at attempt %d, want 3", r.Last.Number)
	}
}

func TestGreylisted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Now: w.clock.Now, Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Greylist(4 * time.Minute))}}})
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 1); r.Class != queue.ClassGreylist {
		t.Errorf("class is %q", r.Class)
	}
	w.clock.add(5*time.Minute + time.Second)
	if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 2 {
		t.Errorf("%d attempts, want 2", r.Attempts)
	}
}

func TestNullMXBouncesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	r := w.all(w.queue("joe@null.test"), queue.StateBounced)[0]
	if r.Class != queue.ClassDomainBad || r.Last.Reply.Code != 556 || r.Last.Stage != queue.StageRoute || r.Last.Host != "" || r.Attempts != 1 {
		t.Errorf("%+v, last %+v", r, r.Last)
	}
}

func TestMissingDomainIsLookedUpTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.start()
	gone, late := w.queue("joe@gone.test"), w.queue("joe@late.test")
	for _, id := range []queue.MessageID{gone, late} {
		r := w.tried(id, 1)
		if wait := r.Due.Sub(w.clock.Now()); r.State != queue.StateDeferred || r.Class != queue.ClassDomainBad || wait < 5*time.Minute-time.Minute || wait > 10*time.Minute {
			t.Fatalf("%s: %s, class %s, due in %v", r.Address, r.State, r.Class, wait)
		}
	}
	if err := w.dns.Load("late.test.", "@ SOA ns.test. h.test. 1 3600 600 86400 5\n@ MX 10 mx.a.test.\n"); err != nil {
		t.Fatal(err)
	}
	w.clock.add(10 * time.Minute)
	w.all(gone, queue.StateBounced)
	w.all(late, queue.StateDelivered)
}

func TestDNSTroubleIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.dns.Set("a.test.", "MX", dnsFailure); err != nil {
		t.Fatal(err)
	}
	w.start()
	r := w.tried(w.queue("joe@a.test"), 1)
	if r.State != queue.StateDeferred || r.Class != queue.ClassDNSTemp || r.Last.Stage != queue.StageRoute {
		t.Errorf("%+v, last %+v", r, r.Last)
	}
}

func TestBrokenTLSGoesOnWithout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.PlaintextForTLS())}}})
	w.start()
	r := w.all(w.queue("joe@a.test"), queue.StateDelivered)[0]
	if r.Last.TLS != "" || len(sim.Messages()) != 1 {
		t.Errorf("TLS is %q", r.Last.TLS)
	}
}

func TestStalledPeerIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Mail, Do: smtpsim.Do(smtpsim.Stall())}}})
	w.hop(addrB, smtpsim.Options{})
	w.sends.Timeouts.Mail = 100 * time.Millisecond
	w.start()
	stalled := w.queue("joe@a.test")
	w.all(w.queue("joe@b.test"), queue.StateDelivered)
	if r := w.tried(stalled, 1); r.State != queue.StateDeferred || r.Last.Stage != queue.StageMail || r.Last.Error == "" {
		t.Errorf("%+v, last %+v", r, r.Last)
	}
}
