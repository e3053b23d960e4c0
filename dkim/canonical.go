package dkim

import (
	"bytes"
	"encoding/binary"
	"hash"
	"math/bits"
)

// special marks the octets at which relaxed canonicalisation has something to
// decide.
var special = [256]bool{' ': true, '\t': true, '\r': true, '\n': true}

// Constants in the form that hash.Hash takes.
var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
)

// A bodyHash hashes a body in the relaxed canonical form (RFC 6376 §3.4.4)
// while it streams by: white space at line ends and empty lines at the end are
// dropped, other runs of white space become one space.
type bodyHash struct {
	sum   hash.Hash
	lines int  // line ends seen and not yet hashed
	space bool // white space seen since, likewise
	cr    bool // the last octet was a CR
	any   bool // something was hashed
}

// reset starts a new body.
func (b *bodyHash) reset() {
	b.sum.Reset()
	*b = bodyHash{sum: b.sum}
}

// write hashes the next part of the body. It returns ErrBareNewline for a CR
// or LF that is not part of a CRLF: peers disagree on what that is, and so on
// the hash.
func (b *bodyHash) write(p []byte) error {
	for i := 0; i < len(p); {
		switch c := p[i]; {
		case b.cr != (c == '\n'):
			return ErrBareNewline
		case c == '\n':
			b.cr, b.space = false, false
			b.lines++
			i++
		case c == '\r':
			b.cr = true
			i++
		case special[c]:
			b.space = true
			i++
		default:
			b.flush()
			end := plainRun(p, i)
			b.sum.Write(p[i:end])
			i = end
		}
	}
	return nil
}

// plainRun returns the end of the run from i that is its own canonical form
// whatever follows: single spaces and line ends are taken along when an
// ordinary octet is known to come next.
func plainRun(p []byte, i int) int {
	for {
		i = skipPrinting(p, i)
		switch {
		case i == len(p):
			return i
		case !special[p[i]]:
			i++
		case p[i] == ' ' && i+1 < len(p) && !special[p[i+1]]:
			i += 2
		case p[i] == '\r' && i+2 < len(p) && p[i+1] == '\n' && !special[p[i+2]]:
			i += 3
		default:
			return i
		}
	}
}

// skipPrinting returns the place of the first octet from i on that is neither
// printing nor 8-bit, looking at eight at a time. Most of a body is such runs.
func skipPrinting(p []byte, i int) int {
	const each = 0x0101010101010101
	for ; i+8 <= len(p); i += 8 {
		word := binary.LittleEndian.Uint64(p[i:])
		// The lowest bit set marks the lowest octet below '!', exactly; those
		// above it may be marked for the borrow's sake.
		if low := (word - each*'!') & ^word & (each * 0x80); low != 0 {
			return i + bits.TrailingZeros64(low)/8
		}
	}
	for i < len(p) && p[i] > ' ' {
		i++
	}
	return i
}

// flush hashes the line ends and the space that turned out not to be trailing.
func (b *bodyHash) flush() {
	b.any = true
	for ; b.lines > 0; b.lines-- {
		b.sum.Write(crlf)
	}
	if b.space {
		b.sum.Write(space)
		b.space = false
	}
}

// digest ends the body and appends its hash to dst.
func (b *bodyHash) digest(dst []byte) ([]byte, error) {
	if b.cr {
		return nil, ErrBareNewline
	}
	if b.any {
		// §3.4.4: a body that is not empty ends with one CRLF.
		b.sum.Write(crlf)
	}
	return b.sum.Sum(dst), nil
}

// appendRelaxed appends the relaxed canonical form (RFC 6376 §3.4.2) of a
// header field to dst, without the line end. The field is unfolded, its name in
// lower case, and each run of white space one space.
func appendRelaxed(dst, field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte(":"))
	for _, c := range bytes.TrimRight(name, " \t") {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	start := len(dst)
	for i := 0; i < len(value); {
		if special[value[i]] {
			i++
			continue
		}
		end := i
		for end < len(value) && !special[value[end]] {
			end++
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, value[i:end]...)
		i = end
	}
	return dst
}
