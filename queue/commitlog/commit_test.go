package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate lets a test hold the file system at each sync.
func gate(fs vfs.FS) (hooked *hookFS, entered chan struct{}, leave chan error, armed *atomic.Bool) {
	entered, leave, armed = make(chan struct{}), make(chan error), new(atomic.Bool)
	hooked = &hookFS{FS: fs, hook: func(o op, do func() (int, error)) (int, error) {
		if o.kind == "sync" && armed.Load() {
			entered <- struct{}{}
			if err := <-leave; err != nil {
				return 0, err
			}
		}
		return do()
	}}
	return hooked, entered, leave, armed
}

func TestCancelledAppendIsNotInTheLog(t *testing.T) {
	t.Parallel()
	fs, entered, leave, armed := gate(vfs.NewMem())
	l := mustOpen(t, fs, Options{})
	armed.Store(true)
	first := &Batch{Records: []Record{rec("first")}}
	l.Start(first)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	second := &Batch{Records: []Record{rec("second")}}
	if err := l.Append(ctx, second); !errors.Is(err, context.Canceled) {
		t.Fatalf("queued: %v", err)
	}
	armed.Store(false)
	leave <- nil
	if err := first.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, rec("third"))
	equal(t, "log", texts(t, l), []string{"first", "third"})
}

func TestTheNextGroupIsSyncedWhileOneIsApplied(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	l := mustOpen(t, vfs.NewMem(), Options{Apply: func(es []Entry) error {
		if string(es[0].Payload) == "slow" {
			close(started)
			<-release
		}
		return nil
	}})
	slow := &Batch{Records: []Record{rec("slow")}}
	l.Start(slow)
	<-started
	b := &Batch{Records: []Record{rec("next")}, NoSync: true}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	fast := &Batch{Records: []Record{rec("fast")}}
	l.Start(fast)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := l.ReadAt(b.Records[0].Position, nil); err == nil {
			break // durable, although Apply stands
		} else if !errors.Is(err, ErrBeyondEnd) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	close(release)
	for _, b := range []*Batch{slow, fast} {
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendReturnsAfterItsDataIsSynced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	synced, written := map[string]bool{}, map[string]bool{}
	const marker = "trace:"
	fs := &hookFS{FS: vfs.NewMem(), hook: func(o op, do func() (int, error)) (int, error) {
		n, err := do()
		mu.Lock()
		defer mu.Unlock()
		switch o.kind {
		case "write":
			for d := o.data; ; {
				i := bytes.Index(d, []byte(marker))
				if i < 0 {
					break
				}
				written[o.path+string(d[i:i+len(marker)+8])] = true
				d = d[i+1:]
			}
		case "sync":
			for k := range written {
				synced[k[len(k)-len(marker)-8:]] = true
			}
			clear(written)
		}
		return n, err
	}}
	l := mustOpen(t, fs, Options{SegmentSize: 8 << 10})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				s := fmt.Sprintf("%s%04d%04d", marker, w, i)
				if err := l.Append(context.Background(), &Batch{Records: []Record{rec(s)}}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				ok := synced[s]
				mu.Unlock()
				if !ok {
					t.Errorf("%s returned before its sync", s)
				}
			}
		})
	}
	wg.Wait()
}

func TestNoSyncIsWrittenAtOnceAndSyncedSoon(t *testing.T) {
	t.Parallel()
	var syncs atomic.Int32
	fs := &hookFS{FS: vfs.NewMem(), hook: func(o op, do func() (int, error)) (int, error) {
		if o.kind == "sync" {
			syncs.Add(1)
		}
		return do()
	}}
	applied := make(chan string, 1)
	l := mustOpen(t, fs, Options{MaxUnsynced: 50 * time.Millisecond, Apply: func(es []Entry) error {
		applied <- string(es[0].Payload)
		return nil
	}})
	before := syncs.Load()
	b := &Batch{Records: []Record{rec("mark")}, NoSync: true}
	start := time.Now()
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	raw, err := fs.FS.(*vfs.MemFS).UnsafeGetFileDataBuffer("log/" + segmentName(0))
	if err != nil || !bytes.Contains(raw, []byte("mark")) {
		t.Fatalf("not in the file: %v", err)
	}
	if n := syncs.Load(); n != before && time.Since(start) < 50*time.Millisecond {
		t.Fatalf("%d syncs", n-before)
	}
	if got := <-applied; got != "mark" || syncs.Load() == before {
		t.Fatalf("applied %q with %d syncs", got, syncs.Load()-before)
	}
}
