package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// DefaultLists are the block lists that receivers use most: three of addresses,
// two of domains.
func DefaultLists() []string {
	return []string{"zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "dbl.spamhaus.org", "multi.uribl.com"}
}

// listsDomains reports whether a list is one of domains.
func listsDomains(list string) bool {
	return slices.Contains([]string{"dbl.spamhaus.org", "multi.uribl.com", "black.uribl.com", "multi.surbl.org", "dbl.nordspam.com", "uribl.spameatingmonkey.net"}, list)
}

// removal is where a list tells why, and takes off.
func removal(list, what string) string {
	switch {
	case strings.HasSuffix(list, "spamhaus.org"):
		return "https://check.spamhaus.org/results?query=" + what
	case strings.HasSuffix(list, "spamcop.net"):
		return "https://www.spamcop.net/w3m?action=checkblock&ip=" + what
	case strings.HasSuffix(list, "barracudacentral.org"):
		return "https://www.barracudacentral.org/lookups/lookup-reputation"
	case strings.HasSuffix(list, "uribl.com"):
		return "https://admin.uribl.com/"
	case strings.HasSuffix(list, "surbl.org"):
		return "https://surbl.org/surbl-analysis"
	}
	return "the web site of " + list
}

// listChecks asks each block list for our addresses or domains.
func (x *exam) listChecks() (all []check) {
	const asked = "our addresses and domains at block lists"
	if len(x.o.Lists) == 0 {
		return []check{{"ip.dnsbl", x.c.Hostname, asked, func(context.Context) []Finding {
			return []Finding{about("ip.dnsbl", x.c.Hostname, asked).unknown("no list is asked: doctor.dnsbl is off")}
		}}}
	}
	spoken := false // of addresses that cannot be asked for
	for _, l := range x.o.Lists {
		speak := !spoken && !listsDomains(l)
		spoken = spoken || speak
		all = append(all, check{"ip.dnsbl", x.c.Hostname, asked, func(ctx context.Context) []Finding { return x.blocked(ctx, l, speak) }})
	}
	return all
}

// blocked asks one list. That there is nothing to ask for is said if speak is set.
func (x *exam) blocked(ctx context.Context, list string, speak bool) []Finding {
	const asked = "our addresses at block lists"
	if listsDomains(list) {
		return each(x.c.Domains, func(d Domain) Finding { return x.listed(ctx, list, d.Name, d.Name) })
	}
	from := x.from()
	switch {
	case (len(from) == 0 || !x.direct()) && !speak:
		return nil
	case !x.direct():
		return x.notApplicable("ip.dnsbl", asked)
	case len(from) == 0:
		return noOrigin(about("ip.dnsbl", x.c.Hostname, asked))
	}
	return each(from, func(o origin) Finding { return x.listed(ctx, list, o.addr.String(), reversed(o.addr)) })
}

// reversed is an address as block lists are asked for it (RFC 5782 §2.1, §2.4).
func reversed(a netip.Addr) string {
	name := reverseName(a)
	name = strings.TrimSuffix(name, ".in-addr.arpa")
	return strings.TrimSuffix(name, ".ip6.arpa")
}

// A verdict is what the answer of a list means.
type verdict int

const (
	notListed verdict = iota
	isListed
	onPolicy // an address that should not send by itself, by its provider's word
	refused  // the list does not answer this resolver
)

// judged reads the addresses that a list answers with.
func judged(list string, codes []netip.Addr) verdict {
	v := notListed
	for _, c := range codes {
		if !c.Is4() || !netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8).Contains(c) {
			return refused // a resolver that makes up answers, or a list that is gone
		}
		b := c.As4()
		switch {
		// Spamhaus: 127.255.255.252 a typing error, .254 a public resolver, .255
		// too many queries; others use the range alike.
		case b[1] == 255 && b[2] == 255 && b[3] >= 252:
			return refused
		case strings.HasSuffix(list, "uribl.com") && b[3] == 1 && b[1] == 0 && b[2] == 0:
			return refused
		case strings.HasSuffix(list, "zen.spamhaus.org") && (b[3] == 10 || b[3] == 11):
			if v == notListed {
				v = onPolicy
			}
		default:
			v = isListed
		}
	}
	return v
}

func (x *exam) listed(ctx context.Context, list, subject, label string) Finding {
	name := label + "." + list
	f := about("ip.dnsbl", subject, "A of "+name).marked(list)
	codes, err := x.addrs(ctx, name)
	if err != nil {
		return f.unknown(trouble(err))
	}
	switch judged(list, codes) {
	case refused:
		return f.unknown(fmt.Sprintf("%s does not answer this resolver (%s)", list, addrList(codes))).
			advise("Lists refuse public resolvers such as 8.8.8.8, and heavy users: ask through a resolver of your own.", atHost)
	case onPolicy:
		return f.fail(fmt.Sprintf("%s says that mail should not come straight from this address (%s)", list, addrList(codes))).
			advise("Ask for its removal at "+removal(list, subject)+" if it is a server's address, or send through a smart host.", atProvider)
	case isListed:
		why := ""
		if texts, err := x.txt(ctx, name); err == nil && len(texts) > 0 {
			why = ": " + quotedList(texts)
		}
		return f.fail(fmt.Sprintf("it is on %s (%s)%s", list, addrList(codes), why)).
			advise("Find out first who sent what (hacked accounts, forms), then ask for its removal: "+removal(list, subject)+".", "at "+list)
	}
	if !x.answers(ctx, list) {
		return f.unknown(list + " does not answer here: even its test entry is not found")
	}
	return f.ok("not on " + list)
}

// answers asks for an entry that the list must have (RFC 5782 §5), to tell silence
// from a clean record.
func (x *exam) answers(ctx context.Context, list string) bool {
	for _, entry := range testEntries(list) {
		codes, err := x.addrs(ctx, entry+"."+list)
		if err == nil && len(codes) > 0 && judged(list, codes) != refused {
			return true
		}
	}
	return false
}

// testEntries are what lists of addresses must have, and what those of domains
// should or say that they do.
func testEntries(list string) []string {
	if !listsDomains(list) {
		return []string{"2.0.0.127"}
	}
	entries := []string{"test", "2.0.0.127"}
	switch {
	case strings.HasSuffix(list, "spamhaus.org"):
		entries = append(entries, "dbltest.com")
	case strings.HasSuffix(list, "uribl.com"):
		entries = append(entries, "test.uribl.com")
	case strings.HasSuffix(list, "surbl.org"):
		entries = append(entries, "test.surbl.org")
	}
	return entries
}
