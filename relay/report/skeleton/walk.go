package skeleton

import (
	"bytes"
	"errors"
	"io"

	"postrider/queue/folders"
)

type kind uint8

const (
	leaf    kind = iota
	text         // a leaf that has lines
	multi        // has entities between boundaries
	message      // message/rfc822: has one entity, the message inside
	global       // message/global: the same, but BODYSTRUCTURE shows a leaf
)

const none = -1

// node is an entity: the message, a part of a multipart, or a message inside a
// part.
type node struct {
	kind     kind
	digest   bool // its parts are messages if they do not say what they are
	inside   bool // is the message in a message/rfc822
	depth    int
	header   int64
	body     int64
	end      int64
	bodyLine int64 // line ends before the body
	lines    int64 // line ends in the body
	child    int   // the first one, or none
	last     int
	next     int // sibling

	// Of walker.wire.
	mime span // type to encoding; of a multipart the subtype
	ext  span // extension data
	env  span // of a message
}

type span struct{ from, to int }

// level is an entity that has not ended yet.
type level struct {
	node     int
	boundary string // with the two hyphens; empty if nothing ends its parts
}

// walker follows the lines of a message and builds the tree of its entities.
type walker struct {
	in       lines
	nodes    []node
	open     []level // each inside the one before
	inHeader bool    // of the last of open
	head     header
	lines    int64 // line ends so far
	eol      int64 // length of the last line's end
	cr       bool  // the last octet was a CR

	wire    []byte // what headers become
	budget  int    // of wire
	scratch scratch
	search  folders.Search
}

// newWalker makes all the room that an ordinary message needs at once.
func newWalker() *walker {
	slab := make([]byte, bufferLen+5<<10)
	cut := func(n int) []byte {
		part := slab[:n:n]
		slab = slab[n:]
		return part
	}
	w := &walker{
		in:    lines{buf: cut(bufferLen)},
		nodes: make([]node, 0, 4),
		open:  make([]level, 0, 4),
		wire:  cut(1536)[:0],
	}
	w.head.block = cut(1536)[:0]
	s := &w.scratch
	for _, room := range []*[]byte{&s.value, &s.media, &s.addr.words, &s.addr.spec, &s.text, &s.octets} {
		*room = cut(256)[:0]
	}
	return w
}

// isLarge reports whether an extraordinary message has left much room behind.
func (w *walker) isLarge() bool {
	const much = 64 << 10
	return cap(w.wire) > much || cap(w.head.block) > much || cap(w.nodes) > 128
}

// reset forgets all but the room.
func (w *walker) reset(r io.Reader) {
	clear(w.open[:cap(w.open)]) // which holds boundaries
	*w = walker{
		in:    lines{r: r, buf: w.in.buf},
		nodes: w.nodes[:0], open: w.open[:0], wire: w.wire[:0],
		head:    header{block: w.head.block[:0], more: w.head.more[:0]},
		scratch: w.scratch,
	}
}

func (w *walker) walk() error {
	w.begin(none, 0)
	for {
		l, err := w.in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		w.line(l)
		w.count(l.text)
	}
	w.finish(0, w.in.at, 0)
	w.search.Size = w.in.at
	return nil
}

func (w *walker) line(l line) {
	if l.first && !l.cut && len(l.text) > 2 && l.text[0] == '-' && l.text[1] == '-' {
		if i, closing := w.delimits(l.text); i >= 0 {
			w.delimit(i, closing, l)
			return
		}
	}
	if !w.inHeader {
		return
	}
	if l.first && isLineEnd(l.text) {
		w.endHeader(l.at+int64(len(l.text)), w.lines+1)
		return
	}
	w.head.add(l.text)
}

func (w *walker) count(text []byte) {
	last := len(text) - 1
	if text[last] == '\n' {
		w.lines++
		w.eol = 1
		if last > 0 && text[last-1] == '\r' || last == 0 && w.cr {
			w.eol = 2
		}
	}
	w.cr = text[last] == '\r'
}

