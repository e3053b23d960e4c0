package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func mustOpen(t testing.TB, fs vfs.FS, opts Options) *Log {
	t.Helper()
	opts.FS = fs
	l, err := Open(t.Context(), "log", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func rec(s string) Record { return Record{Type: 1, Payload: []byte(s)} }

func mustAppend(t testing.TB, l *Log, recs ...Record) []Position {
	t.Helper()
	b := &Batch{Records: recs}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var ps []Position
	for _, r := range b.Records {
		ps = append(ps, r.Position)
	}
	return ps
}

func texts(t testing.TB, l *Log) []string {
	t.Helper()
	var all []string
	end, err := l.Scan(context.Background(), l.First(), func(e Entry) error {
		all = append(all, string(e.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if end != l.End() {
		t.Fatalf("scan ended at %s, log at %s", end, l.End())
	}
	return all
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %.300q, want %.300q", what, got, want)
	}
}

func TestAppendedRecordsAreReadBack(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{SegmentSize: 8 << 10})
	rng := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	var at []Position
	for i := range 60 {
		n := []int{0, 1, 7, 8, 100, 3000, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 5}[i%10]
		p := make([]byte, n)
		for j := range p {
			p[j] = byte(rng.Uint32())
		}
		cut := 0
		if n > 0 {
			cut = rng.IntN(n)
		}
		ps := mustAppend(t, l, Record{Type: byte(i + 1), Payload: p[:cut], Body: p[cut:]})
		want, at = append(want, p), append(at, ps[0])
	}
	for i, p := range at {
		e, err := l.ReadAt(p, nil)
		if err != nil || !bytes.Equal(e.Payload, want[i]) || e.Type != byte(i+1) || e.Position != p {
			t.Fatalf("record %d at %s: %v, %d bytes of type %d", i, p, err, len(e.Payload), e.Type)
		}
		info, err := l.Info(p)
		if err != nil || info.Size != int64(len(want[i])) || info.Next != e.Next || info.Type != e.Type {
			t.Fatalf("info of %d: %+v, %v", i, info, err)
		}
		for range 8 {
			off, n := rng.IntN(len(want[i])+1), rng.IntN(2*blockSize)
			dst := make([]byte, n)
			got, err := l.ReadRange(p, int64(off), dst)
			part := want[i][off:min(off+n, len(want[i]))]
			if !bytes.Equal(dst[:got], part) || (got < n) != (err == io.EOF) || (got == n && err != nil) {
				t.Fatalf("range %d+%d of record %d: %d bytes, %v", off, n, i, got, err)
			}
		}
	}
	if n := len(l.Segments()); n < 10 {
		t.Fatalf("only %d segments", n)
	}
	if _, err := l.ReadAt(l.End(), nil); !errors.Is(err, ErrBeyondEnd) {
		t.Fatalf("read at the end: %v", err)
	}
	if _, err := l.ReadAt(at[3]+8, nil); !errors.As(err, new(*CorruptError)) {
		t.Fatalf("read between records: %v", err)
	}
}

func TestApplySeesLogOrderBeforeAppendReturns(t *testing.T) {
	t.Parallel()
	var last Position
	applied := map[Position]string{}
	var mu sync.Mutex
	l := mustOpen(t, vfs.NewMem(), Options{SegmentSize: 16 << 10, Apply: func(es []Entry) error {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range es {
			if e.Position < last {
				t.Errorf("%s applied after %s", e.Position, last)
			}
			last = e.Next
			applied[e.Position] = string(e.Payload)
			*e.Value.(*int)++
		}
		return nil
	}})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			b := &Batch{}
			for i := range 100 {
				var seen int
				b.Records = append(b.Records[:0],
					Record{Type: 1, Payload: fmt.Appendf(nil, "%d/%d/a", w, i), Value: &seen},
					Record{Type: 2, Payload: fmt.Appendf(nil, "%d/%d/", w, i), Body: []byte("b"), Value: &seen})
				if err := l.Append(context.Background(), b); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got := applied[b.Records[1].Position]
				n := seen
				mu.Unlock()
				if got != fmt.Sprintf("%d/%d/b", w, i) || n != 2 {
					t.Errorf("append returned with %q applied, %d of 2", got, n)
				}
			}
		})
	}
	wg.Wait()
	if len(applied) != 3200 || l.Applied() != l.End() {
		t.Fatalf("%d applied, up to %s of %s", len(applied), l.Applied(), l.End())
	}
}

func TestStartedBatchesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{})
	var bs []*Batch
	var want []string
	for i := range 200 {
		b := &Batch{Records: []Record{rec(fmt.Sprint(i))}, NoSync: i%3 == 0}
		l.Start(b)
		bs, want = append(bs, b), append(want, fmt.Sprint(i))
	}
	for _, b := range bs {
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "order", texts(t, l), want)
}

