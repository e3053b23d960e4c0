package logstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

func sweepAll(t testing.TB, s *Store, r queue.Retention) queue.Swept {
	t.Helper()
	var all queue.Swept
	for range 1000 {
		done, err := s.Sweep(context.Background(), r)
		if err != nil {
			t.Fatalf("sweep: %v", err)
		}
		all.Entries += done.Entries
		all.Contents += done.Contents
		all.Orphans += done.Orphans
		all.Bytes += done.Bytes
		if !done.More {
			return all
		}
	}
	t.Fatal("sweeping comes to no end")
	return all
}

func TestRetention(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	send := func(at time.Time, rcpts int, states ...queue.State) queue.MessageID {
		id := enqueue(t, s, mail{rcpts: rcpts, now: at, body: "text"}).ID
		l := leaseOne(t, s, at)
		for i, st := range states {
			one := l
			one.Recipients = l.Recipients[i : i+1]
			settle(t, s, one, st, at.Add(time.Duration(i)*time.Hour))
		}
		if err := s.Release(ctx, l, at, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Park(ctx, "example.org", at, hour(1000)); err != nil { // what is open stays
			t.Fatal(err)
		}
		if err := s.Park(ctx, "example.org", at, at); err != nil {
			t.Fatal(err)
		}
		return id
	}
	sent := send(hour(0), 1, queue.StateDelivered)
	bounced := send(hour(0), 1, queue.StateBounced)
	mixed := send(hour(0), 2, queue.StateBounced, queue.StateDelivered)
	recent := send(hour(9), 1, queue.StateDelivered)
	open := send(hour(10), 2, queue.StateBounced)
	gone := func(want string) {
		t.Helper()
		got := ""
		for name, id := range map[string]queue.MessageID{"a": sent, "b": bounced, "c": mixed, "d": recent, "e": open} {
			e, err := s.Message(ctx, id)
			switch {
			case errors.Is(err, queue.ErrNotFound):
				got += name
			case err != nil:
				t.Fatal(err)
			case len(e.Message.Content.Key) == 0:
				got += strings.ToUpper(name)
			}
		}
		if len(got) != len(want) || strings.Trim(got, want) != "" {
			t.Errorf("gone are %q, want %q", got, want)
		}
		checkIndex(t, s)
	}
	// One message at a time: it may be interrupted anywhere.
	sweepAll(t, s, queue.Retention{Now: hour(20), Max: 1})
	gone("")
	ref := message(t, s, sent).Message.Content
	sweepAll(t, s, queue.Retention{Now: hour(20), Content: hour(5), Max: 1})
	gone("ABC")
	if _, err := s.OpenContent(ctx, ref); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("removed content: %v", err)
	}
	sweepAll(t, s, queue.Retention{Now: hour(20), Sent: hour(5), Max: 1})
	gone("aBC")
	sweepAll(t, s, queue.Retention{Now: hour(20), Sent: hour(5), Bounced: hour(1), Max: 1})
	gone("abC")
	sweepAll(t, s, queue.Retention{Now: hour(20), Bounced: hour(5), Max: 1})
	gone("abc")
	l := leaseOne(t, s, hour(11))
	settle(t, s, l, queue.StateDelivered, hour(11))
	if done := sweepAll(t, s, queue.Retention{Now: hour(20), Sent: hour(19), Bounced: hour(19)}); done.Entries != 2 {
		t.Errorf("swept %+v", done)
	}
	gone("abcde")
	if c, err := s.Counts(ctx); err != nil || len(c) != 0 {
		t.Errorf("counts are %v, %v", c, err)
	}
}

func TestOrphansAreForgotten(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs, InlineLimit: 1000})
	body := strings.Repeat("x", 5000)
	open := write(t, s, body)
	write(t, s, body).Abort()
	if done := sweepAll(t, s, queue.Retention{Now: t0}); done.Orphans != 1 {
		t.Fatalf("swept %+v", done)
	}
	r := mail{body: body}.request(t, nil)
	r.Content = open
	if _, err := s.Enqueue(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	write(t, s, body)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{FS: fs})
	if done := sweepAll(t, s, queue.Retention{Now: t0}); done.Orphans != 1 {
		t.Fatalf("swept %+v", done)
	}
	if string(readContent(t, s, leaseOne(t, s, t0).Message.Content)) != body {
		t.Error("content is another")
	}
}

// TestSpaceIsGivenBack: few old messages are copied along, and what is dead
// goes; readers keep what they have not seen; all of it across crashes.
func TestSpaceIsGivenBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	o := Options{FS: fs, SegmentSize: 64 << 10, InlineLimit: 3000, MemTableSize: 64 << 10}
	s := openTest(t, o)
	body := func(i int) string { return strings.Repeat(fmt.Sprintf("%05d", i), 1000) }
	kept := map[queue.MessageID]string{}
	var start queue.Position
	for i := range 200 {
		st := queue.StateQueued
		if i%20 == 0 {
			st = queue.StateHeld
		}
		id := enqueue(t, s, mail{body: body(i), state: st}).ID
		if st == queue.StateHeld {
			kept[id] = body(i)
			continue
		}
		settle(t, s, leaseOne(t, s, t0), queue.StateDelivered, t0)
		if i == 50 {
			var err error
			if _, start, err = s.ReadEvents(ctx, "", 1000); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Acknowledge(ctx, "webhook", start); err != nil {
		t.Fatal(err)
	}
	var oldest queue.ContentRef
	for id := range kept {
		if e := message(t, s, id); oldest.Key == nil || id.String() < queue.MessageID(oldest.Key).String() {
			oldest = e.Message.Content
		}
	}
	reading, err := s.OpenContent(ctx, oldest)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	before := s.Condition(ctx).Used
	cut := queue.Retention{Now: t0.Add(time.Hour), Content: t0.Add(time.Hour)}
	sweepAll(t, s, cut)
	events, _, err := s.ReadEvents(ctx, start, 1000)
	if err != nil || len(events) == 0 {
		t.Fatalf("the reader's events: %d, %v", len(events), err)
	}
	if _, _, err := s.ReadEvents(ctx, position(64, 0), 10); !errors.Is(err, queue.ErrPosition) {
		t.Errorf("a place that is gone: %v", err)
	}
	last := events[len(events)-1].Position
	if err := s.Acknowledge(ctx, "webhook", last); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s = openTest(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{}), SegmentSize: o.SegmentSize, InlineLimit: o.InlineLimit, MemTableSize: o.MemTableSize})
		fs = s.opts.FS.(*vfs.MemFS)
		if err := s.Acknowledge(ctx, "webhook", last); err != nil {
			t.Fatal(err)
		}
		sweepAll(t, s, cut)
		for id, want := range kept {
			if got := readContent(t, s, message(t, s, id).Message.Content); string(got) != want {
				t.Errorf("content of %s is another", id)
			}
		}
		checkIndex(t, s)
		if more, _, err := s.ReadEvents(ctx, last, 10); err != nil || len(more) != 0 {
			t.Errorf("events after the last: %v, %v", more, err)
		}
	}
	if after := s.Condition(ctx).Used; after > before/4 {
		t.Errorf("%d octets are used of %d, %d segments", after, before, len(s.log.Segments()))
	}
	part := make([]byte, 5)
	if _, err := reading.ReadAt(part, 4990); err != nil || string(part) != "00000" {
		t.Errorf("an open content became unreadable: %q, %v", part, err)
	}
}
