package imapview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server speaks IMAP. Its methods are safe for concurrent use.
type Server struct {
	o         Options
	log       *slog.Logger
	buffers   buffers
	admission *admission
	queues    *queues
	counters  struct{ accepted, turnedAway, logins, refused atomic.Uint64 }

	ctx    context.Context // of the connections: its values are Start's, its end is Drain's
	cancel context.CancelFunc

	mu        sync.Mutex
	listeners []listener
	accepting sync.WaitGroup
	serving   sync.WaitGroup
}

type listener struct {
	net.Listener
	security Security
}

// New returns a Server that is not listening yet.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{o: o, log: o.Logger, admission: newAdmission(o), queues: newQueues()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start listens, or returns why it cannot, and serves until Drain. The end of ctx
// does not end it.
func (s *Server) Start(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.listen(ctx); err != nil {
		for _, l := range s.listeners {
			_ = l.Close()
		}
		return err
	}
	for _, l := range s.listeners {
		s.accepting.Go(func() { s.accept(l) })
	}
	return nil
}

func (s *Server) listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, want := range s.o.Listen {
		if want.Security != Plain && s.o.TLS == nil {
			return fmt.Errorf("listen on %s: TLS needs a certificate", want.Address)
		}
		l, err := s.o.Bind(ctx, want.Address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", want.Address, err)
		}
		s.listeners = append(s.listeners, listener{l, want.Security})
	}
	return nil
}

func bind(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// Addrs returns the addresses of the listeners, in the order of Options.Listen.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]net.Addr, 0, len(s.listeners))
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Drain stops accepting at once, tells idle clients BYE, and the others when
// their command is answered. When ctx ends first, it closes what is left and
// returns ctx's error. After it, nothing of the Server runs.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.accepting.Wait()
	err := s.admission.drain(ctx)
	s.cancel()
	s.serving.Wait()
	return err
}

// Stats returns how the Server is.
func (s *Server) Stats() Stats {
	st := s.admission.stats()
	st.Accepted, st.TurnedAway = s.counters.accepted.Load(), s.counters.turnedAway.Load()
	st.Logins, st.Refused = s.counters.logins.Load(), s.counters.refused.Load()
	return st
}

// accept takes connections in until the listener is closed.
func (s *Server) accept(l listener) {
	for wait := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, mostly
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log.Error("cannot accept connections", "listen", l.Addr().String(), "error", err)
			pause(s.ctx, wait)
			continue
		}
		wait = 0
		s.serving.Go(func() { s.serve(nc, l.security) })
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Serve serves one connection to its end, as one of a Plain listener.
func (s *Server) Serve(nc net.Conn) { s.serve(nc, Plain) }

func (s *Server) serve(nc net.Conn, security Security) {
	c := newConn(s, nc, security)
	if !s.admission.admit(c) {
		s.turnAway(c)
		return
	}
	s.counters.accepted.Add(1)
	defer func() {
		_ = c.wire.Close()
		s.admission.leave(c, c.who.Account)
	}()
	c.run(s.ctx)
}

// turnAway says why there is no greeting, if that can be said without waiting.
func (s *Server) turnAway(c *conn) {
	s.counters.turnedAway.Add(1)
	s.log.Warn("connection turned away: too many", "peer", c.remote.String())
	if c.security != ImplicitTLS {
		_ = c.wire.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.wire.Conn.Write([]byte("* BYE [UNAVAILABLE] Too many connections, try again later\r\n"))
	}
	_ = c.wire.Close()
}

func remoteOf(nc net.Conn) netip.Addr {
	if a := nc.RemoteAddr(); a != nil {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			return ap.Addr().Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}
