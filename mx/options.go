package mx

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	resolvConf      = "/etc/resolv.conf"
	fallbackServer  = "127.0.0.1:53"
	defaultInFlight = 256
)

// Options configure a [Resolver]. The zero value is ready for a host with an
// ordinary /etc/resolv.conf.
type Options struct {
	// Servers are the recursive resolvers to ask, in order, as host:port with
	// an IP address as host. Empty means those of /etc/resolv.conf, read once,
	// or 127.0.0.1:53 where it names none.
	Servers []string
	// Search is the list of suffixes tried for smart hosts with short names,
	// and for nothing else. Empty means that of /etc/resolv.conf, provided
	// Servers is empty too.
	Search []string
	// Timeouts has one entry for each round over the servers: how long to
	// wait for one server's reply in that round. Default 2 s, then 4 s.
	Timeouts []time.Duration
	// LookupTimeout bounds one lookup with all its rounds, CNAMEs and TCP
	// retries. Default 15 s.
	LookupTimeout time.Duration

	// CacheEntries bounds the cached answers, and separately the cached plans.
	// Default 10,000.
	CacheEntries int
	// MinTTL and MaxTTL clamp how long an answer is kept. Default 30 s, 1 h.
	MinTTL, MaxTTL time.Duration
	// MinNegativeTTL and MaxNegativeTTL clamp how long it is remembered that
	// a name or record does not exist. Default 10 s, 5 min.
	MinNegativeTTL, MaxNegativeTTL time.Duration
	// FailureTTL is how long a failure of DNS is remembered. Default 10 s,
	// clamped to 5..30 s.
	FailureTTL time.Duration

	// TrustAD believes the AD bit whatever the servers are. Without it the bit
	// is believed only when every server has a loopback address.
	TrustAD bool
	// IPv6 puts IPv6 addresses into plans. Set it only where this host has a
	// working IPv6 address with a PTR record.
	IPv6 bool
	// AllowPrivate keeps addresses of [ProhibitedAddr] in plans.
	AllowPrivate bool
	// AllowLiterals makes plans for address literals such as [192.0.2.1].
	AllowLiterals bool
	// OwnAddrs are the addresses at which mail would come back to this
	// program; see [Error] of [KindLoop]. Nil means those of the network
	// interfaces, loopback excepted; an empty slice means none, which is right
	// when nothing of ours listens on the port mail is sent to.
	OwnAddrs []netip.Addr
	// PublicAddrs are further addresses that lead here, such as those of a NAT
	// before this host.
	PublicAddrs []netip.Addr
	// MaxHosts and MaxAddrs bound one plan. Default 8 and 10.
	MaxHosts, MaxAddrs int

	// HostsFile is consulted for smart hosts before DNS. Default /etc/hosts.
	HostsFile string
	// Now is the clock for everything that is kept. Default time.Now.
	Now func() time.Time
	// Rand returns a number in [0,n); it must be safe for concurrent use.
	// Default rand.IntN of math/rand/v2.
	Rand func(n int) int
	// Logger gets a line when a server stops or resumes answering. Default: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Timeouts) == 0 {
		o.Timeouts = []time.Duration{2 * time.Second, 4 * time.Second}
	}
	positive(&o.LookupTimeout, 15*time.Second)
	positive(&o.CacheEntries, 10_000)
	positive(&o.MinTTL, 30*time.Second)
	positive(&o.MaxTTL, time.Hour)
	positive(&o.MinNegativeTTL, 10*time.Second)
	positive(&o.MaxNegativeTTL, 5*time.Minute)
	positive(&o.FailureTTL, 10*time.Second)
	o.FailureTTL = clamp(o.FailureTTL, 5*time.Second, 30*time.Second)
	positive(&o.MaxHosts, 8)
	positive(&o.MaxAddrs, 10)
	if o.HostsFile == "" {
		o.HostsFile = "/etc/hosts"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.IntN
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func positive[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func clamp(d, low, high time.Duration) time.Duration { return max(low, min(d, high)) }

// clientConfig decides which servers are asked and how short names of smart
// hosts are completed.
func (o Options) clientConfig() *dns.ClientConfig {
	cc := &dns.ClientConfig{Ndots: 1, Search: o.Search}
	if len(o.Servers) > 0 {
		cc.Servers = o.Servers
		return cc
	}
	system, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil { // A host without the file is asked for a local resolver.
		cc.Servers = []string{fallbackServer}
		return cc
	}
	for _, s := range system.Servers { // Like the C library, pass over what is no address.
		if _, err := netip.ParseAddr(s); err == nil {
			cc.Servers = append(cc.Servers, net.JoinHostPort(s, system.Port))
		}
	}
	if len(cc.Servers) == 0 {
		cc.Servers = []string{fallbackServer}
	}
	if len(cc.Search) == 0 {
		cc.Search, cc.Ndots = system.Search, system.Ndots
	}
	return cc
}

// InterfaceAddrs returns the addresses of this host's network interfaces,
// loopback excepted.
func InterfaceAddrs() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, n := range nets {
		ipn, ok := n.(*net.IPNet)
		if !ok {
			continue
		}
		if a, ok := netip.AddrFromSlice(ipn.IP); ok && !a.Unmap().IsLoopback() {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs, nil
}
