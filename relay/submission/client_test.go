package submission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/auth"
	"postrider/relay/intake"
	"postrider/relay/submission"
)

func TestOddNamesInEHLO(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, name := range []string{"", " ", "vm", "localhost.localdomain", "my_container_1", "172.17.0.2", "[172.17.0.2]", "f3a9b1c2d4e5", "a b c", "müller.example", strings.Repeat("x", 2000)} {
		c := s.dial(t)
		c.do("EHLO "+name, "250-mail.example.com\r\n")
		c.do("MAIL FROM:<a@example.com>", "250")
	}
	c := s.dial(t)
	c.do("HELO vm", "250 mail.example.com")
	c.do("EHLO vm", "250-mail")
	for _, line := range strings.Split(c.do("EHLO vm", "250"), "\r\n")[1:] {
		if line != strings.ToUpper(line) {
			t.Errorf("keyword in lower case: %q", line)
		}
	}
}

func TestBrowsersAreDropped(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, first := range []string{"GET / HTTP/1.1", "POST /x HTTP/1.1", "Host: mail.example.com", "PRI * HTTP/2.0"} {
		c := s.dial(t)
		c.send(first + "\r\nContent-Type: text/plain\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.com>\r\n")
		c.ended()
	}
}

func TestEarlyTalkerIsBorne(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	k, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c := newClient(t, k)
	c.send("EHLO x\r\nMAIL FROM:<a@example.com>\r\n")
	c.expect("220")
	c.expect("250-")
	c.expect("250 2.1.0")
}

// TestLinesOneByOne sends a body as PHPMailer does, a write for each line.
func TestLinesOneByOne(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).data()
	_ = c.Conn.(*net.TCPConn).SetNoDelay(false) // PHP leaves Nagle's algorithm on
	var body strings.Builder
	for i := range 260 {
		line := fmt.Sprintf("%04d %s\r\n", i, strings.Repeat("x", 73))
		body.WriteString(line)
		c.send(line)
	}
	c.do(".", "250 ")
	if got := s.door.contents()[0]; got != body.String() {
		t.Errorf("%d octets of %d", len(got), body.Len())
	}
}

func TestTwoHundredConnectionsFromOneAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, stranger)
	cs := make([]*client, 200)
	for i := range cs {
		cs[i] = s.dial(t) // all stay open
	}
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			if _, err := io.WriteString(c.Conn, "EHLO x\r\nAUTH PLAIN "+b64("\x00shop\x00s3cret")+"\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nBDAT 3 LAST\r\nabcQUIT\r\n"); err != nil {
				t.Error(err)
			}
			b, err := io.ReadAll(c.r)
			if err != nil || !strings.Contains(string(b), "queued as") {
				t.Errorf("got %q %v", b, err)
			}
		})
	}
	wg.Wait()
	if n := s.Stats().Accepted; n != 200 {
		t.Errorf("%d accepted", n)
	}
}

func TestLimitsOfConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { stranger(o); o.MaxPerAddress = 2 })
	first := s.dial(t)
	s.dial(t)
	turnedAway(t, s)
	first.do("QUIT", "221")
	first.ended()
	eventually(t, func() bool { return s.Stats().Open == 1 })
	s.dial(t)
	if st := s.Stats(); st.TurnedAway != 1 || st.Connections != 3 {
		t.Errorf("%+v", st)
	}
	trusted := serve(t, func(o *submission.Options) { o.MaxPerAddress, o.MaxConnections = 1, 3 })
	for range 3 {
		trusted.dial(t)
	}
	turnedAway(t, trusted)
}

func turnedAway(t *testing.T, s *serverUnderTest) {
	t.Helper()
	k, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c := newClient(t, k)
	c.expect("421 4.3.2")
	c.ended()
}

// eventually waits for what another goroutine does, without sleeping.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not happen")
		}
	}
}

