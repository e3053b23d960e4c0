package sendmail

import (
	"bufio"
	"bytes"
	"io"
)

// lineBuffer is how much input is read and converted at a time, in bytes.
const lineBuffer = 64 << 10

// canonicalReader passes a message on with every line ended by CRLF. CRLF, LF,
// CR CR LF (a CRLF that went through a text-mode translation) and a bare CR
// each end one line; a last line without an end gets one. It reads no further
// than a line that holds a single dot, if dotEnds is set.
type canonicalReader struct {
	src         *bufio.Reader
	dotEnds     bool
	atLineStart bool
	buf         []byte
	out         []byte // the part of buf that is still to be read
	err         error
}

func newCanonicalReader(src io.Reader, dotEnds bool) *canonicalReader {
	return &canonicalReader{
		src:         bufio.NewReaderSize(src, lineBuffer),
		dotEnds:     dotEnds,
		atLineStart: true,
	}
}

// Read implements io.Reader. It waits for input only while it has nothing to
// return.
func (c *canonicalReader) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *canonicalReader) fill() {
	c.buf = c.buf[:0]
	for len(c.buf) < lineBuffer {
		if c.src.Buffered() == 0 {
			if len(c.buf) > 0 {
				break
			}
			if _, err := c.src.Peek(1); err != nil {
				c.finish(err)
				break
			}
		}
		if c.dotEnds && c.atLineStart && c.atLoneDot() {
			c.finish(io.EOF)
			break
		}
		chunk, _ := c.src.Peek(c.src.Buffered())
		end := bytes.IndexAny(chunk, "\r\n")
		if end < 0 {
			c.buf = append(c.buf, chunk...)
			c.discard(len(chunk))
			c.atLineStart = false
			continue
		}
		c.buf = append(c.buf, chunk[:end]...)
		c.buf = append(c.buf, '\r', '\n')
		c.discard(end)
		c.discardLineEnd()
		c.atLineStart = true
	}
	c.out = c.buf
}

// finish ends the input. What was read before a failing read is passed on
// before the failure is.
func (c *canonicalReader) finish(err error) {
	if err == io.EOF && !c.atLineStart {
		c.buf = append(c.buf, '\r', '\n')
		c.atLineStart = true
	}
	c.err = err
}

func (c *canonicalReader) atLoneDot() bool {
	next, err := c.src.Peek(2)
	if len(next) == 0 || next[0] != '.' {
		return false
	}
	if len(next) == 1 {
		return err == io.EOF
	}
	return next[1] == '\r' || next[1] == '\n'
}

func (c *canonicalReader) discardLineEnd() {
	// A failing Peek still returns what there is.
	next, _ := c.src.Peek(2)
	switch {
	case len(next) < 2 || next[0] == '\n':
		c.discard(1)
		return
	case next[1] == '\n':
		c.discard(2)
		return
	case next[1] != '\r':
		c.discard(1)
		return
	}
	if next, _ = c.src.Peek(3); len(next) == 3 && next[2] == '\n' {
		c.discard(3)
		return
	}
	c.discard(1)
}

// discard drops n bytes that were peeked, which cannot fail.
func (c *canonicalReader) discard(n int) { _, _ = c.src.Discard(n) }
