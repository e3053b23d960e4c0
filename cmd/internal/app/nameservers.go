package app

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

	"postrider/dkim"
	"postrider/mx"
)

// nameServers finds the servers that a zone is published at, and asks them.
type nameServers struct {
	resolver  *mx.Resolver
	recursive []string // host:port; none: those of the system
	port      uint16   // of the zone's servers
	private   bool     // these may have any address
}

const (
	askTime    = 3 * time.Second
	askSize    = 1232 // octets that pass any path unfragmented
	mostAsked  = 6    // servers of one zone
	mostLabels = 10   // of a name that lie below its zone
)

// of returns the servers of the zone in which a name lies.
func (n nameServers) of(ctx context.Context, name string) ([]dkim.NameServer, error) {
	names, err := n.named(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []dkim.NameServer
	for _, server := range names[:min(len(names), mostAsked)] {
		all = append(all, dkim.NameServer{Name: strings.ToLower(strings.TrimSuffix(server, ".")), Lookup: func(ctx context.Context, name string) ([]string, error) {
			return n.ask(ctx, server, name)
		}})
	}
	return all, nil
}

// named walks up from the name to the zone that has NS records.
func (n nameServers) named(ctx context.Context, name string) ([]string, error) {
	zone := dns.Fqdn(name)
	for range mostLabels {
		m, err := n.recurse(ctx, zone)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, rr := range m.Answer {
			if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, zone) {
				names = append(names, ns.Ns)
			}
		}
		if len(names) > 0 {
			return names, nil
		}
		_, parent, ok := strings.Cut(zone, ".")
		if !ok || !strings.Contains(strings.TrimSuffix(parent, "."), ".") {
			break
		}
		zone = parent
	}
	return nil, fmt.Errorf("no name servers found for %s", name)
}

func (n nameServers) recurse(ctx context.Context, zone string) (*dns.Msg, error) {
	servers := n.recursive
	if len(servers) == 0 {
		system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("find the DNS servers of this host: %w", err)
		}
		for _, s := range system.Servers {
			servers = append(servers, net.JoinHostPort(s, system.Port))
		}
	}
	last := errors.New("no DNS server to ask")
	for _, s := range servers {
		q := new(dns.Msg).SetQuestion(zone, dns.TypeNS)
		m, err := exchange(ctx, s, q, &net.Dialer{Timeout: askTime})
		if err == nil {
			return m, nil
		}
		last = err
	}
	return nil, last
}

// exchange asks one server, over TCP where the answer was cut. It is an error
// unless the server says definitely what there is.
func exchange(ctx context.Context, server string, q *dns.Msg, d *net.Dialer) (*dns.Msg, error) {
	q.SetEdns0(askSize, false)
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, Timeout: askTime, UDPSize: askSize, Dialer: d}
		m, _, err := c.ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask %s: %w", server, err)
		case m.Truncated:
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("%s answers %s", server, dns.RcodeToString[m.Rcode])
		default:
			return m, nil
		}
	}
	return nil, fmt.Errorf("the answer of %s is cut over TCP too", server)
}

// ask returns the TXT records that a zone's own server has of a name. One that
// only knows a CNAME there leaves the question to others.
func (n nameServers) ask(ctx context.Context, server, name string) ([]string, error) {
	addrs, err := n.resolver.Addrs(ctx, server)
	if err != nil {
		return nil, err
	}
	last := fmt.Errorf("%s has no address", server)
	// The address is what somebody wrote into the DNS.
	d := &net.Dialer{Timeout: askTime, Control: mx.DialControl(n.private)}
	for _, ip := range addrs.Values[:min(len(addrs.Values), 2)] {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
		q.RecursionDesired = false
		m, err := exchange(ctx, n.at(ip), q, d)
		switch {
		case err != nil:
			last = err
		case !m.Authoritative:
			last = fmt.Errorf("%s is not authoritative", server)
		default:
			return textsOf(m, server)
		}
	}
	return nil, last
}

func (n nameServers) at(ip netip.Addr) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(n.port)))
}

func textsOf(m *dns.Msg, server string) (texts []string, err error) {
	alias := false
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.TXT:
			texts = append(texts, strings.Join(rr.Txt, ""))
		case *dns.CNAME:
			alias = true
		}
	}
	if alias && len(texts) == 0 {
		return nil, fmt.Errorf("%s has a CNAME that leads elsewhere", server)
	}
	return texts, nil
}
