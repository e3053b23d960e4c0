package folders_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
	"postrider/queue/logstore"
)

const account = "shop"

var start = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

func openStore(t testing.TB) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
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

func newBook(store queue.Folders) *folders.Book {
	return folders.New(folders.Options{Store: store, Now: func() time.Time { return start }})
}

// message makes an id that is the same for the same number.
func message(n int) (m queue.MessageID) {
	m[0], m[1], m[2], m[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return m
}

func item(n int, sets ...string) folders.Item {
	return folders.Item{
		Entry:  folders.Entry{Message: message(n), At: start.Add(time.Duration(n) * time.Second), Front: []byte(strings.Repeat("x", n%50+1)), Envelope: []byte("(NIL)")},
		Search: folders.Search{Subject: fmt.Sprintf("order %d", n)},
		Key:    "sent", Sets: sets,
	}
}

func always(e folders.Edit) func(*folders.View) (folders.Edit, error) {
	return func(*folders.View) (folders.Edit, error) { return e, nil }
}

func edit(t testing.TB, b *folders.Book, e folders.Edit) (*folders.View, []folders.UID) {
	t.Helper()
	v, uids, err := b.Edit(t.Context(), account, always(e))
	if err != nil {
		t.Fatal(err)
	}
	return v, uids
}

func view(t testing.TB, b *folders.Book) *folders.View {
	t.Helper()
	v, err := b.View(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func has(t testing.TB, what string, s bitmap.Set, want ...folders.UID) {
	t.Helper()
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// sameViews compares all that can be asked of two views.
func sameViews(t testing.TB, a, b *folders.View) {
	t.Helper()
	if a.UIDValidity != b.UIDValidity || a.UIDNext != b.UIDNext || a.ModSeq != b.ModSeq || !slices.Equal(a.Sets(), b.Sets()) {
		t.Fatalf("views differ: %d %d %d %v and %d %d %d %v", a.UIDValidity, a.UIDNext, a.ModSeq, a.Sets(), b.UIDValidity, b.UIDNext, b.ModSeq, b.Sets())
	}
	for _, name := range a.Sets() {
		if !a.Set(name).Equal(b.Set(name)) || a.Bytes(name) != b.Bytes(name) {
			t.Errorf("%s: %d entries of %d octets, and %d of %d", name, a.Set(name).Len(), a.Bytes(name), b.Set(name).Len(), b.Bytes(name))
		}
		for uid := range a.Set(name).All() {
			if x, y := a.ModSeqOf(uid), b.ModSeqOf(uid); x != y {
				t.Errorf("entry %d: sequence %d and %d", uid, x, y)
			}
			if x, y := string(a.AppendFlags(nil, uid)), string(b.AppendFlags(nil, uid)); x != y {
				t.Errorf("entry %d: flags %q and %q", uid, x, y)
			}
		}
	}
	if !a.Unseen().Equal(b.Unseen()) || !a.Hidden("shop").Equal(b.Hidden("shop")) {
		t.Error("unseen or hidden differ")
	}
	x, xChosen := a.Subscribed()
	y, yChosen := b.Subscribed()
	if !slices.Equal(x, y) || xChosen != yChosen {
		t.Errorf("subscribed %v and %v", x, y)
	}
}

func TestAnAccountBeginsEmpty(t *testing.T) {
	t.Parallel()
	b := newBook(openStore(t))
	v := view(t, b)
	names, chosen := v.Subscribed()
	if v.Account != account || v.UIDValidity != uint32(start.Unix()) || v.UIDNext != 1 || v.ModSeq != 1 || len(v.Sets()) != 0 ||
		chosen || !slices.Equal(names, []string{"Bounced", "Deferred", "INBOX", "Queued", "Sent"}) || !slices.Equal(v.FlagsInUse(), []string{`\Seen`}) {
		t.Errorf("%+v", v)
	}
	if again := view(t, b); again != v {
		t.Error("the view is not the same while nothing changes")
	}
	if all, err := b.Accounts(t.Context()); err != nil || !slices.Equal(all, []string{account}) {
		t.Error(all, err)
	}
}

func TestEntriesComeBackAsTheyWereFiled(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b := newBook(store)
	it := item(1, folders.FolderInbox, folders.FolderBounced, `flag:\Flagged`)
	it.Unseen = true
	it.Entry = folders.Entry{
		Message: message(1), At: start.Add(3), Front: []byte("front"), Back: []byte("back"),
		Content:  queue.ContentRef{Key: []byte{1, 2}, Size: 70, HeaderSize: 20},
		Envelope: []byte("(e)"), Body: []byte("(b)"), BodyStructure: []byte("(bs)"),
		Parts: []folders.Part{{Path: "", Header: 0, Body: 20, End: 79}, {Path: "2.1", Header: 30, Body: 40, End: 60, Inner: 50}},
	}
	it.Search = folders.Search{Sent: start, Subject: "s", From: "f", To: "t", Cc: "c", Bcc: "b", MessageID: "m", Recipients: "r", Other: strings.Repeat("o", 200_000)}
	v, uids := edit(t, b, folders.Edit{Append: []folders.Item{it}})
	if !slices.Equal(uids, []folders.UID{1}) || v.UIDNext != 2 || v.ModSeq != 1<<20 || v.ModSeqOf(1) != 1<<20 || v.Bytes("INBOX") != 79 {
		t.Errorf("%v %+v", uids, v)
	}
	if got := v.Flags(1); !slices.Equal(got, []string{`\Flagged`, "$Bounced"}) {
		t.Error(got)
	}
	other := newBook(store)
	entries, err := other.Entries(t.Context(), account, []folders.UID{2, 1})
	if err != nil || entries[0] != nil || fmt.Sprintf("%+v", entries[1]) != fmt.Sprintf("%+v", &it.Entry) {
		t.Errorf("%+v, %v", entries[1], err)
	}
	searches, err := other.Searches(t.Context(), account, []folders.UID{1, 7})
	want := it.Search
	want.At, want.Size = it.Entry.At, it.Entry.Size()
	if err != nil || searches[1] != nil || *searches[0] != want {
		t.Errorf("%+v, %v", searches[0], err)
	}
	filed, err := other.Filed(t.Context(), account, []queue.MessageID{message(2), message(1)})
	if err != nil || filed[0] != nil || fmt.Sprint(filed[1]) != `[{1 sent [Bounced INBOX flag:\Flagged]}]` {
		t.Error(filed, err)
	}
	sameViews(t, v, view(t, other))
}

func TestWhatLeavesItsLastFolderIsExpunged(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b := newBook(store)
	edit(t, b, folders.Edit{Append: []folders.Item{
		item(1, "Sent", "Sent/2026-11", "flag:tag-x"), item(2, "Sent"), item(3, "Sent", "Sent/2026-11"),
	}})
	v, _ := edit(t, b, folders.Edit{Leave: map[string][]folders.UID{"Sent": {1, 2, 9}, "No such": {1}, "flag:tag-x": {1}}})
	has(t, "Sent", v.Set("Sent"), 3)
	has(t, "the month", v.Set("Sent/2026-11"), 1, 3)
	has(t, "what is submitted", v.WithFlag("$submitted"), 1, 3)
	if v.Bytes("Sent") != 4 || v.Bytes("Sent/2026-11") != 6 || string(v.AppendFlags(nil, 1)) != `\Seen tag-x $Submitted` {
		t.Error(v.Bytes("Sent"), v.Bytes("Sent/2026-11"), v.Flags(1))
	}
	if entries, err := b.Entries(t.Context(), account, []folders.UID{1, 2, 3}); err != nil || entries[0] == nil || entries[1] != nil || entries[2] == nil {
		t.Error(entries, err)
	}
	if filed, err := b.Filed(t.Context(), account, []queue.MessageID{message(1), message(2)}); err != nil || len(filed[0]) != 1 || len(filed[1]) != 0 {
		t.Error(filed, err)
	}
	v, _ = edit(t, b, folders.Edit{Expunge: []folders.UID{1, 3, 3, 8}})
	if len(v.Sets()) != 0 || !slices.Equal(v.FlagsInUse(), []string{`\Seen`}) {
		t.Error(v.Sets(), v.FlagsInUse())
	}
	head, index, err := store.FolderIndex(t.Context(), account)
	if err != nil || head.Version == 0 || len(index) != 2 { // the head, and what Sent has had
		t.Errorf("%d values are left, %v", len(index), err)
	}
}

func TestAnEditThatChangesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	v, uids := edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}, Hide: map[string]bitmap.Set{"shop": bitmap.Of(1)}})
	writes := len(store.writes)
	again, same := edit(t, b, folders.Edit{
		Append: []folders.Item{item(1, "Sent")}, Expunge: []folders.UID{7}, Leave: map[string][]folders.UID{"INBOX": {1}},
		Seen: bitmap.Of(1, 2), Unseen: bitmap.Of(9), Hide: map[string]bitmap.Set{"shop": bitmap.Of(5)},
	})
	if again != v || !slices.Equal(uids, same) || len(store.writes) != writes {
		t.Errorf("%d writes, %v", len(store.writes)-writes, same)
	}
}

