package imapview_test

import (
	"testing"
	"time"

	"postrider/imapview"
)

func TestIdleTellsOfChangesByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	c.send("x IDLE\r\n")
	expect(t, c, "+ Idling")
	w.file("INBOX", "two")
	expect(t, c, "* 2 EXISTS", "* 0 RECENT")
	w.seen(1)
	expect(t, c, `* 1 FETCH (UID 1 FLAGS (\Seen))`)
	w.expunge(1)
	expect(t, c, "* 1 EXPUNGE")
	c.send("DONE\r\n")
	expect(t, c, "x OK Done idling")
	c.want("NOOP", "OK")
	c.send("y IDLE\r\n")
	expect(t, c, "+ Idling")
	c.send("NOOP\r\n")
	expect(t, c, "y BAD DONE was expected")
	c.want("NOOP", "OK")
}

func TestIdleWithoutAFolder(t *testing.T) {
	t.Parallel()
	c := newWorld(t, func(o *imapview.Options) { o.IdleBeat = time.Millisecond }).login(account)
	c.send("x IDLE\r\n")
	expect(t, c, "+ Idling", "* OK Still here", "* OK Still here")
	c.send("DONE\r\n")
	if got := c.answer("x"); got[len(got)-1] != "OK Done idling" {
		t.Error(got)
	}
}

func TestIdleEndsWhenTheFoldersAreMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	c.send("x IDLE\r\n")
	expect(t, c, "+ Idling")
	if err := w.book.Reset(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if rest := c.closed(); rest != "* BYE The folders were made anew, come back to see them\r\n" {
		t.Error(rest)
	}
}

func TestIdleOfWhoGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	c := w.in("INBOX")
	c.send("x IDLE\r\n")
	expect(t, c, "+ Idling")
	_ = c.nc.Close() // Drain, at the end, waits for what is left of it
}

func expect(t *testing.T, c *client, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}
