package skeleton

import "bytes"

// mediaType is a Content-Type's value; its parts are of what it was read from.
type mediaType struct {
	main, sub []byte
	params    []byte // behind the first semicolon
}

// parseMedia reads a Content-Type. What is none is text/plain (RFC 2045 §5.2).
func parseMedia(v []byte) mediaType {
	v = skipComments(v)
	kind, params, _ := bytes.Cut(v, []byte(";"))
	main, sub, slash := bytes.Cut(kind, []byte("/"))
	main, sub = firstToken(main), firstToken(sub)
	if !slash || len(main) == 0 || len(sub) == 0 {
		switch {
		case bytes.EqualFold(main, []byte("text")):
			return mediaType{main, []byte("plain"), params}
		case bytes.EqualFold(main, []byte("multipart")):
			return mediaType{main, []byte("mixed"), params}
		}
		return mediaType{main: []byte("text"), sub: []byte("plain")}
	}
	return mediaType{main, sub, params}
}

func (t *mediaType) is(main, sub string) bool {
	return t.isMain(main) && equalFold(t.sub, sub)
}

func (t *mediaType) isMain(main string) bool { return equalFold(t.main, main) }

// equalFold compares with what is in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if lowerASCII(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

// firstToken is v up to white space, a comment or a quote.
func firstToken(v []byte) []byte {
	v = bytes.Trim(v, " \t")
	if i := bytes.IndexAny(v, " \t(\""); i >= 0 {
		v = v[:i]
	}
	return v
}

// skipComments passes over white space and comments (RFC 5322 §3.2.2).
func skipComments(v []byte) []byte {
	for {
		v = bytes.TrimLeft(v, " \t")
		if len(v) == 0 || v[0] != '(' {
			return v
		}
		v = v[commentEnd(v):]
	}
}

// commentEnd is the length of the comment that v begins with.
func commentEnd(v []byte) int {
	depth := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(v)
}

// params are the parameters behind a type or disposition. They are read with
// leniency: values that should be quoted and are not reach up to the next
// semicolon.
type params struct {
	rest  []byte
	room  []byte // for values with escapes
	count int
}

// next returns a parameter; both are good until the following call.
func (p *params) next() (name, value []byte, ok bool) {
	for len(p.rest) > 0 && p.count < maxParams {
		p.rest = skipComments(p.rest)
		i := bytes.IndexAny(p.rest, "=;")
		if i < 0 {
			break
		}
		name, p.rest = firstToken(p.rest[:i]), p.rest[i:]
		if p.rest[0] == ';' {
			p.rest = p.rest[1:]
			continue
		}
		value = p.value(skipComments(p.rest[1:]))
		if len(name) > 0 {
			p.count++
			return name, value, true
		}
	}
	p.rest = nil
	return nil, nil, false
}

func (p *params) value(v []byte) []byte {
	if len(v) > 0 && v[0] == '"' {
		value, n := unquote(v, &p.room)
		_, p.rest, _ = bytes.Cut(v[n:], []byte(";"))
		return value
	}
	value, rest, _ := bytes.Cut(v, []byte(";"))
	p.rest = rest
	value = bytes.Trim(value, " \t")
	// A comment may follow, but a name such as "a (1).txt" has none.
	if i := bytes.LastIndex(value, []byte(" (")); i >= 0 && value[len(value)-1] == ')' {
		value = bytes.TrimRight(value[:i], " \t")
	}
	return value
}

// unquote reads the quoted string that v begins with, and returns how long it is.
func unquote(v []byte, room *[]byte) (value []byte, n int) {
	for n = 1; n < len(v) && v[n] != '"' && v[n] != '\\'; n++ {
	}
	if n == len(v) {
		return v[1:], n
	}
	if v[n] == '"' {
		return v[1:n], n + 1
	}
	out := append((*room)[:0], v[1:n]...)
	for ; n < len(v) && v[n] != '"'; n++ {
		if v[n] == '\\' && n+1 < len(v) {
			n++
		}
		out = append(out, v[n])
	}
	*room = out
	return out, min(n+1, len(v))
}

// boundaryIn finds the boundary in the parameters: as it should be, or in the ways
// of RFC 2231. It is empty if there is none that can be used.
func boundaryIn(v []byte) string {
	var joined []byte
	section := 0
	for p := (params{rest: v}); ; {
		name, value, ok := p.next()
		if !ok {
			break
		}
		switch {
		case equalFold(name, "boundary"):
			return usable(value)
		case equalFold(name, "boundary*"):
			joined = appendExtended(joined, value, true)
		case len(name) > 9 && equalFold(name[:9], "boundary*"):
			extended := name[len(name)-1] == '*'
			joined = appendSection(joined, value, extended, section == 0)
			section++
		}
	}
	return usable(joined)
}

func usable(b []byte) string {
	// RFC 2046 §5.1.1 lets it have no white space at its end, and be of at most 70
	// characters; no one fails for more.
	b = bytes.TrimRight(b, " \t")
	if len(b) == 0 || len(b) > maxString {
		return ""
	}
	return "--" + string(b)
}

func appendSection(b, v []byte, extended, first bool) []byte {
	if extended {
		return appendExtended(b, v, first)
	}
	return append(b, v...)
}

// appendExtended decodes an extended value, behind charset and language if it is
// the first of its sections (RFC 2231 §4).
func appendExtended(b, v []byte, first bool) []byte {
	if first {
		if _, after, ok := bytes.Cut(v, []byte("'")); ok {
			if _, after, ok := bytes.Cut(after, []byte("'")); ok {
				v = after
			}
		}
	}
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			hi, lo := unhex(v[i+1]), unhex(v[i+2])
			if hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, v[i])
	}
	return b
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
