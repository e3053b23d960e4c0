package pop3view_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/pop3view"
)

// stop drains the server, so that nothing writes to the log any more.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.srv.Drain(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func readFull(c *client, p []byte) (int, error) { return io.ReadFull(c.r, p) }

func TestCommandsBelongToTheirState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.MaxErrors = 100 })
	c := w.dial()
	for _, command := range []string{"STAT", "LIST", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP"} {
		c.do(command, "-ERR log in first")
	}
	c.do("PASS secret", "-ERR send USER first")
	c.do("USER", "-ERR syntax")
	c.do("USER a\x01b", "-ERR syntax")
	c.do("USER "+strings.Repeat("x", 256), "-ERR syntax")
	c.do("USER shop", "+OK")
	c.do("PASS", "-ERR syntax")
	c.do("AUTH PLAIN "+plain("shop", "secret"), "+OK")
	for _, command := range []string{"USER shop", "PASS secret", "AUTH PLAIN", "STLS"} {
		c.do(command, "-ERR already logged in")
	}
	for _, command := range []string{"", "APOP shop x", "XTND", "LANG", "GET / HTTP/1.1", "\x00"} {
		c.do(command, "-ERR unknown command")
	}
	for _, command := range []string{"LIST x", "LIST 1 2", "LIST -1", "UIDL 1.0", "RETR", "RETR 1 2", "RETR +1", "TOP 1", "TOP 1 -1", "DELE", "DELE 99999999999999999999"} {
		c.do(command, "-ERR syntax")
	}
	c.do("list ", "+OK")
	c.lines()
	c.do("sTaT now", "+OK")
	c.send("NOOP\n") // bare LF
	c.want("+OK")
}

func TestTooManyErrorsEndTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.login("shop", "secret")
	for range 20 {
		c.do("LAST", "-ERR") // fetchmail always asks, and it is no error
	}
	for range 9 {
		c.do("HELLO", "-ERR unknown command")
	}
	c.do("HELLO", "-ERR too many errors")
	c.ended()
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial()
	c.do(strings.Repeat("x", 4094), "-ERR unknown command")
	c.do(strings.Repeat("x", 4095), "-ERR line is too long")
	c.do("CAPA"+strings.Repeat(" ", 60_000), "-ERR line is too long")
	c.do("AUTH PLAIN", "+ ")
	c.do(strings.Repeat("A", 9000), "-ERR line is too long")
	c.do("USER shop", "+OK")
	c.send(strings.Repeat("x", 80<<10))
	c.want("-ERR line is too long, closing connection")
}

func TestSessionsOfAnAccountAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.MaxPerAccount = 2 })
	a, b := w.login("shop", "secret"), w.login("shop+sent", "secret")
	c := w.dial()
	c.do("USER shop", "+OK")
	c.do("PASS secret", "-ERR [IN-USE]")
	w.login("blog", "secret2")
	a.do("QUIT", "+OK")
	a.ended()
	c.do("USER shop", "+OK")
	c.do("PASS secret", "+OK")
	_ = b
}

func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pop3view.Options){
		"of an address": func(o *pop3view.Options) { o.MaxPerAddress = 2 },
		"in all":        func(o *pop3view.Options) { o.MaxConnections = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change)
			a := w.dial()
			w.dial()
			c := w.connect()
			c.want("-ERR [SYS/TEMP] too many connections")
			c.ended()
			a.do("QUIT", "+OK")
			a.ended()
			w.dial()
			if got := w.srv.Stats(); got.TurnedAway != 1 || got.Connections != 3 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAnIdleSessionIsClosedAndDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.IdleTimeout = 200 * time.Millisecond })
	w.fileSome("shop", 1)
	c := w.login("shop", "secret")
	c.do("DELE 1", "+OK")
	c.ended()
	w.login("shop", "secret").do("STAT", "+OK 1")
	if n := w.srv.Stats().Timeouts; n != 1 {
		t.Errorf("%d timeouts", n)
	}
}

func TestAPanicEndsOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.login("shop", "secret")
	c := w.dial()
	c.do("USER shop", "+OK")
	c.send("PASS panic\r\n")
	c.ended()
	other.do("NOOP", "+OK")
	if got := w.srv.Stats(); got.Panics != 1 || got.Open != 1 {
		t.Errorf("%+v", got)
	}
}

func TestDrainEndsIdleSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.login("shop", "secret"), w.dial()
	w.stop()
	c.ended()
	stranger.ended()
	if got := w.srv.Stats(); got.Open != 0 || got.Timeouts != 0 {
		t.Errorf("%+v", got)
	}
}

func TestDrainCutsWhoTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fileLarge("shop", tooLarge)
	c := w.login("shop", "secret")
	c.deaf()
	c.do("RETR 1", "+OK") // and reads no further
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.srv.Drain(ctx); err == nil {
		t.Error("nothing was cut")
	}
	if n := w.srv.Stats().Open; n != 0 {
		t.Errorf("%d are open", n)
	}
}

func TestAServerThatNeverStartedDrains(t *testing.T) {
	t.Parallel()
	if err := pop3view.New(pop3view.Options{}).Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *pop3view.Options) { o.MaxPerAccount = 100 })
	w.fileSome("shop", 50)
	done := make(chan string)
	clients := make([]*client, 10)
	for i := range clients {
		clients[i] = w.login("shop", "secret")
	}
	for i, c := range clients {
		go func() {
			var all strings.Builder
			for n := range 50 {
				fmt.Fprintf(c, "RETR %d\r\n", n+1)
			}
			fmt.Fprintf(c, "DELE %d\r\nQUIT\r\n", i+1)
			_, _ = io.Copy(&all, c.r)
			done <- all.String()
		}()
	}
	for range 10 {
		if got := <-done; strings.Count(got, "\r\n.\r\n") != 50 || !strings.Contains(got, "+OK bye") {
			t.Errorf("got %.200q", got)
		}
	}
	w.login("shop", "secret").do("STAT", "+OK 40")
}