func TestIdleStrangersAreToldToGo(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { stranger(o); o.StrangerTimeout = 30 * time.Millisecond })
	c := s.dial(t)
	c.send("EHL") // part of a line buys no time
	c.expect("421 4.4.2")
	c.ended()
	s = serve(t, func(o *submission.Options) {
		stranger(o)
		o.StrangerLifetime = 100 * time.Millisecond
		o.MaxErrors = 1 << 30
	})
	c = s.dial(t)
	for {
		if _, err := io.WriteString(c.Conn, "NOOP\r\n"); err != nil {
			break
		}
		if got := c.reply(); strings.HasPrefix(got, "421 4.4.2") {
			break
		}
	}
}

func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.MaxRecipients = 2 })
	c := s.dial(t).open()
	if got := s.dial(t).do("EHLO x", "250"); !strings.Contains(got, "LIMITS RCPTMAX=2") {
		t.Errorf("got %q", got)
	}
	c.do("RCPT TO:<c@example.net>", "250")
	c.do("RCPT TO:<d@example.net>", "452 4.5.3")
	c.do("DATA", "354")
	c.do("x\r\n.", "250")
	if n := len(s.door.all()[0].Recipients); n != 2 {
		t.Errorf("%d recipients", n)
	}
}

func TestNullReversePathAndEightBit(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do("mail from:<> body=8bitmime", "250")
	c.do("rcpt to: b@example.net", "250") // no brackets, and a space: many do
	c.do("DATA", "354")
	c.do("x\r\n.", "250")
	m := s.door.all()[0]
	if !m.Envelope.ReversePath.IsNull() || !m.Envelope.EightBit || m.Recipients[0].Address.String() != "b@example.net" {
		t.Errorf("%+v", m)
	}
}

func TestRefusalBeforeTheContentIsReadStillReadsIt(t *testing.T) {
	t.Parallel()
	full := &queue.Refusal{Code: 452, Enhanced: queue.Enhanced{4, 3, 1}, Problem: "Full."}
	s := serve(t, func(o *submission.Options) {
		o.Door = &recorder{before: func() error { return errors.Join(full, errors.New("no space left on device")) }}
	})
	c := s.dial(t).data()
	c.send(strings.Repeat("MAIL FROM:<x@example.com>\r\n", 5000))
	got := c.do(".", "452-4.3.1 Full.")
	if strings.Contains(got, "device") || !strings.Contains(s.log.String(), "no space left on device") {
		t.Errorf("got %q", got)
	}
	c.do("NOOP", "250")
}

func TestUnixSocketIsLocalAccount(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "submit.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	s := serve(t, func(o *submission.Options) { stranger(o); o.Socket.Path = path })
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o666 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	c := dialAddr(t, s.Addrs()[1]).data()
	c.do("x\r\n.", "250")
	m := s.door.all()[0]
	if m.Account != auth.AccountLocal || m.Source.Kind != "socket" || m.Source.Remote.IsValid() || m.Source.Peer != fmt.Sprintf("uid=%d", os.Getuid()) {
		t.Errorf("%q %+v", m.Account, m.Source)
	}
	c.do("EHLO x", "250")
	c.do("AUTH PLAIN "+b64("\x00shop\x00s3cret"), "235")
	c.open().do("DATA", "354")
	c.do("x\r\n.", "250")
	if m := s.door.all()[1]; m.Account != "shop" {
		t.Errorf("account %q", m.Account)
	}
	second := submission.New(submission.Options{Door: s.door, Hostname: "x", Socket: submission.Socket{Path: path}})
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third := submission.New(submission.Options{Door: s.door, Hostname: "x", Socket: submission.Socket{Path: file}})
	if err := third.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the way: %v", err)
	}
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir)
	log := &logBuffer{}
	cert, err := submission.LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(o *submission.Options) {
		o.TLS = &tls.Config{GetCertificate: cert.Get}
		o.Listen[0].Security = submission.ImplicitTLS
	})
	served := func() string {
		k, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		return string(k.ConnectionState().PeerCertificates[0].Raw)
	}
	old := served()
	writePair(t, dir)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return served() != old })
	current := served()
	if err := os.WriteFile(keyFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		if served() != current {
			t.Fatal("the old pair does not stay in use")
		}
		return strings.Contains(log.String(), "certificate not renewed")
	})
	if _, err := submission.LoadCertificate(certFile, keyFile, nil); err == nil {
		t.Error("loaded half a key")
	}
}

