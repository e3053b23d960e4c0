package storetest_test

import (
	"context"
	"errors"
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

// archiveMutant begins the names of those that are an archive and break it.
const archiveMutant = "archive: "

// TestSuiteCatchesMutants runs the suite on stores that break one rule each, in
// processes of their own, and demands that it fails. The store without any
// break passes.
func TestSuiteCatchesMutants(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]string{"none": "^(fence|events|settle|lease|idempotency|operate|registry|stress|model|archive|folders)$"}
	for name := range mutants() {
		groups[name] = "^(fence|events|settle|lease|idempotency|operate|registry|model)$"
		if strings.HasPrefix(name, archiveMutant) {
			groups[name] = "^archive$"
		}
		if strings.HasPrefix(name, foldersMutant) {
			groups[name] = "^folders$"
		}
	}
	slots := make(chan struct{}, 2)
	for name, group := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			c := exec.Command(self, "-test.run", "^TestMutant$/"+group, "-test.failfast", "-test.timeout", "600s")
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
			return &whole{m, s, s}
		}
		return breaks(m)
	}
	storetest.Run(t, storetest.Harness{
		Archive: breaks == nil || strings.HasPrefix(name, archiveMutant),
		Scale:   0.3,
		Open:    func(t *testing.T) queue.Store { return open(t, vfs.NewMem()) },
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
		"records come as they like":              func(m *mutant) queue.Store { return &shuffling{m} },
		"a message keeps its end":                func(m *mutant) queue.Store { return &endless{m} },
		"what was tried is rescheduled too":      func(m *mutant) queue.Store { return &rescheduler{m} },
		"a destination is lost":                  func(m *mutant) queue.Store { return &lossy{m} },

		archiveMutant + "readers stay behind":                  func(m *mutant) queue.Store { return &readerless{m} },
		archiveMutant + "readers are put forward again":        func(m *mutant) queue.Store { return &hasty{m} },
		archiveMutant + "what differs is passed over":          func(m *mutant) queue.Store { return &lenient{m} },
		archiveMutant + "a page's last item is lost":           func(m *mutant) queue.Store { return &cutting{m} },
		archiveMutant + "nobody is in doubt":                   func(m *mutant) queue.Store { return &certain{m} },
		archiveMutant + "the events of a message are reversed": func(m *mutant) queue.Store { return &reversed{m} },

		foldersMutant + "the last writer wins":            func(m *mutant) queue.Store { return &lastShelf{foldersOf(m)} },
		foldersMutant + "rows of a refused commit stay":   func(m *mutant) queue.Store { return &halfShelf{foldersOf(m)} },
		foldersMutant + "empty values are none":           func(m *mutant) queue.Store { return &noEmpty{foldersOf(m)} },
		foldersMutant + "rows come sorted":                func(m *mutant) queue.Store { return &sortedRows{foldersOf(m)} },
		foldersMutant + "a drop takes whom it begins":     func(m *mutant) queue.Store { return &greedy{foldersOf(m)} },
		foldersMutant + "a page of accounts begins early": func(m *mutant) queue.Store { return &repeating{foldersOf(m)} },
		foldersMutant + "lineages are of accounts":        func(m *mutant) queue.Store { return &ancestral{foldersOf(m)} },
		foldersMutant + "a drop leaves the index":         func(m *mutant) queue.Store { return &remembering{foldersOf(m)} },
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

// shuffling returns records in another order.
type shuffling struct{ *mutant }

func (m *shuffling) GetRecords(ctx context.Context, kind queue.RecordKind, names []string) ([]queue.Record, error) {
	rs, err := m.Store.GetRecords(ctx, kind, names)
	slices.SortFunc(rs, func(a, b queue.Record) int { return strings.Compare(a.Name, b.Name) })
	return rs, err
}

// endless does not move the end of messages.
type endless struct{ *mutant }

func (m *endless) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	if !op.ExpiresAt.IsZero() && op.Due.IsZero() {
		op.Due, op.ExpiresAt = op.ExpiresAt, time.Time{}
	}
	op.ExpiresAt = time.Time{}
	return m.Store.Apply(ctx, op)
}

// rescheduler retries what was tried when it is to be rescheduled.
type rescheduler struct{ *mutant }

func (m *rescheduler) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	a, err := m.Store.Apply(ctx, op)
	if op.Action == queue.ActionReschedule && err == nil && !op.DryRun {
		op.Action, op.Filter.States = queue.ActionRetry, []queue.State{queue.StateDeferred}
		_, err = m.Store.Apply(ctx, op)
	}
	return a, err
}

