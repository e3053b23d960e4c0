package smtpsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a running SMTP server. All its methods may be called from any
// goroutine, also after Close.
type Server struct {
	o         Options
	ln        net.Listener // nil in memory
	authority *authority
	tls       *tls.Config
	replies   replies
	cancel    context.CancelFunc
	serving   context.Context // of all connections; ends at Close
	wg        sync.WaitGroup
	count     counters
	rules     atomic.Pointer[ruleSet]
	ruleMu    sync.Mutex // held to change rules

	mu       sync.Mutex // guards what follows
	closed   bool
	conns    map[net.Conn]struct{}
	messages []*Message
	sessions []*Session

	waiting atomic.Int32
	waitMu  sync.Mutex // guards waiters
	waiters []*waiter
}

// Start makes a Server that listens and serves until Close.
func Start(o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{o: o, conns: map[net.Conn]struct{}{}, replies: newReplies(o.Hostname)}
	s.rules.Store((&ruleSet{}).with(o.Rules))
	if err := s.setUpTLS(); err != nil {
		return nil, fmt.Errorf("set up tls: %w", err)
	}
	if !o.InMemory {
		lc := net.ListenConfig{KeepAlive: -1} // saves system calls on each connection
		ln, err := lc.Listen(context.Background(), "tcp", o.Addr)
		if err != nil {
			return nil, err
		}
		s.ln = ln
	}
	// The life of the connections is the Server's own: it ends at Close.
	s.serving, s.cancel = context.WithCancel(context.Background())
	if s.ln != nil {
		s.wg.Go(s.accept)
	}
	return s, nil
}

// Addr is the address it listens on as host:port, "" in memory.
func (s *Server) Addr() string {
	if s.ln == nil {
		return ""
	}
	return s.ln.Addr().String()
}

// Port is the port it listens on, 0 in memory.
func (s *Server) Port() int {
	if s.ln == nil {
		return 0
	}
	return s.ln.Addr().(*net.TCPAddr).Port
}

// Close closes the listener and all connections and waits for their
// goroutines. Records stay readable. It may be called again.
func (s *Server) Close() error {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	var err error
	if s.ln != nil {
		err = s.ln.Close()
	}
	s.wg.Wait()
	if err != nil && strings.Contains(err.Error(), "use of closed") {
		err = nil
	}
	return err
}

// DropConnections closes all connections there are now; new ones are served.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// SetRules replaces all rules. The counts of the old ones are gone. A session
// sees the change at its next stage.
func (s *Server) SetRules(rules ...Rule) {
	s.ruleMu.Lock()
	defer s.ruleMu.Unlock()
	s.rules.Store((&ruleSet{}).with(rules))
}

// AddRules puts rules behind those there are.
func (s *Server) AddRules(rules ...Rule) {
	s.ruleMu.Lock()
	defer s.ruleMu.Unlock()
	s.rules.Store(s.rules.Load().with(rules))
}

// Fired says how often the rules of this name have acted.
func (s *Server) Fired(name string) int {
	var n int64
	for _, r := range s.rules.Load().all {
		if r.Name == name {
			n += r.fired.Load()
		}
	}
	return int(n)
}

// Pipe returns the client's end of a connection in memory (net.Pipe), which
// suits synctest. After Close it is a closed one.
func (s *Server) Pipe() net.Conn {
	client, server := net.Pipe()
	if !s.serve(server) {
		server.Close()
	}
	return client
}

// Dial makes a connection whatever the address: by TCP to Addr, or by Pipe in
// memory. It fits where a net.Dialer's DialContext is expected.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.ln == nil {
		return s.Pipe(), nil
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.Addr())
}

// ClientTLS is a configuration for clients that trusts the Server's self-made
// authority and expects its Hostname; nil without TLS or with TLSConfig given.
func (s *Server) ClientTLS() *tls.Config {
	if s.authority == nil || s.o.TLSConfig != nil {
		return nil
	}
	return &tls.Config{RootCAs: s.RootCAs(), ServerName: s.o.Hostname}
}

// RootCAs holds the self-made authority; nil as ClientTLS is.
func (s *Server) RootCAs() *x509.CertPool {
	if s.authority == nil || s.o.TLSConfig != nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.authority.cert)
	return pool
}

// Certificate is the certificate that clients see; nil without TLS, or if
// TLSConfig gives it by callback.
func (s *Server) Certificate() *x509.Certificate {
	if s.tls == nil || len(s.tls.Certificates) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(s.tls.Certificates[0].Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			if s.serving.Err() != nil {
				return
			}
			// Out of descriptors, mostly: a moment later there may be some.
			select {
			case <-time.After(5 * time.Millisecond):
				continue
			case <-s.serving.Done():
				return
			}
		}
		if tc, ok := nc.(*net.TCPConn); ok && s.o.ReceiveBuffer > 0 {
			_ = tc.SetReadBuffer(s.o.ReceiveBuffer) // best effort: the test sees the effect or not
		}
		if !s.serve(nc) {
			nc.Close()
			return
		}
	}
}

// serve runs a session on nc, unless the Server is closed.
func (s *Server) serve(nc net.Conn) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.conns[nc] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()

	number := int(s.count.connections.Add(1))
	s.count.open.Add(1)
	s.changed()
	go func() {
		defer s.wg.Done()
		newConn(s, nc, number).run(s.serving)
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
		s.count.open.Add(-1)
		s.changed()
	}()
	return true
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
