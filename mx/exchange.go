package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize avoids fragments on any path; the DNS flag day value.
	ednsSize = 1232
	// readSize has room for servers that send more than they were asked to.
	readSize = 4096
	// serverRest is how long a server that did not answer is asked last.
	serverRest = 30 * time.Second
)

// server is one resolver we ask.
type server struct {
	addr     string
	restsTil atomic.Int64 // Unix nanoseconds
}

// query asks the servers in rounds until one gives a definite reply. On
// failure it returns the answer that says so.
func (r *Resolver) query(ctx context.Context, k key) (*dns.Msg, *answer) {
	servers := r.inOrder()
	said := make([]*answer, len(servers)) // what a server replied instead of an answer
	last := r.failure(KindTrouble, "no DNS server answered", nil)
	for _, timeout := range r.o.Timeouts {
		for i, s := range servers {
			if said[i] != nil {
				continue
			}
			m, err := r.ask(ctx, s, k, timeout)
			if ctx.Err() != nil {
				return nil, r.interrupted(ctx)
			}
			r.note(s, err)
			if err != nil {
				r.stats.failures.Add(1)
				last = r.failure(KindTrouble, fmt.Sprintf("no answer from DNS server %s: %v", s.addr, err), nil)
				continue
			}
			if said[i] = r.fault(s, m); said[i] == nil {
				return m, nil
			}
			r.stats.failures.Add(1)
		}
	}
	for _, f := range said { // What a server said tells more than a time-out.
		if f != nil {
			last = f
			if f.kind == KindBogus {
				break
			}
		}
	}
	return nil, last
}

// interrupted is the answer when the time for the lookup, or the resolver,
// came to its end. Out of time is remembered like any failure of DNS.
func (r *Resolver) interrupted(ctx context.Context) *answer {
	if cause := context.Cause(ctx); errors.Is(cause, ErrClosed) {
		return r.failure(KindTrouble, ErrClosed.Error(), cause)
	}
	return r.failure(KindTrouble, "no DNS server answered in time", nil)
}

// inOrder returns the servers as configured, those that rest at the end.
func (r *Resolver) inOrder() []*server {
	now := r.o.Now().UnixNano()
	awake := make([]*server, 0, len(r.servers))
	var resting []*server
	for _, s := range r.servers {
		if s.restsTil.Load() > now {
			resting = append(resting, s)
		} else {
			awake = append(awake, s)
		}
	}
	return append(awake, resting...)
}

// note remembers whether the server answered.
func (r *Resolver) note(s *server, err error) {
	if err == nil {
		if s.restsTil.Swap(0) != 0 {
			r.log.Info("dns server answers again", "server", s.addr)
		}
		return
	}
	if s.restsTil.Swap(r.o.Now().Add(serverRest).UnixNano()) == 0 {
		r.log.Warn("dns server does not answer", "server", s.addr, "error", err)
	}
}

// fault returns what is wrong with a reply that settles nothing, or nil.
func (r *Resolver) fault(s *server, m *dns.Msg) *answer {
	code, text := extendedError(m)
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		// A server that is neither recursive nor an authority has sent us
		// elsewhere; that is not "no such record".
		if m.RecursionAvailable || m.Authoritative || len(m.Answer) > 0 {
			return nil
		}
		return r.failure(KindTrouble, "DNS server "+s.addr+" is no resolver for this name", nil)
	}
	detail := rcodeName(m.Rcode) + " from DNS server " + s.addr
	if text != "" {
		detail += ": " + text
	}
	// RFC 8914 §4.7–4.13: codes 6 to 12 are failures of DNSSEC validation.
	if m.Rcode == dns.RcodeServerFailure && code >= dns.ExtendedErrorCodeDNSBogus && code <= dns.ExtendedErrorCodeNSECMissing {
		return r.failure(KindBogus, detail, nil)
	}
	return r.failure(KindTrouble, detail, nil)
}

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

func extendedError(m *dns.Msg) (code uint16, text string) {
	opt := m.IsEdns0()
	if opt == nil {
		return 0, ""
	}
	for _, o := range opt.Option {
		if ede, ok := o.(*dns.EDNS0_EDE); ok {
			text = dns.ExtendedErrorCodeToString[ede.InfoCode]
			if ede.ExtraText != "" {
				text += " (" + printable(ede.ExtraText) + ")"
			}
			return ede.InfoCode, strings.TrimSpace(text)
		}
	}
	return 0, ""
}

// printable makes a stranger's text one harmless line.
func printable(s string) string {
	return clip(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return ' '
		}
		return c
	}, s))
}

// ask puts the question to one server: over UDP with EDNS, without EDNS to
// servers that refuse it, over TCP when the reply did not fit.
func (r *Resolver) ask(ctx context.Context, s *server, k key, timeout time.Duration) (*dns.Msg, error) {
	q := question(k, true)
	m, err := r.exchange(ctx, "udp", s, q, timeout)
	if err == nil && refusesEDNS(m) {
		q = question(k, false)
		m, err = r.exchange(ctx, "udp", s, q, timeout)
	}
	if err == nil && m.Truncated {
		r.stats.tcp.Add(1)
		m, err = r.exchange(ctx, "tcp", s, q, timeout)
		if err == nil && m.Truncated {
			return nil, errors.New("reply truncated over TCP")
		}
		if err != nil {
			return nil, fmt.Errorf("reply truncated, and over TCP: %w", err)
		}
	}
	return m, err
}

func question(k key, edns bool) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(k.name, k.qtype)
	q.AuthenticatedData = true // RFC 6840 §5.7: we understand AD.
	if edns {
		q.SetEdns0(ednsSize, true)
	}
	return q
}

func refusesEDNS(m *dns.Msg) bool {
	switch m.Rcode {
	case dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers:
		return true
	}
	return false
}

// exchange sends q and reads until the reply to it has come. Over UDP it
// passes over packets that are not: late ones, and forged ones.
func (r *Resolver) exchange(ctx context.Context, network string, s *server, q *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	r.stats.queries.Add(1)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, s.addr)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	conn := &dns.Conn{Conn: raw, UDPSize: readSize}
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for {
		m, err := conn.ReadMsg()
		if m == nil || ctx.Err() != nil {
			return nil, describe(ctx, timeout, err)
		}
		switch {
		case answers(m, q):
			if err != nil && !m.Truncated {
				return nil, fmt.Errorf("malformed reply: %w", err)
			}
			return m, nil
		case network == "tcp":
			return nil, errors.New("reply to another question")
		}
	}
}

func describe(ctx context.Context, timeout time.Duration, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no reply within %v", timeout)
	}
	return err
}

// answers reports whether m is a reply to q. Servers that do not understand a
// query may leave the question out of their error.
func answers(m, q *dns.Msg) bool {
	if !m.Response || m.Id != q.Id || m.Opcode != q.Opcode {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	a, b := m.Question[0], q.Question[0]
	return len(m.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && sameName(a.Name, b.Name)
}
