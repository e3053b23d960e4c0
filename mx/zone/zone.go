// Package zone asks the name servers that a zone is published at, past every
// cache between: whether a record that was just published is there already, at
// each of them.
package zone

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
	maxCNAMEs = 5
	maxTexts  = 100
	maxAddrs  = 2 // of one name server
)

// Options configure an Asker. Addrs is required.
type Options struct {
	// Recursive are the DNS servers that know where zones are, as host:port.
	// None: those of the system.
	Recursive []string
	// Addrs finds the addresses of a name server.
	Addrs func(ctx context.Context, host string) (mx.Answer[netip.Addr], error)
	// Port is that of the zones' servers; 0 is 53.
	Port uint16
	// Private allows these servers any address. Without it only public ones are
	// asked, since they are what somebody wrote into the DNS.
	Private bool
}

// An Asker finds the servers of zones and asks them. It is safe for concurrent
// use, and keeps nothing.
type Asker struct{ o Options }

// New returns an Asker. It panics without Addrs.
func New(o Options) *Asker {
	if o.Addrs == nil {
		panic("zone: Options without Addrs")
	}
	if o.Port == 0 {
		o.Port = 53
	}
	return &Asker{o: o}
}

// A Place is where the records of a name are published.
type Place struct {
	Name    string   // where the CNAMEs lead; the name itself without any
	Apex    string   // of its zone
	Servers []string // names of the zone's servers, without a final dot
}

// Find says where the records of a name are published, following CNAMEs. Without
// an error there is at least one server.
func (a *Asker) Find(ctx context.Context, name string) (Place, error) {
	for range maxCNAMEs {
		apex, target, err := a.apex(ctx, name)
		switch {
		case err != nil:
			return Place{}, err
		case target != "":
			name = target
			continue
		}
		servers, err := a.servers(ctx, apex)
		if err != nil {
			return Place{}, err
		}
		return Place{Name: name, Apex: apex, Servers: servers}, nil
	}
	return Place{}, fmt.Errorf("more than %d CNAMEs in a row", maxCNAMEs)
}

// apex returns that of the zone of a name, or the name that it is a CNAME of.
func (a *Asker) apex(ctx context.Context, name string) (apex, target string, err error) {
	m, err := a.Recurse(ctx, name, dns.TypeSOA)
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

func (a *Asker) servers(ctx context.Context, apex string) (names []string, err error) {
	m, err := a.Recurse(ctx, apex, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	for _, rr := range m.Answer {
		if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, apex) {
			names = append(names, strings.ToLower(strings.TrimSuffix(ns.Ns, ".")))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the zone %s has no name servers", apex)
	}
	return names, nil
}

// Texts are the TXT records of a name as one server has them.
type Texts struct {
	Values []string // each with its strings joined
	TTL    time.Duration
}

// ErrElsewhere says that a server knows only a CNAME into a zone of others.
var ErrElsewhere = errors.New("the name has a CNAME that leads elsewhere")

// Texts asks one of a zone's servers for the TXT records of a name. No records
// and no error mean that there are none; a server that does not answer for the
// zone is an error, since a referral reads like no record.
func (a *Asker) Texts(ctx context.Context, server, name string) (Texts, error) {
	addrs, err := a.o.Addrs(ctx, server)
	if err != nil {
		return Texts{}, err
	}
	dialer := &net.Dialer{Timeout: Patience, Control: mx.DialControl(a.o.Private)}
	last := fmt.Errorf("%s has no address", server)
	for _, ip := range addrs.Values[:min(len(addrs.Values), maxAddrs)] {
		at := net.JoinHostPort(ip.String(), strconv.Itoa(int(a.o.Port)))
		m, err := definite(ctx, at, Question(name, dns.TypeTXT, false), dialer)
		switch {
		case err != nil:
			last = err
		case !m.Authoritative:
			last = fmt.Errorf("%s does not answer for the zone", server)
		default:
			return textsOf(m, server)
		}
	}
	return Texts{}, last
}

func textsOf(m *dns.Msg, server string) (Texts, error) {
	t, alias := Texts{TTL: ttlOf(m)}, false
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.TXT:
			if len(t.Values) < maxTexts {
				t.Values = append(t.Values, strings.Join(rr.Txt, ""))
			}
		case *dns.CNAME:
			alias = true
		}
	}
	if alias && len(t.Values) == 0 {
		return Texts{}, fmt.Errorf("ask %s: %w", server, ErrElsewhere)
	}
	return t, nil
}

// Remaining is how long the recursive servers keep what they say of a name's TXT
// records now; 0 if they do not answer.
func (a *Asker) Remaining(ctx context.Context, name string) time.Duration {
	m, err := a.Recurse(ctx, name, dns.TypeTXT)
	if err != nil {
		return 0
	}
	return ttlOf(m)
}

// ttlOf is how long an answer, or the lack of one (RFC 2308 §5), may be kept.
func ttlOf(m *dns.Msg) time.Duration {
	ttl, known := uint32(0), false
	for _, rr := range m.Answer {
		if t := rr.Header().Ttl; !known || t < ttl {
			ttl, known = t, true
		}
	}
	if !known {
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
