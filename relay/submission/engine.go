package submission

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// engine is go-smtp, listening on a listener that hands it our dialogues.
type engine struct {
	smtp    *smtp.Server
	offers  chan net.Conn
	stopped chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

func newEngine(s *Server) *engine {
	g := &engine{offers: make(chan net.Conn), stopped: make(chan struct{})}
	g.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	g.smtp.Domain = s.o.Hostname
	g.smtp.MaxRecipients = s.o.MaxRecipients
	g.smtp.MaxMessageBytes = s.o.MaxSize
	g.smtp.MaxLineLength = maxBodyLine
	g.smtp.ErrorLog = s.quiet
	g.smtp.ReadTimeout = time.Hour  // not zero: see dialogue.SetReadDeadline
	g.smtp.AllowInsecureAuth = true // AuthMechanisms decides
	g.smtp.EnableSMTPUTF8 = true
	g.smtp.EnableDSN = true
	g.smtp.EnableREQUIRETLS = true // session.mail takes it under TLS only
	return g
}

func (g *engine) start() {
	g.wg.Go(func() { _ = g.smtp.Serve(g) }) // ends with stop only
}

// stop waits for all dialogues to end.
func (g *engine) stop() {
	_ = g.smtp.Shutdown(context.Background())
	g.wg.Wait()
}

// offer hands a dialogue over, and reports false when nobody takes any more.
func (g *engine) offer(d *dialogue) bool {
	select {
	case g.offers <- d:
		return true
	case <-g.stopped:
		return false
	}
}

// Accept implements net.Listener.
func (g *engine) Accept() (net.Conn, error) {
	select {
	case c := <-g.offers:
		return c, nil
	case <-g.stopped:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *engine) Close() error {
	g.once.Do(func() { close(g.stopped) })
	return nil
}

// Addr implements net.Listener.
func (g *engine) Addr() net.Addr { return &net.UnixAddr{Name: "submission", Net: "unix"} }
