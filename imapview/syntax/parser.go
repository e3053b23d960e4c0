package syntax

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// parser reads one command. After the first fault, err is set, nothing is left of
// the line, and all that is read further is empty; so that its methods need not ask.
type parser struct {
	r     *Reader
	utf8  bool
	whole []byte // the line that is being read
	line  []byte // what is left of it
	err   error  // *Error for a command that is wrong

	tag, name string
	appendTo  string // the mailbox of APPEND
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.line = nil
}

func (p *parser) bad(text string) { p.refuse("", text) }

func (p *parser) refuse(code, text string) {
	p.fail(&Error{Tag: p.tag, Name: p.name, Mailbox: p.appendTo, Code: code, Text: text})
}

func (p *parser) expected(what string) { p.bad(what + " expected") }

// peek is the next octet, 0 at the end.
func (p *parser) peek() byte {
	if len(p.line) == 0 {
		return 0
	}
	return p.line[0]
}

func (p *parser) take(c byte) {
	if p.peek() != c || len(p.line) == 0 {
		p.expected("\"" + string(rune(c)) + "\"")
		return
	}
	p.line = p.line[1:]
}

// more tells whether anything but blanks is left.
func (p *parser) more() bool {
	return len(bytes.TrimLeft(p.line, " ")) > 0
}

// end passes over blanks at the end, which there should be none of.
func (p *parser) end() {
	if p.more() {
		p.bad("unexpected text behind the arguments")
	}
}

// sp reads the blank between two arguments. Several are taken for one.
func (p *parser) sp() {
	rest := bytes.TrimLeft(p.line, " ")
	switch {
	case len(rest) == 0:
		p.bad("an argument is missing")
	case len(rest) == len(p.line):
		p.expected("blank")
	default:
		p.line = rest
	}
}

// span reads octets as long as is says so.
func (p *parser) span(is func(byte) bool) string {
	n := 0
	for n < len(p.line) && is(p.line[n]) {
		n++
	}
	s := string(p.line[:n])
	p.line = p.line[n:]
	return s
}

// list reads "(", what one reads, with blanks between, and ")".
func (p *parser) list(one func()) {
	p.take('(')
	p.line = bytes.TrimLeft(p.line, " ")
	for p.err == nil && p.peek() != ')' {
		one()
		if p.peek() != ')' {
			p.sp()
		}
	}
	p.take(')')
}

// isAtom: ATOM-CHAR of RFC 3501 §9.
func isAtom(c byte) bool {
	switch c {
	case '(', ')', '{', '%', '*', '"', '\\', ']':
		return false
	}
	return c > ' ' && c < 0x7f
}

func isAString(c byte) bool { return isAtom(c) || c == ']' }

func isListChar(c byte) bool { return isAString(c) || c == '%' || c == '*' }

func isTag(c byte) bool { return isAString(c) && c != '+' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isLabel is for words that a bracket may end, such as BODY.PEEK.
func isLabel(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '.' || c == '-'
}

// atom reads an atom, as sent.
func (p *parser) atom(what string) string {
	s := p.span(isAtom)
	if s == "" {
		p.expected(what)
	}
	return s
}

// word reads an atom in upper case.
func (p *parser) word(what string) string { return strings.ToUpper(p.atom(what)) }

// label reads a word that a bracket may end, in upper case.
func (p *parser) label(what string) string {
	s := p.span(isLabel)
	if s == "" {
		p.expected(what)
	}
	return strings.ToUpper(s)
}

// number reads a number of at most max.
func (p *parser) number(max uint64) uint64 {
	s := p.span(isDigit)
	if s == "" {
		p.expected("number")
		return 0
	}
	var n uint64
	for i := range len(s) {
		d := uint64(s[i] - '0')
		if n > (max-d)/10 {
			p.bad("a number is too large")
			return 0
		}
		n = n*10 + d
	}
	return n
}

func (p *parser) number32() uint32 { return uint32(p.number(math.MaxUint32)) }

// positive32 is nz-number.
func (p *parser) positive32() uint32 {
	n := p.number32()
	if n == 0 {
		p.bad("zero is no number here")
	}
	return n
}

// astring reads an atom, a quoted string or a literal.
func (p *parser) astring(what string) string {
	return p.stringOr(isAString, what)
}

func (p *parser) stringOr(is func(byte) bool, what string) string {
	switch p.peek() {
	case '"':
		return p.quoted()
	case '{':
		return p.literal()
	}
	s := p.span(is)
	if s == "" {
		p.expected(what)
	}
	return s
}

// nstring reads a string, or NIL as the empty one.
func (p *parser) nstring(what string) string {
	quoted := p.peek() == '"' || p.peek() == '{'
	s := p.astring(what)
	if !quoted && strings.EqualFold(s, "NIL") {
		return ""
	}
	return s
}

func (p *parser) quoted() string {
	p.take('"')
	b := make([]byte, 0, bytes.IndexByte(p.line, '"')+1)
	for i := 0; i < len(p.line); i++ {
		c := p.line[i]
		switch {
		case c == '"':
			p.line = p.line[i+1:]
			return p.text(b)
		case c == '\\':
			if i++; i == len(p.line) || p.line[i] != '"' && p.line[i] != '\\' {
				p.bad("wrong escape in a quoted string")
				return ""
			}
			b = append(b, p.line[i])
		case c < ' ' && c != '\t' || c == 0x7f:
			p.bad("control character in a quoted string")
			return ""
		default:
			b = append(b, c)
		}
	}
	p.bad("a quoted string has no end")
	return ""
}

// text is a quoted string. RFC 6855 §3: what is not ASCII in it is UTF-8.
func (p *parser) text(b []byte) string {
	if !utf8.Valid(b) {
		p.bad("a quoted string is not UTF-8")
		return ""
	}
	return string(b)
}

// literal reads "{n}" at the end of the line, the n octets after it, and the line
// that the command goes on with.
func (p *parser) literal() string {
	n, waits, ok := announced(p.line)
	if !ok || bytes.LastIndexByte(p.line, '{') != 0 {
		p.bad("wrong announcement of a literal")
		return ""
	}
	if n > p.r.o.MaxLiteral || n > int64(p.r.left) {
		p.refuse("TOOBIG", "the literal is too large")
		return ""
	}
	b, err := p.r.literal(n, waits)
	if err != nil {
		p.fail(err)
		return ""
	}
	line, err := p.r.line()
	if err != nil {
		p.fail(err)
		return ""
	}
	p.whole, p.line = line, line
	// RFC 3501 §9: CHAR8 is any octet but NUL.
	if bytes.IndexByte(b, 0) >= 0 {
		p.bad("NUL in a literal")
		return ""
	}
	return string(b)
}
