package pop3view_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/pop3view"
	"postrider/queue/folders"
)

func TestUserNamesSayWhichFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.passwords["shop@site.example"] = "secret"
	for i, folder := range []string{folders.FolderInbox, folders.FolderQueued, folders.FolderDeferred, folders.FolderSent, folders.FolderBounced} {
		for n := range i + 1 { // so that each has another number
			_ = n
			w.file("shop", w.item("Subject: x\r\n\r\n", "", "", folder))
			w.file("shop@site.example", w.item("Subject: x\r\n\r\n", "", "", folder))
		}
	}
	for name, want := range map[string]string{
		"shop": "1", "SHOP": "1", "shop+inbox": "1", "shop+queued": "2", "shop+deferred": "3", "shop+sent": "4", "shop+bounced": "5",
		"Shop+Sent": "4", "shop+BOUNCED": "5", "recent:shop": "1", "Recent:shop+sent": "4",
		"shop@site.example": "1", "shop+bounced@site.example": "5", "recent:shop+Deferred@site.example": "3",
	} {
		c := w.login(name, "secret")
		if got := strings.Fields(c.do("STAT", "+OK"))[1]; got != want {
			t.Errorf("%s sees %s messages, want %s", name, got, want)
		}
		c.do("QUIT", "+OK")
	}
	if got := w.door.last(); strings.Contains(got.Name, "recent:") || strings.Contains(got.Name, "+") {
		t.Errorf("asked for %q", got.Name)
	}
}

func TestAnAccountNamedLikeAFolderWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.passwords["shop+sent"] = "other"
	w.file("shop", w.item("Subject: of shop\r\n\r\n", "", "", folders.FolderSent))
	w.file("shop+sent", w.item("Subject: its own\r\n\r\n", "", "", folders.FolderInbox))
	c := w.dial()
	c.do("USER shop+sent", "+OK")
	c.do("PASS secret", "-ERR [AUTH]")
	if n := len(w.door.attempts); n != 1 {
		t.Errorf("one login asked for %d passwords", n)
	}
	c.do("USER Shop+Sent", "+OK")
	c.do("PASS other", "+OK")
	if got := c.retr(1); !strings.Contains(got, "its own") {
		t.Errorf("got %q", got)
	}
}

func TestPasswordsKeepTheirBlanks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.passwords["shop"] = "  correct  horse "
	c := w.dial()
	c.do("USER shop", "+OK")
	c.do("PASS   correct  horse ", "+OK")
	got := w.door.last()
	if got.Name != "shop" || got.Remote != netip.MustParseAddr("127.0.0.1") || got.TLS {
		t.Errorf("%+v", got)
	}
	w.door.passwords["shop"] = "s\u00e9same \u2603"
	w.login("shop", "s\u00e9same \u2603")
}

func TestOneReplyForAllThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replies := map[string]bool{}
	for _, l := range [][2]string{{"shop", "wrong"}, {"nobody", "secret"}, {"shop", "throttled"}, {"nobody+sent", "x"}} {
		c := w.dial()
		c.do("USER "+l[0], "+OK send PASS")
		replies[c.do("PASS "+l[1], "-ERR [AUTH] ")] = true
		replies[c.do("AUTH PLAIN "+plain(l[0], l[1]), "-ERR [AUTH] ")] = true
	}
	if len(replies) != 1 {
		t.Errorf("got %v", replies)
	}
	if n := w.srv.Stats().LoginFailures; n != 8 {
		t.Errorf("%d failures were counted", n)
	}
}

func TestOurTroubleIsNotAWrongPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial()
	c.do("USER shop", "+OK")
	c.do("PASS broken", "-ERR [SYS/TEMP] ")
	c.do("USER shop", "+OK")
	c.do("PASS send only", "-ERR [AUTH] these credentials may not read mail")
	c.do("AUTH PLAIN "+plain("shop", "secret"), "+OK")
}

func TestThreeFailedLoginsEndTheConnection(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for range 3 {
		c.do("USER shop", "+OK")
		c.do("PASS wrong", "-ERR [AUTH]")
	}
	c.ended()
}

func TestCredentialsAreNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial()
	for _, password := range []string{"hunter22", "broken"} {
		c.do("USER shop", "+OK")
		c.do("PASS "+password, "-ERR")
	}
	c.do("AUTH PLAIN "+plain("shop", "hunter22"), "-ERR")
	c.do("PASS hunter22", "-ERR send USER first")
	c.do("hunter22", "-ERR unknown command")
	w.login("shop", "secret").do("QUIT", "+OK")
	c.do("QUIT", "+OK")
	w.stop()
	if log := w.log.String(); strings.Contains(log, "hunter22") || strings.Contains(log, "secret") ||
		strings.Contains(log, plain("shop", "hunter22")) || !strings.Contains(log, "pop3 login failed") {
		t.Errorf("the log says %s", log)
	}
}

func TestAuthPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("with the response in the line", func(t *testing.T) {
		c := w.dial()
		c.do("auth plain "+plain("shop+sent", "secret"), "+OK")
		c.do("STAT", "+OK 0 0")
	})
	t.Run("with the response in the next line", func(t *testing.T) {
		c := w.dial()
		c.do("AUTH PLAIN", "+ ")
		c.do(plain("shop", "secret"), "+OK")
	})
	t.Run("cancelled", func(t *testing.T) {
		c := w.dial()
		c.do("AUTH PLAIN", "+ ")
		c.do("*", "-ERR cancelled")
		c.do("AUTH PLAIN "+plain("shop", "secret"), "+OK")
	})
	t.Run("asked for what there is", func(t *testing.T) {
		if got := w.dial().multi("AUTH"); !slices.Equal(got, []string{"PLAIN"}) {
			t.Errorf("got %q", got)
		}
	})
	for name, response := range map[string]string{
		"no base64": "!!!", "empty": "=", "one NUL": "AHNob3A=", "for somebody else": base64.StdEncoding.EncodeToString([]byte("blog\x00shop\x00secret")),
		"no name": plain("", "secret"), "no password": plain("shop", ""), "too long a name": plain(strings.Repeat("x", 256), "secret"),
		"line ends in the name": plain("shop\r\nQUIT", "secret"),
	} {
		t.Run(name, func(t *testing.T) { w.dial().do("AUTH PLAIN "+response, "-ERR malformed response") })
	}
	t.Run("other mechanisms", func(t *testing.T) { w.dial().do("AUTH CRAM-MD5", "-ERR syntax") })
}

func TestOperatorsSeeTheAccountThatTheyName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 2)
	w.fileSome("admin", 1)
	w.fileSome("local", 3) // has mail, but nobody can log in to it
	for _, l := range [][3]string{
		{"shop", "key of operator", "2"}, {"shop+bounced", "key of operator", "2"}, {"admin", "secret3", "1"}, {"Local", "key of operator", "3"},
	} {
		c := w.login(l[0], l[1])
		c.do("STAT", "+OK "+l[2])
	}
	c := w.dial()
	c.do("USER typo", "+OK")
	c.do("PASS key of operator", "-ERR [AUTH] there is no such account")
	c = w.login("shop", "key of operator")
	c.do("DELE 1", "+OK")
	c.do("QUIT", "+OK")
	w.login("shop", "key of operator").do("STAT", "+OK 1")
	w.login("shop", "secret").do("STAT", "+OK 2")
}

func TestAKeySeesItsAccountWhateverTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileSome("shop", 2)
	w.login("phone+bounced", "key of shop").do("STAT", "+OK 2")
	c := w.login("phone", "key of shop")
	c.do("DELE 2", "+OK")
	c.do("QUIT", "+OK")
	w.login("shop", "secret").do("STAT", "+OK 1")
}

