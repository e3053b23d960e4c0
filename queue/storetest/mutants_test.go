package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/storetest"
)

// mutantVariable names the mutant that a child process runs the suite on.
const mutantVariable = "STORETEST_MUTANT"

// TestSuiteCatchesMutants runs the suite on stores that break one rule each, in
// processes of their own, and demands that it fails. The store without any
// break passes.
func TestSuiteCatchesMutants(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]string{"none": "^(fence|events|settle|lease|idempotency|operate|registry|stress|model)$"}
	for name := range mutants() {
		groups[name] = "^(fence|events|settle|lease|idempotency|operate|registry|model)$"
	}
	slots := make(chan struct{}, 2)
	for name, group := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			c := exec.Command(self, "-test.run", "^TestMutant$/"+group, "-test.failfast", "-test.timeout", "120s")
			c.Env = append(os.Environ(), mutantVariable+"="+name)
			out, err := c.CombinedOutput()
			failed := strings.Contains(string(out), "--- FAIL: TestMutant/")
			switch {
			case name == "none" && (err != nil || failed):
				t.Fatalf("the store as it is fails: %v\n%s", err, out)
			case name != "none" && !failed:
				t.Fatalf("the mutant survives: %v\n%s", err, out)
			}
		})
	}
}

// TestMutant is the child's part. On its own it runs nothing.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantVariable)
	if name == "" {
		return
	}
	breaks := mutants()[name]
	open := func(t *testing.T, fs vfs.FS) queue.Store {
		s, err := logstore.Open(context.Background(), logstore.Options{Dir: "data", FS: fs, ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		m := &mutant{Store: s, fs: fs, last: map[queue.RecipientID]queue.Token{}}
		if breaks == nil {
			return m
		}
		return breaks(m)
	}
	storetest.Run(t, storetest.Harness{
		Scale: 0.3,
		Open:  func(t *testing.T) queue.Store { return open(t, vfs.NewMem()) },
		Reopen: func(t *testing.T, s queue.Store) queue.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, s.(interface{ disk() vfs.FS }).disk())
		},
	})
}

// mutant is the embedded engine, to be broken by overriding a method.
type mutant struct {
	queue.Store
	fs vfs.FS

	mu   sync.Mutex
	last map[queue.RecipientID]queue.Token
}

func (m *mutant) disk() vfs.FS { return m.fs }

// mutants break one rule each, as an engine easily could.
func mutants() map[string]func(m *mutant) queue.Store {
	return map[string]func(m *mutant) queue.Store{
		"no fence check":                         func(m *mutant) queue.Store { return &noFence{m} },
		"settle without its event":               func(m *mutant) queue.Store { return &noEvent{m} },
		"half a refused settlement is done":      func(m *mutant) queue.Store { return &halfSettle{m} },
		"what is lost is retried by its zombie":  func(m *mutant) queue.Store { return &zombieRetry{m} },
		"an expired lease forgets the recipient": func(m *mutant) queue.Store { return &forgetful{m} },
		"lease does not look at what is pending": func(m *mutant) queue.Store { return &deaf{m} },
		"release keeps the lease":                func(m *mutant) queue.Store { return &keeper{m} },
		"the mark is not kept":                   func(m *mutant) queue.Store { return &noMark{m} },
		"extend names no lost lease":             func(m *mutant) queue.Store { return &neverLost{m} },
		"an event is skipped at a page's end":    func(m *mutant) queue.Store { return &skipping{m} },
		"fingerprints are not compared":          func(m *mutant) queue.Store { return &anyPrint{m} },
		"the last writer of a record wins":       func(m *mutant) queue.Store { return &lastWins{m} },
		"retry now forgets what is active":       func(m *mutant) queue.Store { return &retryWaiting{m} },
		"a stale due time is served":             func(m *mutant) queue.Store { return &early{m} },
	}
}

// noFence takes every token for the current one.
type noFence struct{ *mutant }

func (m *noFence) Lease(ctx context.Context, r queue.LeaseRequest) ([]queue.Lease, error) {
	ls, err := m.Store.Lease(ctx, r)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range ls {
		for _, x := range l.Recipients {
			m.last[x.ID] = l.Token
		}
	}
	return ls, err
}

func (m *noFence) Settle(ctx context.Context, l queue.Lease, ss []queue.Settlement) error {
	m.mu.Lock()
	if len(ss) > 0 && m.last[ss[0].Recipient] > l.Token {
		l.Token = m.last[ss[0].Recipient]
	}
	m.mu.Unlock()
	return m.Store.Settle(ctx, l, ss)
}

