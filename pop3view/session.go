package pop3view

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// session is one connection, and the dialogue on it.
type session struct {
	s        *Server
	socket   net.Conn
	security Security
	remote   netip.Addr
	placed   bool   // guarded by admission.mu
	counted  string // the login that it counts for; guarded by admission.mu

	wire *wire
	in   *commandReader

	started  time.Time
	tls      bool
	user     string // of USER, for PASS
	errors   int
	failures int       // of logins
	box      *maildrop // nil before the login
	over     bool      // the last reply has been given

	mu       sync.Mutex
	draining bool
}

func (s *Server) newSession(c net.Conn, security Security) *session {
	n := &session{s: s, socket: c, security: security, remote: remoteAddr(c), started: time.Now(),
		wire: &wire{conn: c, stall: s.o.WriteTimeout, buffers: &s.buffers}}
	n.in = newCommandReader(n.wire)
	return n
}

// serve holds the dialogue and gives the place to somebody else. A panic is the
// end of this session only.
func (n *session) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer n.s.admission.leave(n)
	defer func() { _ = n.wire.conn.Close() }() // which by then may be TLS
	defer func() {
		if p := recover(); p != nil {
			n.s.stats.panics.Add(1)
			n.s.o.Logger.Error("pop3 session broke", "peer", n.remote.String(),
				"error", fmt.Sprintf("%.300v", p), "stack", string(debug.Stack()))
		}
	}()
	if n.security == ImplicitTLS && n.handshake(ctx) != nil {
		return
	}
	n.ok("Postrider POP3 ready")
	for !n.over {
		if err := n.step(ctx); err != nil {
			n.farewell(err)
			return
		}
	}
	n.hangUp()
}

// step reads one command and answers it.
func (n *session) step(ctx context.Context) error {
	line, err := n.readLine()
	switch {
	case errors.Is(err, errLineTooLong):
		n.fault("line is too long")
		return nil
	case err != nil:
		return err
	}
	c := parseCommand(line)
	do := n.handler(c.verb)
	if do == nil {
		return nil // it has its answer
	}
	return do(ctx, c.arg)
}

// readLine waits for a line as long as the client may take for it.
func (n *session) readLine() ([]byte, error) {
	deadline := time.Now().Add(n.s.o.IdleTimeout)
	if n.box == nil {
		deadline = n.started.Add(n.s.o.LoginTimeout)
	}
	if err := n.setReadDeadline(deadline); err != nil {
		return nil, err
	}
	line, err := n.in.line()
	if errors.Is(err, os.ErrDeadlineExceeded) && n.isDraining() {
		return nil, errDraining
	}
	return line, err
}

var errDraining = errors.New("the server is shutting down")

func (n *session) setReadDeadline(t time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draining {
		return errDraining
	}
	return n.socket.SetReadDeadline(t)
}

// drain lets the session end where it waits for a command next.
func (n *session) drain() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.draining = true
	_ = n.socket.SetReadDeadline(time.Unix(1, 0))
}

// cut ends the session where it is.
func (n *session) cut() { _ = n.socket.Close() }

// farewell is for conversations that did not end with QUIT: nothing of what was
// deleted happens (RFC 1939 §6), and there is nobody to say it to.
func (n *session) farewell(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		n.s.stats.timeouts.Add(1)
	}
	if errors.Is(err, errNoCommands) {
		n.no("line is too long, closing connection")
	}
	n.hangUp()
}

// hangUp sends what is left to say, and lets the client read it: a connection
// closed while the client is still sending takes our last words with it.
func (n *session) hangUp() {
	n.s.admission.free(n)
	if n.wire.flush() != nil || n.box != nil {
		return
	}
	if c, ok := n.wire.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_ = n.socket.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, n.socket, maxOverlong)
	}
}

const lingerTime = time.Second

func (n *session) isDraining() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draining
}

// handshake goes over to TLS.
func (n *session) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.s.o.HandshakeTimeout)
	defer cancel()
	c := tls.Server(n.socket, n.s.o.TLS)
	if err := c.HandshakeContext(ctx); err != nil {
		n.s.stats.handshakeFailures.Add(1)
		n.s.quiet.warn("tls handshake failed", "peer", n.remote.String(), "error", fmt.Sprintf("%.300v", err))
		return err
	}
	n.wire.conn, n.tls = c, true
	n.in.restart(n.wire)
	return nil
}

// ok answers yes.
func (n *session) ok(text string) { n.wire.say("+OK " + text) }

// no answers no where the client did nothing wrong.
func (n *session) no(text string) { n.wire.say("-ERR " + text) }

// fault answers a command that makes no sense. After a few of them nobody
// believes in a mail program any more.
func (n *session) fault(text string) {
	if n.errors++; n.errors >= n.s.o.MaxErrors {
		n.no("too many errors, closing connection")
		n.over = true
		return
	}
	n.no(text)
}

// trouble answers no for a reason that is ours.
func (n *session) trouble(what string, err error) {
	n.s.stats.troubles.Add(1)
	attrs := []any{"peer", n.remote.String(), "error", fmt.Sprintf("%.300v", err)}
	if n.box != nil {
		attrs = append(attrs, "account", n.box.account)
	}
	n.s.quiet.warn("pop3: cannot "+what, attrs...)
	n.no("[SYS/TEMP] cannot " + what + " now, try again later")
}
