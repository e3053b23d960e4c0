package queue

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Address is a mailbox of RFC 5321 or RFC 6531, taken apart: Local is the
// local-part as it is meant, without quotes or escapes; Domain is a domain name
// or an address literal with its brackets. The zero Address is the null
// reverse-path. Two addresses that mean the same mailbox by syntax alone are
// equal but for the letter case of Domain, which ParseAddress keeps.
type Address struct {
	Local  string
	Domain string
}

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxPath   = 254 // 256 with the angle brackets
)

// ErrAddress is wrapped by every error of ParseAddress.
var ErrAddress = errors.New("not a valid mail address")

// ParseAddress reads a mailbox without angle brackets, quoted local-parts
// included. It refuses control characters, spaces outside quotes, source
// routes and whatever else could be read differently by the next hop.
func ParseAddress(s string) (Address, error) {
	fail := func(why string) (Address, error) {
		return Address{}, fmt.Errorf("address %.300q: %s: %w", s, why, ErrAddress)
	}
	switch {
	case s == "":
		return fail("is empty")
	case len(s) > maxPath+2*maxLocal: // escapes may double a quoted local-part
		return fail("is longer than 254 octets")
	case !utf8.ValidString(s):
		return fail("is not UTF-8")
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			return fail("has a control character")
		}
	}
	local, rest, err := cutLocal(s)
	if err != "" {
		return fail(err)
	}
	if len(rest) == 0 || rest[0] != '@' {
		return fail("has no @")
	}
	domain := rest[1:]
	if why := checkDomain(domain); why != "" {
		return fail(why)
	}
	a := Address{Local: local, Domain: domain}
	if len(local) > maxLocal {
		return fail("has a local-part of more than 64 octets")
	}
	if len(a.String()) > maxPath {
		return fail("is longer than 254 octets")
	}
	return a, nil
}

// IsNull reports the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// ASCII reports whether the address can be sent without SMTPUTF8.
func (a Address) ASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// String writes the address for a path, quoting the local-part if it must be
// (RFC 5321 §4.1.2). The null address is the empty string.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// Path writes the address in angle brackets, as MAIL and RCPT carry it.
func (a Address) Path() string { return "<" + a.String() + ">" }

// Fold returns the address with its domain in lower case, for comparing.
func (a Address) Fold() Address {
	return Address{Local: a.Local, Domain: strings.ToLower(a.Domain)}
}

// MarshalText writes the form of String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the form of String; the empty text is the null address.
func (a *Address) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = Address{}
		return nil
	}
	v, err := ParseAddress(string(b))
	*a = v
	return err
}

func cutLocal(s string) (local, rest, why string) {
	if s[0] == '"' {
		return cutQuoted(s)
	}
	i := strings.IndexByte(s, '@')
	if i < 0 {
		return "", "", "has no @"
	}
	if i == 0 {
		return "", "", "has no local-part"
	}
	if !isDotString(s[:i]) {
		return "", "", "has a local-part that must be quoted"
	}
	return s[:i], s[i:], ""
}

func cutQuoted(s string) (local, rest, why string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			if b.Len() == 0 {
				return "", "", "has an empty local-part"
			}
			return b.String(), s[i+1:], ""
		case '\\':
			i++
			if i == len(s) {
				return "", "", "ends inside a quoted local-part"
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", "ends inside a quoted local-part"
}

// isDotString is the Dot-string of RFC 5321 §4.1.2, widened by RFC 6531 §3.3.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if !isAtext(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

func isAtext(c byte) bool {
	switch {
	case c >= 0x80, 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func quoteLocal(s string) string {
	if isDotString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func checkDomain(d string) (why string) {
	switch {
	case d == "":
		return "has no domain"
	case len(d) > maxDomain:
		return "has a domain of more than 255 octets"
	case d[0] == '[':
		return checkLiteral(d)
	}
	for label := range strings.SplitSeq(d, ".") {
		if why := checkLabel(label); why != "" {
			return why
		}
	}
	return ""
}

// checkLabel is lenient where real host names are (underscores, long U-labels)
// and strict where another reading is possible.
func checkLabel(l string) string {
	switch {
	case l == "":
		return "has an empty label in its domain"
	case isASCII(l) && len(l) > 63:
		return "has a label of more than 63 octets in its domain"
	case l[0] == '-' || l[len(l)-1] == '-':
		return "has a label that begins or ends with a hyphen in its domain"
	}
	for i := range len(l) {
		c := l[i]
		ok := c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
		if !ok {
			return fmt.Sprintf("has %q in its domain", c)
		}
	}
	return ""
}

func checkLiteral(d string) string {
	body, ok := strings.CutSuffix(d[1:], "]")
	if !ok {
		return "has an address literal without its closing bracket"
	}
	v6 := len(body) > 5 && strings.EqualFold(body[:5], "IPv6:")
	if v6 {
		body = body[5:]
	}
	ip, err := netip.ParseAddr(body)
	if err != nil || ip.Zone() != "" || ip.Is4() == v6 {
		return "has an address literal that is no IP address"
	}
	return ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
