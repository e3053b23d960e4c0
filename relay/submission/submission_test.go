package submission_test

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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/auth"
	"postrider/relay/submission"
)

// recorder is a Door that keeps what it was given, normalising nothing.
type recorder struct {
	check  func(account string, from queue.Address) error
	before func() error // at Submit, before the content is read
	after  func() error // once it was read

	mu   sync.Mutex
	mail []taken
	torn int // contents that ended in an error
}

type taken struct {
	queue.Submission
	content string
}

func (r *recorder) CheckSender(_ context.Context, account, _ string, from queue.Address) error {
	if r.check != nil {
		return r.check(account, from)
	}
	return nil
}

func (r *recorder) Submit(_ context.Context, s queue.Submission) (queue.Submitted, error) {
	if r.before != nil {
		if err := r.before(); err != nil {
			return queue.Submitted{}, err
		}
	}
	b, err := io.ReadAll(s.Content)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.torn++
		return queue.Submitted{}, fmt.Errorf("read content: %w", err)
	}
	if r.after != nil {
		if err := r.after(); err != nil {
			return queue.Submitted{}, err
		}
	}
	s.ID = queue.NewMessageID()
	r.mail = append(r.mail, taken{s, string(b)})
	return queue.Submitted{ID: s.ID}, nil
}

func (r *recorder) all() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mail)
}

func (r *recorder) contents() []string {
	var cs []string
	for _, m := range r.all() {
		cs = append(cs, m.content)
	}
	return cs
}

// passwords is an Authenticator with two accounts.
type passwords map[string]string

func (p passwords) Verify(_ context.Context, a auth.Attempt) (auth.Identity, error) {
	switch {
	case a.Name == "broken":
		return auth.Identity{}, errors.New("store: disk on fire at /secret/path")
	case a.Name == "throttled":
		return auth.Identity{}, auth.ErrThrottled
	case p[a.Name] != "" && p[a.Name] == a.Password:
		return auth.Identity{Account: a.Name, Scopes: []auth.Scope{auth.ScopeSend}}, nil
	}
	return auth.Identity{}, auth.ErrCredentials
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

type serverUnderTest struct {
	*submission.Server
	door *recorder
	log  *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server on a free port; edit changes the options, which by
// default trust loopback.
func serve(t testing.TB, edit func(o *submission.Options)) *serverUnderTest {
	t.Helper()
	door, log := &recorder{}, &logBuffer{}
	o := submission.Options{
		Door: door, Auth: passwords{"shop": "s3cret"}, Hostname: "mail.example.com",
		Listen: []submission.Listen{{Address: "127.0.0.1:0"}}, TrustedNetworks: loopback,
		LoginFailureDelay: time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&o)
	}
	if r, ok := o.Door.(*recorder); ok {
		door = r
	}
	s := submission.New(o)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	return &serverUnderTest{Server: s, door: door, log: log}
}

func stranger(o *submission.Options) { o.TrustedNetworks = nil }

// client speaks SMTP by hand.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (s *serverUnderTest) dial(t testing.TB) *client {
	t.Helper()
	return dialAddr(t, s.Addrs()[0])
}

func dialAddr(t testing.TB, a net.Addr) *client {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	k := newClient(t, c)
	k.expect("220 mail.example.com ESMTP Postrider")
	return k
}

func newClient(t testing.TB, c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: t, Conn: c, r: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send %.60q: %v", s, err)
	}
}

// reply reads a reply, all lines of it.
func (c *client) reply() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: %v", b.String()+line, err)
		}
		if !strings.HasSuffix(line, "\r\n") || len(line) > 512 {
			c.t.Fatalf("reply line %q", line)
		}
		b.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSuffix(b.String(), "\r\n")
		}
	}
}

func (c *client) expect(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got %q, want %q…", got, prefix)
	}
	return got
}

// do sends a command and wants a reply that starts so.
func (c *client) do(cmd, prefix string) string {
	c.t.Helper()
	c.send(cmd + "\r\n")
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("%.80q: got %q, want %q…", cmd, got, prefix)
	}
	return got
}

// raw is do without a line end added.
func (c *client) raw(octets, prefix string) {
	c.t.Helper()
	c.send(octets)
	c.expect(prefix)
}

// ended wants the connection to be closed, and nothing more to be said.
func (c *client) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("not closed: %v", err)
	}
	if len(rest) > 0 {
		c.t.Fatalf("more was said: %q", rest)
	}
}

func (c *client) open() *client {
	c.t.Helper()
	c.do("EHLO client.example.com", "250-mail.example.com")
	c.do("MAIL FROM:<a@example.com>", "250 2.1.0")
	c.do("RCPT TO:<b@example.net>", "250 2.1.5")
	return c
}

func (c *client) data() *client {
	c.t.Helper()
	c.open().do("DATA", "354 ")
	return c
}

const letter = "Subject: hello\r\n\r\nhello\r\n"

func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.com"},
		DNSNames: []string{"mail.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func TestPanicOfTheDoorIsOurTrouble(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	s := serve(t, func(o *submission.Options) {
		o.Door = &recorder{before: func() error {
			if !mended.Load() {
				panic("boom")
			}
			return nil
		}}
	})
	c := s.dial(t).data()
	c.send("MAIL FROM:<evil@example.com>\r\n")
	c.expect("421 ")
	c.ended()
	mended.Store(true)
	s.dial(t).data().do("x\r\n.", "250")
	eventually(t, func() bool { return strings.Contains(s.log.String(), "boom") })
}

func TestLetterIsTaken(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).data()
	c.send(letter)
	got := c.do(".", "250 2.0.0 Ok: queued as msg_")
	m := s.door.all()
	if len(m) != 1 || m[0].content != letter || got != "250 2.0.0 Ok: queued as "+m[0].ID.String() {
		t.Fatalf("got %q, took %+v", got, m)
	}
	if m[0].Account != auth.AccountTrusted || m[0].Source.Auth != "trusted" || m[0].Source.Peer != "client.example.com" || m[0].Source.Kind != "smtp" {
		t.Errorf("source %+v, account %q", m[0].Source, m[0].Account)
	}
	c.do("QUIT", "221 2.0.0")
	c.ended()
}
