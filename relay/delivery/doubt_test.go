package delivery_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/smtpsim"
)

func TestLostReplyIsInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(smtpsim.LoseReply())}}})
	again := make(chan bool, 8)
	w.options.Hooks.InDoubt = func(a bool) { again <- a }
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 1); r.State != queue.StateDeferred || !r.InDoubt || !r.Last.InDoubt || r.Last.Stage != queue.StageDot {
		t.Fatalf("%+v, last %+v", r, r.Last)
	}
	w.clock.add(6 * time.Minute)
	w.all(id, queue.StateDelivered)
	if n := len(sim.Messages()); n != 2 {
		t.Errorf("the next hop has %d copies, want 2", n)
	}
	if a, b := <-again, <-again; a || !b {
		t.Errorf("hook was called with %v, %v; want false, true", a, b)
	}
	w.logged("possibly a second copy", 1)
}

func TestDrainBeforeTheDotReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Body, Do: smtpsim.Do(smtpsim.Stall())}}, ReceiveBuffer: 4096})
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}, body: "From: shop@sender.test\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 200_000)})
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Transactions == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := w.drain(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain says %v", err)
	}
	if r := w.tried(id, 0); r.State != queue.StateQueued || r.Attempts != 0 || r.InDoubt {
		t.Errorf("%s after %d attempts, in doubt %v; want queued, unattempted", r.State, r.Attempts, r.InDoubt)
	}
}

func TestDrainWaitsForWhatIsInTheAir(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := make(chan struct{})
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.WaitUntil(open))}}})
	w.start()
	id := w.queue("joe@a.test")
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Transactions == 1 }); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error)
	go func() { drained <- w.drain(10 * time.Second) }()
	for { // until the drain has begun
		_, take, ok := w.d.Reserve()
		if !ok {
			break
		}
		take(nil)
		runtime.Gosched()
	}
	close(open)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if r := w.tried(id, 1); r.State != queue.StateDelivered {
		t.Errorf("%+v", r)
	}
	if s := w.pool.Stats(); s.Open != 0 {
		t.Errorf("%d connections are open after the drain", s.Open)
	}
}

func TestDrainBehindTheDotLeavesTheMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	atDot := make(chan struct{}, 1)
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(
		func(context.Context, *smtpsim.Exchange) error { atDot <- struct{}{}; return nil }, smtpsim.Stall())}}})
	w.start()
	id := w.queue("joe@a.test")
	<-atDot
	began := time.Now()
	if err := w.drain(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain says %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("drain took %v", took)
	}
	// As after a restart: the mark is there, and the second copy is told of.
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.openStore()
	if r := w.tried(id, 0); !r.InDoubt || r.State.Final() {
		t.Fatalf("%+v", r)
	}
	w.clock.add(6 * time.Minute)
	w.start()
	w.all(id, queue.StateDelivered)
	w.logged("possibly a second copy", 1)
	if n := sim.Counters().Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestCrashBehindTheDotLeavesTheMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	// The process dies between the dot and the reply: the store is gone.
	id := w.queue("joe@a.test")
	leases, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.clock.Now(), Holder: "x", TTL: time.Minute, Max: 1})
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := w.store.Mark(t.Context(), leases[0], []queue.RecipientID{id.Recipient(0)}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.openStore()
	w.start()
	w.all(id, queue.StateDelivered)
	w.logged("possibly a second copy", 1)
	if n := sim.Counters().Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestLostLeaseSendsNoDot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := make(chan struct{})
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Mail, Do: smtpsim.Do(smtpsim.WaitUntil(open))}}})
	w.options.LeaseTTL = time.Hour // it is not extended during the test
	w.start()
	id := w.queue("joe@a.test")
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Open == 1 }); err != nil {
		t.Fatal(err)
	}
	w.until(id, "leased", func(rs []queue.Recipient) bool { return rs[0].State == queue.StateActive })
	other, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.clock.Now().Add(2 * time.Hour), Holder: "other", TTL: time.Hour, Max: 1})
	if err != nil || len(other) != 1 {
		t.Fatal(other, err)
	}
	close(open)
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if n := sim.Counters().Messages; n != 0 {
		t.Errorf("%d messages were sent under a lost lease", n)
	}
	if err := w.drain(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	w.logged("lease lost", 1)
	e, err := w.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Recipients[0]; r.Attempts != 0 || r.State != queue.StateActive {
		t.Errorf("%s after %d attempts: recorded under a lost lease", r.State, r.Attempts)
	}
}

func TestLeaseIsExtendedWhileThePeerThinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(2 * time.Second))}}})
	w.options.LeaseTTL = 750 * time.Millisecond
	w.start()
	id := w.queue("joe@a.test")
	if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 || r.InDoubt {
		t.Errorf("%+v", r)
	}
}
