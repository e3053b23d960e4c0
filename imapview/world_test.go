package imapview_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/imapview"
	"postrider/queue"
	"postrider/queue/bitmap"
	"postrider/queue/folders"
	"postrider/queue/logstore"
)

const account = "shop"

var start = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

// logins knows everybody whose password is "secret"; "root" is an operator.
type logins struct{}

func (logins) Login(_ context.Context, l imapview.Login) (imapview.Identity, error) {
	switch {
	case l.Name == "broken":
		return imapview.Identity{}, errors.New("the store of passwords is on fire")
	case l.Name == "hasty":
		return imapview.Identity{}, imapview.ErrThrottled
	case l.Name == "panic":
		panic("a fault of ours")
	case l.Password != "secret":
		return imapview.Identity{}, imapview.ErrCredentials
	}
	return imapview.Identity{Account: l.Name, Operator: l.Name == "root"}, nil
}

type world struct {
	t     testing.TB
	store *logstore.Store
	book  *folders.Book
	srv   *imapview.Server
}

func newWorld(t testing.TB, change ...func(*imapview.Options)) *world {
	t.Helper()
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s}
	w.book = folders.New(folders.Options{Store: s, Contents: s, Now: now})
	o := imapview.Options{
		Listen: []imapview.Listen{{Address: "127.0.0.1:0"}}, Book: w.book, Auth: logins{}, Accounts: w.book.Accounts,
		Version: "1.0", Now: now, IdlePause: time.Millisecond,
	}
	for _, c := range change {
		c(&o)
	}
	w.srv = imapview.New(o)
	if err := w.srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(w.srv.Drain(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func now() time.Time { return start }

func (w *world) edit(account string, e folders.Edit) []folders.UID {
	w.t.Helper()
	_, uids, err := w.book.Edit(context.Background(), account, func(*folders.View) (folders.Edit, error) { return e, nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return uids
}

// file adds entries with these subjects to folders of the account, unread.
func (w *world) file(sets string, subjects ...string) []folders.UID {
	w.t.Helper()
	var items []folders.Item
	for _, s := range subjects {
		items = append(items, item(s, strings.Split(sets, ",")...))
	}
	return w.edit(account, folders.Edit{Append: items})
}

func (w *world) expunge(uids ...folders.UID) {
	w.t.Helper()
	w.edit(account, folders.Edit{Expunge: uids})
}

func (w *world) seen(uids ...folders.UID) {
	w.t.Helper()
	w.edit(account, folders.Edit{Seen: bitmap.Of(uids...)})
}

// item is an entry of one text part.
func item(subject string, sets ...string) folders.Item {
	text := "Subject: " + subject + "\r\nFrom: shop@example.com\r\n\r\nbody of " + subject + "\r\n"
	it := folders.Item{Entry: simple(text), Sets: sets, Unseen: true}
	it.Entry.Message = queue.NewMessageID()
	it.Key = it.Entry.Message.String()
	it.Search.Subject, it.Search.From = strings.ToLower(subject), "shop@example.com"
	it.Search.At, it.Search.Size = it.Entry.At, it.Entry.Size()
	return it
}

func simple(text string) folders.Entry {
	body := int64(strings.Index(text, "\r\n\r\n") + 4)
	end := int64(len(text))
	return folders.Entry{
		At: start, Front: []byte(text), Envelope: []byte(`(NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL)`),
		Body: []byte(`("text" "plain" NIL NIL NIL "7bit" 1 1)`), BodyStructure: []byte(`("text" "plain" NIL NIL NIL "7bit" 1 1 NIL NIL NIL NIL)`),
		Parts: []folders.Part{{Path: "", Body: body, End: end}, {Path: "1", Body: body, End: end}},
	}
}

// content stores the content of a message.
func (w *world) content(text string) (queue.MessageID, queue.ContentRef) {
	w.t.Helper()
	c, err := w.store.CreateContent(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		w.t.Fatal(err)
	}
	id := queue.NewMessageID()
	to := queue.Address{Local: "bob", Domain: "example.org"}
	_, err = w.store.Enqueue(context.Background(), queue.EnqueueRequest{Now: start, Content: c, Message: queue.Message{
		ID: id, Account: account, Priority: queue.PriorityNormal, AcceptedAt: start, ExpiresAt: start.Add(time.Hour),
		Content: queue.ContentRef{Size: int64(len(text)), HeaderSize: int64(strings.Index(text, "\r\n\r\n") + 4)},
	}, Recipients: []queue.Recipient{{ID: id.Recipient(0), Address: to, State: queue.StateQueued, Lane: "example.org", Due: start}}})
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.store.Message(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return id, m.Message.Content
}

// removeContent does as retention does: once nothing is to be sent any more.
func (w *world) removeContent(id queue.MessageID) {
	w.t.Helper()
	_, err := w.store.Apply(context.Background(), queue.Operation{Action: queue.ActionCancel, Now: start, Filter: queue.Filter{Messages: []queue.MessageID{id}}})
	if err := errors.Join(err, w.store.RemoveContent(context.Background(), id)); err != nil {
		w.t.Fatal(err)
	}
}

// client is a mail program that says what it is told to.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
	n  int
}

// dial connects and reads the greeting.
func (w *world) dial() *client {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.srv.Addrs()[0].String())
	if err != nil {
		w.t.Fatal(err)
	}
	c := newClient(w.t, nc)
	if line := c.line(); !strings.HasPrefix(line, "* OK ") {
		w.t.Fatalf("greeting is %q", line)
	}
	return c
}

func newClient(t testing.TB, nc net.Conn) *client {
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t: t, nc: nc, r: bufio.NewReader(nc)}
}

// login connects as a user.
func (w *world) login(name string) *client {
	w.t.Helper()
	c := w.dial()
	c.ok("LOGIN " + name + " secret")
	return c
}

// in connects as the account and selects a folder.
func (w *world) in(folder string) *client {
	w.t.Helper()
	c := w.login(account)
	c.ok("SELECT " + folder)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, text); err != nil {
		c.t.Fatal(err)
	}
}

// line reads one line of the answer, with the literals in it.
func (c *client) line() string {
	c.t.Helper()
	var all strings.Builder
	for {
		s, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read after %q: %v", all.String()+s, err)
		}
		all.WriteString(s)
		rest, ok := strings.CutSuffix(s, "}\r\n")
		if !ok {
			return strings.TrimSuffix(all.String(), "\r\n")
		}
		n, err := strconv.Atoi(rest[strings.LastIndexByte(rest, '{')+1:])
		if err != nil {
			c.t.Fatalf("literal in %q: %v", s, err)
		}
		if _, err := io.CopyN(&all, c.r, int64(n)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// cmd says a command and returns the answer; the last line is without its tag.
func (c *client) cmd(text string) []string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("a%d", c.n)
	c.send(tag + " " + text + "\r\n")
	return c.answer(tag)
}

func (c *client) answer(tag string) (lines []string) {
	c.t.Helper()
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return append(lines, rest)
		}
		lines = append(lines, line)
	}
}

// ok says a command that must work, and returns what came before the OK.
func (c *client) ok(text string) []string {
	c.t.Helper()
	lines := c.cmd(text)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") {
		c.t.Fatalf("%s: %q", text, lines)
	}
	return lines[:len(lines)-1]
}

// want says a command and compares the answer, but for the text of its last line,
// of which want has the beginning.
func (c *client) want(text string, want ...string) {
	c.t.Helper()
	got := c.cmd(text)
	if len(got) == len(want) && slices.Equal(got[:len(got)-1], want[:len(want)-1]) && strings.HasPrefix(got[len(got)-1], want[len(want)-1]) {
		return
	}
	c.t.Errorf("%s:\n got %s\nwant %s", text, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
}

// closed reads what is left, and fails if the server does not close.
func (c *client) closed() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatalf("the connection was not closed after %q", rest)
	}
	return string(rest)
}

func editOf(items ...folders.Item) folders.Edit { return folders.Edit{Append: items} }
