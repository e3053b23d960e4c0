package alert

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postrider/queue"
)

// What is remembered of failures is bounded over all accounts, and forgotten in
// time.
func TestFailuresOfManyAccountsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	w := New(Options{
		Now:   func() time.Time { return now },
		Usual: func(context.Context, string, time.Time, time.Time) (int64, int64, error) { return 1000, 1000, nil },
	})
	fail := func(account string, n int) {
		for range n {
			w.tally(&queue.Event{Kind: queue.EventBounced, At: now, Account: account, Class: queue.ClassRcptUnknown})
		}
	}
	sum := func() (n int) {
		for _, t := range w.tallies {
			n += len(t.last)
		}
		return n
	}
	fail("first", 3*maxFailures)
	if n := len(w.tallies["first"].last); n > maxFailures || n < maxFailures/2 {
		t.Errorf("%d failures of one account are remembered", n)
	}
	for i := range 2 * maxFailed / maxFailures {
		fail(fmt.Sprint("other ", i), maxFailures-1)
	}
	if n := sum(); n > maxFailed || n != w.remembered {
		t.Errorf("%d failures are remembered, and counted as %d", n, w.remembered)
	}
	if got := w.tallies["first"].lately(now); got.failed != 3*maxFailures {
		t.Errorf("%d failures of the first account are counted", got.failed)
	}
	now = now.Add(window * time.Minute)
	fail("first", 1)
	if err := w.lookAtTallies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := sum(); n != 1 || w.remembered != 1 || len(w.tallies) != 1 {
		t.Errorf("an hour later %d failures of %d accounts are remembered, and counted as %d", n, len(w.tallies), w.remembered)
	}
}
