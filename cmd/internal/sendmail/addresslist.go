package sendmail

import "strings"

// mailbox is an address in the text it was found in.
type mailbox struct {
	address
	// localEnd is the offset just behind the local part of an address
	// without domain, where "@domain" belongs.
	localEnd int
}

// parseAddressList reads an address list as it stands in a header field or
// on a command line: RFC 5322 §3.4 with groups, quoted strings, comments,
// source routes and folding, and the common deviations: ";" between addresses,
// missing quotes or brackets, encoded words with commas in them, several
// addresses with no comma between. What is no address is returned in bad; a
// null address <> is neither. The time it takes is linear in the text.
func parseAddressList(text string) (found []mailbox, bad []string) {
	s := listScanner{text: text}
	var e element
	flush := func(end int) {
		boxes, ok := e.mailboxes()
		if !ok {
			bad = append(bad, strings.TrimSpace(text[e.start:end]))
		}
		found = append(found, boxes...)
		e = element{}
	}
	for {
		t, ok := s.next()
		if !ok {
			break
		}
		switch {
		case t.is(",") && !e.inRoute() || t.is(";"):
			flush(t.start)
		case t.is(":") && !e.inAngle && len(e.angles) > 0:
			flush(t.start)
		case t.is(":") && !e.inAngle:
			e = element{} // what stood here was the name of a group
		default:
			e.add(t)
		}
	}
	flush(len(text))
	return found, bad
}

// element is what stands between two separators.
type element struct {
	start   int
	plain   []token   // outside of angle brackets
	angles  [][]token // one for each pair of brackets
	inAngle bool
}

func (e *element) add(t token) {
	if len(e.plain) == 0 && len(e.angles) == 0 {
		e.start = t.start
	}
	switch {
	case t.is("<"):
		e.angles = append(e.angles, nil)
		e.inAngle = true
	case t.is(">"):
		e.inAngle = false
	case !e.inAngle:
		e.plain = append(e.plain, t)
	case t.is(":") && e.inRoute():
		e.angles[len(e.angles)-1] = nil // RFC 5321 §4.1.1.3: a source route is ignored
	default:
		last := len(e.angles) - 1
		e.angles[last] = append(e.angles[last], t)
	}
}

// inRoute reports whether the element is within <@a,@b:…, where a comma
// separates hosts.
func (e *element) inRoute() bool {
	if !e.inAngle {
		return false
	}
	angle := e.angles[len(e.angles)-1]
	return len(angle) > 0 && angle[0].is("@")
}

func (e *element) mailboxes() (found []mailbox, ok bool) {
	if len(e.angles) == 0 {
		return plainMailboxes(e.plain)
	}
	ok = true
	for _, angle := range e.angles {
		if len(angle) == 0 {
			continue
		}
		box, valid := specOf(angle)
		if valid {
			found = append(found, box)
		}
		ok = ok && valid
	}
	return found, ok
}

// plainMailboxes reads an element without angle brackets. Several words are
// several addresses if each has a domain; otherwise it would be a guess which
// of them is one.
func plainMailboxes(tokens []token) (found []mailbox, ok bool) {
	words := splitWords(tokens)
	for _, word := range words {
		box, valid := specOf(word)
		if !valid || len(words) > 1 && box.domain == "" {
			return nil, false
		}
		found = append(found, box)
	}
	return found, true
}

// splitWords cuts tokens where two of them touch without "@" or "." between,
// around which RFC 5322 allows blanks and comments.
func splitWords(tokens []token) [][]token {
	var words [][]token
	begin := 0
	for i := 1; i < len(tokens); i++ {
		if !joins(tokens[i-1], tokens[i]) {
			words = append(words, tokens[begin:i])
			begin = i
		}
	}
	if len(tokens) > 0 {
		words = append(words, tokens[begin:])
	}
	return words
}

func joins(a, b token) bool {
	if a.is("@") || b.is("@") {
		return true
	}
	return a.kind == tokenAtom && strings.HasSuffix(a.text, ".") ||
		b.kind == tokenAtom && strings.HasPrefix(b.text, ".")
}

// specOf reads tokens as one addr-spec, or as a local name.
func specOf(tokens []token) (mailbox, bool) {
	var local, domain strings.Builder
	part, quoted, end := &local, false, 0
	for i, t := range tokens {
		switch {
		case t.is("@") && part == &local && i > 0 && i < len(tokens)-1:
			part = &domain
			continue
		case i > 0 && !joins(tokens[i-1], t):
			return mailbox{}, false
		case t.kind == tokenAtom && isAtomText(t.text):
		case t.kind == tokenQuoted && part == &local:
			quoted = true
		case t.kind == tokenLiteral && part == &domain:
		default:
			return mailbox{}, false
		}
		part.WriteString(t.text)
		if part == &local {
			end = t.end
		}
	}
	a, ok := newAddress(local.String(), strings.TrimSuffix(domain.String(), "."))
	if !ok || part == &domain && a.domain == "" {
		return mailbox{}, false
	}
	if a.domain == "" && quoted && strings.Contains(a.local, "@") {
		return mailbox{}, false // a whole address in quotes
	}
	return mailbox{address: a, localEnd: end}, true
}
