package compat

import (
	"mime"
	"strings"
	"unicode/utf8"

	"postrider/api/compose"
	"postrider/queue"
)

// addressForm says what is asked for; what was given is not repeated.
const addressForm = "must be an address such as user@example.com or Name <user@example.com>"

// ParseMailbox reads one address with or without a name.
func ParseMailbox(field, s string) (compose.Mailbox, error) {
	list, err := ParseMailboxes(field, s)
	if err != nil {
		return compose.Mailbox{}, err
	}
	if len(list) != 1 {
		return compose.Mailbox{}, Refuse(field, "invalid_address", addressForm)
	}
	return list[0], nil
}

// ParseMailboxes reads addresses that are separated by commas. Names may be
// quoted (then they may hold commas), plain, or encoded words. It is more
// lenient than RFC 5322 about names and less about the rest: there are no groups,
// comments or routes.
func ParseMailboxes(field, s string) ([]compose.Mailbox, error) {
	var list []compose.Mailbox
	for _, part := range splitList(s) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		m, ok := parseMailbox(part)
		if !ok {
			return nil, Refuse(field, "invalid_address", addressForm)
		}
		list = append(list, m)
	}
	return list, nil
}

// splitList cuts at the commas outside of quotes and angle brackets.
func splitList(s string) []string {
	var parts []string
	start, quoted, bracket := 0, false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			bracket = true
		case c == '>':
			bracket = false
		case c == ',' && !bracket:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

func parseMailbox(s string) (compose.Mailbox, bool) {
	name, address := "", s
	if rest, ok := strings.CutSuffix(s, ">"); ok {
		open := openingBracket(rest)
		if open < 0 {
			return compose.Mailbox{}, false
		}
		name, address = strings.TrimSpace(rest[:open]), strings.TrimSpace(rest[open+1:])
	}
	a, err := queue.ParseAddress(address)
	if err != nil {
		return compose.Mailbox{}, false
	}
	name, ok := parseName(name)
	return compose.Mailbox{Name: name, Address: a}, ok
}

// openingBracket finds the bracket outside of quotes; there must be one.
func openingBracket(s string) int {
	found, quoted := -1, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted || c != '<':
		case found >= 0:
			return -1
		default:
			found = i
		}
	}
	return found
}

func parseName(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return unquote(s[1 : len(s)-1])
	}
	if strings.ContainsAny(s, `"<>`) {
		return "", false
	}
	return decodeWords(s), true
}

// unquote takes the escapes out of the inside of a quoted string.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return "", false // two strings, or one that ends early
		case s[i] == '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return decodeWords(b.String()), true
}

// decodeWords reads encoded words (RFC 2047), which some libraries send although
// JSON needs none. What cannot be decoded is meant as it is.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil || !utf8.ValidString(decoded) {
		return s
	}
	return decoded
}
