package syntax

// ParseSet reads a sequence set. Its error is an *Error.
func ParseSet(s string) (Set, error) {
	p := &parser{line: []byte(s)}
	set := p.set()
	p.end()
	if p.err != nil {
		return Set{}, p.err
	}
	return set, nil
}

// set reads a sequence set, or "$" (RFC 5182 §2.1).
func (p *parser) set() Set {
	if p.peek() == '$' {
		p.take('$')
		return Set{Saved: true}
	}
	var s Set
	for {
		r := Range{A: p.seqNumber()}
		r.B = r.A
		if p.peek() == ':' {
			p.take(':')
			r.B = p.seqNumber()
		}
		s.Ranges = append(s.Ranges, r)
		if p.peek() != ',' {
			break
		}
		p.take(',')
	}
	if p.err != nil {
		return Set{}
	}
	return s
}

func (p *parser) seqNumber() uint32 {
	if p.peek() == '*' {
		p.take('*')
		return Star
	}
	if !isDigit(p.peek()) {
		p.expected("set of numbers")
		return 0
	}
	return p.positive32()
}
