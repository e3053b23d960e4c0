package logstore

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore/oldertest"
)

// TestAStoreOfBeforeFoldersGetsFolders opens a store that the program wrote
// before this record type was there, as it was closed and with the log alone.
// Package oldertest says how that store was made.
func TestAStoreOfBeforeFoldersGetsFolders(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(dir string) error{
		"as it was closed":  func(string) error { return nil },
		"without its index": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "index")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := oldertest.Unpack(t)
			if err := cut(dir); err != nil {
				t.Fatal(err)
			}
			getsFolders(t, Options{FS: vfs.Default, Dir: dir})
		})
	}
}

func getsFolders(t *testing.T, o Options) {
	ctx := context.Background()
	format := func(want string) {
		t.Helper()
		if got, err := readSmall(o.FS, o.FS.PathJoin(o.Dir, formatFile)); err != nil || got != want {
			t.Errorf("format is %q, %v, want %q", got, err, want)
		}
	}
	s := openTest(t, o)
	oldertest.Check(t, s)
	checkIndex(t, s)
	first, err := s.FolderHead(ctx, "shop")
	if err != nil || first.Version != 0 || first.Lineage == "" {
		t.Fatalf("head is %+v, %v", first, err)
	}
	if as, err := s.FolderAccounts(ctx, "", 10); err != nil || len(as) != 0 {
		t.Errorf("accounts are %q, %v", as, err)
	}
	format("postrider-logstore 3")
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, o)
	}
	reopen()
	v := commitShelf(t, s, "shop", queue.FolderWrite{
		Lineage: first.Lineage, Index: map[string][]byte{"h": {1}}, Rows: map[string][]byte{"r": {2}},
	})
	reopen()
	if h, index := shelfIndex(t, s, "shop"); h != (queue.FolderHead{Version: v, Lineage: first.Lineage}) || string(index["h"]) != "\x01" {
		t.Errorf("head is %+v with %v, at first %+v and then %d", h, index, first, v)
	}
	if rows := shelfRows(t, s, "shop", "r"); string(rows[0]) != "\x02" {
		t.Errorf("the row is %q", rows[0])
	}
	format("postrider-logstore 4")
	oldertest.Check(t, s)
	checkIndex(t, s)
	seen, err := s.Acknowledged(ctx, "dsn")
	if err != nil || seen == "" {
		t.Fatalf("the reader's position is %q, %v", seen, err)
	}
	if vs, _, err := s.ReadEvents(ctx, seen, 10); err != nil || len(vs) != 0 {
		t.Errorf("after the reader's position are %d events, %v", len(vs), err)
	}
	if vs := allEvents(t, s); len(vs) < len(oldertest.Letters()) {
		t.Errorf("only %d events are there", len(vs))
	}
}

// TestTheOlderStoreIsAsFilled shows that a new store, filled alike, is the same
// in what the package says of it.
func TestTheOlderStoreIsAsFilled(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{})
	oldertest.Fill(t, s)
	oldertest.Check(t, s)
	checkIndex(t, s)
}
