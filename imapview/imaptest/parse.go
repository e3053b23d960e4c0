package imaptest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// parser reads one response by the grammar of RFC 3501 §9 and of the extensions.
// After the first mistake it reads nothing more.
type parser struct {
	b   []byte
	i   int
	err error
}

// Parse takes a response apart, its CRLF included.
func Parse(line []byte) (Response, error) {
	p := &parser{b: line}
	r := p.response()
	p.want("\r\n")
	if p.err == nil && p.i != len(line) {
		p.fail("there is more behind the end")
	}
	return r, p.err
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("at octet %d of %.200q: %s", p.i, p.b, fmt.Sprintf(format, args...))
	}
}

func (p *parser) peek() byte {
	if p.err != nil || p.i >= len(p.b) {
		return 0
	}
	return p.b[p.i]
}

func (p *parser) is(text string) bool {
	return p.err == nil && bytes.HasPrefix(p.b[p.i:], []byte(text))
}

// took reads a text if it comes next.
func (p *parser) took(text string) bool {
	if !p.is(text) {
		return false
	}
	p.i += len(text)
	return true
}

func (p *parser) want(text string) {
	if !p.took(text) {
		p.fail("%q is missing", text)
	}
}

// while reads as long as octets are of a kind.
func (p *parser) while(of func(byte) bool) string {
	from := p.i
	for p.err == nil && p.i < len(p.b) && of(p.b[p.i]) {
		p.i++
	}
	return string(p.b[from:p.i])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAtom(c byte) bool { return c > ' ' && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c)) }

func isText(c byte) bool { return c != 0 && c < 0x80 && c != '\r' && c != '\n' }

func (p *parser) atom() string {
	s := p.while(isAtom)
	if s == "" {
		p.fail("an atom is missing")
	}
	return s
}

func (p *parser) number(most uint64) uint64 {
	s := p.while(isDigit)
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil || n > most:
		p.fail("%q is no number up to %d", s, most)
	case len(s) > 1 && s[0] == '0':
		p.fail("%q begins with 0", s)
	}
	return n
}

func (p *parser) nz(most uint64) uint64 {
	n := p.number(most)
	if n == 0 {
		p.fail("the number is zero")
	}
	return n
}

func (p *parser) nz32() uint32 { return uint32(p.nz(math.MaxUint32)) }

// modSeq is a number of 63 bits (RFC 7162 §7).
func (p *parser) modSeq() uint64 { return p.nz(math.MaxInt64) }

// str reads a quoted string or a literal.
func (p *parser) str() []byte {
	if p.took("{") {
		n := p.number(maxLiteral)
		p.want("}\r\n")
		if p.err != nil || uint64(len(p.b)-p.i) < n {
			p.fail("a literal is too short")
			return nil
		}
		s := p.b[p.i : p.i+int(n)]
		p.i += int(n)
		if bytes.IndexByte(s, 0) >= 0 {
			p.fail("a literal has a NUL")
		}
		return s
	}
	p.want(`"`)
	var s []byte
	for p.err == nil {
		switch c := p.peek(); {
		case c == '"':
			p.i++
			return s
		case c == '\\':
			if p.i++; p.peek() != '"' && p.peek() != '\\' {
				p.fail("a quoted string escapes something else")
			}
			s = append(s, p.peek())
		case !isText(c):
			p.fail("a quoted string has the octet %#x", c)
		default:
			s = append(s, c)
		}
		p.i++
	}
	return s
}

func (p *parser) nstring() []byte {
	if p.took("NIL") {
		return nil
	}
	return p.str()
}

func (p *parser) mailbox() string {
	if c := p.peek(); c == '"' || c == '{' {
		return string(p.str())
	}
	return p.while(func(c byte) bool { return isAtom(c) || c == ']' })
}

