package imapview_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/imapview"
)

func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func listening(t testing.TB, s imapview.Security, plain imapview.PlainLogin) func(*imapview.Options) {
	return func(o *imapview.Options) {
		o.Listen[0].Security, o.TLS, o.PlainLogin = s, certificate(t), plain
	}
}

func TestPasswordsWaitForTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		security imapview.Security
		plain    imapview.PlainLogin
		allowed  bool
	}{
		{"loopback may", imapview.Plain, imapview.PlainLoopback, true},
		{"nobody may", imapview.Plain, imapview.PlainNever, false},
		{"all may", imapview.Plain, imapview.PlainAlways, true},
		{"the listener wants TLS", imapview.StartTLS, imapview.PlainAlways, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newWorld(t, listening(t, tt.security, tt.plain)).dial()
			caps := c.ok("CAPABILITY")[0]
			if !strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") == tt.allowed || strings.Contains(caps, "AUTH=PLAIN") != tt.allowed {
				t.Error(caps)
			}
			if !tt.allowed {
				c.want("LOGIN shop secret", "NO [PRIVACYREQUIRED]")
				c.want("AUTHENTICATE PLAIN", "NO [PRIVACYREQUIRED]")
			}
			c.ok("STARTTLS")
			s := tls.Client(c.nc, clientTLS())
			c.nc, c.r = s, newClient(t, s).r
			if caps := c.ok("CAPABILITY")[0]; strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") {
				t.Error(caps)
			}
			c.want("STARTTLS", "BAD")
			c.ok("LOGIN shop secret")
		})
	}
}

// RFC 3501 §6.2.1, and CVE-2011-0411 for what happens otherwise.
func TestWhatWasSentAheadOfTLSIsForgotten(t *testing.T) {
	t.Parallel()
	c := newWorld(t, listening(t, imapview.Plain, imapview.PlainLoopback)).dial()
	c.send("x STARTTLS\r\ny LOGIN shop secret\r\n")
	if got := c.answer("x"); !strings.HasPrefix(got[0], "OK") {
		t.Fatal(got)
	}
	s := tls.Client(c.nc, clientTLS())
	c.nc, c.r = s, newClient(t, s).r
	c.want("SELECT INBOX", "BAD Log in first")
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, listening(t, imapview.ImplicitTLS, imapview.PlainNever))
	nc, err := tls.Dial("tcp", w.srv.Addrs()[0].String(), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	if line := c.line(); !strings.HasPrefix(line, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN ") {
		t.Error(line)
	}
	c.ok("LOGIN shop secret")
	c.send("x IDLE\r\n")
	if line := c.line(); line != "+ Idling" {
		t.Fatal(line)
	}
	w.file("INBOX", "one")
	c.send("DONE\r\n")
	if got := c.answer("x"); got[len(got)-1] != "OK Done idling" {
		t.Error(got)
	}
}

func TestAListenerThatNeedsTLSNeedsACertificate(t *testing.T) {
	t.Parallel()
	s := imapview.New(imapview.Options{Listen: []imapview.Listen{{Address: "127.0.0.1:0", Security: imapview.ImplicitTLS}}})
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

func TestServeTakesAConnectionOfWhateverKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.srv.Serve(ours)
	}()
	c := newClient(t, theirs)
	if line := c.line(); !strings.Contains(line, "LOGINDISABLED") { // it is not known to be on this machine
		t.Error(line)
	}
	c.want("LOGOUT", "* BYE Good-bye", "OK")
	<-done
}

func TestSTARTTLSWaitsForItsCertificate(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	c := newWorld(t, listening(t, imapview.Plain, imapview.PlainNever), func(o *imapview.Options) { o.TLSReady = ready.Load }).dial()
	if caps := c.ok("CAPABILITY")[0]; strings.Contains(caps, "STARTTLS") || !strings.Contains(caps, "LOGINDISABLED") {
		t.Error(caps)
	}
	c.want("STARTTLS", "BAD")
	c.want("LOGIN shop secret", "NO [PRIVACYREQUIRED] Passwords are taken only over TLS")
	ready.Store(true)
	if caps := c.ok("CAPABILITY")[0]; !strings.Contains(caps, "STARTTLS") {
		t.Error(caps)
	}
	c.ok("STARTTLS")
	s := tls.Client(c.nc, clientTLS())
	c.nc, c.r = s, newClient(t, s).r
	c.ok("LOGIN shop secret")
}
