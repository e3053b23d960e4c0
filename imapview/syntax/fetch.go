package syntax

import (
	"slices"
	"strconv"
	"strings"
)

// Bounds of FETCH.
const (
	maxItems    = 64
	maxSections = 16
	maxFields   = 256 // names of one section
	maxPath     = 64  // numbers of a section's path
)

func (p *parser) fetch() any {
	f := Fetch{Set: p.set()}
	p.sp()
	if p.peek() == '(' {
		p.list(func() { p.fetchItem(&f) })
		if len(f.Items) == 0 {
			p.expected("item")
		}
	} else {
		p.fetchItem(&f)
	}
	if p.more() {
		p.sp()
		f.ChangedSince = p.modifier("CHANGEDSINCE")
	}
	return f
}

func (p *parser) fetchItem(f *Fetch) {
	name := p.label("item")
	switch name {
	case "ALL":
		p.addItems(f, FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope)
	case "FAST":
		p.addItems(f, FetchFlags, FetchInternalDate, FetchSize)
	case "FULL":
		p.addItems(f, FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody)
	case "UID":
		p.addItems(f, FetchUID)
	case "FLAGS":
		p.addItems(f, FetchFlags)
	case "INTERNALDATE":
		p.addItems(f, FetchInternalDate)
	case "RFC822.SIZE":
		p.addItems(f, FetchSize)
	case "ENVELOPE":
		p.addItems(f, FetchEnvelope)
	case "BODYSTRUCTURE":
		p.addItems(f, FetchBodyStructure)
	case "MODSEQ":
		p.addItems(f, FetchModSeq)
	case "RFC822":
		p.addSection(f, Section{Name: name})
	case "RFC822.HEADER":
		p.addSection(f, Section{Name: name, What: SectionHeader, Peek: true})
	case "RFC822.TEXT":
		p.addSection(f, Section{Name: name, What: SectionText})
	case "BODY":
		if p.peek() == '[' {
			p.addSection(f, p.section(false))
		} else {
			p.addItems(f, FetchBody)
		}
	case "BODY.PEEK":
		p.addSection(f, p.section(true))
	default:
		p.bad("no such item")
	}
}

func (p *parser) addItems(f *Fetch, kinds ...FetchKind) {
	for _, k := range kinds {
		p.addItem(f, FetchItem{Kind: k})
	}
}

func (p *parser) addSection(f *Fetch, s Section) {
	p.addItem(f, FetchItem{Kind: FetchSection, Section: s})
}

// addItem adds what was not asked for yet.
func (p *parser) addItem(f *Fetch, item FetchItem) {
	if p.err != nil || slices.ContainsFunc(f.Items, item.same) {
		return
	}
	sections := 0
	for _, i := range f.Items {
		if i.Kind == FetchSection {
			sections++
		}
	}
	if len(f.Items) == maxItems || item.Kind == FetchSection && sections == maxSections {
		p.bad("too many items")
		return
	}
	f.Items = append(f.Items, item)
}

// same tells whether two items have the same answer and the same effect.
func (i FetchItem) same(o FetchItem) bool {
	a, b := i.Section, o.Section
	return i.Kind == o.Kind && a.Name == b.Name && a.Peek == b.Peek &&
		a.Partial == b.Partial && a.Offset == b.Offset && a.Count == b.Count
}

// section reads "[…]" and "<…>" (RFC 3501 §6.4.5).
func (p *parser) section(peek bool) Section {
	s := Section{Peek: peek}
	p.take('[')
	var dotted bool
	s.Path, dotted = p.path()
	if s.Path == "" && p.peek() != ']' || dotted {
		p.sectionText(&s)
	}
	p.take(']')
	s.Name = sectionName(s)
	if p.peek() == '<' {
		p.take('<')
		s.Partial = true
		s.Offset = p.number32()
		p.take('.')
		s.Count = p.positive32()
		p.take('>')
	}
	return s
}

// path reads "1.2", and tells whether a dot follows that belongs to what comes next.
func (p *parser) path() (path string, dotted bool) {
	var b []byte
	for n := 0; isDigit(p.peek()); n++ {
		if n == maxPath {
			p.bad("a section is nested too deeply")
			return "", false
		}
		if n > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(p.positive32()), 10)
		if dotted = p.peek() == '.'; dotted {
			p.take('.')
		}
		if !dotted {
			break
		}
	}
	return string(b), dotted
}

func (p *parser) sectionText(s *Section) {
	switch p.label("section") {
	case "HEADER":
		s.What = SectionHeader
	case "HEADER.FIELDS":
		s.What = SectionHeaderFields
		s.Fields = p.fieldNames()
	case "HEADER.FIELDS.NOT":
		s.What = SectionHeaderFieldsNot
		s.Fields = p.fieldNames()
	case "TEXT":
		s.What = SectionText
	case "MIME":
		s.What = SectionMIME
		if s.Path == "" {
			p.bad("MIME is of a part")
		}
	default:
		p.bad("no such section")
	}
}

func (p *parser) fieldNames() []string {
	var names []string
	p.sp()
	p.list(func() {
		name := p.astring("field name")
		switch {
		case !isFieldName(name):
			p.expected("field name")
		case len(names) == maxFields:
			p.bad("too many field names")
		}
		names = append(names, name)
	})
	if len(names) == 0 {
		p.expected("field name")
	}
	return names
}

// isFieldName: RFC 5322 §2.2.
func isFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == ':' })
}

// sectionName is what the answer begins with.
func sectionName(s Section) string {
	b := append([]byte("BODY["), s.Path...)
	what := [...]string{SectionHeader: "HEADER", SectionHeaderFields: "HEADER.FIELDS",
		SectionHeaderFieldsNot: "HEADER.FIELDS.NOT", SectionText: "TEXT", SectionMIME: "MIME"}[s.What]
	if what != "" && s.Path != "" {
		b = append(b, '.')
	}
	b = append(b, what...)
	for i, name := range s.Fields {
		if i == 0 {
			b = append(b, " ("...)
		} else {
			b = append(b, ' ')
		}
		b = AppendAString(b, name)
	}
	if len(s.Fields) > 0 {
		b = append(b, ')')
	}
	return string(append(b, ']'))
}