// flags reads a list of flags; wild allows "\*".
func (p *parser) flags(wild bool) []string {
	flags := []string{}
	p.want("(")
	for p.err == nil && !p.took(")") {
		if len(flags) > 0 {
			p.want(" ")
		}
		if wild && p.took(`\*`) {
			continue
		}
		flag := ""
		if p.took(`\`) {
			flag = `\`
		}
		flag += p.atom()
		if slices.Contains(flags, flag) {
			p.fail("the flag %s comes twice", flag)
		}
		flags = append(flags, flag)
	}
	return flags
}

func (p *parser) response() (r Response) {
	switch {
	case p.took("+ "):
		r.Tag = "+"
		r.Text = p.while(isText)
	case p.took("* "):
		r.Tag = "*"
		p.untagged(&r)
	default:
		r.Tag = p.while(func(c byte) bool { return isAtom(c) && c != '+' || c == ']' })
		p.want(" ")
		if r.Kind = p.atom(); r.Kind != "OK" && r.Kind != "NO" && r.Kind != "BAD" {
			p.fail("%s ends no command", r.Kind)
		}
		p.status(&r)
	}
	return r
}

func (p *parser) untagged(r *Response) {
	if isDigit(p.peek()) {
		n := p.number(math.MaxUint32)
		p.want(" ")
		r.Number, r.Kind = uint32(n), p.atom()
		switch r.Kind {
		case "EXISTS", "RECENT":
		case "EXPUNGE", "FETCH":
			if n == 0 {
				p.fail("there is no message 0")
			}
			if r.Kind == "FETCH" {
				p.want(" ")
				r.Fetch = p.fetch()
			}
		default:
			p.fail("%s is not known", r.Kind)
		}
		return
	}
	switch r.Kind = p.atom(); r.Kind {
	case "OK", "NO", "BAD", "BYE":
		p.status(r)
	case "FLAGS":
		p.want(" ")
		r.Flags = p.flags(false)
	case "SEARCH":
		r.Search = p.search()
	case "ESEARCH":
		r.Search = p.eSearch()
	case "STATUS":
		r.Status = p.statusItems()
	case "LIST", "LSUB", "XLIST":
		p.list(r)
	case "CAPABILITY", "ENABLED", "NAMESPACE", "ID", "ACL", "MYRIGHTS", "LISTRIGHTS":
		r.Text = p.while(isText)
	default:
		p.fail("%s is not known", r.Kind)
	}
}

// status reads resp-text.
func (p *parser) status(r *Response) {
	p.want(" ")
	if p.took("[") {
		r.Code = p.atom()
		if p.took(" ") {
			p.codeArgs(r)
		}
		p.want("] ")
	}
	if r.Text = p.while(isText); r.Text == "" {
		p.fail("the text is missing")
	}
}

func (p *parser) codeArgs(r *Response) {
	from := p.i
	switch r.Code {
	case "UIDVALIDITY", "UIDNEXT", "UNSEEN":
		p.nz32()
	case "HIGHESTMODSEQ":
		p.modSeq()
	case "PERMANENTFLAGS":
		r.Flags = p.flags(true)
	case "MODIFIED":
		p.set()
	default:
		p.while(func(c byte) bool { return isText(c) && c != ']' })
	}
	r.Args = string(p.b[from:p.i])
}

// set reads a set of numbers, as far as it is not absurdly large.
func (p *parser) set() (numbers []uint32) {
	for p.err == nil {
		a := p.nz32()
		z := a
		if p.took(":") {
			z = p.nz32()
		}
		if a > z {
			a, z = z, a
		}
		if uint64(len(numbers))+uint64(z-a) > 1<<21 {
			p.fail("the set is absurdly large")
		}
		for n := a; p.err == nil; n++ {
			if numbers = append(numbers, n); n == z {
				break
			}
		}
		if !p.took(",") {
			break
		}
	}
	return numbers
}

func (p *parser) search() Search {
	s := Search{Count: -1}
	for p.took(" ") {
		if p.took("(MODSEQ ") {
			s.ModSeq = p.modSeq()
			p.want(")")
			break
		}
		s.Numbers = append(s.Numbers, p.nz32())
	}
	return s
}

func (p *parser) eSearch() Search {
	s := Search{Count: -1}
	if p.took(" (TAG ") {
		s.Tag = string(p.str())
		p.want(")")
	}
	s.UID = p.took(" UID")
	for p.took(" ") {
		name := p.atom()
		p.want(" ")
		switch name {
		case "MIN":
			s.Min = p.nz32()
		case "MAX":
			s.Max = p.nz32()
		case "COUNT":
			s.Count = int(p.number(math.MaxUint32))
		case "ALL":
			s.Numbers = p.set()
		case "MODSEQ":
			s.ModSeq = p.modSeq()
		default:
			p.fail("ESEARCH says %s", name)
		}
	}
	return s
}

func (p *parser) statusItems() Status {
	p.want(" ")
	s := Status{Folder: p.mailbox(), Items: map[string]uint64{}}
	p.want(" (")
	for p.err == nil && !p.took(")") {
		if len(s.Items) > 0 {
			p.want(" ")
		}
		name := p.atom()
		p.want(" ")
		s.Items[name] = p.number(math.MaxInt64)
	}
	return s
}

func (p *parser) list(r *Response) {
	p.want(" ")
	r.Flags = p.flags(false)
	p.want(" ")
	if string(p.str()) != "/" {
		p.fail("the separator is another")
	}
	p.want(" ")
	r.Text = p.mailbox()
	if p.took(" ") {
		p.while(isText)
	}
}
