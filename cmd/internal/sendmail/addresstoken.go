package sendmail

import "strings"

type tokenKind byte

const (
	tokenSpecial tokenKind = iota // one of < > @ , ; :
	tokenAtom                     // a run of other characters, dots included
	tokenQuoted                   // a quoted string, without quotes and escapes
	tokenLiteral                  // a domain literal, with its brackets
	tokenEncoded                  // an RFC 2047 encoded word
)

type token struct {
	kind       tokenKind
	text       string
	start, end int
}

func (t token) is(special string) bool { return t.kind == tokenSpecial && t.text == special }

// listScanner cuts an address list into tokens and leaves out blanks, line
// ends and comments. A quote, parenthesis or bracket that is never closed
// stands for nothing; after the first such one no further is looked for, which
// keeps the work linear.
type listScanner struct {
	text                           string
	pos                            int
	openQuote, openParen, openBrkt bool
}

const (
	listBlanks   = " \t\r\n"
	listSpecials = "<>@,;:"
	atomEnds     = listBlanks + listSpecials + `"([`
)

func (s *listScanner) next() (token, bool) {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case strings.IndexByte(listBlanks, c) >= 0:
			s.pos++
		case strings.IndexByte(listSpecials, c) >= 0:
			return s.take(tokenSpecial, s.pos+1), true
		case c == '(':
			s.skipComment()
		case c == '"':
			if t, ok := s.quoted(); ok {
				return t, true
			}
		case c == '[':
			if t, ok := s.literal(); ok {
				return t, true
			}
		default:
			if end := s.encodedWordEnd(); end > 0 {
				return s.take(tokenEncoded, end), true
			}
			return s.take(tokenAtom, s.atomEnd()), true
		}
	}
	return token{}, false
}

func (s *listScanner) take(kind tokenKind, end int) token {
	t := token{kind: kind, text: s.text[s.pos:end], start: s.pos, end: end}
	s.pos = end
	return t
}

func (s *listScanner) atomEnd() int {
	if i := strings.IndexAny(s.text[s.pos:], atomEnds); i >= 0 {
		return s.pos + i
	}
	return len(s.text)
}

// encodedWordEnd finds the end of =?charset?encoding?text?= at the current
// position, or 0. Such words are taken whole, since some programs leave commas
// and other specials in them.
func (s *listScanner) encodedWordEnd() int {
	rest := s.text[s.pos:]
	if !strings.HasPrefix(rest, "=?") {
		return 0
	}
	// RFC 2047 §2: at most 75 characters; be generous, but bounded.
	rest = rest[:min(len(rest), 1000)]
	if i := strings.IndexAny(rest, listBlanks); i >= 0 {
		rest = rest[:i]
	}
	begin := 2
	for range 2 {
		i := strings.IndexByte(rest[begin:], '?')
		if i <= 0 {
			return 0
		}
		begin += i + 1
	}
	if i := strings.Index(rest[begin:], "?="); i >= 0 {
		return s.pos + begin + i + 2
	}
	return 0
}

func (s *listScanner) skipComment() {
	depth := 0
	for i := s.pos; i < len(s.text) && !s.openParen; i++ {
		switch s.text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.pos = i + 1
				return
			}
		}
	}
	s.openParen = true
	s.pos++
}

func (s *listScanner) quoted() (token, bool) {
	var text strings.Builder
	for i := s.pos + 1; i < len(s.text) && !s.openQuote; i++ {
		switch c := s.text[i]; c {
		case '\\':
			if i++; i < len(s.text) {
				text.WriteByte(s.text[i])
			}
		case '"':
			t := s.take(tokenQuoted, i+1)
			t.text = text.String()
			return t, true
		case '\r', '\n': // folding
		default:
			text.WriteByte(c)
		}
	}
	s.openQuote = true
	s.pos++
	return token{}, false
}

func (s *listScanner) literal() (token, bool) {
	if !s.openBrkt {
		if i := strings.IndexByte(s.text[s.pos:], ']'); i >= 0 {
			return s.take(tokenLiteral, s.pos+i+1), true
		}
	}
	s.openBrkt = true
	s.pos++
	return token{}, false
}
