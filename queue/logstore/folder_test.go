package logstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

func commitShelf(t testing.TB, s *Store, account string, w queue.FolderWrite) uint64 {
	t.Helper()
	v, err := s.FolderCommit(context.Background(), account, w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func shelfIndex(t testing.TB, s *Store, account string) (queue.FolderHead, map[string][]byte) {
	t.Helper()
	h, index, err := s.FolderIndex(context.Background(), account)
	if err != nil {
		t.Fatal(err)
	}
	return h, index
}

func shelfRows(t testing.TB, s *Store, account string, keys ...string) [][]byte {
	t.Helper()
	rows, err := s.FolderRows(context.Background(), account, keys)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// allShelves are all keys of folders in the index.
func allShelves(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range []byte{keyShelf, keyShelved, keyShelfRow, keyLineage} {
		mustEach(t, s, kind, func(it *pebble.Iterator) { all[string(it.Key())] = string(it.Value()) })
	}
	return all
}

// page is a write of n rows of 1.5 KB from row number first on, and of what
// would change in the index with them.
func page(version uint64, first, n int) queue.FolderWrite {
	w := queue.FolderWrite{Version: version, Index: map[string][]byte{}, Rows: map[string][]byte{}}
	for i := range n {
		row := make([]byte, 1500)
		for j := range row {
			row[j] = byte(rand.Uint32())
		}
		w.Rows[rowKey(first+i)] = row
	}
	for i := range 6 {
		w.Index[chunkKey(i, first>>12)] = make([]byte, 512)
	}
	return w
}

func rowKey(uid int) string { return string(binary.BigEndian.AppendUint32([]byte("r"), uint32(uid))) }

func chunkKey(set, chunk int) string {
	return fmt.Sprintf("bset%d\x00%c%c", set, chunk>>8, chunk&0xff)
}

func TestShelvesAreRebuiltFromTheLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs, MemTableSize: 128 << 10})
	rng := rand.New(rand.NewPCG(5, 6))
	versions := map[string]uint64{}
	for i := range 300 {
		a := fmt.Sprint("a", rng.IntN(3))
		if rng.IntN(90) == 0 {
			if err := s.FolderDrop(context.Background(), a); err != nil {
				t.Fatal(err)
			}
			versions[a] = 0
			continue
		}
		w := page(versions[a], i, rng.IntN(4))
		w.Rows[rowKey(rng.IntN(i+1))], w.Index[chunkKey(rng.IntN(6), 0)] = nil, nil
		versions[a] = commitShelf(t, s, a, w)
	}
	want := allShelves(t, s)
	if len(want) < 100 {
		t.Fatalf("there are only %d keys", len(want))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll("/data/index"); err != nil {
		t.Fatal(err)
	}
	if got := allShelves(t, openTest(t, Options{FS: fs})); !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d as before", len(got), len(want))
	}
}

// TestAStoreKeepsItsLineage also over a power cut, and another has another.
func TestAStoreKeepsItsLineage(t *testing.T) {
	t.Parallel()
	lineage := func(s *Store) string {
		h, err := s.FolderHead(context.Background(), "shop")
		if err != nil || h.Lineage == "" {
			t.Fatalf("head is %+v, %v", h, err)
		}
		return h.Lineage
	}
	fs := vfs.NewCrashableMem()
	s := openTest(t, Options{FS: fs})
	first := lineage(s)
	for range 3 {
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		if got := lineage(openTest(t, Options{FS: fs})); got != first {
			t.Errorf("after a power cut the lineage is %s, was %s", got, first)
		}
	}
	if other := lineage(openTest(t, Options{})); other == first {
		t.Errorf("two stores have the lineage %s", other)
	}
}

// TestFoldersHoldNoLog: the segments of commits to folders go as soon as the
// index has them, also those in which a message lies that is still waiting.
func TestFoldersHoldNoLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs, SegmentSize: 256 << 10})
	id := enqueue(t, s, mail{body: "it waits"}).ID
	var version uint64
	var keys []string
	for i := range 60 {
		w := page(version, i*20, 20)
		version = commitShelf(t, s, "shop", w)
		keys = append(keys, slices.Sorted(maps.Keys(w.Rows))...)
	}
	rows := shelfRows(t, s, "shop", keys...)
	before := s.log.Segments()
	if len(before) < 6 {
		t.Fatalf("the log has %d segments only", len(before))
	}
	done := sweepAll(t, s, queue.Retention{Now: t0})
	if now := s.log.Segments(); len(now) > 2 || done.Bytes == 0 {
		t.Errorf("%d segments of %d are left, %d bytes were given back", len(now), len(before), done.Bytes)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{FS: fs})
	if h, _ := shelfIndex(t, s, "shop"); h.Version != version {
		t.Errorf("version is %d, was %d", h.Version, version)
	}
	for i, row := range shelfRows(t, s, "shop", keys...) {
		if string(row) != string(rows[i]) {
			t.Fatalf("row %d of %d is another", i, len(keys))
		}
	}
	if got := readContent(t, s, message(t, s, id).Message.Content); string(got) != "it waits" {
		t.Errorf("the content is %q", got)
	}
	checkIndex(t, s)
}

