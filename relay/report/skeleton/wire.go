package skeleton

import (
	"strconv"
	"unicode/utf8"
)

// appendString writes an IMAP string: quoted if that can carry it, else a literal
// (RFC 3501 §4.3), which also clients that know no UTF-8 in strings understand.
func appendString(b, v []byte) []byte {
	v = clip(v, maxString)
	escapes := 0
	for _, c := range v {
		switch {
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			return appendLiteral(b, v)
		case c == '"' || c == '\\':
			escapes++
		}
	}
	b = append(b, '"')
	if escapes == 0 {
		b = append(b, v...)
		return append(b, '"')
	}
	for _, c := range v {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// appendLiteral leaves out NULs: RFC 3501 §9 lets no literal have one.
func appendLiteral(b, v []byte) []byte {
	n := len(v)
	for _, c := range v {
		if c == 0 {
			n--
		}
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '}', '\r', '\n')
	for _, c := range v {
		if c != 0 {
			b = append(b, c)
		}
	}
	return b
}

// appendToken writes the string of something that is compared without regard to
// case, in lower case: some clients compare with it (Outlook for iOS does with
// encodings).
func appendToken(b, v []byte) []byte {
	v = clip(v, maxToken)
	from := len(b)
	b = appendString(b, v)
	for i := from; i < len(b); i++ {
		b[i] = lowerASCII(b[i])
	}
	return b
}

// clip cuts v to at most limit octets, but not within a character.
func clip(v []byte, limit int) []byte {
	if len(v) <= limit {
		return v
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
		cut--
	}
	if !utf8.RuneStart(v[cut]) {
		cut = limit
	}
	return v[:cut]
}
