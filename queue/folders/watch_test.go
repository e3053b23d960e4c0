package folders_test

import (
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWatchersHearOfChangesHereAtOnceAndElsewhereWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		b, other := folders.New(folders.Options{Store: store, Freshness: time.Hour}), folders.New(folders.Options{Store: store})
		view(t, b)
		c, stop := b.Watch(account)
		d, stopToo := b.Watch(account)
		edit(t, b, folders.Edit{Append: []folders.Item{item(1, "Sent")}})
		if !signalled(c) || !signalled(d) {
			t.Error("a change here is not heard of")
		}
		edit(t, other, folders.Edit{Append: []folders.Item{item(2, "Sent")}})
		if view(t, b).Set("Sent").Len() != 1 {
			t.Error("a fresh view was asked for again")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !signalled(c) || !signalled(d) || view(t, b).Set("Sent").Len() != 2 {
			t.Error("a change elsewhere is not heard of")
		}
		time.Sleep(5 * time.Second)
		if signalled(c) {
			t.Error("there was nothing to hear")
		}
		stop()
		edit(t, b, folders.Edit{Unseen: bitmap.Of(1)})
		if signalled(c) || !signalled(d) {
			t.Error("who stopped hears more, or who did not hears nothing")
		}
		stopToo()
		c, stop = b.Watch(account)
		edit(t, other, folders.Edit{Seen: bitmap.Of(1)})
		time.Sleep(time.Second)
		synctest.Wait()
		if !signalled(c) {
			t.Error("a watch after the last one ended hears nothing")
		}
		stop()
	})
}

func TestAFreshViewIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	store := newMemory()
	now := start
	b := folders.New(folders.Options{Store: store, Freshness: time.Second, Now: func() time.Time { return now }})
	other := newBook(store)
	old := view(t, b)
	edit(t, other, folders.Edit{Append: []folders.Item{item(1, "Sent")}})
	now = now.Add(time.Second - 1)
	if view(t, b) != old {
		t.Error("it was asked for")
	}
	now = now.Add(1)
	if view(t, b).Set("Sent").Len() != 1 {
		t.Error("it was not asked for")
	}
	edit(t, other, folders.Edit{Append: []folders.Item{item(2, "Sent")}})
	if _, uids := edit(t, b, folders.Edit{Append: []folders.Item{item(3, "Sent")}}); uids[0] != 3 || view(t, b).Set("Sent").Len() != 3 {
		t.Error("an edit builds on what is not current", uids)
	}
}