func TestAFullStoreStillLetsEntriesGoAndBeRead(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	first, second, third := item(1, "Sent"), item(1, "INBOX"), item(1, "Bounced")
	second.Key, third.Key = "bounced", "late"
	edit(t, b, folders.Edit{Append: []folders.Item{first, second}})
	store.full = true
	if _, _, err := b.Edit(t.Context(), account, always(folders.Edit{Append: []folders.Item{third}})); !errors.Is(err, queue.ErrFull) {
		t.Error(err)
	}
	edit(t, b, folders.Edit{Expunge: []folders.UID{1}, Unseen: bitmap.Of(2)})
	filed, err := b.Filed(t.Context(), account, []queue.MessageID{message(1)})
	if err != nil || fmt.Sprint(filed) != "[[{2 bounced [INBOX]}]]" {
		t.Error(filed, err)
	}
	store.full = false
	if _, uids := edit(t, b, folders.Edit{Append: []folders.Item{first, third}}); !slices.Equal(uids, []folders.UID{3, 4}) {
		t.Error(uids)
	}
	if filed, err := b.Filed(t.Context(), account, []queue.MessageID{message(1)}); err != nil || len(filed[0]) != 3 {
		t.Error(filed, err)
	}
	edit(t, b, folders.Edit{Expunge: []folders.UID{2, 3, 4}})
	if rows := store.shelves[account].rows; len(rows) != 0 {
		t.Errorf("%d rows are left", len(rows))
	}
}

