package syntax

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AppendQuoted appends a quoted string. What may not be in one (RFC 3501 §9) is left
// out: CR, LF and NUL.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\r', '\n', 0:
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// AppendString appends a string: quoted where that is possible, else a literal. NUL
// is left out, as no string can hold it.
func AppendString(b []byte, s string) []byte {
	if isASCII(s) && !strings.ContainsAny(s, "\r\n") {
		return AppendQuoted(b, s)
	}
	return AppendLiteral(b, strings.ReplaceAll(s, "\x00", ""))
}

// AppendLiteral appends a literal of s, which holds no NUL.
func AppendLiteral(b []byte, s string) []byte {
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, "}\r\n"...)
	return append(b, s...)
}

// AppendAString appends an atom where that is possible, else a string.
func AppendAString(b []byte, s string) []byte {
	for i := range len(s) {
		if !isAString(s[i]) {
			return AppendString(b, s)
		}
	}
	// NIL would be read as nothing.
	if s == "" || strings.EqualFold(s, "NIL") {
		return AppendQuoted(b, s)
	}
	return append(b, s...)
}

// AppendMailbox appends the name of a mailbox: in modified UTF-7, or if the client
// enabled UTF8=ACCEPT, as it is.
func AppendMailbox(b []byte, name string, utf8Accepted bool) []byte {
	if !utf8Accepted || !utf8.ValidString(name) {
		return AppendQuoted(b, EncodeUTF7(name))
	}
	return AppendQuoted(b, name)
}

// AppendDate appends a time as INTERNALDATE has it, with its quotes.
func AppendDate(b []byte, t time.Time) []byte {
	return t.AppendFormat(b, `"_2-Jan-2006 15:04:05 -0700"`)
}
