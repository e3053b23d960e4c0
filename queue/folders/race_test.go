package folders_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// Several nodes edit one account at once. Each editor knows what it did, so that
// afterwards nothing may be missing; a client beside them rebuilds the folders
// from differences alone.
func TestConcurrentEditorsLoseNothing(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]queue.Folders{"logstore": openStore(t), "memory": newMemory()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const editors, edits = 6, 40
			books := []*folders.Book{newBook(store), newBook(store), newBook(store)}
			done := make(chan struct{})
			var client sync.WaitGroup
			client.Go(func() { follow(t, books[0], done) })
			var all sync.WaitGroup
			results := make([]editor, editors)
			for i := range results {
				results[i] = editor{t: t, book: books[i%len(books)], no: i, r: rand.New(rand.NewPCG(uint64(i), 2)), sets: map[folders.UID][]string{}}
				all.Go(func() { results[i].run(edits) })
			}
			all.Wait()
			close(done)
			client.Wait()
			v := view(t, newBook(store))
			sameViews(t, v, view(t, books[0]))
			checkEditors(t, v, results)
		})
	}
}

// editor works on the entries that it added.
type editor struct {
	t    *testing.T
	book *folders.Book
	no   int
	r    *rand.Rand

	next int
	sets map[folders.UID][]string // that it added and has not removed
	seen bitmap.Set               // of these
	size map[folders.UID]int64
	used []folders.UID // all it ever got
}

func (d *editor) run(n int) {
	d.size = map[folders.UID]int64{}
	for range n {
		e, after := d.choose()
		_, uids, err := d.book.Edit(d.t.Context(), account, always(e))
		if err != nil {
			d.t.Error(err)
			return
		}
		after(uids)
	}
}

func (d *editor) choose() (e folders.Edit, after func([]folders.UID)) {
	mine := d.some()
	switch d.r.IntN(4) {
	case 0:
		return folders.Edit{Expunge: mine}, func([]folders.UID) {
			for _, uid := range mine {
				delete(d.sets, uid)
			}
			d.seen = d.seen.Without(mine...)
		}
	case 1:
		return folders.Edit{Leave: map[string][]folders.UID{"Sent": mine}}, func([]folders.UID) { d.left(mine) }
	case 2:
		return folders.Edit{Seen: bitmap.Of(mine...)}, func([]folders.UID) { d.seen = d.seen.With(mine...) }
	}
	var items []folders.Item
	for range 1 + d.r.IntN(4) {
		items = append(items, item(d.no*1_000_000+d.next, [][]string{{"Sent"}, {"Sent", "Sent/2026-11"}, {"INBOX"}}[d.r.IntN(3)]...))
		items[len(items)-1].Unseen = true
		d.next++
	}
	return folders.Edit{Append: items}, func(uids []folders.UID) {
		for i, uid := range uids {
			d.sets[uid], d.size[uid] = items[i].Sets, items[i].Entry.Size()
		}
		d.used = append(d.used, uids...)
	}
}

func (d *editor) some() (uids []folders.UID) {
	for uid := range d.sets {
		if uids = append(uids, uid); len(uids) == 2 {
			break
		}
	}
	return uids
}

func (d *editor) left(uids []folders.UID) {
	for _, uid := range uids {
		d.sets[uid] = slices.DeleteFunc(slices.Clone(d.sets[uid]), func(name string) bool { return name == "Sent" })
		if len(d.sets[uid]) == 0 {
			delete(d.sets, uid)
			d.seen = d.seen.Without(uid)
		}
	}
}

func checkEditors(t *testing.T, v *folders.View, all []editor) {
	t.Helper()
	used := map[folders.UID]bool{}
	want := map[string]bitmap.Set{}
	bytes := map[string]int64{}
	var seen bitmap.Set
	for _, d := range all {
		if !slices.IsSorted(d.used) {
			t.Errorf("editor %d got %v", d.no, d.used)
		}
		for _, uid := range d.used {
			if used[uid] || uid >= v.UIDNext {
				t.Errorf("entry %d was given again, or is beyond %d", uid, v.UIDNext)
			}
			used[uid] = true
		}
		for uid, names := range d.sets {
			for _, name := range names {
				want[name] = want[name].With(uid)
				bytes[name] += d.size[uid]
			}
		}
		seen = seen.Or(d.seen)
	}
	for _, name := range []string{"Sent", "Sent/2026-11", "INBOX"} {
		if !v.Set(name).Equal(want[name]) || v.Bytes(name) != bytes[name] {
			t.Errorf("%s: %d entries of %d octets, want %d of %d", name, v.Set(name).Len(), v.Bytes(name), want[name].Len(), bytes[name])
		}
	}
	if got := v.WithFlag(`\Seen`); !got.Equal(seen) {
		t.Errorf("%d are seen, want %d", got.Len(), seen.Len())
	}
}

