package pop3view

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Server shows maildrops over POP3. Its methods are safe for concurrent use.
type Server struct {
	o         Options
	admission *admission
	quiet     *sparing
	stats     counters
	buffers   sync.Pool // of *bufio.Writer
	pieces    sync.Pool // of *[pieceSize]byte

	cancel context.CancelFunc // of the connections' context

	mu        sync.Mutex
	listeners []listener
	wg        sync.WaitGroup // accept loops
}

type listener struct {
	net.Listener
	security Security
}

// New returns a Server that is not listening yet.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{o: o, admission: newAdmission(o), quiet: &sparing{logger: o.Logger}}
	s.buffers.New = func() any { return bufio.NewWriterSize(nil, pieceSize) }
	s.pieces.New = func() any { return new([pieceSize]byte) }
	return s
}

// Start listens, or returns why it cannot, and serves until Drain. The end of
// ctx does not end it.
func (s *Server) Start(ctx context.Context) error {
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if err := s.listen(ctx); err != nil {
		s.closeListeners()
		cancel()
		return err
	}
	for _, l := range s.listeners {
		s.wg.Go(func() { s.accept(serve, l) })
	}
	return nil
}

func (s *Server) listen(ctx context.Context) error {
	for _, l := range s.o.Listen {
		if s.o.TLS == nil && l.Security != Plain {
			return fmt.Errorf("listen on %s: it needs TLS: set a certificate and its key, or use a plain listener", l.Address)
		}
		n, err := s.o.Bind(ctx, l.Address)
		if err != nil {
			return fmt.Errorf("listen for POP3: %w", err)
		}
		s.listeners = append(s.listeners, listener{n, l.Security})
	}
	return nil
}

func bind(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// Drain stops accepting at once, closes idle connections and waits until those
// that answer a command have answered it. When ctx ends first, it cuts what is
// left and returns ctx's error. After it, nothing of the Server runs.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	cancel := s.cancel
	s.closeListeners()
	s.mu.Unlock()
	if cancel == nil {
		return nil // never started
	}
	s.wg.Wait()
	err := s.admission.drain(ctx)
	cancel()
	return err
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

// accept takes connections in until the listener is closed.
func (s *Server) accept(ctx context.Context, l listener) {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, mostly
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.quiet.warn("cannot accept connections", "listen", l.Addr().String(), "error", err)
			pause(ctx, wait)
			continue
		}
		wait = 0
		s.welcome(ctx, c, l.security)
	}
}

func (s *Server) welcome(ctx context.Context, c net.Conn, security Security) {
	n := s.newSession(c, security)
	if !s.admission.admit(n) {
		s.turnAway(n)
		return
	}
	s.stats.connections.Add(1)
	go n.serve(ctx) // admission.drain waits for it
}

// turnAway answers at once, if that needs no handshake. It does not wait for the
// client to take it.
func (s *Server) turnAway(n *session) {
	s.stats.turnedAway.Add(1)
	s.quiet.warn("connection turned away: too many", "peer", n.remote.String())
	if n.security != ImplicitTLS {
		_ = n.socket.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = n.socket.Write([]byte("-ERR [SYS/TEMP] too many connections, try again later\r\n"))
	}
	_ = n.socket.Close()
}

func remoteAddr(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
