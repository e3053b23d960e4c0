package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

func TestDeadSiteBurnsNoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrB, smtpsim.Options{})
	w.options.Workers = 1
	w.start()
	var first, later []queue.MessageID
	for i := range 5 {
		first = append(first, w.queue(fmt.Sprintf("joe%d@dead.test", i)))
	}
	for _, id := range first {
		if r := w.tried(id, 1); r.State != queue.StateDeferred || r.Class != queue.ClassNetConnect {
			t.Fatalf("%+v", r)
		}
	}
	for i := range 5 {
		later = append(later, w.queue(fmt.Sprintf("ann%d@dead.test", i)))
	}
	w.all(w.queue("joe@b.test"), queue.StateDelivered) // the others flow
	for _, id := range later {
		if r := w.tried(id, 0); r.State != queue.StateQueued || r.Attempts != 0 {
			t.Errorf("%s after %d attempts, want queued without any", r.State, r.Attempts)
		}
	}
	// The host is back: one probe, and then all.
	sim := w.hop(addrDead, smtpsim.Options{})
	w.clock.add(time.Minute + time.Second)
	for _, id := range later {
		w.all(id, queue.StateDelivered)
	}
	if n := sim.Counters().Messages; n != 5 {
		t.Errorf("%d messages, want the 5 that waited", n)
	}
}

func TestProbeThatFailsLengthensThePause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options.Limits = throttle.New(throttle.Options{Failures: 1})
	w.start()
	a, b := w.queue("a@dead.test"), w.queue("b@dead.test")
	attempts := func() int { return w.tried(a, 0).Attempts + w.tried(b, 0).Attempts }
	// The pause is one minute, and the message that was tried waits for five.
	w.until(a, "paused", func([]queue.Recipient) bool { return attempts() >= 1 })
	w.clock.add(time.Minute + time.Second)
	w.until(b, "probed", func([]queue.Recipient) bool { return attempts() >= 2 })
	w.logged(`msg="site is paused"`, 2)
}

func TestBusySiteParksItsLanesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := make(chan struct{})
	slow := w.hop(addrB, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Mail, Times: 2, Do: smtpsim.Do(smtpsim.WaitUntil(open))}}})
	w.hop(addrA, smtpsim.Options{})
	w.options.Limits = throttle.New(throttle.Options{Connections: 2})
	w.options.Workers = 4
	w.start()
	var ids []queue.MessageID
	for i := range 40 {
		ids = append(ids, w.queue(fmt.Sprintf("j%d@b.test", i)), w.queue(fmt.Sprintf("j%d@also-b.test", i)))
	}
	if err := slow.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Open == 2 }); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		w.all(w.queue(fmt.Sprintf("x%d@a.test", i)), queue.StateDelivered)
	}
	if n := slow.Counters(); n.Connections != 2 || n.Messages != 0 {
		t.Errorf("the busy site has %d connections and %d messages", n.Connections, n.Messages)
	}
	if n := w.d.Stats().Parked; n != 2 {
		t.Errorf("%d lanes are parked, want 2", n)
	}
	close(open)
	for _, id := range ids {
		if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 {
			t.Errorf("%d attempts, want 1", r.Attempts)
		}
	}
	if n := slow.Counters().Connections; n > 4 {
		t.Errorf("%d connections for 80 messages: they are not reused", n)
	}
}

func TestSiteThatAsksForLessIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Times: 1, Do: smtpsim.Do(smtpsim.Reply(450, "4.7.28", "unusual rate of mail, try again in 10 minutes"))}}})
	w.hop(addrB, smtpsim.Options{})
	w.options.Workers = 1
	w.start()
	first := w.queue("joe@a.test")
	if r := w.tried(first, 1); r.Class != queue.ClassRateSite || r.Due.Sub(w.clock.Now()) < 9*time.Minute {
		t.Fatalf("%+v", r)
	}
	second := w.queue("ann@a.test")
	w.all(w.queue("joe@b.test"), queue.StateDelivered)
	if r := w.tried(second, 0); r.State != queue.StateQueued || sim.Counters().Messages != 0 {
		t.Errorf("%s: a paused site was tried", r.State)
	}
	w.clock.add(16 * time.Minute)
	w.all(first, queue.StateDelivered)
	w.all(second, queue.StateDelivered)
}

func TestLoneMailDoesNotWaitBehindMany(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		t.Run(fmt.Sprintf("same lane %v", same), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.options.Workers = 4
			bulk := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(2 * time.Millisecond))}}})
			w.hop(addrB, smtpsim.Options{})
			w.options.Limits = throttle.New(throttle.Options{Connections: 3})
			w.prepare()
			var last queue.MessageID
			const many = 2000
			for i := range many {
				last = w.accept(mail{account: "bulk", to: []string{fmt.Sprintf("j%d@a.test", i)}})
			}
			to := "joe@b.test"
			if same {
				to = "joe@a.test"
			}
			w.d.Start(t.Context())
			t.Cleanup(func() { w.drain(10 * time.Second) })
			before := bulk.Counters().Messages
			w.all(w.accept(mail{account: "lone", to: []string{to}}), queue.StateDelivered)
			// What went before it, not its time, which depends on the machine: it
			// is noticed within some milliseconds of its being delivered.
			if n := bulk.Counters().Messages - before; n > many/10 {
				t.Errorf("%d of the many went before the lone mail", n)
			}
			if w.tried(last, 0).State.Final() {
				t.Error("the many were gone by then: the test says nothing")
			}
		})
	}
}

func TestManyLanesOfOneSiteTakeTurnsByAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrB, smtpsim.Options{})
	zone := ""
	for i := range 60 {
		zone += fmt.Sprintf("d%d MX 10 mx.b.test.\n", i)
	}
	if err := w.dns.Load("many.test.", "@ SOA ns.test. h.test. 1 3600 600 86400 5\n"+zone); err != nil {
		t.Fatal(err)
	}
	w.options.Limits = throttle.New(throttle.Options{Connections: 1})
	w.start()
	var ids []queue.MessageID
	for i := range 60 {
		for range 5 {
			ids = append(ids, w.accept(mail{account: fmt.Sprint("bulk", i%3), to: []string{fmt.Sprintf("joe@d%d.many.test", i)}}))
		}
	}
	for _, id := range ids {
		if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 {
			t.Errorf("%d attempts", r.Attempts)
		}
	}
	if c := sim.Counters(); c.Messages != 300 || c.Connections > 6 {
		t.Errorf("%d messages over %d connections", c.Messages, c.Connections)
	}
}

func TestTheTimeThatSitesTakeIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	told := make(chan string, 8)
	w.options.Hooks.Site = func(site string, took time.Duration) {
		if took > 0 {
			told <- site
		}
	}
	w.start()
	w.all(w.queue("joe@a.test", "ann@a.test"), queue.StateDelivered)
	w.tried(w.queue("joe@dead.test"), 1)
	if a, b := <-told, <-told; a != "a.test" || b != "dead.test" || len(told) > 0 {
		t.Errorf("told of %q and %q, and of %d more; want each message once", a, b, len(told))
	}
}