func TestSeenIsKeptAndCounted(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b := newBook(store)
	var items []folders.Item
	for n := range 6000 {
		items = append(items, item(n, "INBOX"))
		items[n].Unseen = true
	}
	old, _ := edit(t, b, folders.Edit{Append: items})
	v, _ := edit(t, b, folders.Edit{Seen: bitmap.Of(1, 5000, 9000)})
	if v.ModSeq != old.ModSeq+1 || v.ModSeqOf(1) != v.ModSeq || v.ModSeqOf(5000) != v.ModSeq || v.ModSeqOf(2) != 2<<20 {
		t.Error(v.ModSeq, v.ModSeqOf(1), v.ModSeqOf(5000), v.ModSeqOf(2))
	}
	has(t, "changed", v.ChangedSince(v.Set("INBOX"), old.ModSeq), 1, 5000)
	has(t, "changed of some", v.ChangedSince(bitmap.Of(1, 2), old.ModSeq), 1)
	has(t, "changed since an entry came", v.ChangedSince(v.Set("INBOX"), old.ModSeqOf(5998)), 1, 5000, 5999, 6000)
	has(t, "changed after all", v.ChangedSince(v.Set("INBOX"), v.ModSeq))
	has(t, "changed after the end of time", v.ChangedSince(v.Set("INBOX"), 1<<63-1))
	if n := v.ChangedSince(v.Set("INBOX"), 0).Len(); n != 6000 {
		t.Error(n)
	}
	w, _ := edit(t, b, folders.Edit{Unseen: bitmap.Of(1), Seen: bitmap.Of(1, 2)})
	has(t, "changed then", w.ChangedSince(w.Set("INBOX"), v.ModSeq), 1, 2)
	has(t, "seen", w.WithFlag(`\SEEN`), 2, 5000)
	sameViews(t, w, view(t, newBook(store)))
}

