package skeleton

import (
	"slices"
	"strconv"

	"postrider/queue/folders"
)

func (w *walker) envelope() []byte {
	return slices.Clone(w.of(w.nodes[0].env))
}

func (w *walker) of(s span) []byte { return w.wire[s.from:s.to] }

// structure returns BODY and BODYSTRUCTURE.
func (w *walker) structure() (body, structure []byte) {
	env := w.nodes[0].env
	room := len(w.wire) - (env.to - env.from) + 32*len(w.nodes)
	structure = w.appendBody(make([]byte, 0, room), 0, true)
	body = w.appendBody(make([]byte, 0, len(structure)), 0, false)
	return body, structure
}

// appendBody writes the body of RFC 3501 §9. No blank is between the parts of a
// multipart: Outlook for iOS does not read what has one.
func (w *walker) appendBody(b []byte, of int, extended bool) []byte {
	n := &w.nodes[of]
	b = append(b, '(')
	if n.kind == multi {
		for c := n.child; c != none; c = w.nodes[c].next {
			b = w.appendBody(b, c, extended)
		}
		b = append(b, ' ')
		b = append(b, w.of(n.mime)...)
	} else {
		b = w.appendSingle(b, n, extended)
	}
	if extended {
		b = append(b, ' ')
		b = append(b, w.of(n.ext)...)
	}
	return append(b, ')')
}

func (w *walker) appendSingle(b []byte, n *node, extended bool) []byte {
	b = append(b, w.of(n.mime)...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, n.end-n.body, 10)
	if n.kind == message {
		b = append(b, ' ')
		b = append(b, w.of(w.nodes[n.child].env)...)
		b = append(b, ' ')
		b = w.appendBody(b, n.child, extended)
	}
	if n.kind == message || n.kind == text {
		// The line end that belongs to a boundary is not counted, as in the example
		// of RFC 3501 §7.4.2: 73 lines of 62 octets and one of 28 are 73.
		b = append(b, ' ')
		b = strconv.AppendInt(b, n.lines, 10)
	}
	return b
}

// table returns the entities with their paths.
func (w *walker) table() []folders.Part {
	root := &w.nodes[0]
	parts := make([]folders.Part, 1, len(w.nodes)+1)
	parts[0] = folders.Part{Header: root.header, Body: root.body, End: root.end}
	if root.kind == multi {
		return w.appendChildren(parts, 0, "")
	}
	return w.appendPart(parts, 0, "1")
}

func (w *walker) appendPart(parts []folders.Part, of int, path string) []folders.Part {
	n := &w.nodes[of]
	p := folders.Part{Path: path, Header: n.header, Body: n.body, End: n.end}
	switch n.kind {
	case multi:
		return w.appendChildren(append(parts, p), of, path+".")
	case message, global:
		inside := &w.nodes[n.child]
		p.Inner = inside.body
		parts = append(parts, p)
		if inside.kind == multi { // it has no number of its own (RFC 3501 §6.4.5)
			return w.appendChildren(parts, n.child, path+".")
		}
		return w.appendPart(parts, n.child, path+".1")
	}
	return append(parts, p)
}

func (w *walker) appendChildren(parts []folders.Part, of int, prefix string) []folders.Part {
	i := 0
	for c := w.nodes[of].child; c != none; c = w.nodes[c].next {
		i++
		parts = w.appendPart(parts, c, prefix+strconv.Itoa(i))
	}
	return parts
}
