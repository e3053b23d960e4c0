package logstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

func TestMarkSurvivesTheProcess(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	s := openTest(t, Options{FS: fs})
	id := enqueue(t, s, mail{rcpts: 2}).ID
	l := leaseOne(t, s, t0)
	if err := s.Mark(ctx, l, []queue.RecipientID{id.Recipient(0)}); err != nil {
		t.Fatal(err)
	}
	// A kill loses nothing that was written, synced or not.
	back := openTest(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(1)})})
	l = leaseOne(t, back, t0)
	if len(l.Recipients) != 2 || !l.Recipients[0].InDoubt || l.Recipients[1].InDoubt {
		t.Fatalf("after the kill the lease is %+v", l.Recipients)
	}
	if err := back.Mark(ctx, l, []queue.RecipientID{id.Recipient(0), id.Recipient(1)}); err != nil {
		t.Fatal(err)
	}
	settle(t, back, l, queue.StateDelivered, t0)
	e := message(t, back, id)
	if !e.Recipients[0].InDoubt || e.Recipients[1].InDoubt {
		t.Errorf("settled: %+v", e.Recipients)
	}
	h, err := back.History(ctx, id)
	if err != nil || len(h) != 3 || !h[1].InDoubt || h[2].InDoubt {
		t.Errorf("history: %+v, %v", h, err)
	}
}

func TestAttemptInDoubtStaysInDoubt(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	id := enqueue(t, s, mail{}).ID
	l := leaseOne(t, s, t0)
	ss := settleAs(l, queue.StateDeferred, t0)
	ss[0].Attempt.InDoubt = true
	if err := s.Settle(context.Background(), l, ss); err != nil {
		t.Fatal(err)
	}
	later := t0.Add(time.Hour)
	if l = leaseOne(t, s, later); !l.Recipients[0].InDoubt {
		t.Fatal("the doubt was forgotten")
	}
	settle(t, s, l, queue.StateDeferred, later)
	if !message(t, s, id).Recipients[0].InDoubt {
		t.Fatal("an attempt that settled nothing ended the doubt")
	}
}

func TestExpiredLeaseIsGrantedAgainAndFenced(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	enqueue(t, s, mail{})
	a := leaseOne(t, s, t0)
	if err := s.Mark(ctx, a, []queue.RecipientID{a.Recipients[0].ID}); err != nil {
		t.Fatal(err)
	}
	if due, ok, err := s.NextDue(ctx, t0); err != nil || !ok || !due.Equal(a.Expires) {
		t.Fatalf("next due is %v %v %v, want the end of the lease", due, ok, err)
	}
	late := t0.Add(2 * time.Minute)
	b := leaseOne(t, s, late)
	if b.Token <= a.Token || !b.Recipients[0].InDoubt {
		t.Fatalf("second lease is %+v after %+v", b, a)
	}
	for name, err := range map[string]error{
		"settle":  s.Settle(ctx, a, settleAs(a, queue.StateDelivered, late)),
		"mark":    s.Mark(ctx, a, []queue.RecipientID{a.Recipients[0].ID}),
		"release": s.Release(ctx, a, late, []queue.RecipientID{a.Recipients[0].ID}),
	} {
		if !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("%s of a lost lease: %v", name, err)
		}
	}
	if lost, err := s.Extend(ctx, late, time.Minute, a, b); err != nil || len(lost) != 1 || lost[0].Token != a.Token {
		t.Errorf("lost are %v, %v", lost, err)
	}
	settle(t, s, b, queue.StateDelivered, late)
	checkIndex(t, s)
	checkLeases(t, s)
}

