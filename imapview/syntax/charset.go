package syntax

import (
	"strings"
	"unicode/utf8"
)

// Charsets are the character sets that a search may be in, as the response code
// BADCHARSET lists them.
const Charsets = "US-ASCII UTF-8 ISO-8859-1"

// KnownCharset tells whether the texts of a Search were decoded. If not, they mean
// nothing, and the answer is NO [BADCHARSET].
func KnownCharset(name string) bool {
	switch strings.ToUpper(name) {
	case "", "US-ASCII", "ASCII", "UTF-8", "UTF8", "ISO-8859-1":
		return true
	}
	return false
}

// decodeCharset returns s in UTF-8. Without a name it should be ASCII, but clients
// that send more mean UTF-8.
func decodeCharset(name, s string) string {
	if name != "ISO-8859-1" || isASCII(s) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
