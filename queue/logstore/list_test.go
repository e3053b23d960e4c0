package logstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"postrider/queue"
)

func listAll(t testing.TB, s *Store, f queue.Filter, limit int) (all []queue.Entry) {
	t.Helper()
	var c queue.Cursor
	for range 10000 {
		page, next, err := s.List(context.Background(), f, c, limit)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if len(page) > limit {
			t.Fatalf("%d entries for a limit of %d", len(page), limit)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		c = next
	}
	t.Fatal("the listing has no end")
	return nil
}

func TestListByTime(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	// Ids are of today, times of another day, and run against each other.
	for i := range 60 {
		enqueue(t, s, mail{now: t0.Add(time.Duration(-i) * time.Minute), due: t0})
	}
	for range 20 {
		settle(t, s, leaseOne(t, s, t0), queue.StateDelivered, t0)
	}
	at := func(min int) time.Time { return t0.Add(time.Duration(min) * time.Minute) }
	for _, c := range []struct {
		f    queue.Filter
		want int
	}{
		{queue.Filter{}, 60},
		{queue.Filter{Since: at(-9)}, 10},
		{queue.Filter{Until: at(-9)}, 50},
		{queue.Filter{Since: at(-29), Until: at(-9)}, 20},
		{queue.Filter{States: []queue.State{queue.StateQueued}, Since: at(-100)}, 40},
		{queue.Filter{States: []queue.State{queue.StateQueued, queue.StateDelivered}, Until: at(-100)}, 0},
	} {
		all := listAll(t, s, c.f, 7)
		if len(all) != c.want {
			t.Errorf("%+v lists %d, want %d", c.f, len(all), c.want)
		}
		for i := 1; i < len(all); i++ {
			if compareMessages(all[i-1].Message.ID, all[i].Message.ID) <= 0 {
				t.Errorf("%+v is not in order", c.f)
			}
		}
	}
	if _, _, err := s.List(context.Background(), queue.Filter{}, "nonsense", 1); !errors.Is(err, queue.ErrFilter) {
		t.Errorf("a bad cursor: %v", err)
	}
}

// TestListIsBounded: a filter that nothing matches is answered in pieces.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	for range listLook + 10 {
		enqueue(t, s, mail{})
	}
	page, next, err := s.List(context.Background(), queue.Filter{Account: "nobody"}, "", 5)
	if err != nil || len(page) != 0 || next == "" {
		t.Fatalf("%d entries, cursor %q, %v", len(page), next, err)
	}
	if all := listAll(t, s, queue.Filter{Account: "nobody"}, 5); len(all) != 0 {
		t.Errorf("%d entries", len(all))
	}
}
