package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// helo judges the names that we call ourselves.
func (x *exam) helo(ctx context.Context) []Finding {
	names := []string{}
	for _, o := range x.from() {
		if !slices.Contains(names, o.helo) {
			names = append(names, o.helo)
		}
	}
	if len(names) == 0 || !x.direct() {
		names = []string{x.c.Hostname}
	}
	var found []Finding
	for _, n := range names {
		found = append(found, x.heloName(ctx, n))
	}
	return found
}

func (x *exam) heloName(ctx context.Context, name string) Finding {
	f := about("host.helo", name, "the name in EHLO, and where it leads")
	const set = "Set hostname (POSTRIDER_HOSTNAME) to a full name in a domain of yours, such as mail.example.com, and publish an address for it."
	if why := noFullName(name); why != "" {
		return f.fail(why).advise(set, atConfig)
	}
	if !x.direct() {
		return f.ok("a full name")
	}
	addrs, err := x.addrs(ctx, name)
	if err != nil {
		return f.unknown(trouble(err))
	}
	mine := x.originsOf(name)
	if len(addrs) == 0 {
		f = f.fail("the name does not exist in the DNS").advise("Publish its address.", atDNS(zoneGuess(name)))
		for _, a := range mine {
			f = f.offer(addrRecord(name, a))
		}
		return f
	}
	for _, a := range mine {
		if !slices.Contains(addrs, a) {
			return f.warn(fmt.Sprintf("it leads to %s, and mail leaves from %s", addrList(addrs), a)).
				advise("Publish this address for it too.", atDNS(zoneGuess(name))).offer(addrRecord(name, a))
		}
		if names, err := x.ptr(ctx, a); err == nil && len(names) > 0 && !slices.Contains(names, name) {
			return f.warn(fmt.Sprintf("the reverse name of %s is %s, another one", a, list(names))).
				advise("Have the reverse name set to the name in EHLO, or set hostname to the reverse name.", atProvider).
				offer(Record{Name: reverseName(a), Type: "PTR", Value: name + "."})
		}
	}
	return f.ok("it leads to " + addrList(addrs))
}

// noFullName says why a name is not one of the internet's.
func noFullName(name string) string {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	switch {
	case err == nil:
		return "it is an address, not a name"
	case !strings.Contains(name, "."):
		return "it is not a full name: there is no dot in it"
	}
	for _, end := range []string{".localdomain", ".local", ".lan", ".internal", ".localhost", ".home", ".invalid"} {
		if strings.HasSuffix(strings.ToLower(name), end) {
			return "nothing that ends in " + end + " is known outside of your network"
		}
	}
	return ""
}

// originsOf are the addresses from which mail leaves under the name.
func (x *exam) originsOf(helo string) (addrs []netip.Addr) {
	for _, o := range x.from() {
		if o.helo == helo {
			addrs = append(addrs, o.addr)
		}
	}
	return addrs
}

// heloSPF evaluates SPF for the name in EHLO: that is what bounces, whose return
// path is empty, are judged by (RFC 7208 §2.4).
func (x *exam) heloSPF(ctx context.Context) []Finding {
	const asked = "SPF of the name in EHLO, by which mail with an empty return path is judged"
	if !x.direct() {
		return x.notApplicable("host.spf", asked)
	}
	from := x.from()
	if len(from) == 0 {
		return noOrigin(about("host.spf", x.c.Hostname, asked))
	}
	var found []Finding
	for _, o := range from {
		f := about("host.spf", o.helo, fmt.Sprintf("SPF of %s for mail from %s", o.helo, o.addr))
		result, why := x.evaluate(ctx, o, "postmaster@"+o.helo)
		record := txtRecord(o.helo, "v=spf1 a -all")
		switch result {
		case spfPass:
			f = f.ok("pass")
		case spfNone:
			f = f.warn("there is no SPF record: reports of failure that this relay sends prove nothing").
				advise("Publish this record.", atDNS(zoneGuess(o.helo))).offer(record)
		case spfTemp:
			f = f.unknown("the DNS did not answer: " + why)
		default:
			f = f.fail(string(result)+": "+why).advise("Publish this record in place of the one there is.", atDNS(zoneGuess(o.helo))).offer(record)
		}
		found = append(found, f)
	}
	return found
}
