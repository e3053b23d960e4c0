package zone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// Patience is how long one server may take to answer.
	Patience = 3 * time.Second
	// maxUDP avoids fragments on any path; the value of the DNS flag day 2020.
	maxUDP = 1232
)

// Question asks for one kind of record: a recursive server to find them, or the
// zone's own server for what it has.
func Question(name string, qtype uint16, recursive bool) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(strings.ToLower(name)), qtype)
	q.RecursionDesired, q.AuthenticatedData = recursive, recursive
	q.SetEdns0(maxUDP, true)
	return q
}

// Exchange puts one question to one server at host:port, over UDP, and over TCP
// too where the reply did not fit; or over the networks named. A nil dialer may
// go anywhere.
func Exchange(ctx context.Context, server string, q *dns.Msg, dialer *net.Dialer, networks ...string) (*dns.Msg, error) {
	if len(networks) == 0 {
		networks = []string{"udp", "tcp"}
	}
	if dialer == nil {
		dialer = &net.Dialer{Timeout: Patience}
	}
	var last error
	for _, network := range networks {
		c := &dns.Client{Net: network, Timeout: Patience, UDPSize: maxUDP, Dialer: dialer}
		m, _, err := c.ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask %s over %s: %w", server, network, err)
		case m.Truncated:
			last = fmt.Errorf("the reply of %s over %s is cut", server, network)
		default:
			return m, nil
		}
	}
	return nil, last
}

// definite is Exchange, with an error for a reply that does not say what there
// is.
func definite(ctx context.Context, server string, q *dns.Msg, dialer *net.Dialer) (*dns.Msg, error) {
	m, err := Exchange(ctx, server, q, dialer)
	if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%s answers %s", server, dns.RcodeToString[m.Rcode])
	}
	return m, err
}

// Recurse asks the recursive servers in turn, until one says definitely what
// there is.
func (a *Asker) Recurse(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	last := errors.New("there is no DNS server to ask")
	for _, s := range a.Recursive() {
		m, err := definite(ctx, s, Question(name, qtype, true), nil)
		if err == nil {
			return m, nil
		}
		last = err
	}
	return nil, last
}

// Recursive returns the servers that Recurse asks, as host:port.
func (a *Asker) Recursive() []string {
	if len(a.o.Recursive) > 0 {
		return a.o.Recursive
	}
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return []string{"127.0.0.1:53"} // resolv.conf(5)
	}
	var servers []string
	for _, s := range system.Servers {
		if _, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, net.JoinHostPort(s, system.Port))
		}
	}
	return servers
}
