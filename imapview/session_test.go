package imapview_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/imapview"
)

func TestWhatComesBeforeTheLogin(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	c.want("NOOP", "OK")
	c.want("ID NIL", `* ID ("name" "Postrider" "version" "1.0")`, "OK")
	c.want(`ID ("name" "x")`, `* ID ("name" "Postrider" "version" "1.0")`, "OK")
	c.want("SELECT INBOX", "BAD")
	c.want("FETCH 1 FLAGS", "BAD")
	c.want("XYZZY", "BAD")
	c.want("STARTTLS", "BAD")
	caps := c.ok("CAPABILITY")[0]
	for _, want := range []string{"IMAP4rev1", "AUTH=PLAIN", "SASL-IR", "LITERAL+", "IDLE", "CONDSTORE", "RIGHTS=kxte"} {
		if !strings.Contains(caps, " "+want) {
			t.Errorf("%q lacks %s", caps, want)
		}
	}
	if strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") {
		t.Error(caps)
	}
	c.want("LOGIN shop secret", "OK [CAPABILITY IMAP4rev1 ")
	c.want("LOGIN shop secret", "BAD")
	c.want("XYZZY", "BAD")
	c.want("FETCH 1 FLAGS", "BAD")
	c.want("LOGOUT", "* BYE Good-bye", "OK")
	c.closed()
}

func TestWaysToLogIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct{ name, command, answer, want string }{
		{"quoted", `LOGIN "shop" "secret"`, "", "OK"},
		{"literal+", "LOGIN {4+}\r\nshop {6+}\r\nsecret", "", "OK"},
		{"initial response", "AUTHENTICATE PLAIN " + plain("\x00shop\x00secret"), "", "OK"},
		{"authzid is the name", "AUTHENTICATE PLAIN " + plain("shop\x00shop\x00secret"), "", "OK"},
		{"response when asked", "AUTHENTICATE PLAIN", plain("\x00shop\x00secret"), "OK"},
		{"authzid is another", "AUTHENTICATE PLAIN " + plain("blog\x00shop\x00secret"), "", "NO [AUTHENTICATIONFAILED]"},
		{"given up", "AUTHENTICATE PLAIN", "*", "BAD"},
		{"no base64", "AUTHENTICATE PLAIN", "%%%", "BAD"},
		{"empty", "AUTHENTICATE PLAIN =", "", "BAD"},
		{"another mechanism", "AUTHENTICATE CRAM-MD5", "", "NO [CANNOT]"},
		{"wrong password", "LOGIN shop wrong", "", "NO [AUTHENTICATIONFAILED] Name or password are wrong"},
		{"wrong name", "LOGIN nobody wrong", "", "NO [AUTHENTICATIONFAILED] Name or password are wrong"},
		{"empty password", `LOGIN shop ""`, "", "NO [AUTHENTICATIONFAILED]"},
		{"throttled", "LOGIN hasty secret", "", "NO [UNAVAILABLE]"},
		{"our trouble", "LOGIN broken secret", "", "NO [UNAVAILABLE]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := w.dial()
			c.send("x " + tt.command + "\r\n")
			if tt.answer != "" {
				if line := c.line(); line != "+ " {
					t.Errorf("asked with %q", line)
				}
				c.send(tt.answer + "\r\n")
			}
			if got := c.answer("x"); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestASynchronisingLiteralIsAskedFor(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	c.send("x LOGIN {4}\r\n")
	if line := c.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatal(line)
	}
	c.send("shop {6}\r\n")
	if line := c.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatal(line)
	}
	c.send("secret\r\n")
	if got := c.answer("x"); !strings.HasPrefix(got[0], "OK") {
		t.Error(got)
	}
}

func TestThreeFailedLoginsEndTheConnection(t *testing.T) {
	t.Parallel()
	c := newWorld(t).dial()
	for range 3 {
		c.want("LOGIN shop wrong", "NO [AUTHENTICATIONFAILED]")
	}
	if rest := c.closed(); !strings.HasPrefix(rest, "* BYE ") {
		t.Error(rest)
	}
}

// Every fault of research into other servers: what a client must see instead.
func TestOddInputIsAnsweredAndTheConnectionGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	for _, tt := range []struct{ name, send, want string }{
		{"an empty line is passed over", "\r\nx NOOP\r\n", "OK"},
		{"blanks alone too", "  \r\nx NOOP\r\n", "OK"},
		{"a bare tag", "x\r\n", "BAD"},
		{"a literal that is too large is not executed", "y STATUS {5000+}\r\n" + strings.Repeat("z", 4984) + "\r\nx LOGOUT\r\n..." + "\r\nx NOOP\r\n", "OK"},
		{"a large synchronising literal is refused at once", "x STATUS {5000}\r\n", "BAD"},
		{"FETCH 0", "x FETCH 0 FLAGS\r\n", "BAD"},
		{"FETCH of a number that is not there", "x FETCH 2 FLAGS\r\n", "BAD"},
		{"done in lower case", "x IDLE\r\ndone\r\n", "OK"},
		{"deep nesting is refused", "x SEARCH " + strings.Repeat("NOT ", 12000) + "ALL\r\n", "BAD"},
		{"many keys are refused", "x SEARCH" + strings.Repeat(" ALL", 5000) + "\r\n", "BAD"},
		{"unknown SEARCH RETURN options are passed over", "x SEARCH RETURN (COUNT PARTIAL 1:2) ALL\r\n", "OK"},
		{"STATUS of what is not there", "x STATUS nothing (MESSAGES)\r\n", "NO [NONEXISTENT]"},
		{"an unknown command", "x FROBNICATE (1 2) {3+}\r\nabc\r\n", "BAD"},
		{"8-bit rubbish", "x NOOP \xff\xfe\r\n", "BAD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := w.in("INBOX")
			c.send(tt.send)
			for {
				line := c.line()
				if rest, ok := strings.CutPrefix(line, "x "); ok {
					if !strings.HasPrefix(rest, tt.want) {
						t.Errorf("got %q, want %q", rest, tt.want)
					}
					break
				}
			}
			c.want("NOOP", "OK")
		})
	}
}

