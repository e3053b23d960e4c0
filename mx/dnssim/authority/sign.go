package authority

import (
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Damage says where signatures do not hold.
type Damage struct {
	Expired []string // names: what is signed there has run out
	Forged  []string // names: the A and MX records are others than were signed
}

// Sign signs the zone with a new key, which it returns. Signatures hold for an
// hour.
func (z *Zone) Sign(d Damage) (*dns.DNSKEY, error) {
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: z.apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		return nil, fmt.Errorf("make key of zone %s: %w", z.apex, err)
	}
	z.add(key)
	z.chain()
	for name, sets := range z.sets {
		for qtype, set := range sets {
			sig, err := z.signature(key, private.(crypto.Signer), set, qtype != dns.TypeNSEC && named(d.Expired, name))
			if err != nil {
				return nil, err
			}
			if named(d.Forged, name) {
				forge(set[0])
			}
			sets[qtype] = append(set, sig)
		}
		z.denial[name] = sets[dns.TypeNSEC]
	}
	z.soa = z.sets[z.apex][dns.TypeSOA]
	return key, nil
}

func (z *Zone) signature(key *dns.DNSKEY, private crypto.Signer, set []dns.RR, expired bool) (*dns.RRSIG, error) {
	h, now := set[0].Header(), time.Now()
	to := now.Add(time.Hour)
	if expired { // resolvers forgive clocks that are an hour wrong
		to = now.Add(-90 * time.Minute)
	}
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Name: h.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: h.Ttl},
		Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: z.apex,
		Inception: uint32(now.Add(-2 * time.Hour).Unix()), Expiration: uint32(to.Unix()),
	}
	if err := sig.Sign(private, set); err != nil {
		return nil, fmt.Errorf("sign %s %s: %w", h.Name, dns.TypeToString[h.Rrtype], err)
	}
	return sig, nil
}

func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(n string) bool { return canonical(n) == name })
}

func forge(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.A:
		rr.A[len(rr.A)-1]++
	case *dns.MX:
		rr.Preference++
	}
}

// chain adds the NSEC records (RFC 4034 §4).
func (z *Zone) chain() {
	names := z.owners()
	for i, name := range names {
		types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
		for qtype := range z.sets[name] {
			types = append(types, qtype)
		}
		slices.Sort(types)
		z.add(&dns.NSEC{
			Hdr:        dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60},
			NextDomain: names[(i+1)%len(names)], TypeBitMap: types,
		})
	}
}
