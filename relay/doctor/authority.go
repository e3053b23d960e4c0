package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postrider/mx"
)

const (
	queryTime   = 3 * time.Second
	ednsSize    = 1232 // avoids fragments on any path; the DNS flag day value
	maxNSTried  = 3
	maxCNAMEs   = 5
	maxRawTexts = 100
)

// rawDNS asks name servers one by one, for what a Resolver does not tell.
type rawDNS struct {
	servers []string // recursive
	port    uint16   // of authoritative servers
	private bool     // authoritative servers may have any address
}

func newRawDNS(o Options) *rawDNS {
	r := &rawDNS{servers: o.Servers, port: o.DNSPort, private: o.AllowPrivate}
	if len(r.servers) > 0 {
		return r
	}
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		r.servers = []string{"127.0.0.1:53"}
		return r
	}
	for _, s := range system.Servers {
		if _, err := netip.ParseAddr(s); err == nil {
			r.servers = append(r.servers, net.JoinHostPort(s, system.Port))
		}
	}
	return r
}

// exchange puts one question to one server, over TCP too where the reply did
// not fit. Guarded refuses addresses that are not on the public Internet.
func exchange(ctx context.Context, server string, q *dns.Msg, dialer *net.Dialer, networks ...string) (*dns.Msg, error) {
	if len(networks) == 0 {
		networks = []string{"udp", "tcp"}
	}
	var last error
	for _, network := range networks {
		c := &dns.Client{Net: network, Timeout: queryTime, UDPSize: ednsSize, Dialer: dialer}
		m, _, err := c.ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask %s over %s: %w", server, network, err)
		case m.Truncated:
			last = fmt.Errorf("reply of %s over %s is truncated", server, network)
		default:
			return m, nil
		}
	}
	return nil, last
}

func question(name string, qtype uint16, recursive bool) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(strings.ToLower(name)), qtype)
	q.RecursionDesired, q.AuthenticatedData = recursive, recursive
	q.SetEdns0(ednsSize, true)
	return q
}

// recurse asks the recursive servers in turn.
func (r *rawDNS) recurse(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	last := errors.New("there is no name server to ask")
	for _, s := range r.servers {
		m, err := exchange(ctx, s, question(name, qtype, true), &net.Dialer{Timeout: queryTime})
		if err != nil {
			last = err
			continue
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			last = fmt.Errorf("%s answers %s", s, dns.RcodeToString[m.Rcode])
			continue
		}
		return m, nil
	}
	return nil, last
}

// ownTexts are the TXT records of a name as its zone's own server has them.
type ownTexts struct {
	texts  []string
	ttl    time.Duration
	server string
}

// authoritative asks the servers of the zone that a name lies in.
func (r *rawDNS) authoritative(ctx context.Context, names Resolver, name string) (ownTexts, error) {
	for range maxCNAMEs {
		apex, target, err := r.zoneOf(ctx, name)
		if err != nil {
			return ownTexts{}, err
		}
		if target != "" {
			name = target
			continue
		}
		return r.askZone(ctx, names, apex, name)
	}
	return ownTexts{}, fmt.Errorf("too many CNAMEs")
}

// zoneOf returns the apex of the zone of a name, or the name that it is a CNAME
// of.
func (r *rawDNS) zoneOf(ctx context.Context, name string) (apex, target string, err error) {
	m, err := r.recurse(ctx, name, dns.TypeSOA)
	if err != nil {
		return "", "", err
	}
	for _, rr := range m.Answer {
		if cn, ok := rr.(*dns.CNAME); ok && strings.EqualFold(cn.Hdr.Name, dns.Fqdn(name)) {
			return "", cn.Target, nil
		}
	}
	for _, rr := range append(m.Answer, m.Ns...) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)) {
			return soa.Hdr.Name, "", nil
		}
	}
	return "", "", fmt.Errorf("no zone found for %s", name)
}

func (r *rawDNS) askZone(ctx context.Context, names Resolver, apex, name string) (ownTexts, error) {
	m, err := r.recurse(ctx, apex, dns.TypeNS)
	if err != nil {
		return ownTexts{}, err
	}
	last := fmt.Errorf("the zone %s has no name servers", apex)
	tried := 0
	for _, rr := range m.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok || tried == maxNSTried {
			continue
		}
		tried++
		found, err := r.askServer(ctx, names, ns.Ns, name)
		if err == nil {
			return found, nil
		}
		last = err
	}
	return ownTexts{}, last
}

func (r *rawDNS) askServer(ctx context.Context, names Resolver, server, name string) (ownTexts, error) {
	a, err := names.Addrs(ctx, server)
	if err != nil {
		return ownTexts{}, err
	}
	// The name server's address is what somebody wrote into the DNS.
	dialer := &net.Dialer{Timeout: queryTime, Control: mx.DialControl(r.private)}
	last := fmt.Errorf("%s has no address", server)
	for _, ip := range a.Values[:min(len(a.Values), 2)] {
		m, err := exchange(ctx, net.JoinHostPort(ip.String(), strconv.Itoa(int(r.port))), question(name, dns.TypeTXT, false), dialer)
		if err != nil {
			last = err
			continue
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			last = fmt.Errorf("%s answers %s", server, dns.RcodeToString[m.Rcode])
			continue
		}
		if !m.Authoritative { // a referral reads like "no such record"
			last = fmt.Errorf("%s does not answer for the zone", server)
			continue
		}
		return ownTexts{texts: textsOf(m, name), ttl: ttlOf(m), server: strings.TrimSuffix(strings.ToLower(server), ".")}, nil
	}
	return ownTexts{}, last
}

// remaining is how long the recursive servers keep what they say of a name's TXT
// records now.
func (r *rawDNS) remaining(ctx context.Context, name string) time.Duration {
	m, err := r.recurse(ctx, name, dns.TypeTXT)
	if err != nil {
		return 0
	}
	return ttlOf(m)
}

func textsOf(m *dns.Msg, name string) (texts []string) {
	for _, rr := range m.Answer {
		if t, ok := rr.(*dns.TXT); ok && strings.EqualFold(t.Hdr.Name, dns.Fqdn(name)) && len(texts) < maxRawTexts {
			texts = append(texts, strings.Join(t.Txt, ""))
		}
	}
	return texts
}

// ttlOf is how long an answer, or the lack of one (RFC 2308 §5), may be kept.
func ttlOf(m *dns.Msg) time.Duration {
	ttl, any := uint32(0), false
	for _, rr := range m.Answer {
		if t := rr.Header().Ttl; !any || t < ttl {
			ttl, any = t, true
		}
	}
	if !any {
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				ttl = min(soa.Hdr.Ttl, soa.Minttl)
			}
		}
	}
	if ttl > 1<<31-1 { // RFC 2181 §8
		return 0
	}
	return time.Duration(ttl) * time.Second
}
