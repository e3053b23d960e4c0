package sendmail

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// address is a mailbox without its display name. The local part is decoded:
// quotes and escapes are gone. The domain is empty for a local user.
type address struct {
	local, domain string
}

// maxAddress is the longest address that RFC 5321 §4.5.3.1 has room for.
const maxAddress = 64 + 1 + 255

// String gives the address as it stands in a command or header: with the
// local part quoted where RFC 5321 §4.1.2 asks for it.
func (a address) String() string {
	local := a.local
	if !isDotString(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if a.domain == "" {
		return local
	}
	return local + "@" + a.domain
}

// key is equal for addresses that reach the same mailbox.
func (a address) key() string { return a.local + "@" + strings.ToLower(a.domain) }

// ascii puts an international domain into its ASCII form, so that only a
// local part can ask for SMTPUTF8. What has no such form is left alone.
func (a address) ascii() address {
	if isASCII(a.domain) {
		return a
	}
	if domain, err := idna.Lookup.ToASCII(a.domain); err == nil {
		a.domain = domain
	}
	return a
}

// within completes a local user with the local domain.
func (a address) within(domain string) address {
	if a.domain == "" {
		a.domain = domain
	}
	return a
}

// newAddress checks the parts of an address; ok is false if no mail could be
// sent to it.
func newAddress(local, domain string) (a address, ok bool) {
	if local == "" || len(local)+1+len(domain) > maxAddress {
		return address{}, false
	}
	for _, r := range local {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return address{}, false
		}
	}
	if domain != "" && !isDomain(domain) && !isLiteral(domain) {
		return address{}, false
	}
	return address{local: local, domain: domain}, true
}

func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return isAtomText(s)
}

// isAtomText reports whether s holds nothing but RFC 5322 atext, dots and
// UTF-8 (RFC 6531 §3.3).
func isAtomText(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf || c == '.':
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0:
		default:
			return false
		}
	}
	return utf8.ValidString(s)
}

// isDomain is lenient about what DNS would allow (underscores, hyphens at the
// ends): the relay judges. It keeps out what could not be a name at all.
func isDomain(s string) bool {
	if len(s) > 255 || !utf8.ValidString(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			c := label[i]
			switch {
			case c >= utf8.RuneSelf, c == '-', c == '_':
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			default:
				return false
			}
		}
	}
	return true
}

func isLiteral(s string) bool {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		c := s[i]
		if c <= ' ' || c > '~' || c == '[' || c == ']' || c == '\\' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
