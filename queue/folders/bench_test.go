package folders_test

import (
	"fmt"
	"testing"

	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

const million = 1_000_000

// fill files entries as a busy account has them: most were sent, in one of twelve
// months, some bounced for one of three reasons.
func fill(b testing.TB, book *folders.Book, n int) {
	b.Helper()
	for at := 0; at < n; {
		var items []folders.Item
		for ; len(items) < 2000 && at < n; at++ {
			it := item(at, folders.FolderSent, fmt.Sprintf("Sent/2026-%02d", at*12/n+1))
			if at%50 == 0 {
				it = item(at, folders.FolderInbox, folders.FolderBounced, fmt.Sprint("Bounced/Reason ", at%150), `flag:\Flagged`, "flag:$HardBounce", "flag:$label1")
				it.Unseen = true
			}
			it.Search.From, it.Search.To, it.Search.MessageID = "shop shop@example.org", fmt.Sprintf("customer%d@example.net", at), fmt.Sprintf("%d@example.org", at)
			items = append(items, it)
		}
		if _, _, err := book.Edit(b.Context(), account, always(folders.Edit{Append: items})); err != nil {
			b.Fatal(err)
		}
	}
}

// filledMemory is a store with a million entries whose rows were thrown away, lest
// their weight be measured.
func filledMemory(b testing.TB) *memory {
	b.Helper()
	store := newMemory()
	store.before = func(string) {
		store.writes = nil
		if s := store.shelves[account]; s != nil {
			s.rows = map[string][]byte{}
		}
	}
	fill(b, newBook(store), million)
	store.before = nil
	return store
}

// BenchmarkSelect1M is the first view of an account with a million entries, of
// which nothing is in memory; it includes the reading of the store.
func BenchmarkSelect1M(b *testing.B) {
	store := openStore(b)
	fill(b, newBook(store), million)
	for b.Loop() {
		if v := view(b, newBook(store)); v.Set("Sent").Len() < million/2 {
			b.Fatal(v.Set("Sent").Len())
		}
	}
}

// BenchmarkSelect1MInMemory is the same over a store that costs nothing.
func BenchmarkSelect1MInMemory(b *testing.B) {
	store := filledMemory(b)
	for b.Loop() {
		view(b, newBook(store))
	}
}

// BenchmarkViewAgain is what a client that asks for news costs.
func BenchmarkViewAgain(b *testing.B) {
	store := openStore(b)
	book := newBook(store)
	fill(b, book, 100_000)
	for b.Loop() {
		view(b, book)
	}
}

func BenchmarkAppendFlags(b *testing.B) {
	v := view(b, newBook(filledMemory(b)))
	var line []byte
	for uid := folders.UID(1); b.Loop(); uid = uid%million + 1 {
		line = v.AppendFlags(line[:0], uid)
	}
}

func BenchmarkModSeqOf(b *testing.B) {
	book := newBook(filledMemory(b))
	for n := range folders.UID(20) {
		edit(b, book, folders.Edit{Unseen: bitmap.Of(n*997+1, n*40_000+1)})
	}
	v := view(b, book)
	for uid := folders.UID(1); b.Loop(); uid = uid%million + 1 {
		v.ModSeqOf(uid)
	}
}

// BenchmarkFileOne and BenchmarkMarkOneRead change an account that has a million
// entries, one at a time.
func BenchmarkFileOne(b *testing.B) {
	store := openStore(b)
	book := newBook(store)
	fill(b, book, million)
	for n := million; b.Loop(); n++ {
		edit(b, book, folders.Edit{Append: []folders.Item{item(n, "Sent", "Sent/2026-12")}})
	}
}

func BenchmarkMarkOneRead(b *testing.B) {
	store := openStore(b)
	book := newBook(store)
	fill(b, book, million)
	unseen := false
	for b.Loop() {
		e := folders.Edit{Seen: bitmap.Of(500_001)}
		if unseen = !unseen; unseen {
			e = folders.Edit{Unseen: bitmap.Of(500_001)}
		}
		edit(b, book, e)
	}
}

func BenchmarkMarkAllRead1M(b *testing.B) {
	book := newBook(filledMemory(b))
	all := bitmap.Range(1, million)
	unseen := false
	for b.Loop() {
		e := folders.Edit{Seen: all}
		if unseen = !unseen; unseen {
			e = folders.Edit{Unseen: all}
		}
		edit(b, book, e)
	}
}

func BenchmarkExpunge100k(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		store := openStore(b)
		book := newBook(store)
		fill(b, book, 100_000)
		uids := make([]folders.UID, 100_000)
		for i := range uids {
			uids[i] = folders.UID(i + 1)
		}
		b.StartTimer()
		edit(b, book, folders.Edit{Expunge: uids})
	}
}

func BenchmarkSearches100k(b *testing.B) {
	store := openStore(b)
	book := newBook(store)
	fill(b, book, 100_000)
	uids := make([]folders.UID, 1000)
	b.ReportAllocs()
	for b.Loop() {
		for at := 0; at < 100_000; at += len(uids) {
			for i := range uids {
				uids[i] = folders.UID(at + i + 1)
			}
			if list, err := book.Searches(b.Context(), account, uids); err != nil || list[0] == nil {
				b.Fatal(err)
			}
		}
	}
}
