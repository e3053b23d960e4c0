package sevenbit

import (
	"bytes"
	"mime/quotedprintable"
)

// quoter encodes lines as quoted-printable. A line may come in pieces, of which
// one may end within its CRLF.
type quoter struct {
	out  appender
	line *quotedprintable.Writer // nil: between lines
	cr   bool                    // the piece before ended in a CR
}

// append encodes a piece of a line, which ends in CRLF if it is the last one.
func (q *quoter) append(out, piece []byte) []byte {
	q.out = out
	if q.line == nil {
		q.line = quotedprintable.NewWriter(&q.out)
		q.line.Binary = true // a CR or LF alone is an octet as any other
	}
	if q.cr && piece[0] == '\n' {
		q.cr = false
		return q.end()
	}
	q.heldCR()
	rest, ends := bytes.CutSuffix(piece, []byte("\r\n"))
	if !ends {
		rest, q.cr = bytes.CutSuffix(piece, []byte("\r"))
	}
	_, _ = q.line.Write(rest) // an appender does not fail
	if ends {
		return q.end()
	}
	return q.out
}

func (q *quoter) heldCR() {
	if q.cr {
		_, _ = q.line.Write([]byte("\r"))
		q.cr = false
	}
}

func (q *quoter) end() []byte { return append(q.flush(q.out), "\r\n"...) }

// flush writes what is held of a line.
func (q *quoter) flush(out []byte) []byte {
	if q.line == nil {
		return out
	}
	q.out = out
	q.heldCR()
	_ = q.line.Close()
	q.line = nil
	return q.out
}

type appender []byte

func (a *appender) Write(b []byte) (int, error) {
	*a = append(*a, b...)
	return len(b), nil
}