func TestExpiredLeaseMayStillBeSettled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	enqueue(t, s, mail{rcpts: 2})
	l := leaseOne(t, s, t0)
	late := t0.Add(2 * time.Minute)
	if _, _, err := s.NextDue(ctx, late); err != nil { // notices the end
		t.Fatal(err)
	}
	if c, err := s.Counts(ctx); err != nil || c[queue.StateQueued].Recipients != 2 {
		t.Fatalf("counts are %v, %v", c, err)
	}
	settle(t, s, l, queue.StateDelivered, late)
	if ls := leaseAll(t, s, request(late, 5)); len(ls) != 0 {
		t.Fatalf("settled recipients are leased: %+v", ls)
	}
	enqueue(t, s, mail{rcpts: 2})
	l = leaseOne(t, s, late)
	if lost, err := s.Extend(ctx, late.Add(2*time.Minute), time.Minute, l); err != nil || len(lost) != 0 {
		t.Fatalf("extend: %v, %v", lost, err)
	}
	if ls := leaseAll(t, s, request(late.Add(150*time.Second), 5)); len(ls) != 0 {
		t.Fatalf("extended recipients are leased again: %+v", ls)
	}
}

func TestReleaseGivesBackAsBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	id := enqueue(t, s, mail{rcpts: 3}).ID
	before := message(t, s, id)
	l := leaseOne(t, s, t0)
	if err := s.Release(ctx, l, t0, []queue.RecipientID{id.Recipient(1)}); err != nil {
		t.Fatal(err)
	}
	again := leaseOne(t, s, t0)
	if len(again.Recipients) != 1 || again.Recipients[0].ID != id.Recipient(1) || again.Token <= l.Token {
		t.Fatalf("lease is %+v", again)
	}
	for _, l := range []queue.Lease{l, again} {
		if err := s.Release(ctx, l, t0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := message(t, s, id); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("it was %+v and is %+v", before, got)
	}
	if l := leaseOne(t, s, t0); len(l.Recipients) != 3 {
		t.Errorf("lease is %+v", l)
	}
}

func TestLeaseTakesAHundredOfOneMessage(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	enqueue(t, s, mail{rcpts: 350})
	enqueue(t, s, mail{rcpts: 2})
	var sizes []int
	for _, l := range leaseAll(t, s, request(t0, 10)) {
		sizes = append(sizes, len(l.Recipients))
		if !slices.IsSortedFunc(l.Recipients, func(a, b queue.Recipient) int { return compareIDs(a.ID, b.ID) }) {
			t.Error("recipients are not in order")
		}
	}
	if fmt.Sprint(sizes) != "[100 100 100 50 2]" {
		t.Errorf("leases have %v recipients", sizes)
	}
}

