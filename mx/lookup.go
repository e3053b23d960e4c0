package mx

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Record is an MX record. Host has no final dot, except the root "." of a
// null MX.
type Record struct {
	Host       string
	Preference uint16
}

// Answer holds what DNS says about a name.
type Answer[T any] struct {
	Values []T
	Name   string        // the name that has the records, CNAMEs followed
	AD     bool          // authenticated by a resolver we trust
	TTL    time.Duration // how long it is still cached
}

// MX returns the MX records of a domain as they stand in DNS, in no
// particular order. The error is an [*Error].
func (r *Resolver) MX(ctx context.Context, domain string) (Answer[Record], error) {
	return ask(ctx, r, domain, dns.TypeMX, func(a *answer) []Record { return a.mx })
}

// TXT returns the TXT records of a name, the strings of each joined. The
// error is an [*Error].
func (r *Resolver) TXT(ctx context.Context, name string) (Answer[string], error) {
	return ask(ctx, r, name, dns.TypeTXT, func(a *answer) []string { return a.texts })
}

// PTR returns the names of an address. The error is an [*Error].
func (r *Resolver) PTR(ctx context.Context, addr netip.Addr) (Answer[string], error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return Answer[string]{}, newError(KindSyntax, "?", "not an address").because(err)
	}
	return ask(ctx, r, name, dns.TypePTR, func(a *answer) []string { return a.texts })
}

// Addrs returns the addresses of a host: IPv4 and IPv6, asked for at the same
// time, IPv4 first. It succeeds when either family has an answer. AD is set
// when all that was used is authenticated. The error is an [*Error].
func (r *Resolver) Addrs(ctx context.Context, host string) (Answer[netip.Addr], error) {
	name, err := queryName(host)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	f := r.beginFamilies(name, true, false)
	a, err := r.waitFamilies(ctx, f)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	if a.kind != "" {
		return Answer[netip.Addr]{}, newError(a.kind, displayName(name), a.detail).because(a.cause)
	}
	return Answer[netip.Addr]{Values: slices.Concat(a.v4, a.v6), Name: a.name, AD: a.ad, TTL: a.expires.Sub(r.o.Now())}, nil
}

func ask[T any](ctx context.Context, r *Resolver, name string, qtype uint16, values func(*answer) []T) (Answer[T], error) {
	fqdn, err := queryName(name)
	if err != nil {
		return Answer[T]{}, err
	}
	a, err := r.wait(ctx, r.begin(key{fqdn, qtype}, false))
	if err != nil {
		return Answer[T]{}, err
	}
	if err := a.err(displayName(fqdn)); err != nil {
		return Answer[T]{}, err
	}
	return Answer[T]{Values: slices.Clone(values(a)), Name: a.name, AD: a.ad, TTL: a.expires.Sub(r.o.Now())}, nil
}

// queryName is the fully qualified form of any name DNS can be asked for.
func queryName(name string) (string, error) {
	if !isASCII(name) {
		d, err := NormalizeDomain(name)
		if err != nil {
			return "", err
		}
		name = d
	}
	fqdn := dns.Fqdn(strings.ToLower(name))
	if _, ok := dns.IsDomainName(fqdn); !ok || name == "" {
		return "", newError(KindSyntax, clip(name), "not a name DNS can be asked for")
	}
	return fqdn, nil
}

// families is a lookup of a host's addresses in the air.
type families struct {
	name   string
	v4, v6 ticket
	wantV6 bool
	fresh  bool
}

// hostAddrs is what became of it.
type hostAddrs struct {
	kind    Kind // "" when there is an address
	detail  string
	cause   error
	name    string
	v4, v6  []netip.Addr
	ad      bool
	expires time.Time
}

func (r *Resolver) beginFamilies(fqdn string, wantV6, fresh bool) families {
	f := families{name: fqdn, wantV6: wantV6, fresh: fresh}
	f.v4 = r.begin(key{fqdn, dns.TypeA}, fresh)
	if wantV6 {
		f.v6 = r.begin(key{fqdn, dns.TypeAAAA}, fresh)
	}
	return f
}

// waitFamilies puts the two answers together. A host that has only IPv6
// addresses while those are not wanted is unroutable, not without addresses:
// the lack is ours.
func (r *Resolver) waitFamilies(ctx context.Context, f families) (hostAddrs, error) {
	a4, err := r.wait(ctx, f.v4)
	if err != nil {
		return hostAddrs{}, err
	}
	if !f.wantV6 && a4.kind != KindNoData {
		return merge(a4, nil), nil
	}
	if !f.wantV6 {
		f.v6 = r.begin(key{f.name, dns.TypeAAAA}, f.fresh)
	}
	a6, err := r.wait(ctx, f.v6)
	if err != nil {
		return hostAddrs{}, err
	}
	h := merge(a4, a6)
	if !f.wantV6 && h.kind == "" {
		h.v6, h.kind, h.detail = nil, KindUnroutable, "the host has only IPv6 addresses and IPv6 is off"
	}
	return h, nil
}

// merge joins the answers of both families; a6 may be nil.
func merge(a4, a6 *answer) hostAddrs {
	h := hostAddrs{name: a4.name, v4: a4.addrs, ad: a4.ad, expires: a4.expires}
	if a6 == nil {
		h.kind, h.detail, h.cause = a4.kind, a4.detail, a4.cause
		return h
	}
	h.v6 = a6.addrs
	if a6.expires.Before(h.expires) {
		h.expires = a6.expires
	}
	switch {
	case a4.kind == "" && a6.kind == "":
		h.ad = a4.ad && a6.ad
	case a4.kind == "":
	case a6.kind == "":
		h.ad, h.name = a6.ad, a6.name
	case a4.temporary():
		h.kind, h.detail, h.cause = a4.kind, a4.detail, a4.cause
	case a6.temporary():
		h.kind, h.detail, h.cause = a6.kind, a6.detail, a6.cause
	case a4.kind == KindNXDomain:
		h.kind, h.detail = a4.kind, a4.detail
	default:
		h.kind, h.detail = KindNoData, "the name has no address (neither A nor AAAA)"
	}
	return h
}
