package dnssim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	defaultTTL = 300
	maxChain   = 16
)

// zone holds the records below one apex.
type zone struct {
	apex  string
	soa   *dns.SOA
	names map[string][]dns.RR // every owner, and the empty names between it and the apex
}

// parseZone reads zone text. The apex is the owner of its SOA; a zone
// without one has origin as its apex and gets a SOA.
func parseZone(origin, text string) (*zone, error) {
	zp := dns.NewZoneParser(strings.NewReader(text), dns.Fqdn(origin), "")
	zp.SetDefaultTTL(defaultTTL)
	z := &zone{apex: canonical(origin), names: make(map[string][]dns.RR)}
	var all []dns.RR
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if soa, is := rr.(*dns.SOA); is {
			if z.soa != nil {
				return nil, errors.New("the zone has two SOA records")
			}
			z.soa, z.apex = soa, canonical(soa.Hdr.Name)
		}
		all = append(all, rr)
	}
	if err := zp.Err(); err != nil {
		return nil, err
	}
	if z.soa == nil {
		z.soa = makeSOA(z.apex)
		all = append(all, z.soa)
	}
	for _, rr := range all {
		if err := z.add(rr); err != nil {
			return nil, err
		}
	}
	return z, nil
}

func makeSOA(apex string) *dns.SOA {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: defaultTTL},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	}
}

func (z *zone) add(rr dns.RR) error {
	name := canonical(rr.Header().Name)
	if !dns.IsSubDomain(z.apex, name) {
		return fmt.Errorf("%s is outside the zone %s", name, z.apex)
	}
	z.names[name] = append(z.names[name], rr)
	for parent := name; parent != z.apex; { // empty names exist too
		parent = parentOf(parent)
		if _, ok := z.names[parent]; !ok {
			z.names[parent] = nil
		}
	}
	return nil
}

// find returns the records at name, those of the wildcard that covers it, or
// false when the name does not exist.
func (z *zone) find(name string) ([]dns.RR, bool) {
	if rrs, ok := z.names[name]; ok {
		return rrs, true
	}
	for closest := name; closest != z.apex; {
		closest = parentOf(closest)
		if _, ok := z.names[closest]; !ok {
			continue
		}
		// RFC 4592 §3.3.1: only the wildcard at the closest encloser counts.
		wild, ok := z.names[below("*", closest)]
		if !ok {
			return nil, false
		}
		rrs := make([]dns.RR, len(wild))
		for i, rr := range wild {
			rrs[i] = dns.Copy(rr)
			rrs[i].Header().Name = name
		}
		return rrs, true
	}
	return nil, false
}

func below(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

func parentOf(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

func canonical(name string) string { return strings.ToLower(dns.Fqdn(name)) }

// zones are kept by apex; lookups take the longest that fits.
type zones map[string]*zone

func (zs zones) of(name string) *zone {
	for {
		if z, ok := zs[name]; ok {
			return z
		}
		if name == "." {
			return nil
		}
		name = parentOf(name)
	}
}

// resolve fills in the answer to one question, following CNAMEs. The answer is
// authenticated when every zone it comes from is.
func (zs zones) resolve(m *dns.Msg, q dns.Question, followCNAME bool, authenticated map[string]bool) {
	name := canonical(q.Name)
	m.AuthenticatedData = true
	for range maxChain {
		z := zs.of(name)
		if z == nil {
			m.Rcode, m.AuthenticatedData = dns.RcodeNameError, false
			m.Ns = []dns.RR{makeSOA(".")}
			return
		}
		m.AuthenticatedData = m.AuthenticatedData && authenticated[z.apex]
		rrs, exists := z.find(name)
		target, found := "", false
		for _, rr := range rrs {
			if rr.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY {
				m.Answer, found = append(m.Answer, rr), true
			} else if cn, is := rr.(*dns.CNAME); is {
				m.Answer, target = append(m.Answer, rr), canonical(cn.Target)
			}
		}
		switch {
		case found || target != "" && !followCNAME:
			return
		case target != "":
			name = target
		default:
			if !exists {
				m.Rcode = dns.RcodeNameError
			}
			m.Ns = []dns.RR{z.soa}
			return
		}
	}
}