// follow is a client: it knows Sent by differences, new entries by UIDNEXT, and
// flags by what changed.
func follow(t *testing.T, b *folders.Book, done <-chan struct{}) {
	changed, stop := b.Watch(account)
	defer stop()
	old := view(t, b)
	known := old.Set("Sent")
	flags := map[folders.UID]string{}
	for uid := range known.All() {
		flags[uid] = string(old.AppendFlags(nil, uid))
	}
	for ended := false; !ended; {
		select {
		case <-changed:
		case <-done:
			ended = true
		}
		v := view(t, b)
		gone, come := bitmap.Diff(old.Set("Sent"), v.Set("Sent"))
		if least, ok := come.Min(); ok && least < old.UIDNext {
			t.Errorf("entry %d came after UIDNEXT %d was seen", least, old.UIDNext)
		}
		if v.ModSeq < old.ModSeq || v.UIDNext < old.UIDNext {
			t.Errorf("from %d, %d to %d, %d", old.UIDNext, old.ModSeq, v.UIDNext, v.ModSeq)
		}
		known = known.AndNot(gone).Or(come)
		for uid := range v.ChangedSince(v.Set("Sent"), old.ModSeq).All() {
			flags[uid] = string(v.AppendFlags(nil, uid))
		}
		old = v
	}
	if !known.Equal(old.Set("Sent")) {
		t.Error("what was rebuilt is not what is there")
	}
	for uid := range known.All() {
		if got, want := flags[uid], string(old.AppendFlags(nil, uid)); got != want {
			t.Errorf("entry %d has the flags %q, the client knows %q", uid, want, got)
		}
	}
}

func TestAnEditIsMadeAgainWhenSomebodyElseWasQuicker(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b, other := newBook(store), newBook(store)
	view(t, b)
	store.before = func(string) {
		store.before = nil // the other's own commit is not interrupted
		edit(t, other, folders.Edit{Append: []folders.Item{item(100, "Sent")}})
	}
	var seen []folders.UID
	v, uids, err := b.Edit(t.Context(), account, func(v *folders.View) (folders.Edit, error) {
		seen = append(seen, v.UIDNext)
		return folders.Edit{Append: []folders.Item{item(1, "Sent")}}, nil
	})
	if err != nil || !slices.Equal(seen, []folders.UID{1, 2}) || !slices.Equal(uids, []folders.UID{2}) || v.Set("Sent").Len() != 2 {
		t.Errorf("fn saw %v, the entry is %v: %v", seen, uids, err)
	}
}

func TestAnEditThatIsAlwaysTooLateEnds(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	view(t, b)
	store.before = func(string) {
		store.mu.Lock()
		store.version++
		store.shelves[account].version = store.version
		store.mu.Unlock()
	}
	if _, _, err := b.Edit(t.Context(), account, always(folders.Edit{Append: []folders.Item{item(1, "Sent")}})); !errors.Is(err, queue.ErrVersion) {
		t.Error(err)
	}
}

func TestACommitThatWasDoneButNotAnsweredIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	view(t, b)
	lost := errors.New("connection lost")
	store.answer = func(string) error { return lost }
	e := folders.Edit{Append: []folders.Item{item(1, "Sent"), item(2, "Sent")}}
	if _, _, err := b.Edit(t.Context(), account, always(e)); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	store.answer = nil
	if v := view(t, b); v.Set("Sent").Len() != 2 {
		t.Error("the view does not show what was done")
	}
	e.Append = append(e.Append, item(3, "Sent"))
	v, uids := edit(t, b, e)
	if !slices.Equal(uids, []folders.UID{1, 2, 3}) || v.Set("Sent").Len() != 3 {
		t.Error(uids)
	}
	again := folders.Edit{Expunge: []folders.UID{1}, Append: []folders.Item{item(1, "Sent"), item(1, "Sent")}}
	if _, uids := edit(t, b, again); !slices.Equal(uids, []folders.UID{4, 4}) {
		t.Errorf("what was expunged is filed anew as %v", uids)
	}
}

