package configs

import (
	"net/netip"
	"strings"
	"unicode"
)

// validHostname accepts letters, digits and hyphens in labels of at most 63
// octets (RFC 1123 §2.1), one label or more, at most 253 octets, and not
// something that reads as an IPv4 address.
func validHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.IndexFunc(label, func(r rune) bool { return !isLetter(r) && !isDigit(r) && r != '-' }) >= 0 {
			return false
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return strings.Trim(last, "0123456789") != "" || !strings.Contains(s, ".")
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isDigit(r rune) bool  { return r >= '0' && r <= '9' }

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}

const domainFix = "write a domain such as example.com; one with other letters in its xn-- form"

func parseDomain(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if !validHostname(s) || !strings.Contains(s, ".") {
		return "", wrong(domainFix, "%q is not a domain", s)
	}
	return s, nil
}

// parseMatch reads the match of a route: a domain, *.domain for those below it,
// or * for all others.
func parseMatch(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	parent, below := strings.CutPrefix(s, "*.")
	d, err := parseDomain(parent)
	if err != nil {
		return "", wrong("write example.com, *.example.com for the domains below it, or * for every domain without a route of its own", "%q is not a domain", s)
	}
	if below {
		return "*." + d, nil
	}
	return d, nil
}

func parseHostname(s string) (string, error) {
	if !validHostname(s) {
		return "", wrong("write the full name by which the internet knows this machine, such as mail.example.com", "%q is not a host name", s)
	}
	return strings.ToLower(s), nil
}

// parseAddress reads a mail address with a dot-atom local part (RFC 5322
// §3.2.3, RFC 6532 §3.2), which is all that an operator writes into a configuration.
func parseAddress(s string) (string, error) {
	const fix = "write an address such as postmaster@example.com"
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 {
		return "", wrong(fix, "%q is not a mail address", s)
	}
	domain, err := parseDomain(s[at+1:])
	if err != nil || !dotAtom(s[:at]) {
		return "", wrong(fix, "%q is not a mail address", s)
	}
	return s[:at+1] + domain, nil
}

func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.IndexFunc(atom, func(r rune) bool {
			return !unicode.In(r, unicode.L, unicode.M, unicode.N) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
		}) >= 0 {
			return false
		}
	}
	return true
}

// parseSender reads an allowed sender: example.com and *@example.com both give
// example.com, which stands for every address there; *.example.com is every
// address below it, * any at all, and an address stands for itself.
func parseSender(s string) (string, error) {
	const fix = "write example.com or *@example.com for every address of a domain, *.example.com for its subdomains, or one address"
	if domain, ok := strings.CutPrefix(s, "*@"); ok || !strings.Contains(s, "@") {
		d, err := parseMatch(domain)
		if err != nil {
			return "", wrong(fix, "%q is neither a domain nor an address", s)
		}
		return d, nil
	}
	a, err := parseAddress(s)
	if err != nil {
		return "", wrong(fix, "%q is neither a domain nor an address", s)
	}
	return a, nil
}

const networkFix = "write 10.1.0.0/16, 2001:db8::/48 or a single address"

// parseNetwork reads a prefix or a single address. IPv4-mapped prefixes become
// the IPv4 prefix they are.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, wrong(networkFix, "%q is not a network", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, wrong("perhaps "+p.Masked().String()+" is meant", "%q has address bits beyond its length", s)
	}
	return p, nil
}

func parseNameserver(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, wrong("write an IP address, with a port if it is not 53, such as 127.0.0.1:5353 or [::1]:5353", "%q is not the address of a DNS server", s)
	}
	return ap, nil
}
