package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// noOrigin is the finding where nobody knows by which address we are seen.
func noOrigin(f Finding) []Finding {
	return []Finding{f.unknown("the public address of this machine is not known: no mail exchanger could be reached, and no source address is configured")}
}

// reverse judges the PTR records of our addresses, and where they lead.
func (x *exam) reverse(ctx context.Context) []Finding {
	const asked = "the reverse name of our address, and whether it leads back"
	if !x.direct() {
		return x.notApplicable("ip.ptr", asked)
	}
	from := x.from()
	if len(from) == 0 {
		return noOrigin(about("ip.ptr", x.c.Hostname, asked))
	}
	var found []Finding
	for _, o := range from {
		found = append(found, x.reverseOf(ctx, o)...)
	}
	return found
}

func (x *exam) reverseOf(ctx context.Context, o origin) []Finding {
	name := reverseName(o.addr)
	f := about("ip.ptr", o.addr.String(), "PTR of "+name)
	record := Record{Name: name, Type: "PTR", Value: o.helo + "."}
	const set = "Ask for this reverse name (PTR). Only the owner of the address can set it; most providers have a form for it."
	names, err := x.ptr(ctx, o.addr)
	switch {
	case err != nil:
		return []Finding{f.unknown(trouble(err))}
	case len(names) == 0:
		return []Finding{f.fail("the address has no reverse name").advise(set, atProvider).offer(record)}
	case len(names) > 1:
		f = f.warn("several names: "+list(names)).advise("Leave one, so that everybody sees the same.", atProvider).offer(record)
	case generic(names[0], o.addr):
		f = f.warn(names[0]+", which looks like the address of a home or of a machine without a purpose").advise(set, atProvider).offer(record)
	default:
		f = f.ok(names[0])
	}
	return []Finding{f, x.confirmed(ctx, o, names)}
}

// confirmed says whether a reverse name leads back to the address.
func (x *exam) confirmed(ctx context.Context, o origin, names []string) Finding {
	f := about("ip.fcrdns", o.addr.String(), "the addresses of "+list(names))
	var got []netip.Addr
	for _, n := range names[:min(len(names), 5)] {
		addrs, err := x.addrs(ctx, n)
		if err != nil {
			return f.unknown(trouble(err))
		}
		if slices.Contains(addrs, o.addr) {
			return f.ok(n + " leads back to the address")
		}
		got = append(got, addrs...)
	}
	is := "no address at all"
	if len(got) > 0 {
		is = addrList(got)
	}
	return f.fail(list(names)+" has "+is).
		advise("Publish this record, or have the reverse name set to a name that leads back.", atDNS(zoneGuess(names[0]))).
		offer(addrRecord(names[0], o.addr))
}

func addrRecord(name string, a netip.Addr) Record {
	if a.Is4() {
		return Record{Name: name, Type: "A", Value: a.String()}
	}
	return Record{Name: name, Type: "AAAA", Value: a.String()}
}

// zoneGuess is where a host's records most often lie: the name without its first
// label, unless that would be a top-level domain.
func zoneGuess(host string) string {
	if _, rest, ok := strings.Cut(host, "."); ok && strings.Contains(rest, ".") {
		return rest
	}
	return host
}

func reverseName(a netip.Addr) string {
	name, err := dns.ReverseAddr(a.String())
	if err != nil {
		return a.String()
	}
	return strings.TrimSuffix(name, ".")
}

// genericWord is what providers call addresses that they give to anybody.
var genericWord = regexp.MustCompile(`(^|[.\-\d])(dyn|dynamic|dhcp|dial|dialup|dialin|pool|ppp|pppoe|dsl|adsl|cable|client|clients|cust|customer|customers|broadband|unassigned|residential|static|compute|ec2|bc\.googleusercontent)([.\-\d]|$)`)

// generic reports whether a reverse name was made of the address, or says that
// it belongs to nobody in particular.
func generic(name string, a netip.Addr) bool {
	name = strings.ToLower(name)
	if genericWord.MatchString(name) {
		return true
	}
	if !a.Is4() {
		return strings.Contains(strings.NewReplacer("-", "", ".", "").Replace(name), strings.ReplaceAll(a.StringExpanded(), ":", ""))
	}
	b := a.As4()
	parts := []string{fmt.Sprint(b[0]), fmt.Sprint(b[1]), fmt.Sprint(b[2]), fmt.Sprint(b[3])}
	back := slices.Clone(parts)
	slices.Reverse(back)
	for _, sep := range []string{".", "-", "_"} {
		if strings.Contains(name, strings.Join(parts, sep)) || strings.Contains(name, strings.Join(back, sep)) {
			return true
		}
	}
	return strings.Contains(name, fmt.Sprintf("%03d%03d%03d%03d", b[0], b[1], b[2], b[3])) || strings.Contains(name, fmt.Sprintf("%02x%02x%02x%02x", b[0], b[1], b[2], b[3]))
}

// v6 asks whether IPv6 is fit for sending, where it is used.
func (x *exam) v6(ctx context.Context) []Finding {
	const asked = "whether IPv6 is used, and has reverse and forward names"
	f := about("ip.v6", x.c.Hostname, asked)
	if !x.direct() {
		return x.notApplicable("ip.v6", asked)
	}
	if !x.c.IPv6 {
		return []Finding{f.ok("mail leaves over IPv4 only")}
	}
	for _, o := range x.from() {
		if !o.addr.Is6() {
			continue
		}
		names, err := x.ptr(ctx, o.addr)
		if err != nil {
			return []Finding{f.unknown(trouble(err))}
		}
		for _, n := range names[:min(len(names), 5)] {
			if addrs, err := x.addrs(ctx, n); err == nil && slices.Contains(addrs, o.addr) {
				return []Finding{f.ok(o.addr.String() + " is " + n + ", and back")}
			}
		}
		return []Finding{f.fail(o.addr.String()+" has no reverse name that leads back: Gmail and others refuse mail from it").
			advise("Switch IPv6 off for delivery (delivery.ipv6: off), or have these records set.", atProvider).
			offer(Record{Name: reverseName(o.addr), Type: "PTR", Value: o.helo + "."}, addrRecord(o.helo, o.addr))}
	}
	return []Finding{f.unknown("IPv6 is on, and the address that mail would leave from is not known")}
}