func TestACommandBeyondAllMeasureIsAnsweredBeforeTheEnd(t *testing.T) {
	t.Parallel()
	c := newWorld(t).login(account)
	go func() { _, _ = c.nc.Write([]byte("x SEARCH SUBJECT " + strings.Repeat("y", 70_000))) }()
	if rest := c.closed(); !strings.Contains(rest, "BAD [TOOBIG]") || !strings.Contains(rest, "* BYE ") {
		t.Error(rest)
	}
}

func TestEnableAnswersEvenIfNothingIsKnown(t *testing.T) {
	t.Parallel()
	c := newWorld(t).login(account)
	c.want("ENABLE IMAP4rev2", "* ENABLED", "OK")
	c.want("ENABLE CONDSTORE FROBNICATE UTF8=ACCEPT", "* ENABLED CONDSTORE UTF8=ACCEPT", "OK")
}

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one", "two")
	c := w.dial()
	c.send("1 LOGIN shop secret\r\n2 SELECT INBOX\r\n3 FETCH 1:* (FLAGS)\r\n4 SEARCH ALL\r\n5 LOGOUT\r\n")
	rest := c.closed()
	at := -1
	for _, want := range []string{"1 OK", "2 OK", "* 2 FETCH", "3 OK", "* SEARCH 1 2", "4 OK", "* BYE", "5 OK"} {
		next := strings.Index(rest, want)
		if next <= at {
			t.Fatalf("%q is not where it should be in %s", want, rest)
		}
		at = next
	}
}

func TestAPanicEndsOneConnectionOnly(t *testing.T) {
	t.Parallel()
	var log logBuffer
	w := newWorld(t, func(o *imapview.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	other := w.login(account)
	c := w.dial()
	c.send("x LOGIN panic secret\r\n")
	c.closed()
	other.want("NOOP", "OK")
	if s := log.String(); !strings.Contains(s, "a fault of ours") || strings.Contains(s, "secret") {
		t.Error(s)
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTooManyConnectionsAreTurnedAway(t *testing.T) {
	t.Parallel()
	t.Run("of an address", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.MaxPerAddress = 1 })
		w.dial()
		refused(t, w)
	})
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.MaxConnections = 1 })
		w.dial()
		refused(t, w)
	})
	t.Run("of an account", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.MaxPerAccount = 1 })
		first := w.login(account)
		c := w.dial()
		c.want("LOGIN shop secret", "NO [LIMIT]")
		first.want("NOOP", "OK")
		c.want("LOGIN blog secret", "OK")
	})
}

func refused(t *testing.T, w *world) {
	t.Helper()
	nc, err := net.Dial("tcp", w.srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if rest := newClient(t, nc).closed(); !strings.HasPrefix(rest, "* BYE [UNAVAILABLE]") {
		t.Error(rest)
	}
	if s := w.srv.Stats(); s.Connections != 1 || s.TurnedAway != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhoIsSilentIsToldBye(t *testing.T) {
	t.Parallel()
	t.Run("before the login", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.LoginTimeout = 50 * time.Millisecond })
		if rest := w.dial().closed(); !strings.HasPrefix(rest, "* BYE It took too long to log in") {
			t.Error(rest)
		}
	})
	t.Run("logged in", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.IdleTimeout = 50 * time.Millisecond })
		if rest := w.login(account).closed(); !strings.HasPrefix(rest, "* BYE You were silent") {
			t.Error(rest)
		}
	})
	t.Run("in IDLE", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.IdleTimeout = 50 * time.Millisecond })
		c := w.login(account)
		c.send("x IDLE\r\n")
		if rest := c.closed(); !strings.HasPrefix(rest, "+ Idling\r\n* BYE You were silent") {
			t.Error(rest)
		}
	})
	t.Run("in the middle of a command", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(o *imapview.Options) { o.CommandTimeout = 50 * time.Millisecond })
		c := w.login(account)
		c.send("x NOO")
		if rest := c.closed(); !strings.HasPrefix(rest, "* BYE ") {
			t.Error(rest)
		}
	})
}

func TestDrainSaysByeToAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("INBOX", "one")
	stranger, idle, quiet := w.dial(), w.in("INBOX"), w.in("INBOX")
	idle.send("x IDLE\r\n")
	if line := idle.line(); line != "+ Idling" {
		t.Fatal(line)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.srv.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	for i, c := range []*client{stranger, idle, quiet} {
		if rest := c.closed(); rest != "* BYE The server is restarting, come back in a moment\r\n" {
			t.Error(fmt.Sprint(i), rest)
		}
	}
	if s := w.srv.Stats(); s.Connections != 0 || s.LoggedIn != 0 || s.Accounts != 0 || s.Logins != 2 {
		t.Errorf("%+v", s)
	}
}
