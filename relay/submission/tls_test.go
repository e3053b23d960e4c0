package submission_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/relay/submission"
)

// startTLS upgrades the connection and verifies the server.
func (c *client) startTLS(pool *x509.CertPool) {
	c.t.Helper()
	c.do("STARTTLS", "220 2.0.0")
	k := tls.Client(c.Conn, &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
	if err := k.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.Conn, c.r = k, bufio.NewReader(k)
}

func TestNothingSurvivesSTARTTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert; stranger(o) })
	c := s.dial(t)
	if got := c.do("EHLO before", "250"); !strings.Contains(got, "250-STARTTLS\r\n") {
		t.Errorf("got %q", got)
	}
	c.do("AUTH PLAIN "+b64("\x00shop\x00s3cret"), "235 2.7.0")
	c.do("MAIL FROM:<a@example.com>", "250")
	c.startTLS(pool)
	c.do("RCPT TO:<b@example.net>", "503")
	c.do("AUTH PLAIN", "503")
	if got := c.do("EHLO after", "250"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH PLAIN LOGIN") {
		t.Errorf("got %q", got)
	}
	c.do("MAIL FROM:<a@example.com>", "530")
	c.do("STARTTLS", "503 5.5.1")
	c.do("AUTH PLAIN "+b64("\x00shop\x00s3cret"), "235 2.7.0")
	c.do("MAIL FROM:<a@example.com>", "250")
	c.do("RCPT TO:<b@example.net>", "250")
	c.do("DATA", "354")
	c.do("x\r\n.", "250")
	src := s.door.all()[0].Source
	if src.TLS != "TLS 1.3" || src.Auth != "PLAIN" || src.Peer != "after" {
		t.Errorf("%+v", src)
	}
	c.do("QUIT", "221")
	c.ended()
}

func TestSTARTTLSWithoutCertificateOrWithArgument(t *testing.T) {
	t.Parallel()
	c := serve(t, nil).dial(t)
	c.do("EHLO x", "250")
	c.do("STARTTLS", "502 5.5.1")
	cert, _ := certificate(t)
	c = serve(t, func(o *submission.Options) { o.TLS = cert }).dial(t)
	c.do("EHLO x", "250")
	c.do("STARTTLS now", "501 5.5.4")
	c.do("NOOP", "250")
}

func TestListenerThatWantsSTARTTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) {
		o.TLS = cert
		o.Listen[0].Security = submission.StartTLS
	})
	c := s.dial(t)
	if got := c.do("EHLO x", "250"); strings.Contains(got, "AUTH") {
		t.Errorf("offers AUTH without TLS: %q", got)
	}
	c.do("MAIL FROM:<a@example.com>", "530 5.7.0 Must issue a STARTTLS command first")
	c.do("AUTH PLAIN", "530 5.7.0")
	c.startTLS(pool)
	c.open()
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) {
		o.TLS = cert
		o.Listen[0].Security = submission.ImplicitTLS
		o.HandshakeTimeout = 100 * time.Millisecond
	})
	k, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: pool, ServerName: "mail.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c := newClient(t, k)
	c.expect("220 mail.example.com ESMTP Postrider")
	if got := c.do("EHLO x", "250"); strings.Contains(got, "STARTTLS") {
		t.Errorf("got %q", got)
	}
	c.do("QUIT", "221")
	c.ended() // with close_notify, else reading fails

	plain, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	if b, _ := io.ReadAll(plain); len(b) != 0 { // the handshake times out
		t.Errorf("spoke plaintext on a TLS port: %q", b)
	}
}

func TestTLSListenerNeedsCertificate(t *testing.T) {
	t.Parallel()
	s := submission.New(submission.Options{Door: &recorder{}, Hostname: "x", Listen: []submission.Listen{{Address: "127.0.0.1:0", Security: submission.ImplicitTLS}}})
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestTLSThatEndsInTheMiddleOfAChunk(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert })
	for _, cut := range []func(c *client){
		func(c *client) { _ = c.Conn.(*tls.Conn).CloseWrite() },                                     // an orderly end of TLS
		func(c *client) { _ = c.Conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite() },            // a torn one
		func(c *client) { _, _ = io.WriteString(c.Conn.(*tls.Conn).NetConn(), "QUIT\r\nRSET\r\n") }, // plaintext inside
	} {
		c := s.dial(t)
		c.do("EHLO x", "250")
		c.startTLS(pool)
		c.open()
		c.send("BDAT 100 LAST\r\nonly this")
		cut(c)
		_, _ = io.ReadAll(c.r)
	}
	if n := len(s.door.all()); n != 0 {
		t.Errorf("%d messages taken", n)
	}
}

func writePair(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	cfg, _ := certificate(t)
	der, err := x509.MarshalPKCS8PrivateKey(cfg.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cfg.Certificates[0].Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestSTARTTLSWaitsForItsCertificate(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	var ready atomic.Bool
	for _, security := range []submission.Security{submission.Plain, submission.StartTLS} {
		ready.Store(false)
		s := serve(t, func(o *submission.Options) {
			o.TLS, o.TLSReady, o.Listen[0].Security = cert, ready.Load, security
		})
		c := s.dial(t)
		if got := c.do("EHLO x", "250"); strings.Contains(got, "STARTTLS") {
			t.Errorf("offers what is not there: %q", got)
		}
		c.do("STARTTLS", "454 4.7.0")
		if security == submission.StartTLS {
			c.do("MAIL FROM:<a@example.com>", "451 4.7.0 TLS is needed here, and is not available yet")
			c.do("AUTH PLAIN", "454 4.7.0")
		}
		ready.Store(true)
		if got := c.do("EHLO x", "250"); !strings.Contains(got, "STARTTLS") {
			t.Errorf("got %q", got)
		}
		c.startTLS(pool)
		c.open()
	}
}
