package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"postrider/mx"
	"postrider/mx/zone"
)

// maxNSTried are the servers of one zone that are asked until one answers.
const maxNSTried = 3

// absent reports whether the DNS said definitely that there is no such record.
func absent(err error) bool {
	e, ok := errors.AsType[*mx.Error](err)
	return ok && (e.Kind == mx.KindNXDomain || e.Kind == mx.KindNoData)
}

// trouble says in words why the DNS did not answer.
func trouble(err error) string {
	e, ok := errors.AsType[*mx.Error](err)
	switch {
	case absent(err):
		return shown(e.Domain) + ": " + shown(e.Detail)
	case ok:
		return "the DNS did not answer for " + shown(e.Domain) + ": " + shown(e.Detail)
	}
	return "the DNS did not answer: " + shown(err.Error())
}

// txt returns the TXT records of a name, none if it has none.
func (x *exam) txt(ctx context.Context, name string) ([]string, error) {
	a, err := x.o.Resolver.TXT(ctx, name)
	if absent(err) {
		return nil, nil
	}
	return a.Values, err
}

// addrs returns the addresses of a host, none if it has none.
func (x *exam) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	a, err := x.o.Resolver.Addrs(ctx, host)
	if absent(err) {
		return nil, nil
	}
	return a.Values, err
}

// ptr returns the names of an address, none if it has none.
func (x *exam) ptr(ctx context.Context, addr netip.Addr) ([]string, error) {
	a, err := x.o.Resolver.PTR(ctx, addr)
	if absent(err) {
		return nil, nil
	}
	return a.Values, err
}

// elsewhere is asked where the resolver does not show a wanted TXT record: what
// do the zone's own servers say? Published reports that they have it.
func (x *exam) elsewhere(ctx context.Context, name string, good func(texts []string) bool) (note string, published bool) {
	own, server, err := x.own(ctx, name)
	switch {
	case err != nil:
		return "", false
	case !good(own.Values):
		return fmt.Sprintf("; the zone's own name server %s says the same", shown(server)), false
	}
	wait := ""
	if left := x.zones.Remaining(ctx, name); left > 0 {
		wait = fmt.Sprintf("; the old answer is kept for %s more", span(left))
	}
	return fmt.Sprintf("; the zone's own name server %s has it already, with a TTL of %s%s", shown(server), span(own.TTL), wait), true
}

// own returns the TXT records of a name as the first of the zone's own servers
// has them that answers.
func (x *exam) own(ctx context.Context, name string) (_ zone.Texts, server string, err error) {
	place, err := x.zones.Find(ctx, name)
	if err != nil {
		return zone.Texts{}, "", err
	}
	for _, server = range place.Servers[:min(len(place.Servers), maxNSTried)] {
		var own zone.Texts
		if own, err = x.zones.Texts(ctx, server, place.Name); err == nil {
			return own, server, nil
		}
	}
	return zone.Texts{}, "", err
}

// missed finishes a finding about a TXT record that is not as it should be: a
// record that is on its way is only worth waiting for.
func (x *exam) missed(ctx context.Context, f Finding, name string, good func(texts []string) bool) Finding {
	note, published := x.elsewhere(ctx, name, good)
	f.Found += note
	if published {
		f.Level, f.Do, f.Where, f.Publish = Warn, "Wait until resolvers have noticed, then look again.", "", nil
	}
	return f
}

// spfResolver shows a Resolver to the SPF library, in the terms of package net.
type spfResolver struct{ Resolver }

func netError(name string, err error) error {
	if err == nil {
		return nil
	}
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: absent(err), IsTemporary: !absent(err)}
}

// LookupTXT returns the TXT records of a name.
func (r spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.TXT(ctx, name)
	return a.Values, netError(name, err)
}

// LookupMX returns the mail exchangers of a domain.
func (r spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a, err := r.MX(ctx, name)
	var out []*net.MX
	for _, m := range a.Values {
		out = append(out, &net.MX{Host: m.Host, Pref: m.Preference})
	}
	return out, netError(name, err)
}

// LookupIPAddr returns the addresses of a host.
func (r spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	a, err := r.Addrs(ctx, host)
	var out []net.IPAddr
	for _, ip := range a.Values {
		out = append(out, net.IPAddr{IP: ip.AsSlice()})
	}
	return out, netError(host, err)
}

// LookupAddr returns the names of an address.
func (r spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: addr, IsNotFound: true}
	}
	a, err := r.PTR(ctx, ip)
	return a.Values, netError(addr, err)
}

// dialTime bounds one connection, within the time of its check.
const dialTime = 8 * time.Second
