package e2etest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"postrider/mx/dnssim"
	"postrider/relay/smtpsim"
)

// Internet is a DNS server and mail servers, each on a loopback address of its
// own and all on one port, as on the real one.
type Internet struct {
	DNS *dnssim.Server

	mu    sync.Mutex
	port  int
	hosts int
}

// NewInternet starts an internet without hosts.
func NewInternet(t testing.TB) *Internet {
	t.Helper()
	dns, err := dnssim.New(dnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	return &Internet{DNS: dns}
}

// Env makes a relay use this internet. There must be a host.
func (n *Internet) Env() Env {
	return Env{
		"POSTRIDER_DNS_SERVERS":                n.DNS.Addr(),
		"POSTRIDER_MX_PORT":                    strconv.Itoa(n.Port()),
		"POSTRIDER_ALLOW_PRIVATE_DESTINATIONS": "true",
	}
}

// Port is that of all mail servers.
func (n *Internet) Port() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.port
}

// Domain starts a mail server and lets it serve a domain, as mx.DOMAIN.
func (n *Internet) Domain(t testing.TB, domain string, o smtpsim.Options) *smtpsim.Server {
	t.Helper()
	ip := n.Address()
	o.Addr = net.JoinHostPort(ip, strconv.Itoa(n.Port()))
	if o.Hostname == "" {
		o.Hostname = "mx." + domain
	}
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	n.mu.Lock()
	n.port = s.Port()
	n.mu.Unlock()
	n.Publish(t, domain, fmt.Sprintf("@ MX 10 mx\nmx A %s\n", ip))
	return s
}

// Adopt makes the port of a mail server that runs elsewhere the port of all.
func (n *Internet) Adopt(port int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.port = port
}

// Address is a loopback address that no other host of this internet has.
func (n *Internet) Address() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts++
	return fmt.Sprintf("127.77.%d.%d", n.hosts/250, n.hosts%250+1)
}

// Publish sets the records of a domain.
func (n *Internet) Publish(t testing.TB, domain, records string) {
	t.Helper()
	if err := n.DNS.Load(domain, records); err != nil {
		t.Fatal(err)
	}
}

// Receive waits until a server has accepted n messages and returns them.
func Receive(ctx context.Context, t testing.TB, s *smtpsim.Server, n int) []*smtpsim.Message {
	t.Helper()
	msgs, err := s.Wait(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return msgs
}
