package submission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/relay/auth"
)

// Server takes mail over SMTP. Its methods are safe for concurrent use.
type Server struct {
	o         Options
	admission *admission
	engine    *engine
	quiet     *sparing
	stats     counters

	ctx    context.Context // of the connections; see transport.ctx
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners []listener
	wg        sync.WaitGroup // accept loops
}

type listener struct {
	net.Listener
	security Security
	local    bool
}

// New returns a Server that is not listening yet.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{o: o, admission: newAdmission(o.MaxConnections, o.MaxPerAddress), quiet: &sparing{logger: o.Logger}}
	s.engine = newEngine(s)
	return s
}

// Start listens, or returns why it cannot, and serves until Drain. The end of
// ctx does not end it; its values go to the Door.
func (s *Server) Start(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.listen(ctx); err != nil {
		for _, l := range s.listeners {
			_ = l.Close()
		}
		s.cancel()
		return err
	}
	s.engine.start()
	for _, l := range s.listeners {
		s.wg.Go(func() { s.accept(l) })
	}
	return nil
}

// Drain stops accepting at once, tells idle clients 421 and waits until those
// who are sending a content have their answer. When ctx ends first, it closes
// what is left and returns ctx's error. After it, nothing of the Server runs.
func (s *Server) Drain(ctx context.Context) error {
	if s.cancel == nil {
		return nil // never started
	}
	s.mu.Lock()
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	err := s.admission.drain(ctx)
	s.engine.stop()
	s.cancel()
	return err
}

// Addrs returns the addresses of the listeners, in the order of Options.Listen,
// then of the socket.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, 0, len(s.listeners))
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// accept takes connections in until the listener is closed.
func (s *Server) accept(l listener) {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, mostly
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.quiet.log(slog.LevelError, "cannot accept connections", "listen", l.Addr().String(), "error", err)
			pause(s.ctx, wait)
			continue
		}
		wait = 0
		s.welcome(c, l)
	}
}

func (s *Server) welcome(c net.Conn, l listener) {
	t := s.newTransport(c, l)
	if !s.admission.admit(t) {
		s.turnAway(t)
		return
	}
	s.stats.connections.Add(1)
	if !s.engine.offer(&dialogue{t: t}) {
		t.end()
	}
}

func (s *Server) newTransport(c net.Conn, l listener) *transport {
	t := &transport{s: s, socket: c, conn: newWire(c), from: l.security, local: l.local, started: time.Now(),
		in: make([]byte, smallBuffer)}
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	if l.local {
		t.user = peerUser(c)
		t.peer = "socket " + t.user
		return t
	}
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		t.remote = ap.Addr().Unmap().WithZone("")
	}
	t.peer = t.remote.String()
	for _, p := range s.o.TrustedNetworks {
		t.trusted = t.trusted || p.Contains(t.remote)
	}
	return t
}

// turnAway answers at once, for a PHP worker that waits is a page that hangs.
func (s *Server) turnAway(t *transport) {
	s.stats.turnedAway.Add(1)
	t.trouble("connection turned away: too many", nil)
	if t.from != ImplicitTLS {
		t.say("421 4.3.2 Too many connections, try again later")
		_ = t.socket.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = t.socket.Write(t.out)
	}
	t.abort()
}

// newSession is the smtp.Backend: it runs at EHLO and HELO.
func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	d := c.Conn().(*dialogue)
	n := &session{d: d}
	switch {
	case d.t.local:
		n.account = auth.AccountLocal
	case d.t.trusted:
		n.account, n.mech = auth.AccountTrusted, "trusted"
	}
	d.session = n
	return n, nil
}

// commandDeadline is when a command line must have come whole.
func (t *transport) commandDeadline(known bool) time.Time {
	now, o := time.Now(), &t.s.o
	if known {
		return now.Add(o.IdleTimeout)
	}
	deadline := now.Add(o.StrangerTimeout)
	if end := t.started.Add(o.StrangerLifetime); end.Before(deadline) {
		return end
	}
	return deadline
}

// trouble logs what is nobody's business but the operator's, now and then.
func (t *transport) trouble(msg string, err error) {
	attrs := []any{"peer", t.peer}
	if err != nil {
		attrs = append(attrs, "error", fmt.Sprintf("%.300s", err.Error()))
	}
	t.s.quiet.log(slog.LevelWarn, msg, attrs...)
}

// end says the last words, closes and gives the place to somebody else.
func (t *transport) end() {
	if t.final != "" {
		t.say(t.final)
	}
	t.close()
	t.s.admission.leave(t)
}
