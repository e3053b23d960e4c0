package claim_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/claim"
	"postrider/queue/logstore"
)

// world is a store and a clock. Each renewal is counted, and fails with trouble
// while there is some.
type world struct {
	queue.Claims
	t       *testing.T
	now     time.Time
	renewed int
	trouble error
}

const ttl = 30 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &world{Claims: s, t: t, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}
}

func (w *world) Claim(ctx context.Context, name, holder string, now time.Time, d time.Duration) (uint64, error) {
	w.renewed++
	if w.trouble != nil {
		return 0, w.trouble
	}
	return w.Claims.Claim(ctx, name, holder, now, d)
}

func (w *world) claim(holder string) *claim.Held {
	return claim.New(claim.Options{Store: w, Name: "work", Holder: holder, TTL: ttl, Now: func() time.Time { return w.now }})
}

func (w *world) keep(h *claim.Held, wantAnew bool, want error) {
	w.t.Helper()
	if anew, err := h.Keep(w.t.Context()); anew != wantAnew || !errors.Is(err, want) {
		w.t.Errorf("anew %v, %v; want %v, %v", anew, err, wantAnew, want)
	}
}

func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.claim("a"), w.claim("b")
	w.keep(a, true, nil)
	w.keep(a, false, nil)
	w.keep(b, false, queue.ErrClaimed)
	w.now = w.now.Add(ttl)
	w.keep(b, true, nil)
	w.keep(a, false, queue.ErrClaimed)
	b.Leave(t.Context())
	w.keep(a, true, nil)
}

func TestItIsRenewedAfterAThirdOfItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.claim("a")
	for _, c := range []struct {
		name  string
		pass  time.Duration
		count int
	}{
		{"at first", 0, 1},
		{"shortly before", ttl/3 - 1, 1},
		{"then", 1, 2},
		{"after that", ttl / 6, 2},
		{"when the clock went back", -time.Hour, 3},
		{"and goes on from there", time.Second, 3},
	} {
		w.now = w.now.Add(c.pass)
		if _, err := a.Keep(t.Context()); err != nil || w.renewed != c.count {
			t.Errorf("%s: renewed %d times, want %d; %v", c.name, w.renewed, c.count, err)
		}
	}
}

func TestWhoStoodStillLearnsThatAnotherWorked(t *testing.T) {
	t.Parallel()
	for _, left := range []bool{true, false} {
		w := newWorld(t)
		a, b := w.claim("a"), w.claim("b")
		w.keep(a, true, nil)
		if !a.Lasts() {
			t.Error("a does not last")
		}
		w.now = w.now.Add(ttl)
		if a.Lasts() {
			t.Error("a lasts beyond its end")
		}
		w.keep(b, true, nil)
		if left {
			b.Leave(t.Context())
		} else {
			w.now = w.now.Add(ttl)
		}
		if err := a.Still(t.Context()); !errors.Is(err, queue.ErrClaimed) {
			t.Errorf("still: %v", err)
		}
		if err := a.Still(t.Context()); !errors.Is(err, queue.ErrClaimed) {
			t.Errorf("still, once more: %v", err)
		}
		w.keep(a, true, nil)
		if err := a.Still(t.Context()); err != nil {
			t.Errorf("still, after it was kept: %v", err)
		}
	}
}

func TestAfterTroubleItIsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.claim("a")
	w.keep(a, true, nil)
	w.trouble = queue.ErrUnavailable
	w.now = w.now.Add(ttl / 3)
	if err := a.Still(t.Context()); !errors.Is(err, queue.ErrUnavailable) {
		t.Error(err)
	}
	w.keep(a, false, queue.ErrUnavailable)
	w.trouble = nil
	w.keep(a, true, nil)
	a.Forget()
	w.keep(a, true, nil)
}

func TestStillNeverTakesAClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.claim("a").Still(t.Context()); !errors.Is(err, queue.ErrClaimed) || w.renewed != 0 {
		t.Errorf("%v, asked %d times", err, w.renewed)
	}
}

// leaving counts the claims that are given back.
type leaving struct {
	*world
	left int
}

func (l *leaving) Unclaim(ctx context.Context, name, holder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.left++
	return l.world.Unclaim(ctx, name, holder)
}

func TestLeaveGivesBackWhatMayBeOurs(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		begin func(w *world, h *claim.Held)
		left  int
	}{
		{"never asked for", func(*world, *claim.Held) {}, 0},
		{"held", func(w *world, h *claim.Held) { w.keep(h, true, nil) }, 1},
		{"forgotten", func(w *world, h *claim.Held) { w.keep(h, true, nil); h.Forget() }, 1},
		{"nobody knows", func(w *world, h *claim.Held) {
			w.trouble = queue.ErrUnavailable
			w.keep(h, false, queue.ErrUnavailable)
		}, 1},
		{"another's", func(w *world, h *claim.Held) {
			w.keep(w.claim("b"), true, nil)
			w.keep(h, false, queue.ErrClaimed)
		}, 0},
	} {
		l := &leaving{world: newWorld(t)}
		h := claim.New(claim.Options{Store: l, Name: "work", Holder: "a", TTL: ttl, Now: func() time.Time { return l.now }})
		c.begin(l.world, h)
		h.Leave(over)
		h.Leave(over)
		if l.left != c.left {
			t.Errorf("%s: given back %d times, want %d", c.name, l.left, c.left)
		}
	}
}
