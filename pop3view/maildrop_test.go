package pop3view_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/pop3view"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

func TestCapabilities(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.ExpireDays = 7 })
	want := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8", "USER", "SASL PLAIN", "EXPIRE 7"}
	c := w.dial()
	if got := c.multi("capa"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	c.do("UTF8", "+OK")
	c.do("AUTH PLAIN "+plain("shop", "secret"), "+OK")
	if got := c.multi("CAPA"); !slices.Equal(got, append(want, "IMPLEMENTATION Postrider-1.2.3")) {
		t.Errorf("got %q", got)
	}
	c.do("UTF8", "+OK") // Outlook sends it here
}

func TestAnEmptyMaildrop(t *testing.T) {
	t.Parallel()
	c := newWorld(t).login("shop", "secret")
	c.do("STAT", "+OK 0 0")
	if got := slices.Concat(c.multi("LIST"), c.multi("UIDL")); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	c.do("RETR 1", "-ERR no such message")
	c.do("QUIT", "+OK")
	c.ended()
}

func TestListsLeaveOutWhatIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uids := w.fileSome("shop", 3)
	v := w.view("shop").UIDValidity
	uidl := func(i int) string { return fmt.Sprintf("%d %x.%x", i, v, uids[i-1]) }
	c := w.login("shop", "secret")
	c.do("STAT", "+OK 3 60")
	c.do("LIST 2", "+OK 2 20")
	c.do("UIDL 3", "+OK "+uidl(3))
	c.do("DELE 2", "+OK")
	c.do("STAT", "+OK 2 40")
	if got := c.multi("LIST"); !slices.Equal(got, []string{"1 20", "3 20"}) {
		t.Errorf("got %q", got)
	}
	if got := c.multi("UIDL"); !slices.Equal(got, []string{uidl(1), uidl(3)}) {
		t.Errorf("got %q", got)
	}
	for _, command := range []string{"LIST 2", "UIDL 2", "RETR 2", "TOP 2 0", "DELE 2", "LIST 4", "LIST 0", "RETR 2147483647"} {
		c.do(command, "-ERR no such message")
	}
	c.do("RSET", "+OK")
	c.do("STAT", "+OK 3 60")
	c.do("UIDL 2", "+OK "+uidl(2))
}

func TestUniqueIDsStayWhenTheWindowMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.Window = 3 })
	w.fileSome("shop", 2)
	before := w.login("shop", "secret").multi("UIDL")
	w.fileSome("shop", 2)
	after := w.login("shop", "secret").multi("UIDL")
	if len(before) != 2 || len(after) != 3 || before[1][2:] != after[0][2:] {
		t.Errorf("before %q, after %q", before, after)
	}
	if got := w.login("shop", "secret").retr(3); !strings.Contains(got, "Subject: 2\r\n") {
		t.Errorf("the newest is %q", got)
	}
}

func TestDeletedMessagesAreHiddenAtQuitOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 3)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	_ = c.Close() // without QUIT nothing happens (RFC 1939 §6)
	c = w.login("shop", "secret")
	c.do("STAT", "+OK 3")
	c.do("DELE 1", "+OK")
	c.do("DELE 3", "+OK")
	c.do("RSET", "+OK")
	c.do("DELE 2", "+OK")
	other := w.login("shop", "secret") // a session of its own moment
	c.do("QUIT", "+OK")
	c.ended()
	other.do("STAT", "+OK 3")
	if got := other.retr(2); !strings.Contains(got, "Subject: 2") {
		t.Errorf("got %q", got)
	}
	c = w.login("SHOP+Inbox", "secret")
	c.do("STAT", "+OK 2")
	if got := c.retr(2); !strings.Contains(got, "Subject: 3") {
		t.Errorf("got %q", got)
	}
	w.login("shop+bounced", "secret").do("STAT", "+OK 3")
	if n := w.view("shop").Set(folders.FolderInbox).Len(); n != 3 {
		t.Errorf("the folder has %d entries", n)
	}
	if n := w.srv.Stats().Hidden; n != 1 {
		t.Errorf("%d were hidden", n)
	}
}

func TestRecentShowsThirtyDaysAndTheHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 1)
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.fileSome("shop", 2)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	c.do("DELE 2", "+OK")
	c.do("QUIT", "+OK")
	w.login("shop", "secret").do("STAT", "+OK 1")
	c = w.login("recent:shop", "secret")
	c.do("STAT", "+OK 2")
	c.do("DELE 2", "+OK") // hides from shop
	c.do("QUIT", "+OK")
	w.login("shop", "secret").do("STAT", "+OK 0")
	w.login("recent:shop", "secret").do("STAT", "+OK 2")
}

func TestDeletingMayFailAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.DeleteFails = true })
	w.fileSome("shop", 2)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	c.do("QUIT", "-ERR some deleted messages not removed")
	c.ended()
	c = w.login("shop", "secret")
	c.do("STAT", "+OK 2")
	c.do("QUIT", "+OK")
}

func TestQuitSaysWhatWentWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 1)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	c.do("QUIT", "-ERR [SYS/TEMP] cannot remove the deleted messages now")
}

func TestFoldersNumberedAnewHideNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 2)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	if err := w.book.Reset(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w.fileSome("shop", 2)
	c.do("RETR 2", "-ERR [SYS/TEMP]")
	c.do("QUIT", "+OK")
	w.login("shop", "secret").do("STAT", "+OK 2")
}

func TestWhatRetentionRemovedIsNeitherShownNorHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	uids := w.fileSome("shop", 3)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	_, _, err := w.book.Edit(t.Context(), "shop", func(*folders.View) (folders.Edit, error) {
		return folders.Edit{Expunge: uids[:2]}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.do("STAT", "+OK 2")
	c.do("RETR 2", "-ERR [SYS/TEMP] this message has been removed")
	c.do("RETR 3", "+OK")
	c.lines()
	c.do("QUIT", "+OK")
	if got := w.view("shop").Hidden("shop"); !got.Equal(bitmap.Set{}) {
		t.Errorf("%d are hidden", got.Len())
	}
	w.login("shop", "secret").do("STAT", "+OK 1")
}
