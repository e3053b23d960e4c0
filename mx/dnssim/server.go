package dnssim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Options configure a [Server].
type Options struct {
	// Addr to listen on, UDP and TCP. Default 127.0.0.1:0, a free port.
	Addr string
	// Zones are zone texts, each with its own $ORIGIN, or with names written
	// in full. A zone without SOA covers the name of its first record. For
	// other cases see [Server.Load].
	Zones []string
}

// Server is a DNS server over zone texts. It is safe for concurrent use.
type Server struct {
	addr     string
	udp, tcp *dns.Server
	stop     chan struct{}
	wg       sync.WaitGroup

	mu        sync.Mutex
	started   bool
	closed    bool
	zones     zones
	behaviors map[target]*planned
	asked     map[target]*tally
	signed    map[string]bool // the apexes of zones that count as authenticated
}

type tally struct{ all, tcp int }

// New makes a server and reads its zones. It does not listen before
// [Server.Start].
func New(o Options) (*Server, error) {
	s := &Server{
		addr:      o.Addr,
		stop:      make(chan struct{}),
		zones:     make(zones),
		behaviors: make(map[target]*planned),
		asked:     make(map[target]*tally),
		signed:    make(map[string]bool),
	}
	if s.addr == "" {
		s.addr = "127.0.0.1:0"
	}
	for i, text := range o.Zones {
		origin, err := firstOwner(text)
		if err == nil {
			err = s.Load(origin, text)
		}
		if err != nil {
			return nil, fmt.Errorf("zone %d: %w", i+1, err)
		}
	}
	return s, nil
}

func firstOwner(text string) (string, error) {
	zp := dns.NewZoneParser(strings.NewReader(text), ".", "")
	zp.SetDefaultTTL(defaultTTL)
	rr, ok := zp.Next()
	if !ok {
		if err := zp.Err(); err != nil {
			return "", err
		}
		return "", errors.New("the zone has no records")
	}
	return strings.TrimPrefix(rr.Header().Name, "*."), nil
}

// Load adds a zone, or replaces the one with the same apex. The apex is the
// owner of the SOA record in text; without one it is origin, and a SOA with a
// minimum of 60 s is made. Names in text without a final dot are relative to
// origin; records without a TTL have 300 s.
func (s *Server) Load(origin, text string) error {
	z, err := parseZone(origin, text)
	if err != nil {
		return fmt.Errorf("load zone %s: %w", origin, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[z.apex] = z
	return nil
}

// Authenticate makes answers from the zone with this apex carry the AD bit, as a
// validating resolver's do for a signed zone; where CNAMEs lead through several
// zones, all of them must be so. The zone may be loaded before or after. Nothing
// is signed.
func (s *Server) Authenticate(apex string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed[canonical(apex)] = true
}

// Start listens and answers until [Server.Close].
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return errors.New("start DNS server: started before")
	}
	pc, ln, err := listen(ctx, s.addr)
	if err != nil {
		return fmt.Errorf("start DNS server: %w", err)
	}
	s.addr, s.started = pc.LocalAddr().String(), true
	s.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.serve)}
	s.tcp = &dns.Server{Listener: ln, Handler: dns.HandlerFunc(s.serve)}
	for _, srv := range []*dns.Server{s.udp, s.tcp} {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			_ = srv.ActivateAndServe()
		}()
		<-ready
	}
	return nil
}

// listen opens UDP and TCP on one port. A free UDP port can be taken for TCP,
// so it tries several.
func listen(ctx context.Context, addr string) (net.PacketConn, net.Listener, error) {
	var lc net.ListenConfig
	var last error
	for range 20 {
		pc, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, nil, err
		}
		ln, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		_ = pc.Close()
		last = err
		if !strings.HasSuffix(addr, ":0") {
			break
		}
	}
	return nil, nil, last
}

