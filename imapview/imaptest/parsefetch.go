package imaptest

import (
	"math"
	"regexp"
	"strings"
)

var dateTime = regexp.MustCompile(`^[ \d]\d-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{4} \d\d:\d\d:\d\d [+-]\d{4}$`)

// fetch reads msg-att.
func (p *parser) fetch() Fetch {
	f := Fetch{Items: map[string][]byte{}}
	p.want("(")
	for first := true; p.err == nil; first = false {
		if !first {
			if p.took(")") {
				break
			}
			p.want(" ")
		}
		name := p.while(func(c byte) bool { return isAtom(c) && c != '[' })
		if p.is("[") {
			name += p.section()
		}
		p.want(" ")
		from := p.i
		if keep := p.item(name, &f); keep {
			if _, twice := f.Items[name]; twice {
				p.fail("%s comes twice", name)
			}
			f.Items[name] = p.b[from:p.i]
		}
	}
	return f
}

func (p *parser) item(name string, f *Fetch) (keep bool) {
	switch name {
	case "UID":
		f.UID = p.nz32()
		return false
	case "FLAGS":
		if f.HasFlags {
			p.fail("FLAGS come twice")
		}
		f.Flags, f.HasFlags = p.flags(false), true
		return false
	case "MODSEQ":
		p.want("(")
		f.ModSeq = p.modSeq()
		p.want(")")
		return false
	case "INTERNALDATE":
		if s := string(p.str()); !dateTime.MatchString(s) {
			p.fail("%q is no date", s)
		}
	case "RFC822.SIZE":
		p.number(math.MaxInt64)
	case "ENVELOPE":
		p.envelope()
	case "BODY":
		p.body(false, 0)
	case "BODYSTRUCTURE":
		p.body(true, 0)
	case "RFC822", "RFC822.HEADER", "RFC822.TEXT":
		p.nstring()
	default:
		if !strings.HasPrefix(name, "BODY[") {
			p.fail("FETCH says %q", name)
		}
		p.nstring()
	}
	return true
}

var sectionName = regexp.MustCompile(`^\[(([1-9]\d*(\.[1-9]\d*)*)?(\.?(HEADER|TEXT|MIME|HEADER\.FIELDS(\.NOT)? \([^)\r\n]+\)))?)?\](<\d+>)?$`)

// section reads what a BODY is of.
func (p *parser) section() string {
	s := p.while(func(c byte) bool { return c != ']' && isText(c) })
	p.want("]")
	s += "]"
	if p.is("<") {
		s += p.while(func(c byte) bool { return c != '>' && isText(c) }) + ">"
		p.want(">")
	}
	if !sectionName.MatchString(s) {
		p.fail("%q is no section", s)
	}
	return s
}

// envelope reads RFC 3501 §7.4.2.
func (p *parser) envelope() {
	p.want("(")
	p.nstring() // date
	p.want(" ")
	p.nstring() // subject
	for range 6 {
		p.want(" ")
		p.addresses()
	}
	p.want(" ")
	p.nstring() // in-reply-to
	p.want(" ")
	p.nstring() // message-id
	p.want(")")
}

func (p *parser) addresses() {
	if p.took("NIL") {
		return
	}
	p.want("(")
	for first := true; p.err == nil && (first || !p.took(")")); first = false {
		p.want("(")
		for i := range 4 {
			if i > 0 {
				p.want(" ")
			}
			p.nstring()
		}
		p.want(")")
	}
}

// body reads a BODYSTRUCTURE, or a BODY, which has no extension data.
func (p *parser) body(extended bool, depth int) {
	if depth > 100 {
		p.fail("the structure is too deep")
	}
	p.want("(")
	if p.is("(") {
		for p.err == nil && p.is("(") {
			p.body(extended, depth+1)
		}
		p.want(" ")
		p.str() // subtype
		if extended && p.took(" ") {
			p.params()
			p.disposition()
		}
	} else {
		p.part(extended, depth)
	}
	p.want(")")
}

// part reads a body of one part.
func (p *parser) part(extended bool, depth int) {
	kind := strings.ToLower(string(p.str()))
	p.want(" ")
	kind += "/" + strings.ToLower(string(p.str()))
	p.want(" ")
	p.params()
	p.want(" ")
	p.nstring() // id
	p.want(" ")
	p.nstring() // description
	p.want(" ")
	p.str() // encoding
	p.want(" ")
	p.number(math.MaxUint32)
	switch {
	case strings.HasPrefix(kind, "text/"):
		p.want(" ")
		p.number(math.MaxUint32)
	case kind == "message/rfc822" || kind == "message/global" && p.is(" ("):
		p.want(" ")
		p.envelope()
		p.want(" ")
		p.body(extended, depth+1)
		p.want(" ")
		p.number(math.MaxUint32)
	}
	if extended && p.took(" ") {
		p.nstring() // MD5
		p.disposition()
	}
}

func (p *parser) params() {
	if p.took("NIL") {
		return
	}
	p.want("(")
	for first := true; p.err == nil && (first || !p.took(")")); first = false {
		if !first {
			p.want(" ")
		}
		p.str()
		p.want(" ")
		p.str()
	}
}

// disposition reads the rest of the extension data, as far as it is there.
func (p *parser) disposition() {
	if !p.took(" ") {
		return
	}
	if !p.took("NIL") {
		p.want("(")
		p.str()
		p.want(" ")
		p.params()
		p.want(")")
	}
	if !p.took(" ") {
		return
	}
	if !p.took("(") {
		p.nstring() // language
	} else {
		for first := true; p.err == nil && (first || !p.took(")")); first = false {
			if !first {
				p.want(" ")
			}
			p.str()
		}
	}
	if p.took(" ") {
		p.nstring() // location
	}
}
