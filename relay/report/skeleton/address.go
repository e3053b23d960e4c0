package skeleton

import "bytes"

// address is a mailbox of an address list, or where a group begins or ends. What
// it holds is good until the next.
type address struct {
	mark  mark
	name  []byte // of the mailbox or group; encoded words as they were sent
	route []byte // of RFC 822's source routes
	local []byte // without quotes
	host  []byte // empty if there is none
}

type mark uint8

const (
	mailbox mark = iota
	groupBegin
	groupEnd
)

// addresses reads an address list (RFC 5322 §3.4), with leniency: names need no
// quotes, semicolons separate too, and what is missing at the end is supplied.
type addresses struct {
	in      []byte
	inGroup bool
	closing bool // the group ends before the next

	words   []byte // the phrase, or an address without angle brackets
	comment []byte // the last one
	spec    []byte // what is in angle brackets
	angle   bool
	blank   bool // there was white space before the next word
}

func (a *addresses) start(in []byte) {
	a.in = in
	a.inGroup, a.closing = false, false
}

func (a *addresses) next() (address, bool) {
	for {
		if a.closing || a.inGroup && len(a.in) == 0 {
			a.closing, a.inGroup = false, false
			return address{mark: groupEnd}, true
		}
		if len(a.in) == 0 {
			return address{}, false
		}
		group := a.scan()
		if group {
			a.inGroup = true
			return address{mark: groupBegin, name: a.words}, true
		}
		if a.angle || len(a.words) > 0 {
			return a.mailbox(), true
		}
	}
}

// scan reads up to the end of a mailbox or to the colon of a group.
func (a *addresses) scan() (group bool) {
	a.words, a.comment, a.spec = a.words[:0], a.comment[:0], a.spec[:0]
	a.angle, a.blank = false, false
	for len(a.in) > 0 {
		c := a.in[0]
		switch {
		case c == ' ' || c == '\t':
			a.blank = true
			a.in = a.in[1:]
		case c == ',' || c == ';':
			a.in = a.in[1:]
			a.closing = c == ';' && a.inGroup
			return false
		case c == ':' && !a.inGroup && !a.angle:
			a.in = a.in[1:]
			return true
		case c == '(':
			a.readComment()
		case c == '<' && !a.angle:
			a.readAngle()
		case c == '"':
			a.readQuoted()
		default:
			a.readAtom()
		}
	}
	return false
}

func (a *addresses) readComment() {
	n := commentEnd(a.in)
	a.comment = appendUnescaped(a.comment[:0], bytes.TrimSuffix(a.in[1:n], []byte(")")))
	a.in = a.in[n:]
}

// word says that one follows: words are separated by one blank, if they are by
// anything.
func (a *addresses) word() {
	if a.blank && len(a.words) > 0 {
		a.words = append(a.words, ' ')
	}
	a.blank = false
}

func (a *addresses) readQuoted() {
	n := quotedEnd(a.in)
	if !a.angle {
		a.word()
		a.words = appendUnescaped(a.words, bytes.TrimSuffix(a.in[1:n], []byte(`"`)))
	}
	a.in = a.in[n:]
}

// readAtom reads what has no meaning of its own: an atom, an encoded word, which
// may wrongly hold specials, or a domain literal.
func (a *addresses) readAtom() {
	n := encodedWordLen(a.in)
	if n == 0 && a.in[0] == '[' {
		n = bytes.IndexByte(a.in[:min(len(a.in), maxToken)], ']') + 1
	}
	if n == 0 {
		n = 1
		for n < len(a.in) && !isSpecial(a.in[n]) {
			n++
		}
	}
	if !a.angle {
		a.word()
		a.words = append(a.words, a.in[:n]...)
	}
	a.in = a.in[n:]
}

func isSpecial(c byte) bool {
	switch c {
	case ' ', '\t', ',', ';', ':', '(', '<', '"', '[':
		return true
	}
	return false
}

// readAngle reads "<…>" without comments and white space. Its end may be missing;
// commas are only in routes.
func (a *addresses) readAngle() {
	a.angle = true
	a.in = a.in[1:]
	route := false
	for len(a.in) > 0 {
		c := a.in[0]
		switch {
		case c == '>':
			a.in = a.in[1:]
			return
		case c == ',' && !route || c == ';':
			return
		case c == '(':
			a.in = a.in[commentEnd(a.in):]
			continue
		case c == '"':
			n := quotedEnd(a.in)
			a.spec = appendUnescaped(a.spec, bytes.TrimSuffix(a.in[1:n], []byte(`"`)))
			a.in = a.in[n:]
			continue
		case c == '@' && len(a.spec) == 0:
			route = true
		case c == ':' && route:
			route = false
		}
		if c != ' ' && c != '\t' {
			a.spec = append(a.spec, c)
		}
		a.in = a.in[1:]
	}
}

// mailbox makes an address of what scan read.
func (a *addresses) mailbox() address {
	spec := a.words
	out := address{name: a.comment}
	if a.angle {
		spec = a.spec
		if len(a.words) > 0 {
			out.name = a.words
		}
		if len(spec) > 0 && spec[0] == '@' {
			if i := bytes.IndexByte(spec, ':'); i > 0 {
				out.route, spec = spec[:i], spec[i+1:]
			}
		}
	}
	out.local = spec
	if i := bytes.LastIndexByte(spec, '@'); i >= 0 {
		out.local = bytes.TrimRight(spec[:i], " ")
		out.host = bytes.TrimLeft(spec[i+1:], " ")
	}
	return out
}

// quotedEnd is the length of the quoted string that v begins with.
func quotedEnd(v []byte) int {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(v)
}

func appendUnescaped(b, v []byte) []byte {
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		b = append(b, v[i])
	}
	return b
}