// Addr returns the address the server listens on, as host:port; before
// Start, the one it was given.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Close stops the server and waits for its goroutines.
func (s *Server) Close() error {
	s.mu.Lock()
	running := s.started && !s.closed
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.mu.Unlock()
	var err error
	if running {
		err = errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	}
	s.wg.Wait()
	return err
}

// Count returns how often a name was asked for with this type, or with any
// type when qtype is empty. Each packet counts, retries included.
func (s *Server) Count(name, qtype string) int { return s.count(name, qtype).all }

// CountTCP is [Server.Count] for questions that came over TCP.
func (s *Server) CountTCP(name, qtype string) int { return s.count(name, qtype).tcp }

func (s *Server) count(name, qtype string) tally {
	t, err := parseTarget(name, qtype)
	if err != nil {
		return tally{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum tally
	for asked, n := range s.asked {
		if (t.name == "*" || asked.name == t.name) && (t.qtype == 0 || asked.qtype == t.qtype) {
			sum.all += n.all
			sum.tcp += n.tcp
		}
	}
	return sum
}

// ResetCounts sets all counts to zero.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.asked)
}

// serve handles one question.
func (s *Server) serve(w dns.ResponseWriter, req *dns.Msg) {
	if len(req.Question) != 1 {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeFormatError))
		return
	}
	overTCP := w.RemoteAddr().Network() == "tcp"
	q := req.Question[0]
	b, m := s.reply(req, q, overTCP)
	if b.Delay > 0 && !s.pause(b.Delay) || b.Drop {
		return
	}
	if overTCP && b.DropTCP {
		_ = w.Close()
		return
	}
	if b.Forge {
		forge(w, m)
	}
	if !overTCP {
		fit(m, req, b)
	}
	_ = w.WriteMsg(m)
}

// reply counts the question and makes the reply to it.
func (s *Server) reply(req *dns.Msg, q dns.Question, overTCP bool) (planned, *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := canonical(q.Name)
	n := s.asked[target{name, q.Qtype}]
	if n == nil {
		n = &tally{}
		s.asked[target{name, q.Qtype}] = n
	}
	n.all++
	if overTCP {
		n.tcp++
	}
	b := s.behavior(name, q.Qtype)
	m := new(dns.Msg).SetReply(req)
	if b.RefuseEDNS && req.IsEdns0() != nil {
		m.Rcode, m.Question = dns.RcodeFormatError, nil
		return b, m
	}
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), opt.Do())
	}
	if b.ExtendedError != 0 && m.IsEdns0() != nil {
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: b.ExtendedError, ExtraText: b.ExtraText})
	}
	if b.Lame {
		return b, m
	}
	m.RecursionAvailable = true
	m.Authoritative = !req.RecursionDesired // it is a resolver and the server of its zones in one
	switch {
	case b.Rcode != "":
		m.Rcode = b.rcode
		if m.Rcode == dns.RcodeNameError {
			m.Ns = []dns.RR{makeSOA(".")}
		}
	default:
		s.zones.resolve(m, q, !b.Unfollowed, s.signed)
	}
	m.AuthenticatedData = m.AuthenticatedData || b.Authenticated
	return b, m
}

// pause waits, and reports false when the server is closed meanwhile.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

// forge sends what an attacker who cannot see the question would send.
func forge(w dns.ResponseWriter, m *dns.Msg) {
	other := m.Copy()
	other.Id++
	other.Answer, other.Rcode = nil, dns.RcodeNameError
	_ = w.WriteMsg(other)
	other.Id--
	other.Question[0].Name = "forged." + strings.TrimPrefix(other.Question[0].Name, ".")
	_ = w.WriteMsg(other)
}

// fit cuts the reply to what the client takes over UDP.
func fit(m, req *dns.Msg, b planned) {
	if b.Truncate {
		m.Truncated = true
		m.Answer, m.Ns = nil, nil
		return
	}
	size := dns.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	m.Truncate(size)
}
