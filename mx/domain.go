package mx

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxDomain = 253
	maxLabel  = 63
)

// NormalizeDomain returns the one spelling of a mail domain that lanes,
// routes and DNS use: lower case, no trailing dot, A-labels (UTS #46,
// non-transitional). Address literals come back canonical, such as
// "[192.0.2.1]" or "[IPv6:2001:db8::1]". A domain that is already normal is
// returned without allocating. The error is an [*Error] of [KindSyntax].
func NormalizeDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") {
		addr, ok := parseLiteral(domain)
		if !ok {
			return "", newError(KindSyntax, clip(domain), "not a valid address literal")
		}
		return formatLiteral(addr), nil
	}
	d := domain
	if !isASCII(d) {
		ascii, err := toASCII(d)
		if err != nil {
			return "", newError(KindSyntax, clip(domain), "not a valid internationalised domain name").because(err)
		}
		d = ascii
	}
	d = strings.ToLower(strings.TrimSuffix(d, "."))
	if detail := domainFault(d); detail != "" {
		return "", newError(KindSyntax, clip(domain), detail)
	}
	return d, nil
}

// toASCII builds its profile on each call: only domains that are not ASCII
// come here, and a profile costs far less than the mapping itself.
func toASCII(d string) (string, error) {
	if !utf8.ValidString(d) {
		return "", errors.New("not UTF-8")
	}
	return idna.New(
		idna.MapForLookup(),
		idna.Transitional(false),
		idna.StrictDomainName(true),
		idna.BidiRule(),
	).ToASCII(d)
}

// domainFault says what is wrong with a lower-case ASCII domain, or "".
// Underscores are let through, as other mail servers do.
func domainFault(d string) string {
	if d == "" {
		return "the domain is empty"
	}
	if len(d) > maxDomain {
		return "the domain is longer than 253 octets"
	}
	start, numeric := 0, true
	for i := 0; i <= len(d); i++ {
		if i < len(d) && d[i] != '.' {
			c := d[i]
			if !isNameByte(c) {
				return "the domain has a character that is not allowed"
			}
			numeric = numeric && '0' <= c && c <= '9'
			continue
		}
		label := d[start:i]
		switch {
		case label == "":
			return "the domain has an empty label"
		case len(label) > maxLabel:
			return "the domain has a label longer than 63 octets"
		case label[0] == '-' || label[len(label)-1] == '-':
			return "the domain has a label that begins or ends with a hyphen"
		}
		if i < len(d) {
			start, numeric = i+1, true
		}
	}
	if numeric { // RFC 3696 §2: no top-level domain is all digits.
		return "the domain is a number; an address is written [192.0.2.1]"
	}
	return ""
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// parseLiteral reads an address literal of RFC 5321 §4.1.3.
func parseLiteral(s string) (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(s, "[")
	if !ok {
		return netip.Addr{}, false
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return netip.Addr{}, false
	}
	v6 := false
	if len(inner) > 5 && strings.EqualFold(inner[:5], "ipv6:") {
		inner, v6 = inner[5:], true
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || addr.Is4() == v6 {
		return netip.Addr{}, false
	}
	return addr, true
}

func formatLiteral(a netip.Addr) string {
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

// clip keeps what a stranger sent fit for a log line.
func clip(s string) string {
	if len(s) > maxDomain {
		return s[:maxDomain] + "…"
	}
	return s
}