func TestUIDsJumpAfterCommitsMayHaveBeenLost(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}})
	copied := store.copied()
	old, _ := edit(t, b, folders.Edit{Append: []folders.Item{item(2, "Sent"), item(3, "Sent")}})
	store.failOver(copied, "second")

	for name, c := range map[string]struct {
		book *folders.Book
		from folders.UID
	}{"who saw what was lost": {b, 4}, "who did not": {newBook(store), 2}} {
		v := view(t, c.book)
		if !jumped(c.from, v.UIDNext) || v.ModSeq <= old.ModSeq || v.Set("Sent").Len() != 1 || v.UIDValidity != old.UIDValidity {
			t.Errorf("%s: %+v", name, v)
		}
	}
	again := store.copied()
	v, first := edit(t, b, folders.Edit{Append: []folders.Item{item(2, "Sent")}})
	if !jumped(4, first[0]) {
		t.Error(first)
	}
	sameViews(t, v, view(t, newBook(store)))
	store.failOver(again, "third")
	_, second := edit(t, b, folders.Edit{Append: []folders.Item{item(2, "Sent")}})
	if !jumped(first[0]+1, second[0]) {
		t.Error(second)
	}
	if v, _ := edit(t, b, folders.Edit{Unseen: bitmap.Of(1)}); v.UIDNext != second[0]+1 {
		t.Error("the counter jumps twice", v.UIDNext)
	}
}

// jumped reports whether a counter that was at from has left out a million at least.
func jumped(from, to folders.UID) bool { return to >= from+1_000_000 && to < from+2_000_000 }

// The commit that jumped may be lost as well: who did not see it must not come to
// the same numbers.
func TestTwoFailOversInARowLeadToOtherUIDs(t *testing.T) {
	t.Parallel()
	store := newMemory()
	edit(t, newBook(store), folders.Edit{Append: []folders.Item{item(1, "Sent")}})
	once, twice := store.copied(), store.copied()
	store.failOver(once, "second")
	_, lost := edit(t, newBook(store), folders.Edit{Append: []folders.Item{item(2, "Sent")}})
	store.failOver(twice, "third")
	if _, uids := edit(t, newBook(store), folders.Edit{Append: []folders.Item{item(3, "Sent")}}); slices.Equal(uids, lost) {
		t.Errorf("UID %d is given to two entries", uids)
	}
}

// RFC 3501 §2.3.1.1: UIDNEXT of a folder changes with what is added to it, also if
// that has gone again, and with nothing else.
func TestUIDNEXTIsOfTheFolder(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	wants := func(what string, sent, bounced folders.UID) {
		t.Helper()
		for name, v := range map[string]*folders.View{"this node": view(t, b), "another": view(t, newBook(store))} {
			if v.NextIn("Sent") != sent || v.NextIn("Bounced") != bounced || v.NextIn("INBOX") != bounced {
				t.Errorf("%s, at %s: UIDNEXT is %d and %d, want %d and %d", what, name, v.NextIn("Sent"), v.NextIn("Bounced"), sent, bounced)
			}
		}
	}
	_, first := edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}})
	wants("with one sent", 2, 1)
	edit(t, b, folders.Edit{Append: []folders.Item{item(2, "Bounced", "INBOX")}})
	wants("with one bounced", 2, 3)
	edit(t, b, folders.Edit{Expunge: first})
	wants("after it has gone", 2, 3)
	store.failOver(store.copied(), "second")
	next := view(t, b).UIDNext
	wants("after a fail-over", next, next)
	edit(t, b, folders.Edit{Append: []folders.Item{item(3, "Sent")}})
	wants("after what came then", next+1, next)
}

func TestTheCounterEndsAtNineTenths(t *testing.T) {
	t.Parallel()
	store := newMemory()
	b := newBook(store)
	_, last := edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}})
	for n := 0; ; n++ {
		store.failOver(store.copied(), fmt.Sprint(n))
		v, uids, err := b.Edit(t.Context(), account, always(folders.Edit{Append: []folders.Item{item(n+2, "Sent")}, Expunge: last}))
		if err == nil && n < 5000 {
			last = uids
			continue
		}
		if !errors.Is(err, folders.ErrExhausted) || n < 1900 || n > 3865 {
			t.Errorf("%d times: %v, %v", n, v, err)
		}
		break
	}
	if v, _ := edit(t, b, folders.Edit{Expunge: last}); !v.Set("Sent").IsEmpty() {
		t.Error("nothing can be removed any more")
	}
	if err := b.Reset(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if _, uids := edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}}); !slices.Equal(uids, []folders.UID{1}) {
		t.Error(uids)
	}
}
