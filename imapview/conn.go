package imapview

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"postrider/imapview/syntax"
)

// conn is one connection. But for what IDLE writes, one goroutine has all of it.
type conn struct {
	s        *Server
	wire     *wire
	security Security
	usesTLS  bool
	remote   netip.Addr
	started  time.Time

	in  *syntax.Reader
	out output

	who       Identity // zero before the login
	failures  int      // logins
	condstore bool     // the client asked for modification sequences (RFC 7162 §3.1)
	utf8      bool     // and for UTF8=ACCEPT (RFC 6855)
	box       *selected
	ended     bool
}

func newConn(s *Server, nc net.Conn, security Security) *conn {
	w := &wire{Conn: nc, timeout: s.o.WriteTimeout}
	c := &conn{s: s, wire: w, security: security, remote: remoteOf(nc), started: time.Now(), out: output{to: w, pool: &s.buffers}}
	c.in = syntax.NewReader(w, syntax.Options{Continue: c.goAhead})
	return c
}

// goAhead asks for a literal.
func (c *conn) goAhead() error {
	c.out.say("+ Go ahead\r\n")
	c.out.flush()
	return c.out.err
}

// run serves to the end. What goes wrong within ends this connection alone.
func (c *conn) run(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			c.panicked(r)
			return // the answer may be cut anywhere: there is nothing to add to it
		}
		c.out.rest()
	}()
	c.wire.readBy(c.loginDeadline())
	if c.security == ImplicitTLS {
		if err := c.handshake(ctx); err != nil {
			c.log(slog.LevelDebug, "connection ended", err)
			return
		}
	}
	c.out.say("* OK [CAPABILITY ", c.capabilities(), "] Postrider shows what became of the mail\r\n")
	for !c.ended && c.out.err == nil {
		c.next(ctx)
	}
}

func (c *conn) panicked(r any) {
	c.s.log.Error("panic in a connection", "peer", c.remote.String(), "account", c.who.Account, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}

func (c *conn) loginDeadline() time.Time { return c.started.Add(c.s.o.LoginTimeout) }

// next waits for a command and answers it.
func (c *conn) next(ctx context.Context) {
	if c.in.Buffered() == 0 {
		c.out.rest()
	}
	if err := c.await(); err != nil {
		c.leave(err)
		return
	}
	cmd, err := c.in.Next()
	var bad *syntax.Error
	switch {
	case err == nil:
		c.do(ctx, cmd)
	case errors.As(err, &bad):
		c.doBad(bad)
	default:
		c.leave(err)
	}
	if c.wire.isDrained() && !c.ended {
		c.leave(os.ErrDeadlineExceeded)
	}
}

// await waits for the first octet of a command, and sets the time for all of it.
func (c *conn) await() error {
	if c.in.Buffered() == 0 {
		if c.loggedIn() {
			c.wire.readBy(time.Now().Add(c.s.o.IdleTimeout))
		}
		if err := c.in.Wait(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(c.s.o.CommandTimeout)
	if end := c.loginDeadline(); !c.loggedIn() && end.Before(deadline) {
		deadline = end
	}
	c.wire.readBy(deadline)
	return nil
}

// leave ends the connection for a reason that reading gave.
func (c *conn) leave(err error) {
	switch {
	case c.wire.isDrained():
		c.bye("The server is restarting, come back in a moment")
	case errors.Is(err, os.ErrDeadlineExceeded) && c.loggedIn():
		c.bye("You were silent for too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.bye("It took too long to log in")
	case errors.Is(err, syntax.ErrTooLong):
		c.out.say("* BAD [TOOBIG] The command is too long\r\n")
		c.bye("What follows cannot be understood")
	case errors.Is(err, io.EOF):
	default:
		c.log(slog.LevelDebug, "connection ended", err)
	}
	c.ended = true
}

func (c *conn) bye(text string) {
	c.out.say("* BYE ", text, "\r\n")
	c.ended = true
}

func (c *conn) loggedIn() bool { return c.who.Account != "" }

// isLocal reports whether the client is on this machine.
func (c *conn) isLocal() bool { return c.remote.IsLoopback() }

// handshake puts TLS on the connection. What the client sent ahead of it is
// forgotten (RFC 3501 §6.2.1).
func (c *conn) handshake(ctx context.Context) error {
	t := tls.Server(c.wire, c.s.o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.out.to, c.usesTLS = t, true
	c.in.Reset(t)
	return nil
}

func (c *conn) log(level slog.Level, msg string, err error, attrs ...any) {
	attrs = append(attrs, "peer", c.remote.String(), "account", c.who.Account, "error", fmt.Sprintf("%.300s", err.Error()))
	c.s.log.Log(context.Background(), level, msg, attrs...)
}
