package commitlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness notes what was acknowledged, and checks a log after a crash for it.
type witness struct {
	mu     sync.Mutex
	acked  map[string]bool // "writer/batch" answered durable
	oldest Position        // removal was begun up to here
}

func (w *witness) snapshot() *witness {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &witness{acked: make(map[string]bool, len(w.acked)), oldest: w.oldest}
	for k := range w.acked {
		c.acked[k] = true
	}
	return c
}

// batchOf encodes writer, number, index and count into every record.
func batchOf(rng *rand.Rand, writer, number int) *Batch {
	n := 1 + rng.IntN(4)
	b := &Batch{}
	for i := range n {
		head := fmt.Appendf(nil, "%d %d %d %d ", writer, number, i, n)
		b.Records = append(b.Records, Record{Type: 7, Payload: head, Body: make([]byte, rng.IntN(2500))})
	}
	return b
}

// verify opens what a crash left and checks the promises: what was acknowledged
// is there, batches are whole, no writer has a gap, the log can be continued.
func (w *witness) verify(t *testing.T, fs *vfs.MemFS, opts Options) {
	t.Helper()
	opts.FS = fs
	got := map[string]bool{}
	last := map[int]int{}
	next, count := 0, 0
	opts.Apply = func(es []Entry) error {
		for _, e := range es {
			var writer, number, i, n int
			if _, err := fmt.Sscanf(string(e.Payload[:min(len(e.Payload), 60)]), "%d %d %d %d ", &writer, &number, &i, &n); err != nil {
				return fmt.Errorf("unreadable record: %w", err)
			}
			if i != next || (i > 0 && n != count) {
				return fmt.Errorf("batch %d/%d: record %d of %d where %d was due", writer, number, i, n, next)
			}
			next, count = i+1, n
			if next == n {
				next = 0
			}
			if prev, seen := last[writer]; seen && number != prev && number != prev+1 {
				return fmt.Errorf("writer %d has %d after %d", writer, number, prev)
			}
			last[writer] = number
			got[fmt.Sprintf("%d/%d", writer, number)] = true
		}
		if next != 0 {
			return fmt.Errorf("half a batch was applied: %d of %d", next, count)
		}
		return nil
	}
	l, err := Open(context.Background(), "log", opts)
	if err != nil {
		t.Fatalf("open after crash: %v\n%s", err, fs)
	}
	if w.oldest == 0 {
		for k := range w.acked {
			if !got[k] {
				t.Fatalf("acknowledged batch %s is lost (%d there, end %s)\n%s", k, len(got), l.End(), fs)
			}
		}
	}
	b := &Batch{Records: []Record{rec("999 0 0 1 ")}}
	if err := l.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	again := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := len(got)
	clear(got)
	clear(last)
	opts.FS = again
	if l, err = Open(context.Background(), "log", opts); err != nil {
		t.Fatalf("open after a second crash: %v", err)
	}
	if len(got) != want || !got["999/0"] {
		t.Fatalf("%d batches after a second crash, want %d", len(got), want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func clone(fs *vfs.MemFS, rng *rand.Rand, percent int) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
}

// tear writes a random part of o and returns what a crash right then leaves.
func tear(fs *vfs.MemFS, o op, rng *rand.Rand, percent int) (*vfs.MemFS, error) {
	cut := rng.IntN(len(o.data) + 1)
	from := 0
	if rng.IntN(2) == 0 {
		from, cut = cut, len(o.data) // the end arrived, the beginning did not
	}
	if _, err := o.file.WriteAt(o.data[from:cut], o.off+int64(from)); err != nil {
		return nil, err
	}
	return clone(fs, rng, percent), nil
}

func TestPowerLossAtAnyStepKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	type crash struct {
		fs   *vfs.MemFS
		w    *witness
		step string
	}
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 1))
		mem := vfs.NewCrashableMem()
		w := &witness{acked: map[string]bool{}}
		var crashes []crash
		keep := func(step string, fs *vfs.MemFS) { crashes = append(crashes, crash{fs, w.snapshot(), step}) }
		fs := &hookFS{FS: mem, hook: func(o op, do func() (int, error)) (int, error) {
			step := o.kind + " " + o.path
			for _, p := range []int{0, 50, 100} {
				keep("before "+step, clone(mem, rng, p))
			}
			if o.kind == "write" {
				for range 3 {
					torn, err := tear(mem, o, rng, 70+rng.IntN(31))
					if err != nil {
						return 0, err
					}
					keep("during "+step, torn)
				}
			}
			return do()
		}}
		// Nothing is synced by the clock here: every step is taken while the test
		// waits for it, so that the steps are the same in every run.
		opts := Options{SegmentSize: 12 << 10, ReserveBytes: 16 << 10, MaxUnsynced: time.Hour}
		o := opts
		o.FS = fs
		l, err := Open(t.Context(), "log", o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 24 {
			b := batchOf(rng, 0, i)
			b.NoSync = rng.IntN(4) == 0
			if err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if !b.NoSync {
				w.mu.Lock()
				for k := range i + 1 {
					w.acked[fmt.Sprintf("0/%d", k)] = true // the log is a prefix
				}
				w.mu.Unlock()
			}
			if i%7 == 6 {
				if err := l.Roll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.mu.Lock()
		w.oldest = 1
		w.mu.Unlock()
		for _, s := range l.Segments()[:2] {
			if err := l.Remove(s.First); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, c := range crashes {
			c.w.verify(t, c.fs, opts)
			if t.Failed() {
				t.Fatalf("seed %d, %s", seed, c.step)
			}
		}
		if len(crashes) < 300 {
			t.Fatalf("only %d crashes", len(crashes))
		}
	}
}

func TestPowerLossUnderConcurrentAppends(t *testing.T) {
	t.Parallel()
	for round := range uint64(40) {
		rng := rand.New(rand.NewPCG(round, 2))
		mem := vfs.NewCrashableMem()
		w := &witness{acked: map[string]bool{}}
		var crashed *vfs.MemFS
		var at *witness
		left := 5 + rng.IntN(60)
		down := make(chan struct{})
		fs := &hookFS{FS: mem, hook: func(o op, do func() (int, error)) (int, error) {
			if left--; left == 0 { // only the committer writes
				at = w.snapshot()
				if o.kind == "write" {
					var err error
					if crashed, err = tear(mem, o, rng, 100); err != nil {
						return 0, err
					}
				} else {
					crashed = clone(mem, rng, rng.IntN(101))
				}
				close(down)
			}
			return do()
		}}
		opts := Options{SegmentSize: 32 << 10, MaxUnsynced: time.Millisecond}
		o := opts
		o.FS = fs
		l, err := Open(t.Context(), "log", o)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for writer := range 6 {
			mine := rand.New(rand.NewPCG(round, uint64(writer)+10))
			wg.Go(func() {
				for number := 0; ; number++ {
					select {
					case <-down:
						return
					default:
					}
					b := batchOf(mine, writer, number)
					b.NoSync = writer == 5 && number%3 != 0
					if err := l.Append(context.Background(), b); err != nil {
						t.Error(err)
						return
					}
					if !b.NoSync {
						w.mu.Lock()
						w.acked[fmt.Sprintf("%d/%d", writer, number)] = true
						w.mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		at.verify(t, crashed, opts)
	}
}

// TestDamageIsToldFromATornTail flips each byte of a log in turn.
func TestDamageIsToldFromATornTail(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	opts := Options{SegmentSize: minSegmentSize}
	l := mustOpen(t, mem, opts)
	var want []string
	add := func(s string) Position {
		want = append(want, s)
		return mustAppend(t, l, rec(s))[0]
	}
	for i := range 4 {
		add(fmt.Sprintf("sealed %d", i))
	}
	if err := l.Roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lastAt Position
	for i := range 4 {
		lastAt = add(fmt.Sprintf("active %d", i))
	}
	segs := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range segs {
		for off := int64(0); off < s.Size; off++ {
			fs := mem.CrashClone(vfs.CrashCloneCfg{})
			flip(t, fs, "log/"+segmentName(s.First), off)
			var got []string
			o := opts
			o.FS = fs
			o.Apply = func(es []Entry) error {
				for _, e := range es {
					got = append(got, string(e.Payload))
				}
				return nil
			}
			l, err := Open(t.Context(), "log", o)
			pos := s.First + Position(off)
			switch {
			case err != nil:
				ce := asCorrupt(err)
				if ce == nil {
					t.Fatalf("flip at %s: %v", pos, err)
				}
				if pos >= lastAt {
					t.Fatalf("flip in the last write is called corruption: %v", err)
				}
				if ce.Segment != s.First || ce.Offset > off {
					t.Fatalf("flip at %s reported as %v", pos, ce)
				}
				continue
			case slices.Equal(got, want):
				if !isPadding(pos, s, want) {
					t.Fatalf("flip at %s was not noticed", pos)
				}
			case pos >= lastAt && slices.Equal(got, want[:len(want)-1]):
			default:
				t.Fatalf("flip at %s dropped acknowledged records: %q", pos, got)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// isPadding reports whether pos lies behind a payload of the fixed length that
// all records of the damage test have.
func isPadding(pos Position, s SegmentInfo, want []string) bool {
	n := int64(len(want[0]))
	in := (int64(pos-s.First) - segmentHeaderSize) % frameSize(n)
	return in >= headerSize+4+n
}

func asCorrupt(err error) *CorruptError {
	var ce *CorruptError
	errors.As(err, &ce)
	return ce
}

func flip(t *testing.T, fs vfs.FS, path string, off int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestMissingSegmentIsReported(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	l := mustOpen(t, fs, Options{})
	for i := range 3 {
		mustAppend(t, l, rec(fmt.Sprint(i)))
		if err := l.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	segs := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove("log/" + segmentName(segs[1].First)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "log", Options{FS: fs}); asCorrupt(err) == nil {
		t.Fatalf("hole in the chain: %v", err)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
