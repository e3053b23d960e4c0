package commitlog

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestRecordsBehindATornOneStayGone(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	l := mustOpen(t, mem, Options{MaxUnsynced: time.Hour})
	mustAppend(t, l, rec("kept"))
	torn := &Batch{Records: []Record{rec("torn")}, NoSync: true}
	stale := &Batch{Records: []Record{rec("stale")}, NoSync: true}
	for _, b := range []*Batch{torn, stale} {
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(1)})
	flip(t, crashed, "log/"+segmentName(0), int64(torn.Records[0].Position)+headerSize+4)
	l = mustOpen(t, crashed, Options{})
	equal(t, "after the crash", texts(t, l), []string{"kept"})
	mustAppend(t, l, rec("more")) // fills exactly the place of the torn one
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "later", texts(t, mustOpen(t, crashed, Options{})), []string{"kept", "more"})
}

func TestARecordIsValidOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	l := mustOpen(t, mem, Options{})
	p := mustAppend(t, l, rec("here"))[0]
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite("log/"+segmentName(0), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, frameSize(4))
	if _, err := f.ReadAt(b, int64(p)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, int64(p)+frameSize(4)); err != nil {
		t.Fatal(err)
	}
	equal(t, "copied record", texts(t, mustOpen(t, mem, Options{})), []string{"here"})
}

// TestARefusalIsDurable lets the disk keep what a write that ran out of space
// had written: one whole batch and part of another, both refused.
func TestARefusalIsDurable(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	disk := newDiskFS(mem, 1<<20)
	entered, leave := make(chan struct{}), make(chan struct{})
	var armed, full atomic.Bool
	disk.hook = func(o op, do func() (int, error)) (int, error) {
		if o.kind == "sync" && armed.CompareAndSwap(true, false) {
			close(entered)
			<-leave
		}
		n, err := disk.change(o, do)
		if isNoSpace(err) && o.kind == "write" {
			full.Store(true)
			if err := o.file.Sync(); err != nil {
				return 0, err
			}
		}
		return n, err
	}
	l := mustOpen(t, disk, Options{SegmentSize: 64 << 10})
	armed.Store(true)
	first := &Batch{Records: []Record{rec("first")}}
	l.Start(first)
	<-entered
	second := &Batch{Records: []Record{rec("second")}}
	third := &Batch{Records: []Record{{Type: 1, Body: make([]byte, 20<<10)}}}
	l.Start(second)
	l.Start(third)
	disk.mu.Lock()
	disk.total -= disk.free()
	size := int64(segmentHeaderSize) + frameSize(5) + frameSize(6) + 1000
	disk.total += size - disk.alloc["log/"+segmentName(0)]
	disk.alloc["log/"+segmentName(0)] = size // as if the rest had not been allocated
	disk.mu.Unlock()
	close(leave)
	if err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Wait(t.Context()), third.Wait(t.Context())); !errors.Is(err, ErrNoSpace) || !full.Load() {
		t.Fatalf("on a full disk: %v", err)
	}
	got := texts(t, mustOpen(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{}))
	if !slices.Equal(got, []string{"first"}) {
		t.Fatalf("after power loss: %.100q", got)
	}
}