func TestOpenReplaysFromTheIndexPosition(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	l := mustOpen(t, fs, Options{SegmentSize: 4 << 10})
	var all []string
	var next []Position
	for i := range 50 {
		s := fmt.Sprintf("%d-%0300d", i, i)
		ps := mustAppend(t, l, rec(s))
		e, err := l.ReadAt(ps[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		all, next = append(all, s), append(next, e.Next)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i, from := range append([]Position{0}, next...) {
		var got []string
		l := mustOpen(t, fs, Options{SegmentSize: 4 << 10, From: from, Apply: func(es []Entry) error {
			for _, e := range es {
				got = append(got, string(e.Payload))
			}
			return nil
		}})
		equal(t, fmt.Sprintf("replay from %s", from), got, all[i:])
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(t.Context(), "log", Options{FS: fs, From: next[49] + 800})
	if !errors.As(err, new(*CorruptError)) {
		t.Fatalf("index ahead of the log: %v", err)
	}
}

func TestRemovedSegmentStaysReadableWhilePinned(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{})
	p := mustAppend(t, l, rec("old"))[0]
	if err := l.Remove(0); !errors.Is(err, ErrInUse) {
		t.Fatalf("remove the active one: %v", err)
	}
	if err := l.Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := mustAppend(t, l, rec("new"))[0]
	unpin, err := l.Pin(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(l.First()); err != nil {
		t.Fatal(err)
	}
	if e, err := l.ReadAt(p, nil); err != nil || string(e.Payload) != "old" {
		t.Fatalf("pinned: %q, %v", e.Payload, err)
	}
	unpin()
	unpin()
	if _, err := l.ReadAt(p, nil); !errors.Is(err, ErrRemoved) {
		t.Fatalf("unpinned: %v", err)
	}
	if _, err := l.Scan(t.Context(), p, func(Entry) error { return nil }); !errors.Is(err, ErrRemoved) {
		t.Fatalf("scan from a removed place: %v", err)
	}
	if err := l.Remove(0); !errors.Is(err, ErrRemoved) {
		t.Fatalf("remove again: %v", err)
	}
	if e, err := l.ReadAt(q, nil); err != nil || string(e.Payload) != "new" {
		t.Fatalf("other segment: %q, %v", e.Payload, err)
	}
	if err := l.Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := len(l.Segments())
	if err := l.Roll(t.Context()); err != nil || len(l.Segments()) != n {
		t.Fatalf("roll of an empty segment: %v, %d segments", err, len(l.Segments()))
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{MaxOpenFiles: 3})
	var ps []Position
	for i := range 20 {
		ps = append(ps, mustAppend(t, l, rec(fmt.Sprint(i)))...)
		if err := l.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range 500 {
				k := (i*7 + w) % len(ps)
				if e, err := l.ReadAt(ps[k], nil); err != nil || string(e.Payload) != fmt.Sprint(k) {
					t.Errorf("read %d: %q, %v", k, e.Payload, err)
				}
				l.segs.mu.Lock()
				open := 0
				for _, s := range l.segs.live {
					if s.file != nil {
						open++
					}
				}
				if open > 3+2 || open != l.segs.open {
					t.Errorf("%d files open, counted %d", open, l.segs.open)
				}
				l.segs.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestBadBatchesAreRefused(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, vfs.NewMem(), Options{})
	if err := l.Append(t.Context(), &Batch{Records: []Record{{Payload: []byte("x")}}}); !errors.Is(err, ErrReservedType) {
		t.Fatal(err)
	}
	big := make([]byte, MaxBatchBytes)
	if err := l.Append(t.Context(), &Batch{Records: []Record{{Type: 1, Body: big}}}); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), &Batch{Records: []Record{rec("x")}}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