func TestManyChangesOfFlagsTakeBoundedRoom(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b := newBook(store)
	var items []folders.Item
	for n := range 100 {
		items = append(items, item(n, "INBOX"))
	}
	v, _ := edit(t, b, folders.Edit{Append: items})
	seen := map[folders.UID]uint64{}
	for n := range 300 {
		uid := folders.UID(n*7%100 + 1)
		e := folders.Edit{Seen: bitmap.Of(uid)}
		if !v.Unseen().Has(uid) {
			e = folders.Edit{Unseen: bitmap.Of(uid)}
		}
		v, _ = edit(t, b, e)
		seen[uid] = v.ModSeq
	}
	for uid, modseq := range seen {
		if v.ModSeqOf(uid) < modseq || !v.ChangedSince(v.Set("INBOX"), modseq-1).Has(uid) {
			t.Errorf("entry %d was changed at %d, not %d", uid, modseq, v.ModSeqOf(uid))
		}
	}
	if n := v.ChangedSince(v.Set("INBOX"), v.ModSeq-5).Len(); n != 5 {
		t.Errorf("the last 5 changes are %d", n)
	}
	_, index, err := store.FolderIndex(t.Context(), account)
	if err != nil || len(index) > 8 {
		t.Errorf("%d values, %v", len(index), err)
	}
	sameViews(t, v, view(t, newBook(store)))
}

func TestSubscriptionsAreKept(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b := newBook(store)
	old := view(t, b)
	v, _ := edit(t, b, folders.Edit{Subscribe: []string{"Sent/2026-11", "Sent"}, Unsubscribe: []string{"Queued", "Nothing"}})
	names, chosen := v.Subscribed()
	if !chosen || !slices.Equal(names, []string{"Bounced", "Deferred", "INBOX", "Sent", "Sent/2026-11"}) || v.ModSeq != old.ModSeq {
		t.Error(names, chosen)
	}
	sameViews(t, v, view(t, newBook(store)))
	v, _ = edit(t, b, folders.Edit{Unsubscribe: names})
	if names, chosen = v.Subscribed(); !chosen || len(names) != 0 {
		t.Error(names, chosen)
	}
	var many []string
	for n := range folders.MaxSubscriptions + 1 {
		many = append(many, fmt.Sprint("x", n))
	}
	if _, _, err := b.Edit(t.Context(), account, always(folders.Edit{Subscribe: many})); !errors.Is(err, folders.ErrInvalid) {
		t.Error(err)
	}
}

