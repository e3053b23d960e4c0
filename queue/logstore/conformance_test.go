package logstore_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/storetest"
)

func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newMachine().harness())
}

// TestConformanceWithSmallParts makes everything that happens by size happen
// often: streamed contents, new segments, flushes of the index.
func TestConformanceWithSmallParts(t *testing.T) {
	t.Parallel()
	m := newMachine()
	m.small = true
	h := m.harness()
	h.Scale = 0.2
	h.CrashPoints = nil // thousands of steps, of the same kinds
	storetest.Run(t, h)
}

func TestConformanceOnDisk(t *testing.T) {
	t.Parallel()
	m := newMachine()
	h := storetest.Harness{Scale: 0.2, Archive: true, Reopen: m.reopen, Open: func(t *testing.T) queue.Store {
		return m.open(t, logstore.Options{Dir: t.TempDir(), MinFree: -1, ReserveBytes: -1})
	}}
	storetest.Run(t, h)
}

// machine knows what each store lies on.
type machine struct {
	small bool

	mu    sync.Mutex
	disks map[queue.Store]logstore.Options
}

func newMachine() *machine { return &machine{disks: map[queue.Store]logstore.Options{}} }

func (m *machine) harness() storetest.Harness {
	return storetest.Harness{
		Open:   func(t *testing.T) queue.Store { return m.open(t, m.options(vfs.NewCrashableMem())) },
		Reopen: m.reopen,
		Kill: func(t *testing.T, s queue.Store) queue.Store {
			return m.cut(t, s, vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(0)})
		},
		Crash:       func(t *testing.T, s queue.Store) queue.Store { return m.cut(t, s, vfs.CrashCloneCfg{}) },
		CrashPoints: m.crashPoints,
		Archive:     true,
		Full: func(t *testing.T, s queue.Store) (room func()) {
			fs := m.disk(s).FS.(*vfs.MemFS)
			fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30, UsedBytes: 1<<30 - 1<<20})
			return func() {
				fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41, UsedBytes: 1 << 40})
			}
		},
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func (m *machine) options(fs vfs.FS) logstore.Options {
	o := logstore.Options{Dir: "data", FS: fs, ReserveBytes: -1, Exit: func(int) { panic("the index failed") }}
	if m.small {
		o.SegmentSize, o.InlineLimit, o.MemTableSize, o.CacheSize = 64<<10, 1000, 128<<10, 1<<20
	}
	return o
}

func (m *machine) open(t *testing.T, o logstore.Options) queue.Store {
	t.Helper()
	s, err := logstore.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[s] = o
	return s
}

func (m *machine) disk(s queue.Store) logstore.Options {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disks[s]
}

func (m *machine) reopen(t *testing.T, s queue.Store) queue.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return m.open(t, m.disk(s))
}

// cut opens what is left of a store's disk at this moment.
func (m *machine) cut(t *testing.T, s queue.Store, left vfs.CrashCloneCfg) queue.Store {
	t.Helper()
	o := m.disk(s)
	o.FS = o.FS.(*vfs.MemFS).CrashClone(left)
	if err := s.Close(); err != nil { // in a world that is gone
		t.Fatal(err)
	}
	return m.open(t, o)
}

// crashPoints cuts the power before the n-th step, for every n. The log fails
// from then on, the index goes on writing in a world that is gone: a failure of
// its own would end the process.
func (m *machine) crashPoints(t *testing.T, trial func() storetest.Trial) {
	for n := 1; ; n++ {
		mem := vfs.NewCrashableMem()
		p := &power{mem: mem, left: -1}
		o := m.options(errorfs.Wrap(mem, errorfs.InjectorFunc(p.step)))
		o.SegmentSize, o.InlineLimit, o.MemTableSize = 256<<10, 64<<10, 512<<10
		s, err := logstore.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		c := trial()
		c.Before(t, s)
		p.arm(n)
		c.During(s)
		after, reached := p.states()
		_ = s.Close() // it may have failed
		for i, fs := range after {
			o.FS = fs
			s, err := logstore.Open(context.Background(), o)
			if err != nil {
				t.Fatalf("step %d, state %d: %v", n, i, err)
			}
			c.After(t, s)
			if err := s.Close(); err != nil {
				t.Fatalf("step %d, state %d: %v", n, i, err)
			}
		}
		if !reached {
			t.Logf("%d steps", n-1)
			return
		}
		if n > 2000 {
			t.Fatal("the operation has no end")
		}
	}
}

// power counts the steps to a disk and fails at one of them.
type power struct {
	mem *vfs.MemFS

	mu    sync.Mutex
	left  int // steps until it fails; negative: it does not
	after []*vfs.MemFS
}

func (p *power) arm(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = n
}

func (p *power) step(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpFileClose || op.Kind == errorfs.OpLock {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < 0 {
		return nil
	}
	if p.left--; p.left == 0 {
		p.after = p.cut()
	}
	if p.left > 0 || !p.isLog(op.Path) {
		p.left = max(p.left, 0)
		return nil
	}
	p.left = 0
	return errorfs.ErrInjected
}

func (p *power) isLog(path string) bool {
	return len(path) >= len("data/log") && path[:len("data/log")] == "data/log"
}

// cut is called with mu held.
func (p *power) cut() []*vfs.MemFS {
	var all []*vfs.MemFS
	for _, percent := range []int{0, 60, 100} {
		all = append(all, p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: newRand(uint64(percent))}))
	}
	return all
}

// states returns what the disk may be like, and whether the power failed. It
// fails now if it did not before.
func (p *power) states() ([]*vfs.MemFS, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.after != nil {
		return p.after, true
	}
	return p.cut(), false
}