// TestThroughTheRealDoor takes a message with the real accounts, door and store.
func TestThroughTheRealDoor(t *testing.T) {
	t.Parallel()
	store, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	accounts, err := auth.New(auth.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	password, err := accounts.Create(t.Context(), auth.Account{Name: "shop", AllowedSenders: []string{"example.com"}, From: intake.FromReject}, "")
	if err != nil {
		t.Fatal(err)
	}
	door := intake.New(intake.Options{Store: store, Policies: accounts, Hostname: "mail.example.com", MaxSize: 10000,
		Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) }})
	s := serve(t, func(o *submission.Options) { stranger(o); o.Door, o.Auth, o.MaxSize = door, accounts, 10000 })
	c := s.dial(t)
	c.do("EHLO shop", "250")
	c.do("AUTH PLAIN "+b64("\x00shop\x00wrong"), "535 5.7.8")
	c.do("AUTH PLAIN "+b64("\x00shop\x00"+password), "235")
	c.do("MAIL FROM:<a@other.example>", "550-5.7.1")
	c.open()
	c.do("RCPT TO:<broken>", "250")
	c.do("DATA", "354")
	c.send("From: a@example.com\r\nSubject: hello\r\n\r\none\n..\r\n..dot\r\n")
	got := c.do(".", "250 2.0.0 Ok: queued as ")
	id, err := queue.ParseMessageID(strings.TrimPrefix(got, "250 2.0.0 Ok: queued as "))
	if err != nil {
		t.Fatal(err)
	}
	e, err := store.Message(t.Context(), id)
	if err != nil || e.Message.Account != "shop" || len(e.Recipients) != 2 || e.Recipients[1].State != queue.StateBounced {
		t.Fatalf("%+v %v", e, err)
	}
	r, err := store.OpenContent(t.Context(), e.Message.Content)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || !strings.HasSuffix(string(b), "\r\n\r\none\r\n..\r\n.dot\r\n") || !strings.HasPrefix(string(b), "Received: from client.example.com ([127.0.0.1]) by mail.example.com with ESMTPA") {
		t.Errorf("%q %v", b, err)
	}
	c.open().do("DATA", "354")
	c.do("From: a@example.com\r\n\r\nnul\x00\r\n.", "554-5.6.0")
	c.open().do("DATA", "354")
	c.do("From: a@example.com\r\n\r\n"+strings.Repeat("x", 11000)+"\r\n.", "552-5.3.4")
	if err := accounts.Disable(t.Context(), "shop", "unpaid"); err != nil {
		t.Fatal(err)
	}
	if got := c.do("MAIL FROM:<a@example.com>", "550-5.7.1"); !strings.Contains(got, "unpaid") {
		t.Errorf("got %q", got)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c.do("MAIL FROM:<a@example.com>", "451-4.3.0")
}

// BenchmarkMessages counts 4 KB messages through the server into a door that
// only reads them.
func BenchmarkMessages(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52)
	for _, reuse := range []bool{true, false} {
		b.Run(fmt.Sprintf("reuse=%v", reuse), func(b *testing.B) {
			s := serve(b, func(o *submission.Options) { o.Door, o.Logger = sink{}, nil })
			addr := s.Addrs()[0]
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				var c *client
				for pb.Next() {
					if c == nil {
						k, err := net.Dial("tcp", addr.String())
						if err != nil {
							b.Error(err)
							return
						}
						c = newClient(b, k)
						c.expect("220")
						c.do("EHLO x", "250")
					}
					c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
					c.expect("250")
					c.expect("250")
					c.expect("354")
					c.do(body+".", "250")
					if !reuse {
						c.do("QUIT", "221")
						c.Close()
						c = nil
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

type sink struct{}

func (sink) CheckSender(context.Context, string, string, queue.Address) error { return nil }
func (sink) Submit(_ context.Context, s queue.Submission) (queue.Submitted, error) {
	_, err := io.Copy(io.Discard, s.Content)
	return queue.Submitted{ID: queue.NewMessageID()}, err
}
