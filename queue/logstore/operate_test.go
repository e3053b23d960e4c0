package logstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func apply(t testing.TB, s *Store, a queue.Action, f queue.Filter) queue.Applied {
	t.Helper()
	done, err := s.Apply(context.Background(), queue.Operation{Action: a, Filter: f, Now: t0, Actor: "op", Reason: "why"})
	if err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	return done
}

func state(t testing.TB, s *Store, id queue.RecipientID) queue.State {
	t.Helper()
	return message(t, s, id.Message()).Recipients[id.Index()].State
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	id := enqueue(t, s, mail{rcpts: 700}).ID
	other := enqueue(t, s, mail{lane: "other.example"}).ID
	f := queue.Filter{Lane: "example.org"}
	dry, err := s.Apply(context.Background(), queue.Operation{Action: queue.ActionHold, Filter: f, Now: t0, DryRun: true})
	if err != nil || dry != (queue.Applied{Matched: 700, Changed: 700}) {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	if done := apply(t, s, queue.ActionHold, f); done != dry {
		t.Fatalf("hold: %+v", done)
	}
	if ls := leaseAll(t, s, request(t0, 5)); len(ls) != 1 || ls[0].Message.ID != other {
		t.Fatalf("leases are %+v", ls)
	}
	checkIndex(t, s)
	if done := apply(t, s, queue.ActionRelease, queue.Filter{Messages: []queue.MessageID{id, other}}); done.Changed != 700 {
		t.Fatalf("release: %+v", done)
	}
	if state(t, s, id.Recipient(5)) != queue.StateQueued {
		t.Error("a released recipient is not queued")
	}
	checkIndex(t, s)
	checkLeases(t, s)
}

func TestActionOnLeasedRecipientIsPending(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pend := func(t *testing.T, fs *vfs.MemFS, a queue.Action) (*Store, queue.Lease, queue.RecipientID) {
		s := openTest(t, Options{FS: fs})
		id := enqueue(t, s, mail{}).ID
		l := leaseOne(t, s, t0)
		if done := apply(t, s, a, queue.Filter{Recipients: []queue.RecipientID{id.Recipient(0)}}); done != (queue.Applied{Matched: 1, Pending: 1}) {
			t.Fatalf("applied: %+v", done)
		}
		if r := message(t, s, id).Recipients[0]; r.State != queue.StateActive || r.Pending != a {
			t.Fatalf("recipient is %+v", r)
		}
		return s, l, id.Recipient(0)
	}
	ended := func(t *testing.T, s *Store, id queue.RecipientID, want queue.State) {
		t.Helper()
		if got := state(t, s, id); got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
		h, err := s.History(ctx, id.Message())
		if last := h[len(h)-1]; err != nil || len(h) != 2 || want != queue.StateDelivered && (last.Actor != "op" || last.Reason != "why") {
			t.Errorf("history is %+v, %v", h, err)
		}
		checkIndex(t, s)
		checkLeases(t, s)
	}
	t.Run("done instead of a deferral", func(t *testing.T) {
		t.Parallel()
		s, l, id := pend(t, vfs.NewMem(), queue.ActionCancel)
		settle(t, s, l, queue.StateDeferred, t0)
		ended(t, s, id, queue.StateCancelled)
	})
	t.Run("not done after success", func(t *testing.T) {
		t.Parallel()
		s, l, id := pend(t, vfs.NewMem(), queue.ActionCancel)
		settle(t, s, l, queue.StateDelivered, t0)
		ended(t, s, id, queue.StateDelivered)
	})
	t.Run("done at release", func(t *testing.T) {
		t.Parallel()
		s, l, id := pend(t, vfs.NewMem(), queue.ActionHold)
		if err := s.Release(ctx, l, t0, nil); err != nil {
			t.Fatal(err)
		}
		ended(t, s, id, queue.StateHeld)
	})
	t.Run("done when the lease expires", func(t *testing.T) {
		t.Parallel()
		s, _, id := pend(t, vfs.NewMem(), queue.ActionExpire)
		if ls := leaseAll(t, s, request(t0.Add(time.Hour), 1)); len(ls) != 0 {
			t.Fatalf("leased: %+v", ls)
		}
		ended(t, s, id, queue.StateExpired)
	})
	t.Run("done after a restart", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		s, _, id := pend(t, fs, queue.ActionCancel)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ended(t, openTest(t, Options{FS: fs}), id, queue.StateCancelled)
	})
}

func TestRetryMakesDueNow(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	for range 400 {
		enqueue(t, s, mail{state: queue.StateScheduled, due: t0.Add(time.Hour)})
	}
	if done := apply(t, s, queue.ActionRetry, queue.Filter{Lane: "example.org", States: []queue.State{queue.StateScheduled}}); done.Changed != 400 {
		t.Fatalf("retry: %+v", done)
	}
	if ls := leaseAll(t, s, request(t0, 500)); len(ls) != 400 {
		t.Fatalf("%d leases", len(ls))
	}
	checkIndex(t, s)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	key := queue.Idempotency{Key: "k", Fingerprint: [32]byte{1}, ExpiresAt: t0.Add(time.Hour)}
	first := enqueue(t, s, mail{idem: key})
	if again := enqueue(t, s, mail{idem: key}); !again.Duplicate || again.ID != first.ID {
		t.Errorf("again: %+v", again)
	}
	if other := enqueue(t, s, mail{idem: key, account: "blog"}); other.Duplicate {
		t.Error("keys of two accounts are one")
	}
	changed := key
	changed.Fingerprint[0]++
	if _, err := s.Enqueue(ctx, mail{idem: changed}.request(t, s)); !errors.Is(err, queue.ErrIdempotencyConflict) {
		t.Errorf("another message: %v", err)
	}
	late := mail{idem: key, now: t0.Add(2 * time.Hour)}
	late.idem.ExpiresAt = t0.Add(3 * time.Hour)
	if out := enqueue(t, s, late); out.Duplicate {
		t.Error("an old key is known")
	}
	if _, err := s.Sweep(ctx, queue.Retention{Now: t0.Add(150 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if out := enqueue(t, s, late); !out.Duplicate {
		t.Error("the sweep forgot a key that was renewed")
	}
	r := mail{}.request(t, s)
	if _, err := s.Enqueue(ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enqueue(ctx, r); !errors.Is(err, queue.ErrExists) {
		t.Errorf("the same id twice: %v", err)
	}
}
