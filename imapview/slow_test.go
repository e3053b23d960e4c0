package imapview_test

import (
	"strings"
	"testing"
	"time"

	"postrider/imapview"
	"postrider/queue/folders"
)

// smallBuffers makes a connection that holds little on the way.
func (c *client) smallBuffers() {
	_ = c.nc.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)
}

func TestWhoReadsNothingIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *imapview.Options) { o.WriteTimeout = 50 * time.Millisecond })
	it := item("large", "INBOX")
	it.Entry = simple("Subject: large\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 40_000))
	w.edit(account, editOf(it))
	c := w.in("INBOX")
	c.smallBuffers()
	for range 20 { // more than the system holds between us
		c.send("x FETCH 1 BODY.PEEK[]\r\n")
	}
	for deadline := time.Now().Add(20 * time.Second); w.srv.Stats().Connections > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestWhoDoesNotReadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, ref := w.content("Subject: large\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 40_000))
	it := item("large", "INBOX")
	it.Entry = folders.Entry{Message: id, At: start, Content: ref, Parts: []folders.Part{{Body: 18, End: ref.Size}}}
	w.edit(account, editOf(it))
	slow := w.in("INBOX")
	for range 20 { // more than the system holds between us
		slow.send("x FETCH 1 BODY.PEEK[]\r\n")
	}
	slow.send("z LOGOUT\r\n")
	if line := slow.peek(); !strings.HasPrefix(line, "* 1 FETCH") {
		t.Fatal(line)
	}
	other := w.in("INBOX")
	for i := range 50 {
		w.file("INBOX", "x")
		other.want("NOOP", "* "+itoa(i+2)+" EXISTS", "* 0 RECENT", "OK")
	}
	w.removeContent(id) // in the middle of a literal, which can only be cut off
	if s := slow.closed(); strings.Count(s, "0123456789abcde\r\n") >= 20*40_000 || strings.Contains(s, "z OK") {
		t.Errorf("%d octets, the last %q", len(s), s[max(0, len(s)-100):])
	}
}

// peek reads the beginning of what comes, and leaves it.
func (c *client) peek() string {
	c.t.Helper()
	b, err := c.r.Peek(9)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}