func TestWhatIsNoEntryIsRefused(t *testing.T) {
	t.Parallel()
	b := newBook(openStore(t))
	long := item(1, "Sent")
	long.Key = strings.Repeat("k", folders.MaxKey+1)
	for name, e := range map[string]folders.Edit{
		"no folder":        {Append: []folders.Item{item(1)}},
		"flags alone":      {Append: []folders.Item{item(1, `flag:\Flagged`)}},
		"no name":          {Append: []folders.Item{item(1, "")}},
		"a kept name":      {Append: []folders.Item{item(1, "unseen")}},
		"a kind":           {Append: []folders.Item{item(1, "kind:Sent")}},
		"a NUL":            {Append: []folders.Item{item(1, "a\x00b")}},
		"a long name":      {Append: []folders.Item{item(1, strings.Repeat("n", folders.MaxSetName+1))}},
		"a flag of two":    {Append: []folders.Item{item(1, "Sent", "flag:a b")}},
		"a long key":       {Append: []folders.Item{long}},
		"no login":         {Hide: map[string]bitmap.Set{"": bitmap.Of(1)}},
		"a kept subscribe": {Subscribe: []string{"flag:x"}},
	} {
		if _, _, err := b.Edit(t.Context(), account, always(e)); !errors.Is(err, folders.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := item(1, "Sent")
	huge.Entry.Front = make([]byte, queue.MaxFolderCommit)
	if _, _, err := b.Edit(t.Context(), account, always(folders.Edit{Append: []folders.Item{huge}})); !errors.Is(err, folders.ErrTooLarge) {
		t.Error(err)
	}
	bad := errors.New("changed my mind")
	if _, _, err := b.Edit(t.Context(), account, func(*folders.View) (folders.Edit, error) { return folders.Edit{}, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
}

func TestALargeEditIsDoneInSeveralCommits(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	var items []folders.Item
	for n := range 10000 {
		items = append(items, item(n, "INBOX", "Sent", fmt.Sprint("Sites/", n%100, "/Sent")))
		items[n].Entry.Front = make([]byte, 1000)
		items[n].Unseen = n%2 == 0
	}
	v, uids := edit(t, b, folders.Edit{Append: items})
	for i, uid := range uids {
		if uid != folders.UID(i+1) {
			t.Fatalf("item %d is entry %d", i, uid)
		}
	}
	if v.Set("Sent").Len() != 10000 || v.Bytes("Sites/7/Sent") != 100_000 || v.Unseen().Len() != 5000 {
		t.Error(v.Set("Sent").Len(), v.Bytes("Sites/7/Sent"))
	}
	v, _ = edit(t, b, folders.Edit{Seen: bitmap.Range(1, 10000), Expunge: uids[:5000], Leave: map[string][]folders.UID{"Sent": uids[4000:9000], "INBOX": uids[:9500]}})
	if v.Set("Sent").Len() != 1000 || v.Set("INBOX").Len() != 500 || v.Set("Sites/7/Sent").Len() != 50 || v.Bytes("Sent") != 1_000_000 || !v.Unseen().IsEmpty() {
		t.Error(v.Set("Sent").Len(), v.Set("INBOX").Len(), v.Set("Sites/7/Sent").Len(), v.Bytes("Sent"), v.Unseen().Len())
	}
	for _, w := range store.writes {
		octets := 0
		for _, part := range []map[string][]byte{w.Index, w.Rows} {
			for key, value := range part {
				octets += len(key) + len(value)
				if len(value) > queue.MaxFolderValue || len(key) > queue.MaxFolderKey {
					t.Fatalf("a value of %d octets under a key of %d", len(value), len(key))
				}
			}
		}
		if octets > queue.MaxFolderCommit {
			t.Fatalf("a commit of %d octets", octets)
		}
	}
	if rows := len(store.shelves[account].rows); rows != 3*5000 {
		t.Errorf("%d rows are left", rows)
	}
	sameViews(t, v, view(t, newBook(store)))
}

func TestResetBeginsANewLineOfUIDs(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	b, other := newBook(store), newBook(store)
	old, _ := edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent"), item(2, "Sent")}, Subscribe: []string{"x"}})
	view(t, other)
	if err := b.Reset(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*folders.Book{b, other} {
		v := view(t, b)
		if _, chosen := v.Subscribed(); v.UIDValidity <= old.UIDValidity || v.UIDNext != 1 || len(v.Sets()) != 0 || chosen {
			t.Errorf("%+v", v)
		}
	}
	if _, uids := edit(t, b, folders.Edit{Append: []folders.Item{item(2, "Sent")}}); !slices.Equal(uids, []folders.UID{1}) {
		t.Error(uids)
	}
}

func TestSearchesWithTextsLeaveOutEntriesThatHaveNone(t *testing.T) {
	t.Parallel()
	b := newBook(openStore(t))
	items := []folders.Item{item(1, "Sent"), item(2, "Sent"), item(3, "Sent"), item(4, "Sent")}
	items[1].Search.From = "größe"
	items[2].Search.Other = strings.Repeat("long ", 20_000) + "and at last"
	_, uids := edit(t, b, folders.Edit{Append: items})
	edit(t, b, folders.Edit{Expunge: []folders.UID{4}})
	for _, tt := range []struct {
		texts []string
		want  string
	}{
		{nil, "[1 2 3]"}, {[]string{"order"}, "[1 2 3]"}, {[]string{"order 4"}, "[]"}, {[]string{"größe"}, "[2]"},
		{[]string{"none", "at last", "order 1"}, "[1 3]"},
	} {
		list, err := b.SearchesWith(t.Context(), account, uids, tt.texts)
		if err != nil {
			t.Fatal(err)
		}
		var got []folders.UID
		for i, s := range list {
			if s != nil {
				got = append(got, uids[i])
			}
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("with %q: %v, want %s", tt.texts, got, tt.want)
		}
	}
}
