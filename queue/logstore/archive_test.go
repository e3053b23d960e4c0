package logstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

// copyStore moves everything from one store to another.
func copyStore(t testing.TB, from, to *Store, limit int) (events int) {
	t.Helper()
	ctx := context.Background()
	for c := queue.Cursor(""); ; {
		items, next, err := from.Export(ctx, c, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range items {
			if items[i].Event != nil {
				events++
			}
			if m := items[i].Message; m != nil && len(m.Entry.Message.Content.Key) > 0 {
				m.Content = write(t, to, string(readContent(t, from, m.Entry.Message.Content)))
			}
		}
		if err := to.Import(ctx, items); err != nil {
			t.Fatal(err)
		}
		if c = next; c == "" {
			return events
		}
	}
}

// A message that has been waiting for long has its first events in the index
// only, since the log was cut behind it.
func TestExportHasEventsThatTheLogForgot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := Options{SegmentSize: 64 << 10, FS: vfs.NewMem()}
	s := openTest(t, o)
	old := enqueue(t, s, mail{rcpts: 3, body: "old"}).ID
	settle(t, s, leaseOne(t, s, t0), queue.StateDeferred, t0)
	if _, err := s.Apply(ctx, queue.Operation{Action: queue.ActionHold, Now: t0, Filter: queue.Filter{Messages: []queue.MessageID{old}}}); err != nil {
		t.Fatal(err)
	}
	late := t0.Add(time.Hour)
	for range 100 {
		enqueue(t, s, mail{now: late, body: strings.Repeat("x", 4000)})
		settle(t, s, leaseOne(t, s, late), queue.StateDelivered, late)
	}
	sweepAll(t, s, queue.Retention{Now: late, Sent: late.Add(time.Minute), Bounced: late.Add(time.Minute), Content: late.Add(time.Minute)})
	if first := s.log.First(); position(first, 0) < mustHistory(t, s, old)[0].Position {
		t.Fatalf("the log still begins at %s", first)
	}
	for _, limit := range []int{1, 2, 100} {
		c := openTest(t, Options{})
		if n := copyStore(t, s, c, limit); n != 7 {
			t.Errorf("by %d: %d events were exported, want 7", limit, n)
		}
		if a, b := mustHistory(t, s, old), mustHistory(t, c, old); len(a) != 7 || len(b) != 7 || a[0].ID != b[0].ID || a[6].ID != b[6].ID {
			t.Errorf("by %d: the history was\n%+v\nis\n%+v", limit, a, b)
		}
		checkIndex(t, c)
	}
}

