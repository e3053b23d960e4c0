package redisstore_test

import (
	"context"
	"fmt"
	"testing"

	"postrider/queue"
)

// BenchmarkFolders has a shelf of 100,000 rows of 1 KiB, whose index has 1 MiB.
func BenchmarkFolders(b *testing.B) {
	const rows = 100_000
	st, _ := openBench(b)
	s, ctx := st.(queue.Folders), context.Background()
	row := make([]byte, 1024)
	var version uint64
	commit := func(b *testing.B, w queue.FolderWrite) {
		b.Helper()
		var err error
		w.Version = version
		if version, err = s.FolderCommit(ctx, "shop", w); err != nil {
			b.Fatal(err)
		}
	}
	index := map[string][]byte{}
	for i := range 1900 {
		index[fmt.Sprint("b", i)] = row[:540]
	}
	commit(b, queue.FolderWrite{Index: index})
	for i := 0; i < rows; i += 500 {
		w := queue.FolderWrite{Rows: map[string][]byte{}}
		for k := range 500 {
			w.Rows[fmt.Sprint("r", i+k)] = row
		}
		commit(b, w)
	}
	b.Run("head", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.FolderHead(ctx, "shop"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.FolderIndex(ctx, "shop"); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 50, 5000} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprint("r", i*7%rows)
		}
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.FolderRows(ctx, "shop", keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, n := range []int{1, 100, 900} {
		w := queue.FolderWrite{Index: map[string][]byte{}, Rows: map[string][]byte{}}
		for i := range n {
			w.Rows[fmt.Sprint("r", i)] = row
			w.Index[fmt.Sprint("b", i%10)] = row[:540]
		}
		b.Run(fmt.Sprintf("commit=%d", n), func(b *testing.B) {
			for b.Loop() {
				commit(b, w)
			}
		})
	}
}
