package sevenbit

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Plan is what must be encoded in one message, and its size after.
type Plan struct {
	dirty    []uint64 // a bit for each leaf that has octets above 127
	possible bool
}

// Possible reports whether the message can be converted. It cannot if there are
// octets above 127 where no encoding may be put: in a header, around parts, in
// what is signed or encrypted.
func (p *Plan) Possible() bool { return p.possible }

func (p *Plan) mark(n int) {
	for len(p.dirty) <= n/64 {
		p.dirty = append(p.dirty, 0)
	}
	p.dirty[n/64] |= 1 << (n % 64)
}

func (p *Plan) has(n int) bool { return n/64 < len(p.dirty) && p.dirty[n/64]&(1<<(n%64)) != 0 }

// Scan reads a message and says what must be done to it.
func Scan(message io.Reader) (*Plan, error) {
	p := &Plan{possible: true}
	w := newWalker(message)
	for p.possible {
		piece, k, err := w.next()
		switch {
		case errors.Is(err, io.EOF):
			return p, nil
		case errors.Is(err, errTooLarge):
			p.possible = false
			return p, nil
		case err != nil:
			return nil, fmt.Errorf("read the message: %w", err)
		}
		switch {
		case k == headerEnd:
			p.possible = ascii(w.header)
			if w.now.form == enclosed {
				w.nested()
			}
		case ascii(piece):
		case k == bodyPiece && w.now.form == leaf && !w.now.encoded:
			p.mark(w.count - 1)
		default:
			p.possible = false
		}
	}
	return p, nil
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c > 127 {
			return false
		}
	}
	return true
}

// NewReader returns the message of which Scan made the plan, converted.
func NewReader(message io.Reader, p *Plan) io.Reader {
	return &converter{w: newWalker(message), plan: p}
}

type converter struct {
	w      *walker
	plan   *Plan
	quoter quoter
	quotes bool   // the body now is encoded
	out    []byte // not yet read
	buffer []byte
	err    error
}

// Read implements io.Reader.
func (c *converter) Read(b []byte) (int, error) {
	for len(c.out) == 0 && c.err == nil {
		c.step()
	}
	if len(c.out) == 0 {
		return 0, c.err
	}
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

// step makes the output of one piece.
func (c *converter) step() {
	out := c.buffer[:0]
	piece, k, err := c.w.next()
	switch {
	case err != nil:
		if c.err = err; !errors.Is(err, io.EOF) {
			c.err = fmt.Errorf("convert the message: %w", err)
		}
		out = c.quoter.flush(out)
	case k == headerEnd:
		out = append(c.head(out), piece...)
		if c.w.now.form == enclosed {
			c.w.nested()
		}
	case k == bodyPiece && c.quotes:
		out = c.quoter.append(out, piece)
	default:
		out = append(c.quoter.flush(out), piece...)
	}
	c.buffer, c.out = out, out
}

// head writes the header of an entity as its body will be.
func (c *converter) head(out []byte) []byte {
	fields, now := split(c.w.header), c.w.now
	c.quotes = now.form == leaf && c.plan.has(c.w.count-1)
	switch {
	case c.quotes:
		c.quoter = quoter{}
		return rewrite(out, fields, "quoted-printable", c.w.whole)
	case now.form != untouched && strings.EqualFold(value(fields, encodingField), "8bit"):
		return rewrite(out, fields, "7bit", false) // as all of it will be
	}
	return append(out, c.w.header...)
}
