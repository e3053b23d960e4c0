package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/api/stream"
	"postrider/api/unsubscribe"
	"postrider/queue"
	"postrider/queue/logstore"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newBook(t *testing.T) (*stream.Book, *clock, *logstore.Store) {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &clock{time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
	return stream.New(s, c.now), c, s
}

func names(list []stream.Stream) (out []string) {
	for _, s := range list {
		out = append(out, s.Name+":"+string(s.Kind))
	}
	return out
}

func equal(a []string, b ...string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestEveryAccountHasTwoStreams(t *testing.T) {
	t.Parallel()
	b, _, _ := newBook(t)
	list, err := b.List(t.Context(), "shop")
	if err != nil || !equal(names(list), "bulk:bulk", "transactional:transactional") {
		t.Fatalf("%v, %v", names(list), err)
	}
	for _, name := range []string{"news", "", "Bulk", "a/b", "../x"} {
		if _, err := b.Get(t.Context(), "shop", name); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := b.Lookup(t.Context(), "shop", name); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("look up %q: %v", name, err)
		}
	}
	if err := b.Delete(t.Context(), "shop", "bulk", 0); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("deleting what is not kept: %v", err)
	}
}

func TestAStreamIsMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	b, c, _ := newBook(t)
	ctx := t.Context()
	offer := &unsubscribe.Offer{Mode: unsubscribe.OneClick, List: "news"}
	made, err := b.Put(ctx, "shop", stream.Stream{Name: "news", Kind: stream.Bulk, Description: "Every week", Unsubscribe: offer})
	if err != nil || made.Version == 0 || !made.CreatedAt.Equal(c.at) {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := b.Put(ctx, "shop", stream.Stream{Name: "news", Kind: stream.Bulk}); !errors.Is(err, queue.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	c.at = c.at.Add(time.Hour)
	got, err := b.Get(ctx, "shop", "news")
	if err != nil || got.Unsubscribe == nil || *got.Unsubscribe != *offer || got.Description != "Every week" {
		t.Fatalf("%+v, %v", got, err)
	}
	old := got
	got.Description = "Every month"
	if got, err = b.Put(ctx, "shop", got); err != nil || !got.CreatedAt.Equal(made.CreatedAt) || !got.UpdatedAt.Equal(c.at) {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := b.Put(ctx, "shop", old); !errors.Is(err, queue.ErrVersion) {
		t.Errorf("a change of an old version: %v", err)
	}
	if err := b.Delete(ctx, "shop", "news", old.Version); !errors.Is(err, queue.ErrVersion) {
		t.Errorf("deleting an old version: %v", err)
	}
	if list, err := b.List(ctx, "shop"); err != nil || !equal(names(list), "bulk:bulk", "news:bulk", "transactional:transactional") {
		t.Errorf("%v, %v", names(list), err)
	}
	if list, err := b.List(ctx, "sho"); err != nil || len(list) != 2 {
		t.Errorf("another account sees %v, %v", names(list), err)
	}
	if err := b.Delete(ctx, "shop", "news", got.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(ctx, "shop", "news"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("after deleting: %v", err)
	}
}

func TestOneThatEveryAccountHasTakesADefault(t *testing.T) {
	t.Parallel()
	b, _, _ := newBook(t)
	ctx := t.Context()
	bulk, err := b.Get(ctx, "shop", "bulk")
	if err != nil {
		t.Fatal(err)
	}
	bulk.Unsubscribe = &unsubscribe.Offer{Mode: unsubscribe.OneClick, List: "all"}
	if _, err := b.Put(ctx, "shop", bulk); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Lookup(ctx, "shop", "bulk"); err != nil || s.Unsubscribe == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := b.Delete(ctx, "shop", "bulk", 0); err != nil {
		t.Fatal(err)
	}
	if s, err := b.Lookup(ctx, "shop", "bulk"); err != nil || s.Unsubscribe != nil || s.Kind != stream.Bulk {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestLookupsAreSomeSecondsOldAtMost(t *testing.T) {
	t.Parallel()
	here, c, store := newBook(t)
	there := stream.New(store, c.now)
	ctx := t.Context()
	if _, err := here.Lookup(ctx, "shop", "news"); !errors.Is(err, queue.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := there.Put(ctx, "shop", stream.Stream{Name: "news", Kind: stream.Bulk}); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Lookup(ctx, "shop", "news"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("asked again at once: %v", err)
	}
	c.at = c.at.Add(5 * time.Second)
	if s, err := here.Lookup(ctx, "shop", "news"); err != nil || s.Kind != stream.Bulk {
		t.Errorf("%+v, %v", s, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := here.Lookup(ended, "shop", "other"); err == nil || errors.Is(err, queue.ErrNotFound) {
		t.Errorf("our own trouble: %v", err)
	}
	if _, err := here.Lookup(ctx, "shop", "other"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("trouble is not kept: %v", err)
	}
}

func TestBadStreamsAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	b, _, _ := newBook(t)
	for field, s := range map[string]stream.Stream{
		"name":               {Name: "News", Kind: stream.Bulk},
		"kind":               {Name: "news", Kind: "other"},
		"description":        {Name: "news", Kind: stream.Bulk, Description: string(make([]byte, 501))},
		"unsubscribe/list":   {Name: "news", Kind: stream.Bulk, Unsubscribe: &unsubscribe.Offer{Mode: unsubscribe.OneClick}},
		"unsubscribe/mode":   {Name: "news", Kind: stream.Bulk, Unsubscribe: &unsubscribe.Offer{Mode: unsubscribe.None}},
		"unsubscribe/url":    {Name: "news", Kind: stream.Bulk, Unsubscribe: &unsubscribe.Offer{Mode: unsubscribe.Custom, URL: "http://x.example"}},
		"unsubscribe/mailto": {Name: "news", Kind: stream.Bulk, Unsubscribe: &unsubscribe.Offer{Mode: unsubscribe.OneClick, List: "a", Mailto: "nobody"}},
	} {
		var ps stream.Problems
		if _, err := b.Put(t.Context(), "shop", s); !errors.As(err, &ps) || ps[0].Field != field {
			t.Errorf("%s: %v %+v", field, err, ps)
		}
	}
	var ps stream.Problems
	if _, err := b.Put(t.Context(), "shop", stream.Stream{Name: "bulk", Kind: stream.Transactional}); !errors.As(err, &ps) || ps[0].Field != "kind" {
		t.Errorf("the kind of bulk was changed: %v", err)
	}
}