func TestEnqueueLeases(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := request(t0, 1)
	t.Run("when nobody waits in the lane", func(t *testing.T) {
		t.Parallel()
		s := openTest(t, Options{})
		out := enqueue(t, s, mail{rcpts: 120, lease: &r, body: "text"})
		if len(out.Leases) != 1 || len(out.Leases[0].Recipients) != 100 {
			t.Fatalf("leases are %+v", out.Leases)
		}
		if string(readContent(t, s, out.Leases[0].Message.Content)) != "text" {
			t.Error("content is another")
		}
		if l := leaseOne(t, s, t0); len(l.Recipients) != 20 {
			t.Errorf("the rest is %+v", l)
		}
		settle(t, s, out.Leases[0], queue.StateDelivered, t0)
		checkIndex(t, s)
	})
	t.Run("not when somebody is due before", func(t *testing.T) {
		t.Parallel()
		s := openTest(t, Options{})
		enqueue(t, s, mail{due: t0.Add(-time.Second)})
		if out := enqueue(t, s, mail{lease: &r}); len(out.Leases) != 0 {
			t.Errorf("leases are %+v", out.Leases)
		}
		if ls := leaseAll(t, s, request(t0, 3)); len(ls) != 2 {
			t.Errorf("later leases are %+v", ls)
		}
	})
	t.Run("not in a parked lane", func(t *testing.T) {
		t.Parallel()
		s := openTest(t, Options{})
		if err := s.Park(ctx, "example.org", t0, t0.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if out := enqueue(t, s, mail{lease: &r}); len(out.Leases) != 0 {
			t.Errorf("leases are %+v", out.Leases)
		}
	})
}

func TestParkedLane(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	for range 300 {
		enqueue(t, s, mail{lane: "slow.example"})
	}
	until := t0.Add(time.Hour)
	if err := s.Park(ctx, "slow.example", t0, until); err != nil {
		t.Fatal(err)
	}
	if due, ok, err := s.NextDue(ctx, t0); err != nil || !ok || !due.Equal(until) {
		t.Fatalf("next due is %v %v %v", due, ok, err)
	}
	id := enqueue(t, s, mail{lane: "other.example"}).ID
	if ls := leaseAll(t, s, request(t0, 10)); len(ls) != 1 || ls[0].Message.ID != id {
		t.Fatalf("leases are %+v", ls)
	}
	warm := request(t0, 1)
	warm.Lane = "slow.example"
	if ls := leaseAll(t, s, warm); len(ls) != 1 {
		t.Fatalf("a warm connection got %+v", ls)
	}
	if ls := leaseAll(t, s, request(until, 500)); len(ls) != 300+1 { // the two leases ended by then
		t.Fatalf("after parking: %d leases", len(ls))
	}
	if err := s.Park(ctx, "slow.example", until, until.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	wake, stop := s.Wake()
	defer stop()
	if err := s.Park(ctx, "slow.example", until, until); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wake:
	default:
		t.Error("unparking woke nobody")
	}
}

func TestFairBetweenAccounts(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	for range 3000 {
		enqueue(t, s, mail{account: "bulk"})
	}
	for range 500 {
		settle(t, s, leaseOne(t, s, t0), queue.StateDelivered, t0)
	}
	lone := enqueue(t, s, mail{account: "lone"}).ID
	for i := 0; ; i++ {
		if l := leaseOne(t, s, t0); l.Message.ID == lone {
			break
		}
		if i == 3 {
			t.Fatal("a lone mail waits behind more than three of another account")
		}
	}
	// An account that empties its queue again and again gets no more than half.
	got := map[string]int{}
	for range 200 {
		enqueue(t, s, mail{account: "often"})
		for range 2 {
			got[leaseOne(t, s, t0).Message.Account]++
		}
	}
	if got["often"] < 190 || got["bulk"] < 190 {
		t.Errorf("shares are %v", got)
	}
}

func TestPrioritiesShareByWeight(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	for range 200 {
		for _, p := range []queue.Priority{queue.PriorityLow, queue.PriorityNormal, queue.PriorityHigh} {
			enqueue(t, s, mail{prio: p})
		}
	}
	got := map[queue.Priority]int{}
	for range 210 {
		got[leaseOne(t, s, t0).Message.Priority]++
	}
	if got[queue.PriorityHigh] < 150 || got[queue.PriorityNormal] < 30 || got[queue.PriorityLow] < 8 {
		t.Errorf("shares are %v", got)
	}
}

func TestDueFirstInALane(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	rng := newRand(3)
	for range 700 {
		enqueue(t, s, mail{due: t0.Add(time.Duration(rng.IntN(1e6)) * time.Microsecond)})
	}
	check := func(s *Store, n int) {
		t.Helper()
		var last time.Time
		for range n {
			l := leaseOne(t, s, t0.Add(time.Hour))
			if due := l.Recipients[0].Due; due.Before(last) {
				t.Fatalf("due %s comes after %s", due, last)
			} else {
				last = due
			}
			settle(t, s, l, queue.StateDelivered, t0)
		}
	}
	check(s, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(openTest(t, Options{FS: fs}), 400)
}

// TestDeletedHeadIsNotReadAgain: leases read on from a watermark, however much
// was deleted before it.
func TestDeletedHeadIsNotReadAgain(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	for range 2000 {
		enqueue(t, s, mail{})
	}
	var bound item
	for range 1900 {
		settle(t, s, leaseOne(t, s, t0), queue.StateDelivered, t0)
		s.mu.Lock()
		for _, f := range s.schedule.flows {
			if !f.complete && f.bound.compare(bound) < 0 {
				t.Error("the watermark went back")
			}
			if bound = f.bound; len(f.window) > windowMax {
				t.Errorf("the window has %d items", len(f.window))
			}
		}
		s.mu.Unlock()
	}
	checkLeases(t, s)
}