func TestNoPasswordInClear(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	for name, change := range map[string]func(*pop3view.Options){
		"never":             func(o *pop3view.Options) { o.PlainLogin = pop3view.PlainNever },
		"STARTTLS listener": func(o *pop3view.Options) { o.Listen[0].Security = pop3view.StartTLS },
		"STARTTLS listener, though always": func(o *pop3view.Options) {
			o.Listen[0].Security, o.PlainLogin = pop3view.StartTLS, pop3view.PlainAlways
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *pop3view.Options) { o.TLS = cert }, change)
			c := w.dial()
			if got := c.multi("CAPA"); slices.Contains(got, "USER") || slices.Contains(got, "SASL PLAIN") || !slices.Contains(got, "STLS") {
				t.Errorf("got %q", got)
			}
			c.do("USER shop", "-ERR log in over TLS only: use STLS first")
			c.do("PASS secret", "-ERR log in over TLS only")
			c.do("AUTH PLAIN "+plain("shop", "secret"), "-ERR log in over TLS only")
			if len(w.door.attempts) > 0 {
				t.Error("the password was looked at")
			}
			c.startTLS(pool)
			if got := c.multi("CAPA"); !slices.Contains(got, "USER") || !slices.Contains(got, "SASL PLAIN") || slices.Contains(got, "STLS") {
				t.Errorf("got %q", got)
			}
			c.do("STLS", "-ERR TLS is already active")
			c.do("USER shop", "+OK")
			c.do("PASS secret", "+OK")
			if !w.door.last().TLS {
				t.Error("the login does not know of TLS")
			}
			c.do("STLS", "-ERR already logged in")
			c.do("QUIT", "+OK")
		})
	}
}

func TestNothingSurvivesSTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	w := newWorld(t, func(o *pop3view.Options) { o.TLS = cert })
	c := w.dial()
	c.do("USER shop", "+OK")
	c.send("STLS\r\nPASS secret\r\nUSER blog\r\n") // sent ahead by somebody on the way
	c.want("+OK begin TLS")
	c.handshake(pool)
	c.do("PASS secret", "-ERR send USER first")
	if len(w.door.attempts) > 0 {
		t.Error("what was sent in clear was listened to")
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	w := newWorld(t, func(o *pop3view.Options) { o.TLS, o.Listen[0].Security = cert, pop3view.ImplicitTLS })
	w.fileSome("shop", 1)
	c := w.connect()
	c.handshake(pool)
	c.want("+OK")
	c.do("USER shop", "+OK")
	c.do("PASS secret", "+OK")
	c.do("STAT", "+OK 1")
	c.do("QUIT", "+OK")
	c.ended()
	k := tls.Client(w.connect(), &tls.Config{RootCAs: pool, ServerName: "mail.example.com", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err := k.Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestSTLSWithoutACertificate(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	if got := c.multi("CAPA"); slices.Contains(got, "STLS") {
		t.Errorf("got %q", got)
	}
	c.do("STLS", "-ERR TLS is not available")
	srv := pop3view.New(pop3view.Options{Listen: []pop3view.Listen{{Address: "127.0.0.1:0", Security: pop3view.ImplicitTLS}}})
	if err := srv.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "set a certificate") {
		t.Errorf("started: %v", err)
	}
}

func TestStrangersHaveNoTimeToLose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.LoginTimeout = 50 * time.Millisecond })
	c := w.dial()
	c.ended()
	if n := w.srv.Stats().Timeouts; n != 1 {
		t.Errorf("%d timeouts", n)
	}
}

func TestSTLSWaitsForItsCertificate(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	var ready atomic.Bool
	c := newWorld(t, func(o *pop3view.Options) { o.TLS, o.TLSReady, o.PlainLogin = cert, ready.Load, pop3view.PlainNever }).dial()
	if got := c.multi("CAPA"); slices.Contains(got, "STLS") {
		t.Errorf("got %q", got)
	}
	c.do("STLS", "-ERR TLS is not available")
	c.do("USER shop", "-ERR log in over TLS only, which is not to be had here")
	ready.Store(true)
	if got := c.multi("CAPA"); !slices.Contains(got, "STLS") {
		t.Errorf("got %q", got)
	}
	c.startTLS(pool)
	c.do("USER shop", "+OK")
	c.do("PASS secret", "+OK")
}