// TestEventsPassOverFolders: who follows the events and writes folders for them
// comes to an end.
func TestEventsPassOverFolders(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	var version uint64
	for i := range 20 {
		enqueue(t, s, mail{})
		version = commitShelf(t, s, "shop", page(version, i, 1))
	}
	events := allEvents(t, s)
	if len(events) != 20 {
		t.Fatalf("%d events, want 20", len(events))
	}
	c, stop := s.Notify()
	defer stop()
	last := events[len(events)-1].Position
	commitShelf(t, s, "shop", page(version, 20, 1))
	more, next, err := s.ReadEvents(ctx, last, 10)
	if err != nil || len(more) != 0 {
		t.Errorf("%d more events, %v", len(more), err)
	}
	if _, again, err := s.ReadEvents(ctx, next, 10); err != nil || again != next {
		t.Errorf("reading goes on from %s to %s, %v", next, again, err)
	}
	select {
	case <-c:
		t.Error("a commit to folders was told as an event")
	default:
	}
}

func TestFoldersRaiseTheFormatAtTheFirstCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	format := func(want string) {
		t.Helper()
		if got, err := readSmall(fs, "/data/"+formatFile); err != nil || got != want {
			t.Errorf("format is %q, %v, want %q", got, err, want)
		}
	}
	if _, err := s.FolderHead(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := s.FolderDrop(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	format("postrider-logstore 1")
	commitShelf(t, s, "shop", queue.FolderWrite{Index: map[string][]byte{"h": {1}}})
	format("postrider-logstore 4")
}

func TestShelvesOfNobodyAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openTest(t, Options{})
	for _, account := range []string{"", string(make([]byte, maxRecordName+1)), string(make([]byte, 1<<16+4))} {
		_, head := s.FolderHead(ctx, account)
		_, _, index := s.FolderIndex(ctx, account)
		_, rows := s.FolderRows(ctx, account, []string{"r"})
		_, commit := s.FolderCommit(ctx, account, queue.FolderWrite{})
		for i, err := range []error{head, index, rows, commit, s.FolderDrop(ctx, account)} {
			if err == nil {
				t.Errorf("call %d with an account of %d octets was answered", i, len(account))
			}
		}
	}
	if as, err := s.FolderAccounts(ctx, "", 0); err != nil || len(as) != 0 {
		t.Errorf("accounts are %q, %v", as, err)
	}
}

// BenchmarkFolderCommit files 100 rows of 1.5 KB, as one writer of one account,
// or with as many others.
func BenchmarkFolderCommit(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openBench(b)
			versions, firsts := make([]uint64, n), make([]int, n)
			const pages = 16 // made before, so that only commits are measured
			var ws [pages]queue.FolderWrite
			for i := range ws {
				ws[i] = page(0, 0, 100)
			}
			turns := make(chan int, n)
			for i := range n {
				turns <- i
			}
			b.SetBytes(100 * 1500)
			took := make([]time.Duration, b.N)
			clients(b, n, func(i int64) {
				c := <-turns
				defer func() { turns <- c }()
				w := queue.FolderWrite{Version: versions[c], Index: ws[i%pages].Index, Rows: make(map[string][]byte, 100)}
				for _, row := range ws[i%pages].Rows {
					w.Rows[rowKey(firsts[c])] = row
					firsts[c]++
				}
				start := time.Now()
				versions[c] = commitShelf(b, s, fmt.Sprint("account", c), w)
				took[i-1] = time.Since(start)
			})
			b.ReportMetric(percentile(took, .5), "p50-µs")
			b.ReportMetric(percentile(took, .99), "p99-µs")
		})
	}
}

// fillShelf makes an index of 1.5 MB, and n rows.
func fillShelf(b *testing.B, s *Store, rows int) {
	b.Helper()
	var version uint64
	for chunk := range 256 {
		w := queue.FolderWrite{Version: version, Index: map[string][]byte{}}
		for set := range 12 {
			w.Index[chunkKey(set, chunk)] = make([]byte, 500)
		}
		version = commitShelf(b, s, "shop", w)
	}
	for i := 0; i < rows; i += 500 {
		version = commitShelf(b, s, "shop", page(version, i, 500))
	}
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFolderIndex reads an index of 1.5 MB, of 3072 values.
func BenchmarkFolderIndex(b *testing.B) {
	s := openBench(b)
	fillShelf(b, s, 0)
	b.SetBytes(3072 * 500)
	b.ReportAllocs()
	for b.Loop() {
		if _, index := shelfIndex(b, s, "shop"); len(index) != 3072 {
			b.Fatalf("%d values", len(index))
		}
	}
}

func BenchmarkFolderHead(b *testing.B) {
	s := openBench(b)
	fillShelf(b, s, 0)
	for b.Loop() {
		if _, err := s.FolderHead(context.Background(), "shop"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFolderRows reads 50 of 100,000 rows: neighbours, or from all over.
func BenchmarkFolderRows(b *testing.B) {
	s := openBench(b)
	const n = 100_000
	fillShelf(b, s, n)
	for name, key := range map[string]func(i int) int{
		"page":    func(i int) int { return n - 1 - i },
		"strewn":  func(i int) int { return rand.IntN(n) },
		"missing": func(i int) int { return n + i },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				keys := make([]string, 50)
				for i := range keys {
					keys[i] = rowKey(key(i))
				}
				shelfRows(b, s, "shop", keys...)
			}
		})
	}
}
