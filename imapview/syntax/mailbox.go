package syntax

import (
	"strings"
	"unicode/utf8"
)

// Bounds of mailbox names.
const (
	maxMailbox  = 1000 // octets of a name or pattern
	maxPatterns = 50
)

func (p *parser) oneMailbox() Mailbox { return Mailbox{Name: p.mailbox()} }

// create passes over parameters, such as USE of RFC 6154.
func (p *parser) create() any {
	m := p.oneMailbox()
	if p.more() {
		p.sp()
		p.nested(0)
	}
	return m
}

func (p *parser) rename() any {
	m := p.oneMailbox()
	p.sp()
	p.mailbox()
	return m
}

func (p *parser) setACL() any {
	m := p.identifierACL()
	p.sp()
	p.astring("rights")
	return m
}

func (p *parser) identifierACL() any {
	m := p.oneMailbox()
	p.sp()
	p.astring("identifier")
	return m
}

// appendMessage reads the mailbox. The message itself, and whatever is said of it,
// is passed over, and never asked for: nobody may append.
func (p *parser) appendMessage() any {
	m := p.oneMailbox()
	p.appendTo = m.Name
	p.sp()
	if _, _, ok := announced(p.line); !ok {
		p.expected("literal")
	}
	p.line = nil
	return m
}

// nested passes over a list of whatever, and lists within.
func (p *parser) nested(depth int) {
	if depth == maxDepth {
		p.bad("lists are nested too deeply")
		return
	}
	p.list(func() {
		switch p.peek() {
		case '(':
			p.nested(depth + 1)
		case '\\':
			p.take('\\')
			p.atom("flag")
		default:
			p.astring("value")
		}
	})
}

// mailbox reads the name of one, decoded. A name that is not in right modified
// UTF-7 is taken as it is.
func (p *parser) mailbox() string {
	return p.mailboxName(p.astring("mailbox"))
}

func (p *parser) mailboxName(s string) string {
	if !p.utf8 {
		if decoded, err := DecodeUTF7(s); err == nil {
			s = decoded
		}
	}
	switch {
	case len(s) > maxMailbox:
		p.bad("a mailbox name is too long")
	case !utf8.ValidString(s):
		p.bad("a mailbox name is not UTF-8")
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
		p.bad("control character in a mailbox name")
	}
	if p.err != nil {
		return ""
	}
	if strings.EqualFold(s, "INBOX") {
		s = "INBOX"
	}
	return s
}