func mustHistory(t testing.TB, s *Store, id queue.MessageID) []queue.Event {
	t.Helper()
	vs, err := s.History(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestImportKeepsTheIndexInOrder(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{InlineLimit: 1000})
	for i := range 40 {
		enqueue(t, s, mail{rcpts: 1 + i%3, body: strings.Repeat("x", 100*i)})
		l := leaseOne(t, s, t0)
		switch i % 4 {
		case 0:
			settle(t, s, l, queue.StateDelivered, t0)
		case 1:
			settle(t, s, l, queue.StateBounced, t0)
		case 2:
			settle(t, s, l, queue.StateDeferred, t0)
		}
	}
	c := openTest(t, Options{InlineLimit: 777})
	copyStore(t, s, c, 17)
	checkIndex(t, c)
	checkLeases(t, c)
	sweepAll(t, c, queue.Retention{Now: t0, Sent: t0.Add(time.Hour), Bounced: t0.Add(time.Hour), Content: t0.Add(time.Hour)})
	checkIndex(t, c)
}

// A version that does not know imported records must not open them: it would
// pass over their events.
func TestOnlyAnImportRaisesTheFormat(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	o := Options{Dir: "data", FS: fs, ReserveBytes: -1}
	format := func(want string) {
		t.Helper()
		if text, err := readSmall(fs, "data/FORMAT"); err != nil || text != want {
			t.Errorf("FORMAT says %q, %v, want %q", text, err, want)
		}
	}
	if there, err := Exists(fs, "data"); there || err != nil {
		t.Errorf("there is a store already: %v", err)
	}
	for _, want := range []string{"postrider-logstore 1", "postrider-logstore 2", "postrider-logstore 2"} {
		s, err := Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(want, "2") {
			if err := s.Import(ctx, []queue.Item{{Reader: &queue.ArchivedReader{Name: "r"}}}); err != nil {
				t.Fatal(err)
			}
		}
		format(want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if there, err := Exists(fs, "data"); !there || err != nil {
			t.Errorf("there is no store: %v", err)
		}
	}
	if err := writeFormat(fs, "data", formatNumber+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, o); err == nil || !strings.Contains(err.Error(), "start the newer version again") || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a newer store: %v", err)
	}
}

// A version that does not know labels must not open messages with them: it would
// send what is for the sandbox, and without TLS what is not to be.
func TestLabelsAndReschedulingRaiseTheFormat(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	at := t0.Add(time.Hour)
	for name, c := range map[string]struct {
		change func(s *Store) error
		want   int64
	}{
		"a plain message": {func(s *Store) error { enqueue(t, s, mail{}); return nil }, formatFirst},
		"a labelled message": {func(s *Store) error {
			r := mail{}.request(t, s)
			r.Message.Sandbox = true
			_, err := s.Enqueue(ctx, r)
			return err
		}, formatLabelled},
		"a labelled message that is refused": {func(s *Store) error {
			r := mail{}.request(t, s)
			r.Message.Labels.Tags = []string{""}
			if _, err := s.Enqueue(ctx, r); err == nil {
				t.Error("it was accepted")
			}
			return nil
		}, formatFirst},
		"an imported one": {func(s *Store) error {
			r := mail{}.request(t, nil)
			r.Message.Envelope.RequireTLS = true
			m := &r.Message
			first := queuedEvent(m, len(r.Recipients), t0)
			return s.Import(ctx, []queue.Item{{Message: &queue.ArchivedMessage{Entry: queue.Entry{Message: *m, Recipients: r.Recipients}}}, {Event: &first}})
		}, formatLabelled},
		"rescheduling": {func(s *Store) error {
			enqueue(t, s, mail{})
			_, err := s.Apply(ctx, queue.Operation{Action: queue.ActionReschedule, Now: t0, Due: at})
			return err
		}, formatLabelled},
		"a dry run of it": {func(s *Store) error {
			enqueue(t, s, mail{})
			_, err := s.Apply(ctx, queue.Operation{Action: queue.ActionReschedule, Now: t0, Due: at, DryRun: true})
			return err
		}, formatFirst},
	} {
		fs := vfs.NewMem()
		s := openTest(t, Options{FS: fs})
		if err := c.change(s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := readSmall(fs, "/data/FORMAT")
		if want := fmt.Sprintf("%s %d", formatName, c.want); err != nil || text != want {
			t.Errorf("%s: FORMAT says %q, %v, want %q", name, text, err, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, Options{FS: fs})
		if s.format.Load() != c.want {
			t.Errorf("%s: opened with format %d", name, s.format.Load())
		}
		checkIndex(t, s)
	}
}

func TestReschedulingIsReplayed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	end := t0.Add(500 * time.Hour)
	for i := range 5 {
		enqueue(t, s, mail{rcpts: 1 + i, body: "body"})
	}
	got, err := s.Apply(ctx, queue.Operation{Action: queue.ActionReschedule, Now: t0, Due: t0.Add(time.Hour), ExpiresAt: end})
	if err != nil || got.Changed != 15 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll("/data/index"); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{FS: fs})
	checkIndex(t, s)
	vs, _, err := s.List(ctx, queue.Filter{}, "", 10)
	if err != nil || len(vs) != 5 {
		t.Fatalf("%d messages, %v", len(vs), err)
	}
	for _, v := range vs {
		if !v.Message.ExpiresAt.Equal(end) || v.Recipients[0].State != queue.StateScheduled {
			t.Errorf("%+v", v)
		}
	}
}
