package authority

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Zone has the sets of records by owner and type, each with its signatures where
// the zone is signed. It is not changed once it is served.
type Zone struct {
	apex   string
	sets   map[string]map[uint16][]dns.RR
	denial map[string][]dns.RR // signed NSEC records by owner; empty: the zone is not signed
	soa    []dns.RR
}

// Parse reads a zone text without SOA and NS records, which it adds. Names
// without a final dot are relative to the apex.
func Parse(apex, text string) (*Zone, error) {
	z := &Zone{apex: canonical(apex), sets: make(map[string]map[uint16][]dns.RR), denial: make(map[string][]dns.RR)}
	zp := dns.NewZoneParser(strings.NewReader("@ 300 SOA ns h 1 2 3 4 60\n@ 300 NS ns\nns 300 A 127.0.0.1\n"+text), z.apex, "")
	zp.SetDefaultTTL(300)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if !dns.IsSubDomain(z.apex, canonical(rr.Header().Name)) {
			return nil, fmt.Errorf("zone %s: %s is outside of it", apex, rr.Header().Name)
		}
		z.add(rr)
	}
	if err := zp.Err(); err != nil {
		return nil, fmt.Errorf("zone %s: %w", apex, err)
	}
	z.soa = z.sets[z.apex][dns.TypeSOA]
	return z, nil
}

func (z *Zone) add(rr dns.RR) {
	name := canonical(rr.Header().Name)
	if z.sets[name] == nil {
		z.sets[name] = make(map[uint16][]dns.RR)
	}
	z.sets[name][rr.Header().Rrtype] = append(z.sets[name][rr.Header().Rrtype], rr)
}

func (z *Zone) answer(m *dns.Msg, q question) {
	sets := z.sets[q.name]
	for _, t := range []uint16{q.qtype, dns.TypeCNAME} {
		if set := sets[t]; len(set) > 0 {
			m.Answer = set
			return
		}
	}
	if !z.exists(q.name) {
		m.Rcode = dns.RcodeNameError
	}
	m.Ns = slices.Concat(z.soa, z.proof(q.name))
}

// exists reports whether there is anything at or below name.
func (z *Zone) exists(name string) bool {
	for owner := range z.sets {
		if owner == name || strings.HasSuffix(owner, "."+name) {
			return true
		}
	}
	return false
}

// proof is the NSEC records that deny a name, or a type of it, and the wildcards
// that could stand for it (RFC 4035 §3.1.3).
func (z *Zone) proof(name string) []dns.RR {
	if len(z.denial) == 0 {
		return nil
	}
	owners := z.owners()
	covers := func(name string) string {
		at, found := slices.BinarySearchFunc(owners, name, compare)
		if !found {
			at--
		}
		return owners[at]
	}
	closest := name
	for !z.exists(closest) {
		i, _ := dns.NextLabel(closest, 0)
		closest = closest[i:]
	}
	both := []string{covers(name)}
	if wild := covers("*." + closest); closest != name && wild != both[0] {
		both = append(both, wild)
	}
	var all []dns.RR
	for _, owner := range both {
		all = append(all, z.denial[owner]...)
	}
	return all
}

// owners are the names that have records, in the order of RFC 4034 §6.1.
func (z *Zone) owners() []string {
	names := make([]string, 0, len(z.sets))
	for name := range z.sets {
		names = append(names, name)
	}
	slices.SortFunc(names, compare)
	return names
}

func compare(a, b string) int { return slices.Compare(reversed(a), reversed(b)) }

func reversed(name string) []string {
	labels := dns.SplitDomainName(name)
	slices.Reverse(labels)
	return labels
}
