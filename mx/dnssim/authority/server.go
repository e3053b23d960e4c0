package authority

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Server serves zones over UDP and TCP. It is safe for concurrent use.
type Server struct {
	addr    string
	servers [2]*dns.Server
	wg      sync.WaitGroup

	mu    sync.Mutex
	zones map[string]*Zone // by apex
	fails map[question]bool
}

type question struct {
	name  string
	qtype uint16
}

// Start serves zones at a free port of 127.0.0.1 until [Server.Close].
func Start(zones ...*Zone) (*Server, error) {
	s := &Server{zones: make(map[string]*Zone), fails: make(map[question]bool)}
	for _, z := range zones {
		s.zones[z.apex] = z
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start name server: %w", err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("start name server: %w", errors.Join(err, ln.Close()))
	}
	s.addr = ln.Addr().String()
	s.servers = [2]*dns.Server{{Listener: ln, Handler: s}, {PacketConn: pc, Handler: s}}
	for _, srv := range s.servers {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		s.wg.Go(func() { _ = srv.ActivateAndServe() })
		<-ready
	}
	return s, nil
}

// Addr is where it listens, as host:port.
func (s *Server) Addr() string { return s.addr }

// Close stops the server and waits for its goroutines.
func (s *Server) Close() error {
	err := errors.Join(s.servers[0].Shutdown(), s.servers[1].Shutdown())
	s.wg.Wait()
	return err
}

// Fail makes every such question end in SERVFAIL.
func (s *Server) Fail(name string, qtype uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[question{canonical(name), qtype}] = true
}

// Replace puts a zone in the place of the one with its apex.
func (s *Server) Replace(z *Zone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[z.apex] = z
}

// ServeDNS answers one question as an authority.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	m := new(dns.Msg).SetReply(req)
	m.Authoritative = true
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(1232, opt.Do())
	}
	if len(req.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(m)
		return
	}
	q := question{canonical(req.Question[0].Name), req.Question[0].Qtype}
	z, fails := s.lookup(q)
	switch {
	case fails:
		m.Rcode = dns.RcodeServerFailure
	case z == nil:
		m.Rcode = dns.RcodeRefused
	default:
		z.answer(m, q)
	}
	if w.RemoteAddr().Network() == "udp" {
		m.Truncate(1232)
	}
	_ = w.WriteMsg(m)
}

// lookup returns the zone that a name is in.
func (s *Server) lookup(q question) (z *Zone, fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, end := 0, false; !end; i, end = dns.NextLabel(q.name, i) {
		if z := s.zones[q.name[i:]]; z != nil {
			return z, s.fails[q]
		}
	}
	return nil, false
}

func canonical(name string) string { return strings.ToLower(dns.Fqdn(name)) }
