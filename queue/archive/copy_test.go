package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/archive"
	"postrider/queue/logstore"
	"postrider/queue/storetest"
)

var noon = time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: "data", FS: vfs.NewMem(), ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func lived(t *testing.T) *logstore.Store {
	t.Helper()
	s := open(t)
	storetest.Live(t, s)
	return s
}

func create(t *testing.T, path, from string) *archive.Writer {
	t.Helper()
	w, err := archive.Create(path, from, noon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // it may be closed already
	return w
}

func openFile(t *testing.T, path string) *archive.Reader {
	t.Helper()
	r, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func mustCopy(t *testing.T, from archive.Source, to archive.Target) archive.Summary {
	t.Helper()
	sum, err := archive.Copy(t.Context(), from, to, archive.Options{From: "there"})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// backup writes the store to a file.
func backup(t *testing.T, s *logstore.Store) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "queue.backup")
	w := create(t, path, "there")
	mustCopy(t, s, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStoreToStore(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	var phases []archive.Phase
	sum, err := archive.Copy(t.Context(), small{from}, archive.Into(to), archive.Options{From: "there", Progress: func(p archive.Progress) {
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
		if p.Done > p.Total || p.Done < 0 {
			t.Errorf("progress is %+v", p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, from, to)
	if sum.Messages != 25 || sum.Readers != 5 || sum.Keys != 2 || sum.Records != 32 || sum.Contents != 24 {
		t.Errorf("the summary is %+v", sum)
	}
	if len(phases) != 3 || phases[0] != archive.PhaseMessages || phases[1] != archive.PhaseEvents || phases[2] != archive.PhaseComparing {
		t.Errorf("the phases are %v", phases)
	}
	if _, unfinished, err := archive.Unfinished(t.Context(), to); unfinished || err != nil {
		t.Errorf("the copy says that it is unfinished, %v", err)
	}
	// Once more is once too often.
	if _, err := archive.Copy(t.Context(), from, archive.Into(to), archive.Options{From: "there"}); !errors.Is(err, archive.ErrNotEmpty) {
		t.Errorf("a second copy: %v", err)
	}
	storetest.Same(t, from, to)
}

func TestStoreToFileAndBack(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	path := backup(t, from)
	if _, err := os.Stat(path + ".part"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the part is there still: %v", err)
	}
	if _, err := archive.Create(path, "there", noon); err == nil || !strings.Contains(err.Error(), "name another file") {
		t.Errorf("a file is written over: %v", err)
	}
	r := openFile(t, path)
	sum := mustCopy(t, r, archive.Into(to))
	if sum.Digest != r.Summary().Digest {
		t.Errorf("restored %+v of %+v", sum, r.Summary())
	}
	storetest.Same(t, from, to)
	// The same queue makes the same file, but for its header.
	if again := openFile(t, backup(t, to)).Summary(); again.Digest != sum.Digest || again.Bytes != sum.Bytes {
		t.Errorf("a backup of the copy has %+v, the first one %+v", again, sum)
	}
}

func TestEmptyStore(t *testing.T) {
	t.Parallel()
	to := open(t)
	if sum := mustCopy(t, openFile(t, backup(t, open(t))), archive.Into(to)); sum.Messages != 0 {
		t.Errorf("nothing became %+v", sum)
	}
}

// small is a source that gives a few items at a time.
type small struct{ archive.Source }

func (s small) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	return s.Source.Export(ctx, c, min(limit, 7))
}

// errBroken is what breaks in these tests.
var errBroken = errors.New("broken off")

// breaking fails after some imports, half of the last one done.
type breaking struct {
	archive.Target
	left int
}

func (b *breaking) Import(ctx context.Context, items []queue.Item) error {
	if b.left--; b.left < 0 {
		if err := b.Target.Import(ctx, items[:len(items)/2]); err != nil {
			return err
		}
		for _, it := range items[len(items)/2:] {
			if it.Message != nil && it.Message.Content != nil {
				it.Message.Content.Abort()
			}
		}
		return errBroken
	}
	return b.Target.Import(ctx, items)
}

// broken copies with interruptions until it is done.
func broken(t *testing.T, from archive.Source, target func() archive.Target, done func()) {
	t.Helper()
	for n := 0; ; n++ {
		if n > 200 {
			t.Fatal("it comes to no end")
		}
		_, err := archive.Copy(t.Context(), small{from}, &breaking{target(), 1 + n%2}, archive.Options{From: "there"})
		done()
		if err == nil {
			if n < 3 {
				t.Errorf("it was broken off %d times only", n)
			}
			return
		}
		if !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	}
}

func TestInterruptedCopyGoesOn(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	broken(t, from, func() archive.Target { return archive.Into(to) }, func() {})
	storetest.Same(t, from, to)
}

func TestInterruptedBackupAndRestoreGoOn(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	path := filepath.Join(t.TempDir(), "queue.backup")
	var w *archive.Writer
	broken(t, from, func() archive.Target { w = create(t, path, "there"); return w }, func() {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
	r := openFile(t, path)
	broken(t, r, func() archive.Target { return archive.Into(to) }, func() {})
	storetest.Same(t, from, to)
	whole := openFile(t, backup(t, from)).Summary()
	if got := r.Summary(); got.Digest != whole.Digest || got.Events != whole.Events || got.Contents != whole.Contents {
		t.Errorf("the interrupted backup has %+v, a whole one %+v", got, whole)
	}
}

func TestCancelledCopyGoesOn(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		left := n
		_, err := archive.Copy(ctx, small{from}, archive.Into(to), archive.Options{From: "there", Progress: func(archive.Progress) {
			if left--; left == 0 {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		name, unfinished, err := archive.Unfinished(t.Context(), to)
		if name != "there" || !unfinished || err != nil {
			t.Fatalf("an interrupted copy says %q, %t, %v", name, unfinished, err)
		}
		if _, err := archive.Copy(t.Context(), to, archive.Into(open(t)), archive.Options{From: "half"}); !errors.Is(err, archive.ErrUnfinished) {
			t.Fatalf("a copy of half a copy: %v", err)
		}
		if _, err := archive.Copy(t.Context(), open(t), archive.Into(to), archive.Options{From: "elsewhere"}); !errors.Is(err, archive.ErrOther) || !strings.Contains(err.Error(), "there") {
			t.Fatalf("another copy into half a copy: %v", err)
		}
	}
	storetest.Same(t, from, to)
}

func TestSourceThatChangedIsRefused(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	_, err := archive.Copy(t.Context(), from, &breaking{archive.Into(to), 1}, archive.Options{From: "there"})
	if !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	a, err := from.Apply(t.Context(), queue.Operation{Action: queue.ActionCancel, Now: noon})
	if err != nil || a.Changed == 0 {
		t.Fatal(a, err)
	}
	if _, err := archive.Copy(t.Context(), from, archive.Into(to), archive.Options{From: "there"}); !errors.Is(err, archive.ErrChanged) {
		t.Errorf("the source has changed: %v", err)
	}
}

// altered is a target that is not what was written to it.
type altered struct {
	archive.Target
	change func(items []queue.Item) []queue.Item
}

func (a *altered) Complete(ctx context.Context) (archive.Source, error) {
	s, err := a.Target.Complete(ctx)
	return &alteredSource{s, a.change}, err
}

type alteredSource struct {
	archive.Source
	change func(items []queue.Item) []queue.Item
}

func (a *alteredSource) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	items, next, err := a.Source.Export(ctx, c, limit)
	return a.change(items), next, err
}

// without drops items.
func without(drop func(it *queue.Item) bool) func(items []queue.Item) []queue.Item {
	return func(items []queue.Item) []queue.Item {
		return slices.DeleteFunc(items, func(it queue.Item) bool { return drop(&it) })
	}
}

func TestFirstDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	from := lived(t)
	for name, c := range map[string]struct {
		change func(items []queue.Item) []queue.Item
		want   string
	}{
		"a recipient": {without(func(it *queue.Item) bool {
			if m := it.Message; m != nil && m.Entry.Message.Account == "doubt" {
				m.Entry.Recipients[0].InDoubt = false
			}
			return false
		}), "message msg_"},
		"a record": {without(func(it *queue.Item) bool { return it.Record != nil && it.Record.Name == "example.org" }),
			`dkim-key record "example.org" is missing`},
		"a key": {without(func(it *queue.Item) bool { return it.Key != nil && it.Key.Account == "a" }),
			`idempotency key "k" of account "a" is missing`},
		"an event": {without(func(it *queue.Item) bool {
			return it.Event != nil && it.Event.Account == "delayed" && it.Event.Kind == queue.EventQueued
		}),
			"is missing"},
		"a reader too far":  {lateReader, `position of reader "middle" is not the same`},
		"a content's octet": {nil, "message msg_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := archive.Into(open(t))
			if c.change != nil {
				to = &altered{to, c.change}
			} else {
				to = &badContent{to}
			}
			_, err := archive.Copy(t.Context(), from, to, archive.Options{From: "there"})
			if !errors.Is(err, archive.ErrDiffers) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

// lateReader lets a reader come one event later.
func lateReader(items []queue.Item) []queue.Item {
	for i, it := range items {
		if it.Reader != nil && it.Reader.Name == "middle" {
			items[i], items[i+1] = items[i+1], items[i]
			break
		}
	}
	return items
}

// badContent writes one octet wrongly.
type badContent struct{ archive.Target }

func (b *badContent) CreateContent(ctx context.Context) (queue.ContentWriter, error) {
	w, err := b.Target.CreateContent(ctx)
	return &badWriter{w}, err
}

func (b *badContent) Import(ctx context.Context, items []queue.Item) error {
	for i := range items {
		if m := items[i].Message; m != nil && m.Content != nil {
			m.Content = m.Content.(*badWriter).ContentWriter
		}
	}
	return b.Target.Import(ctx, items)
}

type badWriter struct{ queue.ContentWriter }

func (b *badWriter) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	if len(p) > 1000 {
		p[999]++
	}
	return b.ContentWriter.Write(p)
}

// A store that is moved has no folders: how far they were filed must not come along.
func TestHowFarFoldersWereFiledStaysBehind(t *testing.T) {
	t.Parallel()
	from, to := lived(t), open(t)
	events, _, err := from.ReadEvents(t.Context(), "", 10)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if err := from.Acknowledge(t.Context(), queue.ReaderFolders, events[len(events)-1].Position); err != nil {
		t.Fatal(err)
	}
	sum, err := archive.Copy(t.Context(), from, archive.Into(to), archive.Options{From: "there"})
	if err != nil {
		t.Fatal(err)
	}
	if at, err := to.Acknowledged(t.Context(), queue.ReaderFolders); at != "" || err != nil || sum.Readers != 5 {
		t.Errorf("the position is %q, %v; %d readers", at, err, sum.Readers)
	}
}