// lossy forgets the last destination of a page.
type lossy struct{ *mutant }

func (m *lossy) Destinations(ctx context.Context, after queue.Lane, limit int) ([]queue.Destination, error) {
	ds, err := m.Store.Destinations(ctx, after, limit)
	return ds[:max(len(ds)-1, 0)], err
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

// whole is a mutant without a break that is an archive too.
type whole struct {
	*mutant
	queue.Archive
	queue.Folders
}

func (m *mutant) export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return m.Store.(queue.Archive).Export(ctx, c, limit)
}

func (m *mutant) imports(ctx context.Context, items []queue.Item) error {
	return m.Store.(queue.Archive).Import(ctx, items)
}

// readerless exports no readers.
type readerless struct{ *mutant }

func (m *readerless) Import(ctx context.Context, items []queue.Item) error {
	return m.imports(ctx, items)
}

func (m *readerless) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	items, next, err := m.export(ctx, c, limit)
	return slices.DeleteFunc(items, func(it queue.Item) bool { return it.Reader != nil }), next, err
}

// hasty lets a reader stand at the end each time that it comes.
type hasty struct{ *mutant }

func (m *hasty) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return m.export(ctx, c, limit)
}

func (m *hasty) Import(ctx context.Context, items []queue.Item) error {
	for i := range items {
		if err := m.imports(ctx, items[i:i+1]); err != nil {
			return err
		}
		if items[i].Reader == nil {
			continue
		}
		p := queue.Position("")
		for {
			vs, next, err := m.ReadEvents(ctx, p, 100)
			if err != nil {
				return err
			}
			if p = next; len(vs) == 0 {
				break
			}
		}
		if err := m.Acknowledge(ctx, items[i].Reader.Name, p); err != nil {
			return err
		}
	}
	return nil
}

// lenient takes what is there for what comes.
type lenient struct{ *mutant }

func (m *lenient) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return m.export(ctx, c, limit)
}

func (m *lenient) Import(ctx context.Context, items []queue.Item) error {
	err := m.imports(ctx, items)
	if errors.Is(err, queue.ErrExists) {
		return nil
	}
	return err
}

// cutting loses what just fits.
type cutting struct{ *mutant }

func (m *cutting) Import(ctx context.Context, items []queue.Item) error {
	return m.imports(ctx, items)
}

func (m *cutting) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	items, next, err := m.export(ctx, c, limit)
	if len(items) == limit && limit > 1 {
		items = items[:limit-1]
	}
	return items, next, err
}

// certain forgets the marks.
type certain struct{ *mutant }

func (m *certain) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return m.export(ctx, c, limit)
}

func (m *certain) Import(ctx context.Context, items []queue.Item) error {
	for _, it := range items {
		if it.Message == nil {
			continue
		}
		for i := range it.Message.Entry.Recipients {
			it.Message.Entry.Recipients[i].InDoubt = false
		}
	}
	return m.imports(ctx, items)
}

// reversed imports events last first.
type reversed struct{ *mutant }

func (m *reversed) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return m.export(ctx, c, limit)
}

func (m *reversed) Import(ctx context.Context, items []queue.Item) error {
	events := func(it queue.Item) bool { return it.Event != nil }
	if i := slices.IndexFunc(items, events); i >= 0 {
		slices.Reverse(items[i:])
	}
	return m.imports(ctx, items)
}
