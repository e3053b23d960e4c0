package submission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/queue"
)

// content is what follows DATA or BDAT. Read ends with io.EOF only if it is
// whole. A content that breaks off has broken set and keeps returning its error.
type content interface {
	io.Reader
	// discard reads what is left of a content that was refused, so that none of
	// it is taken for commands.
	discard() error
}

// meter bounds a content in time and size.
type meter struct {
	t       *transport
	started time.Time
	wire    int64 // octets read from the network
	size    int64 // octets of the message
	line    int   // octets of the line under way
	longest int
	limit   int64
}

func newMeter(t *transport) meter {
	return meter{t: t, started: time.Now(), limit: t.s.o.MaxSize}
}

// fill reads from the network. A client that is slow but steady has all the
// time it needs, one that is slower than MinRate has not.
func (m *meter) fill() error {
	o := &m.t.s.o
	now := time.Now()
	deadline := now.Add(o.ContentTimeout)
	if slowest := m.started.Add(o.ContentGrace + time.Duration(m.wire/int64(o.MinRate)+1)*time.Second); slowest.Before(deadline) {
		deadline = slowest
	}
	had := m.t.w - m.t.r
	err := m.t.fill(deadline)
	m.wire += int64(m.t.w - m.t.r - had)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// count notes octets that are handed on, and says when they are too many. The
// content goes on to be read: the client learns at its end.
func (m *meter) count(b []byte) {
	m.size += int64(len(b))
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		m.line += len(b)
		m.longest = max(m.longest, m.line)
		return
	}
	m.longest = max(m.longest, m.line+i)
	m.line = len(b) - 1 - bytes.LastIndexByte(b, '\n')
	m.longest = max(m.longest, m.line)
}

// verdict returns the refusal that the octets so far have earned.
func (m *meter) verdict() error {
	switch {
	case m.size > m.limit:
		return tooLarge(uint64(m.size), m.limit)
	case m.longest > maxBodyLine+1: // with its CR
		return &queue.Refusal{Code: 554, Enhanced: queue.Enhanced{5, 6, 0},
			Problem: fmt.Sprintf("A line of the message is longer than %d octets.", maxBodyLine),
			Fix:     "Encode the body as base64 or quoted-printable."}
	}
	return nil
}

// endless reports that a content is so far beyond its limit that reading on
// only serves an attacker.
func (m *meter) endless() bool { return m.size > 4*m.limit+64<<20 }

var errEndless = errors.New("content far beyond its limit")

func tooLarge(size uint64, limit int64) *queue.Refusal {
	return &queue.Refusal{Code: 552, Enhanced: queue.Enhanced{5, 3, 4},
		Problem: fmt.Sprintf("The message is too large: %d octets, the limit is %d.", size, limit),
		Fix:     "Send a link instead of a large attachment."}
}

// dotContent reads up to CR LF . CR LF and takes the dots out again (RFC 5321
// §4.5.2). Nothing else ends it: every looser reading is what SMTP smuggling
// lives from.
type dotContent struct {
	meter
	lineStart bool // after CR LF, or at the start
	afterCR   bool
	ended     bool
	err       error
}

func newDotContent(t *transport) *dotContent {
	return &dotContent{meter: newMeter(t), lineStart: true}
}

func (c *dotContent) Read(p []byte) (int, error) {
	if c.err == nil {
		c.err = c.verdict()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.next(p)
	c.err = err
	if err == io.EOF {
		if v := c.verdict(); v != nil {
			c.err = v
		}
	}
	return n, c.err
}

// next copies some octets, or returns io.EOF at the end.
func (c *dotContent) next(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for !c.ended {
		b := c.t.in[c.t.r:c.t.w]
		if c.lineStart {
			skip, more := c.startLine(b)
			if more {
				if err := c.fill(); err != nil {
					return 0, err
				}
				continue
			}
			c.t.r += skip
			continue
		}
		if len(b) == 0 {
			if err := c.fill(); err != nil {
				return 0, err
			}
			continue
		}
		return c.copy(p, b), nil
	}
	return 0, io.EOF
}

// startLine looks at the start of a line: at the end of data it sets ended. It
// returns how many octets are not part of the message, or that it needs more.
func (c *dotContent) startLine(b []byte) (skip int, more bool) {
	switch {
	case len(b) == 0:
		return 0, true
	case b[0] != '.':
		c.lineStart = false
		return 0, false
	case len(b) == 1 || len(b) == 2 && b[1] == '\r':
		return 0, true
	case b[1] == '\r' && b[2] == '\n':
		c.ended = true
		return 3, false
	}
	c.lineStart = false
	return 1, false
}

// copy hands on octets up to the next line that starts with a dot.
func (c *dotContent) copy(p, b []byte) int {
	if c.afterCR && b[0] == '\n' {
		p[0] = '\n'
		c.t.r++
		c.count(p[:1])
		c.lineStart, c.afterCR = true, false
		return 1
	}
	b = b[:min(len(b), len(p))]
	if i := bytes.Index(b, crlfDot); i >= 0 {
		b = b[:i+2]
	}
	n := copy(p, b)
	c.t.r += n
	c.count(b)
	c.afterCR = b[n-1] == '\r'
	c.lineStart = n > 1 && b[n-1] == '\n' && b[n-2] == '\r'
	return n
}

var crlfDot = []byte("\r\n.")

func (c *dotContent) discard() error {
	b := discards.Get().(*[]byte)
	defer discards.Put(b)
	for !c.ended {
		if c.endless() {
			return errEndless
		}
		if _, err := c.next(*b); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}
