package compose

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Lines and encoded words (RFC 5322 §2.1.1, RFC 2047 §2).
const (
	maxLine        = 78
	maxEncodedWord = 75
	wordOverhead   = len("=?utf-8?q?") + len("?=")
	minRoom        = 24 // octets of text: for fewer an encoded word begins a new line
)

// headerWriter writes header fields, folded.
type headerWriter struct {
	b     []byte
	col   int  // octets of the line under way
	first bool // no word follows the name yet
}

func (w *headerWriter) begin(name string) {
	w.b = append(append(w.b, name...), ':')
	w.col, w.first = len(name)+1, true
}

func (w *headerWriter) end() { w.b = append(w.b, '\r', '\n') }

// word adds a space and s, on a new line if the line under way is full. The
// first word stays beside the name: a first line without any is legal, and read
// by some as a value that begins with a space.
func (w *headerWriter) word(s string) {
	if !w.first && w.col+1+len(s) > maxLine {
		w.fold()
	} else {
		w.col++
	}
	w.first = false
	w.b = append(append(w.b, ' '), s...)
	w.col += len(s)
}

func (w *headerWriter) fold() {
	w.b = append(w.b, '\r', '\n')
	w.col, w.first = 1, false
}

// words adds ASCII text whose single spaces may be folded; others are kept.
func (w *headerWriter) words(s string) {
	start := 0
	for i := 1; i < len(s)-1; i++ {
		if s[i] == ' ' && s[i-1] != ' ' && s[i+1] != ' ' {
			w.word(s[start:i])
			start = i + 1
		}
	}
	w.word(s[start:])
}

// encoded adds text as encoded words.
func (w *headerWriter) encoded(s string) {
	useQ := 3*unsafeOctets(s) < len(s)
	for len(s) > 0 {
		if !w.first && maxLine-w.col-1 < minRoom+wordOverhead {
			w.fold()
			w.col = 0 // the space that word adds is the fold's
		}
		room := max(min(maxEncodedWord, maxLine-w.col-1)-wordOverhead, minRoom)
		n := 0
		if useQ {
			n = fitQ(s, room)
		} else {
			n = fitB(s, room)
		}
		word := encodeWord(s[:n], useQ)
		s = s[n:]
		w.b = append(append(w.b, ' '), word...)
		w.col += 1 + len(word)
		w.first = false
	}
}

// encodeWord writes one encoded word.
func encodeWord(s string, useQ bool) string {
	if !useQ {
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("=?utf-8?q?")
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b.WriteByte('_')
		case safeInWord(c):
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	b.WriteString("?=")
	return b.String()
}

// safeInWord are the letters that stand for themselves wherever an encoded word
// may be (RFC 2047 §5 rule 3: the strictest place is a phrase).
func safeInWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

func unsafeOctets(s string) (n int) {
	for i := range len(s) {
		if s[i] != ' ' && !safeInWord(s[i]) {
			n++
		}
	}
	return n
}

// fitQ returns how much of s one word of so many octets holds: whole letters
// only (RFC 2047 §5), and at least one.
func fitQ(s string, room int) int {
	used := 0
	for i, r := range s {
		cost := 1
		if n := utf8.RuneLen(r); n > 1 {
			cost = 3 * n
		} else if s[i] != ' ' && !safeInWord(s[i]) {
			cost = 3
		}
		if used+cost > room && i > 0 {
			return i
		}
		used += cost
	}
	return len(s)
}

func fitB(s string, room int) int {
	octets := room / 4 * 3
	if len(s) <= octets {
		return len(s)
	}
	n := octets
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return max(n, 1)
}

// needsEncoding reports whether unstructured text would not come back as it is
// if it were written plainly.
func needsEncoding(s string) bool {
	if s == "" {
		return false
	}
	return !ascii(s) || strings.Contains(s, "=?") || strings.IndexByte(s, '\t') >= 0 ||
		s[0] == ' ' || s[len(s)-1] == ' ' || longestWord(s) > maxWord || longestRun(s) > maxWord
}

// longestRun counts the octets that words would keep on one line because of
// spaces that are not single.
func longestRun(s string) (n int) {
	start := 0
	for i := 1; i < len(s)-1; i++ {
		if s[i] == ' ' && s[i-1] != ' ' && s[i+1] != ' ' {
			n, start = max(n, i-start), i+1
		}
	}
	return max(n, len(s)-start)
}
