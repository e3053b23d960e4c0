package pop3view_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/pop3view"
	"postrider/queue/folders"
)

func TestAMessageIsFrontContentAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	front, content, back := "X-Relay-Status: bounced\r\n\r\n", "Subject: x\r\n\r\n"+strings.Repeat("0123456789\r\n", 50_000), "\r\n--end--\r\n"
	w.file("shop", w.item(front, content, back, folders.FolderInbox))
	c := w.login("shop", "secret")
	size := len(front) + len(content) + len(back)
	c.do("STAT", fmt.Sprintf("+OK 1 %d", size))
	c.send("RETR 1\r\n")
	c.want(fmt.Sprintf("+OK %d octets", size))
	if got := strings.Join(append(c.lines(), ""), "\r\n"); got != front+content+back {
		t.Errorf("got %d octets of %d", len(got), size)
	}
	c.do("NOOP", "+OK")
	if n := w.srv.Stats().Retrieved; n != 1 {
		t.Errorf("%d were counted", n)
	}
}

func TestDotsAreStuffed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	i := 0
	for text, want := range map[string]string{
		".\r\n":              "..\r\n.\r\n",
		"a\r\n.\r\n..b\r\nc": "a\r\n..\r\n...b\r\nc\r\n.\r\n",
		"a.\r\n\r\n.":        "a.\r\n\r\n..\r\n.\r\n",
		"a\n.\nb\n":          "a\n..\nb\n.\r\n", // clients take LF for a line's end
		"":                   ".\r\n",
		strings.Repeat("a", 16<<10-2) + "\r\n.\r\n": strings.Repeat("a", 16<<10-2) + "\r\n..\r\n.\r\n", // at a piece's edge
		strings.Repeat(".", 16<<10+1) + "\r\n":      strings.Repeat(".", 16<<10+2) + "\r\n.\r\n",
	} {
		account := fmt.Sprintf("a%d", i)
		i++
		w.door.passwords[account] = "secret"
		w.file(account, w.item("", text, "", folders.FolderInbox))
		c := w.login(account, "secret")
		c.do("RETR 1", fmt.Sprintf("+OK %d octets", len(text)))
		got := make([]byte, len(want))
		if _, err := readFull(c, got); err != nil || string(got) != want {
			t.Errorf("%.30q: got %.60q, %v", text, got, err)
		}
		c.do("NOOP", "+OK")
	}
}

func TestTopEndsAfterSoManyLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := "Subject: x\r\nX-Folded: a\r\n b\r\n\r\n"
	long := strings.Repeat("x", 40<<10) + "\r\n"
	w.file("shop",
		w.item(header, "one\r\n.two\r\n\r\nfour\r\n", "", folders.FolderInbox),
		w.item("Subject: nothing else\r\n", "", "", folders.FolderInbox),
		w.item(header, long+long, "", folders.FolderInbox))
	c := w.login("shop", "secret")
	for command, want := range map[string]string{
		"TOP 1 0": header, "TOP 1 1": header + "one\r\n", "TOP 1 2": header + "one\r\n.two\r\n", "TOP 1 3": header + "one\r\n.two\r\n\r\n",
		"TOP 1 4": header + "one\r\n.two\r\n\r\nfour\r\n", "TOP 1 99999999": header + "one\r\n.two\r\n\r\nfour\r\n",
		"TOP 2 5": "Subject: nothing else\r\n", "TOP 3 0": header, "TOP 3 1": header + long, "TOP 3 2": header + long + long,
	} {
		if got := strings.Join(append(c.multi(command), ""), "\r\n"); got != want {
			t.Errorf("%s: got %.80q, want %.80q", command, got, want)
		}
	}
	if n := w.srv.Stats().Retrieved; n != 0 {
		t.Errorf("%d were counted", n)
	}
}

func TestAContentThatIsGoneIsRefusedBeforeTheFirstOctet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.item("X-Relay-Status: sent\r\n", "Subject: x\r\n\r\nbody\r\n", "", folders.FolderInbox)
	gone.Entry.Content.Key = []byte("there is none of this key")
	w.file("shop", gone)
	w.fileSome("shop", 1)
	c := w.login("shop", "secret")
	c.do("RETR 1", "-ERR [SYS/TEMP]")
	c.do("TOP 1 0", "-ERR [SYS/TEMP]")
	c.do("RETR 2", "+OK")
	c.lines()
}

func TestCommandsMayBeSentAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 2)
	c := w.dial()
	c.send("USER shop\r\nPASS secret\r\nSTAT\r\nUIDL\r\nRETR 1\r\nTOP 2 0\r\nDELE 2\r\nNOOP\r\nQUIT\r\n")
	c.want("+OK send PASS")
	c.want("+OK 2 messages")
	c.want("+OK 2 40")
	c.want("+OK 2 messages")
	c.lines()
	c.want("+OK 20 octets")
	c.lines()
	c.want("+OK 20 octets")
	c.lines()
	c.want("+OK deleted")
	c.want("+OK")
	c.want("+OK bye")
	c.ended()
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.WriteTimeout = 50 * time.Millisecond })
	w.fileLarge("shop", tooLarge)
	c := w.login("shop", "secret")
	c.deaf()
	c.do("RETR 1", "+OK") // and reads no further
	w.stop()              // returns when the session has ended by itself
	if n := w.srv.Stats().Timeouts; n != 1 {
		t.Errorf("%d timeouts", n)
	}
}