// noEvent loses the events of deferrals on the way to the readers.
type noEvent struct{ *mutant }

func (m *noEvent) ReadEvents(ctx context.Context, p queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	vs, next, err := m.Store.ReadEvents(ctx, p, limit)
	return slices.DeleteFunc(vs, func(v queue.Event) bool { return v.Kind == queue.EventDeferred }), next, err
}

// halfSettle settles one by one.
type halfSettle struct{ *mutant }

func (m *halfSettle) Settle(ctx context.Context, l queue.Lease, ss []queue.Settlement) error {
	for i := range ss {
		if err := m.Store.Settle(ctx, l, ss[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// zombieRetry makes due what a lost lease wants to defer.
type zombieRetry struct{ *mutant }

func (m *zombieRetry) Settle(ctx context.Context, l queue.Lease, ss []queue.Settlement) error {
	err := m.Store.Settle(ctx, l, ss)
	if err != nil && len(ss) > 0 && ss[0].Outcome == queue.StateDeferred {
		_, _ = m.Apply(ctx, queue.Operation{Action: queue.ActionRetry, Now: ss[0].Due, Filter: queue.Filter{Recipients: []queue.RecipientID{ss[0].Recipient}}})
	}
	return err
}

// forgetful never grants again what a lease let expire.
type forgetful struct{ *mutant }

func (m *forgetful) Lease(ctx context.Context, r queue.LeaseRequest) ([]queue.Lease, error) {
	r.TTL += 10000 * time.Hour
	ls, err := m.Store.Lease(ctx, r)
	for i := range ls {
		ls[i].Expires = ls[i].Expires.Add(-10000 * time.Hour)
	}
	return ls, err
}

// deaf forgets what operators want of active recipients.
type deaf struct{ *mutant }

func (m *deaf) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	if len(op.Filter.States) == 0 && op.Action != queue.ActionRelease {
		for s := queue.StateQueued; s <= queue.StateSuppressed; s++ {
			if s != queue.StateActive {
				op.Filter.States = append(op.Filter.States, s)
			}
		}
	}
	return m.Store.Apply(ctx, op)
}

// keeper does not give back.
type keeper struct{ *mutant }

func (m *keeper) Release(context.Context, queue.Lease, time.Time, []queue.RecipientID) error {
	return nil
}

// noMark does not mark.
type noMark struct{ *mutant }

func (m *noMark) Mark(context.Context, queue.Lease, []queue.RecipientID) error { return nil }

// neverLost extends, and tells no bad news.
type neverLost struct{ *mutant }

func (m *neverLost) Extend(ctx context.Context, now time.Time, ttl time.Duration, ls ...queue.Lease) ([]queue.Lease, error) {
	_, err := m.Store.Extend(ctx, now, ttl, ls...)
	return nil, err
}

// skipping loses one event where a page was full.
type skipping struct{ *mutant }

func (m *skipping) ReadEvents(ctx context.Context, p queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	vs, next, err := m.Store.ReadEvents(ctx, p, limit)
	if len(vs) == limit && limit > 1 {
		vs = vs[:limit-1]
	}
	return vs, next, err
}

// anyPrint takes any message with a known key for the first.
type anyPrint struct{ *mutant }

func (m *anyPrint) Enqueue(ctx context.Context, r queue.EnqueueRequest) (queue.Enqueued, error) {
	r.Idempotency.Fingerprint = [32]byte{}
	return m.Store.Enqueue(ctx, r)
}

// lastWins writes records whatever the version was.
type lastWins struct{ *mutant }

func (m *lastWins) PutRecord(ctx context.Context, r queue.Record) (uint64, error) {
	if now, err := m.GetRecord(ctx, r.Kind, r.Name); err == nil {
		r.Version = now.Version
	}
	return m.Store.PutRecord(ctx, r)
}

// retryWaiting is retry now for what waits only.
type retryWaiting struct{ *mutant }

func (m *retryWaiting) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	if op.Action == queue.ActionRetry && len(op.Filter.States) == 0 {
		op.Filter.States = []queue.State{queue.StateQueued, queue.StateDeferred, queue.StateScheduled}
	}
	return m.Store.Apply(ctx, op)
}

// early serves what is deferred a minute too soon.
type early struct{ *mutant }

func (m *early) Lease(ctx context.Context, r queue.LeaseRequest) ([]queue.Lease, error) {
	r.Now, r.TTL = r.Now.Add(time.Minute), r.TTL-time.Minute
	return m.Store.Lease(ctx, r)
}
