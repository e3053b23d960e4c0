package commitlog

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestSyncErrorFailsTheLogForGood(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	var applied atomic.Int32
	fs, entered, leave, armed := gate(mem)
	l := mustOpen(t, fs, Options{Apply: func(es []Entry) error {
		applied.Add(int32(len(es)))
		return nil
	}})
	mustAppend(t, l, rec("good"))
	armed.Store(true)
	first := &Batch{Records: []Record{rec("unknown")}}
	l.Start(first)
	<-entered
	queued := &Batch{Records: []Record{rec("queued")}, Critical: true}
	l.Start(queued)
	armed.Store(false)
	leave <- syscall.EIO
	for _, b := range []*Batch{first, queued, {Records: []Record{rec("later")}}} {
		err := error(nil)
		if b == first || b == queued {
			err = b.Wait(t.Context())
		} else {
			err = l.Append(t.Context(), b)
		}
		if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("after a failed sync: %v", err)
		}
	}
	if err := l.Err(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	equal(t, "readable", texts(t, l), []string{"good"})
	if n := applied.Load(); n != 1 {
		t.Fatalf("%d applied", n)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	// The kernel holds the page as clean now; Open must write it again.
	var again [][]byte
	re := &hookFS{FS: mem, hook: func(o op, do func() (int, error)) (int, error) {
		if o.kind == "write" {
			again = append(again, append([]byte(nil), o.data...))
		}
		return do()
	}}
	l = mustOpen(t, re, Options{})
	equal(t, "reopened", texts(t, l), []string{"good", "unknown"})
	if len(again) == 0 {
		t.Fatal("the unproven tail was not written again")
	}
	mustAppend(t, l, rec("new"))
	equal(t, "continued", texts(t, l), []string{"good", "unknown", "new"})
}

func TestShortWriteFailsTheLog(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var armed atomic.Bool
	fs := &hookFS{FS: mem, hook: func(o op, do func() (int, error)) (int, error) {
		if o.kind == "write" && armed.Load() {
			return o.file.WriteAt(o.data[:len(o.data)/2], o.off)
		}
		return do()
	}}
	l := mustOpen(t, fs, Options{})
	mustAppend(t, l, rec("good"))
	armed.Store(true)
	b := &Batch{Records: []Record{rec("half")}, NoSync: true}
	if err := l.Append(t.Context(), b); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	equal(t, "reopened", texts(t, mustOpen(t, mem, Options{})), []string{"good"})
}

func TestApplyErrorFailsTheLogAndReplays(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var got []string
	boom := errors.New("boom")
	l := mustOpen(t, mem, Options{Apply: func(es []Entry) error {
		for _, e := range es {
			if string(e.Payload) == "2" {
				return boom
			}
			got = append(got, string(e.Payload))
		}
		return nil
	}})
	for i := range 5 {
		b := &Batch{Records: []Record{rec(fmt.Sprint(i))}}
		err := l.Append(t.Context(), b)
		if i < 2 && err != nil || i >= 2 && (!errors.Is(err, ErrFailed) || !errors.Is(err, boom)) {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	from := l.Applied()
	if err := l.Close(); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	mustOpen(t, mem, Options{From: from, Apply: func(es []Entry) error {
		for _, e := range es {
			got = append(got, string(e.Payload))
		}
		return nil
	}})
	equal(t, "applied", got, []string{"0", "1", "2"})
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	if err := mustOpen(t, mem, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite("log/"+segmentName(0), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(encodeSegmentHeaderAs(formatVersion+1), 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), "log", Options{FS: mem})
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Version != formatVersion+1 {
		t.Fatalf("newer format: %v", err)
	}
}
