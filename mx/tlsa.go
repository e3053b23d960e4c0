package mx

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/miekg/dns"
)

// TLSA is a TLSA record (RFC 6698 §2.1).
type TLSA struct {
	Usage    uint8
	Selector uint8
	Matching uint8
	Data     []byte // shared with other answers: not to be changed
}

// String returns the record as zone files show it.
func (t TLSA) String() string {
	return fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data)
}

// TLSA returns the TLSA records of a name such as _25._tcp.mx.example.com.
// What an answer is worth depends on [Answer.AD]. The error is an [*Error];
// one that is not temporary means that there is none.
func (r *Resolver) TLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return ask(ctx, r, name, dns.TypeTLSA, func(a *answer) []TLSA { return a.tlsa })
}

// CNAME returns the name that a name is an alias of, one step only. AD says
// whether the alias itself is authenticated, whatever its target is. The error
// is an [*Error]; one of [KindNoData] means that the name is no alias.
func (r *Resolver) CNAME(ctx context.Context, name string) (Answer[string], error) {
	return ask(ctx, r, name, dns.TypeCNAME, func(a *answer) []string { return a.texts })
}

// addTLSA keeps the record if it can be read and there is room for it.
func (a *answer) addTLSA(rr *dns.TLSA) bool {
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil || len(a.tlsa) >= maxTLSA {
		return false
	}
	a.tlsa = append(a.tlsa, TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data})
	return true
}
