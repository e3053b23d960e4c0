package mx

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxMX     = 50 // records kept of one answer; a mail domain has at most a few
	maxAddrs  = 32
	maxTexts  = 100
	maxTLSA   = 50
	maxTextKB = 8 // larger TXT and TLSA answers are returned but not cached
	maxChain  = 10
)

// answer is what a question came to. It does not change once made, but for use.
type answer struct {
	kind   Kind // "" when there are records
	detail string
	cause  error
	name   string // where the CNAMEs led, without the final dot
	ad     bool
	keep   bool

	mx    []Record
	addrs []netip.Addr
	texts []string // TXT, or names for PTR and CNAME
	tlsa  []TLSA

	stored, expires time.Time
	use             use
}

func (a *answer) temporary() bool {
	return a.kind == KindTrouble || a.kind == KindBogus || a.kind == KindCNAME
}

func (a *answer) dueForRenewal(now time.Time) bool {
	return !now.Before(renewAt(a.stored, a.expires))
}

func (a *answer) err(domain string) error {
	if a.kind == "" {
		return nil
	}
	return newError(a.kind, domain, a.detail).because(a.cause)
}

// failure makes the answer of a lookup that has none.
func (r *Resolver) failure(k Kind, detail string, cause error) *answer {
	now := r.o.Now()
	return &answer{kind: k, detail: detail, cause: cause, keep: cause == nil, stored: now, expires: now.Add(r.o.FailureTTL)}
}

// resolve asks the servers, follows CNAMEs as far as the servers do not, and
// reads the answer.
func (r *Resolver) resolve(ctx context.Context, k key) *answer {
	c := chain{name: k.name, left: maxChain, ttl: r.o.MaxTTL, ad: r.trustAD}
	for {
		m, fail := r.query(ctx, key{c.name, k.qtype})
		if fail != nil {
			return fail
		}
		c.ad = c.ad && m.AuthenticatedData
		if k.qtype == dns.TypeCNAME { // The record itself is wanted, not where it leads.
			return r.read(m, c, k.qtype)
		}
		switch c.walk(m) {
		case chainBroken:
			return r.failure(KindCNAME, "the CNAME chain loops or is longer than 10", nil)
		case chainGoesOn:
			continue
		}
		return r.read(m, c, k.qtype)
	}
}

// chain is the way from the name asked for along CNAMEs.
type chain struct {
	name string
	left int
	ttl  time.Duration
	ad   bool
}

type chainEnd int

const (
	chainDone   chainEnd = iota // the message tells all about the last name
	chainGoesOn                 // the last name has to be asked for
	chainBroken
)

// walk follows the CNAMEs in m.
func (c *chain) walk(m *dns.Msg) chainEnd {
	from := c.name
	for {
		target, ttl, ok := cnameOf(m, c.name)
		if !ok {
			break
		}
		if c.left--; c.left < 0 {
			return chainBroken
		}
		c.name, c.ttl = target, min(c.ttl, ttl)
	}
	if c.name == from || m.Rcode == dns.RcodeNameError || soaTTL(m) >= 0 {
		return chainDone
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == m.Question[0].Qtype && sameName(rr.Header().Name, c.name) {
			return chainDone
		}
	}
	return chainGoesOn
}

func cnameOf(m *dns.Msg, name string) (target string, ttl time.Duration, ok bool) {
	for _, rr := range m.Answer {
		if cn, is := rr.(*dns.CNAME); is && sameName(cn.Hdr.Name, name) {
			return strings.ToLower(cn.Target), seconds(cn.Hdr.Ttl), true
		}
	}
	return "", 0, false
}

// read takes the records of the last name of the chain out of m.
func (r *Resolver) read(m *dns.Msg, c chain, qtype uint16) *answer {
	a := &answer{name: displayName(c.name), ad: c.ad, keep: true, stored: r.o.Now()}
	size := 0
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != qtype || h.Class != dns.ClassINET || !sameName(h.Name, c.name) {
			continue
		}
		if a.add(rr) {
			size += dns.Len(rr)
			c.ttl = min(c.ttl, seconds(h.Ttl))
		}
	}
	if len(a.mx)+len(a.addrs)+len(a.texts)+len(a.tlsa) > 0 {
		a.expires = a.stored.Add(clamp(c.ttl, r.o.MinTTL, r.o.MaxTTL))
		a.keep = len(a.texts)+len(a.tlsa) == 0 || size <= maxTextKB<<10
		return a
	}
	a.kind, a.detail = KindNoData, "the name has no "+dns.TypeToString[qtype]+" record"
	if m.Rcode == dns.RcodeNameError {
		a.kind, a.detail = KindNXDomain, "the domain does not exist (NXDOMAIN)"
	}
	ttl := soaTTL(m)
	if ttl < 0 { // RFC 2308 §5 would not cache this; a moment spares the servers.
		ttl = r.o.MinNegativeTTL
	}
	a.expires = a.stored.Add(clamp(min(ttl, c.ttl), r.o.MinNegativeTTL, r.o.MaxNegativeTTL))
	return a
}

// add keeps the record if there is room for it.
func (a *answer) add(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.MX:
		if len(a.mx) < maxMX {
			a.mx = append(a.mx, Record{Host: displayName(rr.Mx), Preference: rr.Preference})
			return true
		}
	case *dns.A:
		return a.addAddr(netip.AddrFromSlice(rr.A))
	case *dns.AAAA:
		return a.addAddr(netip.AddrFromSlice(rr.AAAA))
	case *dns.TXT:
		if len(a.texts) < maxTexts {
			a.texts = append(a.texts, strings.Join(rr.Txt, ""))
			return true
		}
	case *dns.PTR:
		if len(a.texts) < maxTexts {
			a.texts = append(a.texts, displayName(rr.Ptr))
			return true
		}
	case *dns.CNAME:
		if len(a.texts) == 0 {
			a.texts = append(a.texts, displayName(rr.Target))
			return true
		}
	case *dns.TLSA:
		return a.addTLSA(rr)
	}
	return false
}

func (a *answer) addAddr(addr netip.Addr, ok bool) bool {
	addr = addr.Unmap()
	if !ok || len(a.addrs) >= maxAddrs || slices.Contains(a.addrs, addr) {
		return false
	}
	a.addrs = append(a.addrs, addr)
	return true
}

// soaTTL is how long the authority says a negative answer may be kept
// (RFC 2308 §5), or -1.
func soaTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return seconds(min(soa.Hdr.Ttl, soa.Minttl))
		}
	}
	return -1
}

// seconds reads a TTL; RFC 2181 §8: with the top bit set it is zero.
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func sameName(a, b string) bool { return strings.EqualFold(a, b) }

// displayName is a name from DNS in lower case without its final dot; the
// root stays ".".
func displayName(fqdn string) string {
	if fqdn == "." {
		return fqdn
	}
	return strings.ToLower(strings.TrimSuffix(fqdn, "."))
}
