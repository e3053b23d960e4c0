package syntax

import "strings"

// Bounds of arguments.
const (
	maxIDPairs = 30 // RFC 2971 §3.3
	maxFlags   = 128
)

func (p *parser) login() any {
	user := p.astring("user name")
	p.sp()
	return Login{User: user, Password: p.astring("password")}
}

func (p *parser) authenticate() any {
	a := Authenticate{Mechanism: p.word("mechanism")}
	if p.more() {
		p.sp()
		initial := p.span(isBase64)
		if initial == "" {
			p.expected("base64")
		}
		a.Initial = &initial
	}
	return a
}

func isBase64(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || isDigit(c) || c == '+' || c == '/' || c == '='
}

func (p *parser) id() any {
	if p.peek() != '(' {
		if s := p.atom("list or NIL"); !strings.EqualFold(s, "NIL") {
			p.expected("list or NIL")
		}
		return ID(nil)
	}
	id := ID{}
	p.list(func() {
		name := strings.ToLower(p.astring("field"))
		p.sp()
		if id[name] = p.nstring("value"); len(id) > maxIDPairs {
			p.bad("too many fields")
		}
	})
	return id
}

func (p *parser) enable() any {
	e := Enable{p.word("capability")}
	for p.more() {
		p.sp()
		e = append(e, p.word("capability"))
	}
	return e
}

func (p *parser) selectMailbox() any {
	s := Select{Mailbox: p.mailbox()}
	if p.more() {
		p.sp()
		p.list(func() {
			if p.word("parameter") != "CONDSTORE" {
				p.bad("no such parameter")
			}
			s.CondStore = true
		})
	}
	return s
}

func (p *parser) status() any {
	s := Status{Mailbox: p.mailbox()}
	p.sp()
	s.Items = p.statusItems()
	return s
}

func (p *parser) statusItems() []StatusItem {
	var items []StatusItem
	seen := map[StatusItem]bool{}
	p.list(func() {
		item := StatusItem(p.word("item"))
		switch item {
		case StatusMessages, StatusRecent, StatusUIDNext, StatusUIDValidity, StatusUnseen,
			StatusSize, StatusHighestModSeq, StatusDeleted:
		default:
			p.bad("no such item")
		}
		if !seen[item] {
			seen[item] = true
			items = append(items, item)
		}
	})
	if len(items) == 0 {
		p.expected("item")
	}
	return items
}

func (p *parser) store() any {
	s := Store{Set: p.set(), Mode: StoreReplace}
	p.sp()
	if p.peek() == '(' {
		s.UnchangedSince = p.modifier("UNCHANGEDSINCE")
		p.sp()
	}
	switch c := StoreMode(p.peek()); c {
	case StoreAdd, StoreRemove:
		s.Mode = c
		p.take(byte(c))
	}
	switch p.word("FLAGS") {
	case "FLAGS":
	case "FLAGS.SILENT":
		s.Silent = true
	default:
		p.expected("FLAGS")
	}
	p.sp()
	s.Flags = p.flags()
	return s
}

// modifier reads "(NAME n)" (RFC 7162 §3.1). RFC 4466 §2.1: others are wrong.
func (p *parser) modifier(name string) *uint64 {
	var n *uint64
	p.list(func() {
		if p.word("modifier") != name || n != nil {
			p.bad("no such modifier")
			return
		}
		p.sp()
		n = new(p.modSeq())
	})
	if n == nil {
		p.expected("modifier")
	}
	return n
}

// modSeq reads a modification number: 63 bits (RFC 7162 §7).
func (p *parser) modSeq() uint64 { return p.number(1<<63 - 1) }

// flags reads them with or without parentheses.
func (p *parser) flags() []string {
	flags := []string{}
	if p.peek() == '(' {
		p.list(func() { flags = p.flag(flags) })
		return flags
	}
	flags = p.flag(flags)
	for p.more() {
		p.sp()
		flags = p.flag(flags)
	}
	return flags
}

func (p *parser) flag(to []string) []string {
	var system string
	if p.peek() == '\\' {
		p.take('\\')
		system = `\`
	}
	flag := system + p.atom("flag")
	if len(to) == maxFlags {
		p.bad("too many flags")
	}
	return append(to, flag)
}

func (p *parser) copy() any {
	c := Copy{Set: p.set()}
	p.sp()
	c.Mailbox = p.mailbox()
	return c
}