func isLineEnd(b []byte) bool {
	return len(b) == 1 && b[0] == '\n' || len(b) == 2 && b[0] == '\r' && b[1] == '\n'
}

// delimits finds the innermost open multipart whose boundary the line is, and
// whether it is the closing one. RFC 2046 §5.1.1: white space may follow. That
// anything may follow, as it says too, would let "--ab" end a part of the
// multipart with the boundary "a" outside of it; nobody sends that.
func (w *walker) delimits(text []byte) (i int, closing bool) {
	text = bytes.TrimRight(text, " \t\r\n")
	for i := len(w.open) - 1; i >= 0; i-- {
		b := w.open[i].boundary
		if b == "" || len(text) < len(b) || string(text[:len(b)]) != b {
			continue
		}
		switch string(text[len(b):]) {
		case "":
			return i, false
		case "--":
			return i, true
		}
	}
	return none, false
}

// delimit ends what is open inside of the i-th and begins its next part.
func (w *walker) delimit(i int, closing bool, l line) {
	w.finish(i+1, l.at, w.eol)
	if closing || len(w.nodes) >= maxParts {
		w.open[i].boundary = ""
		return
	}
	w.begin(w.open[i].node, l.at+int64(len(l.text)))
}

func (w *walker) begin(parent int, at int64) {
	n := len(w.nodes)
	w.nodes = append(w.nodes, node{header: at, child: none, last: none, next: none})
	if parent != none {
		p := &w.nodes[parent]
		if p.child == none {
			p.child = n
		} else {
			w.nodes[p.last].next = n
		}
		p.last = n
		w.nodes[n].depth = p.depth + 1
		w.nodes[n].inside = p.kind == message
	}
	w.open = append(w.open, level{node: n})
	w.head.reset()
	w.inHeader = true
}

// endHeader reads the header of the innermost entity, whose body begins at at.
func (w *walker) endHeader(at, lines int64) {
	w.inHeader = false
	w.head.index()
	top := &w.open[len(w.open)-1]
	n := &w.nodes[top.node]
	n.body = at
	n.bodyLine = lines
	top.boundary = w.describe(top.node)
	if n.kind == message || n.kind == global {
		w.begin(top.node, at)
	}
}

// finish ends all open entities from the i-th on before the line at at. The line
// end before it, of the length eol, belongs to the boundary (RFC 2046 §5.1.1),
// unless it ends a header.
func (w *walker) finish(i int, at, eol int64) {
	if i >= len(w.open) {
		return
	}
	for w.inHeader {
		w.endHeader(at, w.lines)
	}
	end, lines := at-eol, w.lines
	if body := w.nodes[w.open[i].node].body; end < body {
		end = body
	} else if eol > 0 {
		lines--
	}
	for _, l := range w.open[i:] {
		n := &w.nodes[l.node]
		n.end = end
		n.body = min(n.body, end)
		n.header = min(n.header, end)
		if n.body < end {
			n.lines = lines - n.bodyLine
		}
		if n.kind == multi && n.child == none {
			w.fill(l.node)
		}
	}
	w.open = w.open[:i]
}

// fill gives a multipart in which no part was found one that is a text, so that
// what is there can be read, and since RFC 3501 wants at least one.
func (w *walker) fill(of int) {
	n := w.nodes[of]
	w.nodes[of].child = len(w.nodes)
	w.nodes[of].last = len(w.nodes)
	from := len(w.wire)
	w.wire = append(w.wire, `"text" "plain" ("charset" "us-ascii") NIL NIL "7bit"`...)
	mid := len(w.wire)
	w.wire = append(w.wire, "NIL NIL NIL NIL"...)
	w.nodes = append(w.nodes, node{
		kind: text, header: n.body, body: n.body, end: n.end, lines: n.lines,
		child: none, last: none, next: none,
		mime: span{from, mid}, ext: span{mid, len(w.wire)},
	})
}
