package commitlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// appendAll appends until the first error and returns what got in.
func appendAll(t testing.TB, l *Log, prefix string, size, limit int, critical bool) (in []string, err error) {
	t.Helper()
	for i := range limit {
		s := fmt.Sprintf("%s%04d%0*d", prefix, i, size, 0)
		b := &Batch{Records: []Record{rec(s)}, Critical: critical}
		if err := l.Append(t.Context(), b); err != nil {
			return in, err
		}
		in = append(in, s)
	}
	return in, nil
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	disk := newDiskFS(mem, 100<<10)
	l := mustOpen(t, disk, Options{SegmentSize: 16 << 10})
	in, err := appendAll(t, l, "a", 1000, 1000, false)
	if !errors.Is(err, ErrNoSpace) || len(in) < 50 {
		t.Fatalf("%d appended: %v", len(in), err)
	}
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	equal(t, "full", texts(t, l), in)
	// Many at once on a full disk: each is in or refused, none half.
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			s := fmt.Sprintf("w%d%0*d", w, 100*w, 0)
			err := l.Append(context.Background(), &Batch{Records: []Record{rec(s), rec(s)}})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				in = append(in, s, s)
			} else if !errors.Is(err, ErrNoSpace) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := texts(t, l)
	slices.Sort(got)
	slices.Sort(in)
	equal(t, "refused batches", got, in)
	// Removing the oldest segment makes room again.
	gone := l.Segments()[0]
	n := 0
	if _, err := l.Scan(t.Context(), gone.First, func(e Entry) error {
		if e.Position < gone.End {
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(gone.First); err != nil {
		t.Fatal(err)
	}
	more, err := appendAll(t, l, "b", 1000, 5, false)
	if err != nil {
		t.Fatal(err)
	}
	kept := texts(t, l)
	if len(kept) != len(got)-n+len(more) {
		t.Fatalf("%d kept of %d-%d+%d", len(kept), len(got), n, len(more))
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	equal(t, "after power loss", texts(t, mustOpen(t, crashed, Options{SegmentSize: 16 << 10})), kept)
}

func TestRefusedRecordsDoNotComeBack(t *testing.T) {
	t.Parallel()
	for room := int64(0); room < 3000; room += 97 {
		mem := vfs.NewCrashableMem()
		disk := newDiskFS(mem, 1<<20)
		l := mustOpen(t, disk, Options{SegmentSize: 64 << 10, FS: disk})
		first := mustAppend(t, l, rec("first"))
		disk.mu.Lock()
		disk.total -= disk.free()
		// Let the file take room bytes more than it has, zeros and all.
		delete(disk.alloc, "log/"+segmentName(0))
		disk.alloc["log/"+segmentName(0)] = int64(first[0]) + frameSize(5)
		disk.total = disk.alloc["log/"+segmentName(0)] + room
		disk.mu.Unlock()
		b := &Batch{Records: []Record{rec("second"), {Type: 1, Body: make([]byte, 500)}, {Type: 1, Body: make([]byte, 3000)}}}
		if err := l.Append(t.Context(), b); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("room %d: %v", room, err)
		}
		for _, fs := range []*vfs.MemFS{mem.CrashClone(vfs.CrashCloneCfg{}), mem} {
			if fs == mem {
				disk.resize(1 << 20)
				mustAppend(t, l, rec("third"))
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			if want = []string{"first"}; fs == mem {
				want = append(want, "third")
			}
			equal(t, fmt.Sprintf("room %d", room), texts(t, mustOpen(t, fs, Options{SegmentSize: 64 << 10})), want)
		}
	}
}

func TestReserveIsForCriticalRecords(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	const reserve = 64 << 10
	disk := newDiskFS(mem, 256<<10)
	opts := Options{SegmentSize: 16 << 10, LowWater: 32 << 10, ReserveBytes: reserve}
	l := mustOpen(t, disk, opts)
	if s := l.Space(); s.Reserve != reserve || s.Low {
		t.Fatalf("at start: %+v", s)
	}
	ordinary, err := appendAll(t, l, "o", 500, 1000, false)
	if !errors.Is(err, ErrNoSpace) || len(ordinary) < 100 {
		t.Fatalf("%d ordinary: %v", len(ordinary), err)
	}
	if s := l.Space(); !s.Low || s.Reserve != reserve || s.Free < 0 {
		t.Fatalf("below the mark: %+v", s)
	}
	critical, err := appendAll(t, l, "c", 500, 1000, true)
	if !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	if min := (32<<10 + reserve) / 600 * 8 / 10; len(critical) < min {
		t.Fatalf("only %d critical records, want %d", len(critical), min)
	}
	if s := l.Space(); s.Reserve != 0 {
		t.Fatalf("used up: %+v", s)
	}
	all := append(ordinary, critical...)
	equal(t, "log", texts(t, l), all)
	disk.resize(1 << 20)
	more, err := appendAll(t, l, "m", 10, 20, false)
	if err != nil {
		t.Fatal(err)
	}
	if s := l.Space(); s.Reserve != reserve || s.Low {
		t.Fatalf("space is back: %+v", s)
	}
	all = append(all, more...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, disk, opts)
	equal(t, "reopened", texts(t, l), all)
	if s := l.Space(); s.Reserve != reserve {
		t.Fatalf("reopened: %+v", s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	opts.ReserveBytes = 0
	mustOpen(t, disk, opts)
	if names, err := mem.List("log"); err != nil || slices.ContainsFunc(names, func(n string) bool { return n[0] == 'r' }) {
		t.Fatalf("reserve files stay without a reserve: %v, %v", names, err)
	}
}
