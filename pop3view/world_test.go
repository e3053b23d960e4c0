package pop3view_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/pop3view"
	"postrider/queue"
	"postrider/queue/folders"
	"postrider/queue/logstore"
)

// world is a server over a store of its own, and who may log in to it.
type world struct {
	t     testing.TB
	store *logstore.Store
	book  *folders.Book
	srv   *pop3view.Server
	door  *door
	log   *bytes.Buffer
	now   time.Time
}

// door knows accounts by their passwords.
type door struct {
	mu        sync.Mutex
	passwords map[string]string
	attempts  []pop3view.Login
}

func (d *door) Exists(_ context.Context, name string) (bool, error) {
	_, ok := d.passwords[strings.ToLower(name)]
	return ok, nil
}

func (d *door) Login(_ context.Context, l pop3view.Login) (pop3view.Identity, error) {
	d.mu.Lock()
	d.attempts = append(d.attempts, l)
	d.mu.Unlock()
	name := strings.ToLower(l.Name)
	switch {
	case l.Password == "throttled":
		return pop3view.Identity{}, pop3view.ErrThrottled
	case l.Password == "send only":
		return pop3view.Identity{}, pop3view.ErrNotAllowed
	case l.Password == "broken":
		return pop3view.Identity{}, errors.New("the store of keys is on fire")
	case l.Password == "panic":
		panic("a bug")
	case l.Password == "key of shop":
		return pop3view.Identity{Account: "shop"}, nil
	case l.Password == "key of operator":
		return pop3view.Identity{Operator: true}, nil
	case d.passwords[name] == l.Password && l.Password != "":
		return pop3view.Identity{Account: name, Operator: name == "admin"}, nil
	}
	return pop3view.Identity{}, pop3view.ErrCredentials
}

func (d *door) last() pop3view.Login {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.attempts[len(d.attempts)-1]
}

func newWorld(t testing.TB, change ...func(*pop3view.Options)) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, log: &bytes.Buffer{}, now: time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC),
		door: &door{passwords: map[string]string{"shop": "secret", "blog": "secret2", "admin": "secret3"}}}
	now := func() time.Time { return w.now }
	w.book = folders.New(folders.Options{Store: s, Contents: s, Now: now})
	o := pop3view.Options{
		Listen: []pop3view.Listen{{Address: "127.0.0.1:0"}},
		Book:   w.book, Auth: w.door, Now: now, LoginFailureDelay: time.Millisecond, Version: "1.2.3",
		Logger: slog.New(slog.NewTextHandler(&lockedWriter{b: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	w.srv = pop3view.New(o)
	if err := w.srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(w.srv.Drain(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

type lockedWriter struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// item makes an entry of three parts; the content may be empty.
func (w *world) item(front, content, back string, sets ...string) folders.Item {
	w.t.Helper()
	e := folders.Entry{At: w.now, Front: []byte(front), Back: []byte(back), Message: queue.NewMessageID(),
		Envelope: []byte("()"), Body: []byte("()"), BodyStructure: []byte("()")}
	if content != "" {
		e.Message = w.enqueue(content)
		m, err := w.store.Message(w.t.Context(), e.Message)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Content = m.Message.Content
	}
	return folders.Item{Entry: e, Search: folders.Search{At: e.At, Size: e.Size()}, Key: e.Message.String(), Sets: sets}
}

func (w *world) enqueue(content string) queue.MessageID {
	w.t.Helper()
	c, err := w.store.CreateContent(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.Write([]byte(content)); err != nil {
		w.t.Fatal(err)
	}
	id := queue.NewMessageID()
	_, err = w.store.Enqueue(w.t.Context(), queue.EnqueueRequest{
		Now: w.now, Content: c, Message: queue.Message{
			ID: id, Account: "shop", Envelope: queue.Envelope{ReversePath: queue.Address{Local: "shop", Domain: "example.com"}},
			Priority: queue.PriorityNormal, AcceptedAt: w.now, ExpiresAt: w.now.Add(72 * time.Hour),
			Content: queue.ContentRef{Size: int64(len(content))},
		},
		Recipients: []queue.Recipient{{ID: id.Recipient(0), Address: queue.Address{Local: "cust", Domain: "example.net"},
			State: queue.StateQueued, Lane: "example.net", Due: w.now}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// file puts entries into an account's folders.
func (w *world) file(account string, items ...folders.Item) []folders.UID {
	w.t.Helper()
	_, uids, err := w.book.Edit(w.t.Context(), account, func(*folders.View) (folders.Edit, error) {
		return folders.Edit{Append: items}, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return uids
}

func (w *world) view(account string) *folders.View {
	w.t.Helper()
	v, err := w.book.View(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// fileSome puts so many small bounces into INBOX, with their numbers as subjects.
func (w *world) fileSome(account string, n int) []folders.UID {
	w.t.Helper()
	items := make([]folders.Item, n)
	for i := range items {
		items[i] = w.item(fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i+1), "", "", folders.FolderInbox, folders.FolderBounced)
	}
	return w.file(account, items...)
}

// fileLarge puts one entry of so many octets into INBOX.
func (w *world) fileLarge(account string, octets int) {
	w.t.Helper()
	line := strings.Repeat("x", 1022) + "\r\n"
	w.file(account, w.item("Subject: large\r\n\r\n", strings.Repeat(line, octets>>10), "", folders.FolderInbox))
}

// tooLarge is more than the sockets of a connection hold, if the client's is
// small.
const tooLarge = 6 << 20

// deaf makes a client that reads no further than it must.
func (c *client) deaf() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		c.t.Fatal(err)
	}
}

// client speaks POP3.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// dial connects and reads the greeting.
func (w *world) dial() *client {
	w.t.Helper()
	c := w.connect()
	c.want("+OK")
	return c
}

func (w *world) connect() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.srv.Addrs()[0].String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{Conn: c, t: w.t, r: bufio.NewReader(c)}
}

// login connects and logs in.
func (w *world) login(name, password string) *client {
	w.t.Helper()
	c := w.dial()
	c.do("USER "+name, "+OK")
	c.do("PASS "+password, "+OK")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a line: %v, after %q", err, line)
	}
	if !strings.HasSuffix(line, "\r\n") {
		c.t.Fatalf("line %q does not end with CR LF", line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) want(prefix string) string {
	c.t.Helper()
	line := c.line()
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %q", line, prefix)
	}
	return line
}

// do sends a command and wants a reply of one line.
func (c *client) do(command, prefix string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.want(prefix)
}

// multi sends a command and returns the lines behind the first, unstuffed.
func (c *client) multi(command string) []string {
	c.t.Helper()
	c.do(command, "+OK")
	return c.lines()
}

func (c *client) lines() []string {
	c.t.Helper()
	lines := []string{}
	for {
		line := c.line()
		if line == "." {
			return lines
		}
		lines = append(lines, strings.TrimPrefix(line, "."))
	}
}

func (c *client) retr(number int) string {
	c.t.Helper()
	return strings.Join(append(c.multi(fmt.Sprintf("RETR %d", number)), ""), "\r\n")
}

// ended wants the server to have closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("connection is still open, and says %q", b)
	}
}

// startTLS upgrades the connection.
func (c *client) startTLS(pool *x509.CertPool) {
	c.t.Helper()
	c.do("STLS", "+OK")
	c.handshake(pool)
}

func (c *client) handshake(pool *x509.CertPool) {
	c.t.Helper()
	k := tls.Client(c.Conn, &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
	if err := k.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.Conn, c.r = k, bufio.NewReader(k)
}

func plain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}

// certificate returns one for mail.example.com, and who trusts it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"}, DNSNames: []string{"mail.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
