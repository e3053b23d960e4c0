package delivery_test

import (
	"testing"
	"time"

	"postrider/mx/dnssim"
	"postrider/queue"
	"postrider/relay/smtpsim"
)

var dnsFailure = dnssim.Behavior{Rcode: "SERVFAIL"}

// deferring is a peer that never takes anything.
func deferring() smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "later"))}}}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, deferring())
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}, life: 15 * time.Minute})
	end := w.clock.Now().Add(15 * time.Minute)
	w.tried(id, 1)
	w.clock.add(5*time.Minute + time.Second)
	// The table says ten more minutes, which is too late: one last try before.
	r := w.tried(id, 2)
	if left := end.Sub(r.Due); left < time.Minute || left > 5*time.Minute {
		t.Fatalf("the last try is %v before the end", left)
	}
	w.clock.add(r.Due.Sub(w.clock.Now()))
	if r = w.tried(id, 3); r.State != queue.StateDeferred || end.Sub(r.Due).Abs() > time.Second {
		t.Fatalf("%s until %v before the end, want deferred to the end", r.State, end.Sub(r.Due))
	}
	w.clock.add(r.Due.Sub(w.clock.Now()) + time.Second)
	r = w.all(id, queue.StateExpired)[0]
	if r.Attempts != 3 || r.Class != queue.ClassSystemTemp {
		t.Errorf("expired after %d attempts as %s, want 3 and the last class", r.Attempts, r.Class)
	}
}

func TestExpiredBeforeTheFirstTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	w.start()
	r := w.all(w.accept(mail{to: []string{"joe@a.test"}, age: 2 * time.Hour, life: time.Hour}), queue.StateExpired)[0]
	if r.Attempts != 0 || r.Class != queue.ClassExpired || sim.Counters().Connections != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDelayNoticeIsAskedForOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, deferring())
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}})
	for n := 1; n <= 3; n++ {
		r := w.tried(id, n)
		if r.Delayed != (n > 1) {
			t.Errorf("after %d tries: delayed is %v", n, r.Delayed)
		}
		w.clock.add(5 * time.Hour)
	}
	w.tried(id, 4)
	events, err := w.store.History(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	notices := 0
	for _, e := range events {
		if e.Delayed {
			notices++
		}
	}
	if notices != 1 {
		t.Errorf("%d notices asked for, want 1", notices)
	}
}
