package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// An spfTerm is a mechanism or a modifier of an SPF record (RFC 7208 §4.6.1).
type spfTerm struct {
	text      string // as it stands
	qualifier byte   // of a mechanism: + - ~ ?
	name      string // in lower case
	arg       string // after the colon or the equals sign
	modifier  bool
}

// looksUp reports whether evaluating the term counts against the limit of ten
// (RFC 7208 §4.6.4).
func (t spfTerm) looksUp() bool {
	if t.modifier {
		return t.name == "redirect"
	}
	return slices.Contains([]string{"include", "a", "mx", "ptr", "exists"}, t.name)
}

// leads is the domain whose record the term has evaluated; empty: none, or one
// that depends on the message.
func (t spfTerm) leads() string {
	if (t.modifier && t.name == "redirect" || !t.modifier && t.name == "include") && !strings.Contains(t.arg, "%") {
		return t.arg
	}
	return ""
}

// isSPF reports whether a TXT record is an SPF record (RFC 7208 §4.5).
func isSPF(text string) bool {
	return len(text) >= 6 && strings.EqualFold(text[:6], "v=spf1") && (len(text) == 6 || text[6] == ' ')
}

// parseSPF reads a record. The error says which term receivers do not
// understand, for which they fail the whole record.
func parseSPF(text string) ([]spfTerm, error) {
	if !isSPF(text) {
		return nil, errors.New("it does not begin with v=spf1")
	}
	var terms []spfTerm
	seen := map[string]bool{}
	for word := range strings.SplitSeq(text[6:], " ") {
		if word == "" {
			continue
		}
		t, err := parseTerm(word)
		if err != nil {
			return terms, fmt.Errorf("%s: %w", quoted(word), err)
		}
		if t.modifier && (t.name == "redirect" || t.name == "exp") {
			if seen[t.name] {
				return terms, fmt.Errorf("%s= is there twice", t.name)
			}
			seen[t.name] = true
		}
		terms = append(terms, t)
	}
	return terms, nil
}

func parseTerm(word string) (spfTerm, error) {
	t := spfTerm{text: word, qualifier: '+'}
	if strings.ContainsFunc(word, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return t, errors.New("there is an octet in it that is no printable ASCII")
	}
	if i := strings.IndexAny(word, "=:/"); i > 0 && word[i] == '=' {
		t.modifier, t.name, t.arg = true, strings.ToLower(word[:i]), word[i+1:]
		return t, checkModifier(t)
	}
	if strings.ContainsRune("+-~?", rune(word[0])) {
		t.qualifier, word = word[0], word[1:]
	}
	end := strings.IndexAny(word, ":/")
	if end < 0 {
		end = len(word)
	}
	t.name, t.arg = strings.ToLower(word[:end]), word[end:]
	return t, checkMechanism(&t)
}

func checkModifier(t spfTerm) error {
	for i := range len(t.name) {
		c := t.name[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '_' && c != '.') {
			return errors.New("not a modifier")
		}
	}
	if (t.name == "redirect" || t.name == "exp") && !validSpec(t.arg) {
		return errors.New("no domain behind it")
	}
	return nil
}

// checkMechanism takes the colon off the argument, if it is as it may be.
func checkMechanism(t *spfTerm) error {
	arg, given := strings.CutPrefix(t.arg, ":")
	switch t.name {
	case "all":
		if t.arg != "" {
			return errors.New("nothing may follow all")
		}
	case "include", "exists":
		if !given || !validSpec(arg) {
			return errors.New("no domain behind it")
		}
	case "a", "mx":
		spec, lengths, _ := strings.Cut(arg, "/")
		if given && !validSpec(spec) || strings.Contains(arg, "/") && !validLengths(lengths) || !given && t.arg != "" && t.arg[0] != '/' {
			return errors.New("not a domain and prefix length")
		}
	case "ptr":
		if t.arg != "" && (!given || !validSpec(arg)) {
			return errors.New("no domain behind it")
		}
	case "ip4", "ip6":
		p, err := parseNetwork(arg)
		if !given || err != nil || p.Addr().Is4() != (t.name == "ip4") {
			return errors.New("not an " + strings.ToUpper(t.name) + " network")
		}
	default:
		return errors.New("receivers know no such mechanism")
	}
	t.arg = arg
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("not an address")
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// validLengths reads what follows the slash of a and mx: 24, 24//64 or /64.
func validLengths(s string) bool {
	four, six, both := strings.Cut(s, "/")
	if both && four == "" {
		return lengthUpTo(six, 128)
	}
	if both {
		return lengthUpTo(four, 32) && strings.HasPrefix(six, "/") && lengthUpTo(six[1:], 128)
	}
	return lengthUpTo(four, 32)
}

func lengthUpTo(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= most && s == strconv.Itoa(n)
}

// validSpec accepts what can become a domain once macros are filled in.
func validSpec(s string) bool {
	if s == "" || len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}

// endsInAll reports whether the record decides about everybody else.
func endsInAll(terms []spfTerm) bool {
	return slices.ContainsFunc(terms, func(t spfTerm) bool { return t.name == "all" && !t.modifier || t.name == "redirect" && t.modifier })
}

// mergeSPF returns the record with our addresses put in: before what decides
// about everybody else, everything that is there kept as it is. Without a record
// it returns a new one.
func mergeSPF(text string, addrs []netip.Addr) string {
	terms, _ := parseSPF(text)
	var ours []string
	for _, a := range addrs {
		if !covers(terms, a) {
			ours = append(ours, networkTerm(a))
		}
	}
	if !isSPF(text) {
		return strings.Join(append(append([]string{"v=spf1"}, ours...), "~all"), " ")
	}
	words := spaced(text)
	at := slices.IndexFunc(words, decides)
	if at < 0 {
		at = len(words)
		words = append(words, "~all")
	}
	return strings.Join(slices.Insert(words, at, ours...), " ")
}

// spaced are the words of a record, between which there are spaces alone.
func spaced(text string) []string {
	return slices.DeleteFunc(strings.Split(text, " "), func(s string) bool { return s == "" })
}

// decides reports whether a word says what is to become of everybody else.
func decides(word string) bool {
	word = strings.ToLower(word)
	return strings.TrimLeft(word, "+-~?") == "all" || strings.HasPrefix(word, "redirect=")
}

func networkTerm(a netip.Addr) string {
	if a.Is4() {
		return "ip4:" + a.String()
	}
	return "ip6:" + a.String()
}

// covers reports whether a record names the address itself.
func covers(terms []spfTerm, a netip.Addr) bool {
	for _, t := range terms {
		if t.modifier || t.qualifier != '+' {
			continue
		}
		if t.name == "all" {
			return false
		}
		if t.name == "ip4" || t.name == "ip6" {
			if p, err := parseNetwork(t.arg); err == nil && p.Masked().Contains(a) {
				return true
			}
		}
	}
	return false
}
