package syntax

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errUTF7 says that a name is not in modified UTF-7.
var errUTF7 = errors.New("the name is not in modified UTF-7")

// base64UTF7 is the alphabet of RFC 3501 §5.1.3: with "," for "/", not padded.
func base64UTF7() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
		WithPadding(base64.NoPadding).Strict()
}

func isPrintable(c byte) bool { return c >= ' ' && c <= '~' }

// EncodeUTF7 returns a name in modified UTF-7 (RFC 3501 §5.1.3). What is not UTF-8
// in it becomes U+FFFD.
func EncodeUTF7(s string) string {
	n := 0
	for n < len(s) && isPrintable(s[n]) && s[n] != '&' {
		n++
	}
	if n == len(s) {
		return s
	}
	out := append(make([]byte, 0, 2*len(s)), s[:n]...)
	for s = s[n:]; s != ""; {
		if c := s[0]; c == '&' {
			out, s = append(out, "&-"...), s[1:]
			continue
		} else if isPrintable(c) {
			out, s = append(out, c), s[1:]
			continue
		}
		end := strings.IndexFunc(s, func(c rune) bool { return c < utf8.RuneSelf && isPrintable(byte(c)) })
		if end < 0 {
			end = len(s)
		}
		out = appendShifted(out, s[:end])
		s = s[end:]
	}
	return string(out)
}

func appendShifted(out []byte, s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	out = append(out, '&')
	out = base64UTF7().AppendEncode(out, b)
	return append(out, '-')
}

// DecodeUTF7 returns a name in UTF-8. It takes one form of each name only: the one
// that EncodeUTF7 returns.
func DecodeUTF7(s string) (string, error) {
	if strings.IndexByte(s, '&') < 0 && isASCII(s) {
		for i := range len(s) {
			if !isPrintable(s[i]) {
				return "", errUTF7
			}
		}
		return s, nil
	}
	var out []byte
	shifted := false // the octet before ended a shift
	for s != "" {
		c := s[0]
		s = s[1:]
		switch {
		case !isPrintable(c):
			return "", errUTF7
		case c != '&':
			out, shifted = append(out, c), false
			continue
		}
		text, rest, ok := strings.Cut(s, "-")
		s = rest
		switch {
		case !ok || text != "" && shifted:
			return "", errUTF7
		case text == "":
			out, shifted = append(out, '&'), false
			continue
		}
		var err error
		if out, err = appendUnshifted(out, text); err != nil {
			return "", err
		}
		shifted = true
	}
	return string(out), nil
}

func appendUnshifted(out []byte, s string) ([]byte, error) {
	// The decoder passes over line ends, which are not in here: they are not printable.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errUTF7
	}
	b, err := base64UTF7().DecodeString(s)
	if err != nil || len(b)%2 != 0 {
		return nil, errUTF7
	}
	for len(b) > 0 {
		u := rune(b[0])<<8 | rune(b[1])
		b = b[2:]
		if utf16.IsSurrogate(u) {
			if len(b) == 0 {
				return nil, errUTF7
			}
			if u = utf16.DecodeRune(u, rune(b[0])<<8|rune(b[1])); u == utf8.RuneError {
				return nil, errUTF7
			}
			b = b[2:]
		} else if u < utf8.RuneSelf && isPrintable(byte(u)) {
			return nil, errUTF7
		}
		out = utf8.AppendRune(out, u)
	}
	return out, nil
}
