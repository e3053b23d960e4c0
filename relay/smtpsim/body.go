package smtpsim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// maxLine is the longest line of content, without its CRLF (RFC 5322 §2.1.1).
const maxLine = 998

// contentScan finds what must not be in content, in pieces as they arrive.
type contentScan struct {
	lineLen  int
	longSeen bool // in this line
	prevCR   bool // the last piece ended in CR
}

// readData reads content up to CRLF "." CRLF into c.body, dots unstuffed. Of
// content beyond the size limit only the length is kept.
func (c *conn) readData(ctx context.Context) error {
	pieceStart, lineStart := true, true
	var pendingCR bool
	for {
		piece, err := c.br.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if pendingCR {
			// The CR that ended a full buffer: with this LF it is a line end.
			pendingCR = false
			if piece[0] == '\n' {
				c.keepContent(crlf)
				lineStart, pieceStart = true, true
				c.scan.lineLen, c.scan.longSeen = 0, false
				continue
			}
			c.violateAt(BareCR)
			c.keepContent(crlf[:1])
		}
		if lineStart && pieceStart && piece[0] == '.' {
			if len(piece) == 3 && piece[1] == '\r' && piece[2] == '\n' {
				return nil
			}
			if len(piece) < 2 || piece[1] != '.' {
				c.violateAt(UnstuffedDot)
			}
			piece = piece[1:]
		}
		if err != nil { // the line goes on
			if n := len(piece); n > 0 && piece[n-1] == '\r' {
				pendingCR = true
				piece = piece[:n-1]
			}
			c.scanText(piece)
			c.keepContent(piece)
			pieceStart = false
		} else {
			ended := bytes.HasSuffix(piece, crlf)
			if ended {
				c.scanText(piece[:len(piece)-2])
				c.scan.lineLen, c.scan.longSeen = 0, false
			} else {
				c.scanText(piece[:len(piece)-1])
				c.violateAt(BareLF)
			}
			c.keepContent(piece)
			lineStart, pieceStart = ended, true
		}
		if err := c.midBody(ctx); err != nil {
			return err
		}
	}
}

var crlf = []byte("\r\n")

// readChunk reads the n bytes of a BDAT into c.body.
func (c *conn) readChunkBytes(ctx context.Context, n int64) error {
	for n > 0 {
		if _, err := c.br.Peek(1); err != nil {
			return err
		}
		piece, err := c.br.Peek(int(min(n, int64(c.br.Buffered()))))
		if err != nil {
			return err
		}
		c.scanChunk(piece)
		c.keepContent(piece)
		n -= int64(len(piece))
		if _, err := c.br.Discard(len(piece)); err != nil {
			return err
		}
		if err := c.midBody(ctx); err != nil {
			return err
		}
	}
	return nil
}

// skip discards n bytes.
func (c *conn) skip(n int64) error {
	_, err := io.CopyN(io.Discard, c.br, n)
	return err
}

// scanText looks at a piece of a line without its line end.
func (c *conn) scanText(text []byte) {
	if bytes.IndexByte(text, '\r') >= 0 {
		c.violateAt(BareCR)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		c.violateAt(NUL)
	}
	if !c.eightBitOffered && !c.eightBitSeen && !isASCII(text) {
		c.eightBitSeen = true
		c.violateAt(EightBitContent)
	}
	c.scan.lineLen += len(text)
	if c.scan.lineLen > maxLine && !c.scan.longSeen {
		c.scan.longSeen = true
		c.violateAt(LongLine)
	}
}

// scanChunk looks at a piece of binary content, lines and all.
func (c *conn) scanChunk(b []byte) {
	for len(b) > 0 {
		if c.scan.prevCR {
			c.scan.prevCR = false
			if b[0] == '\n' {
				c.scan.lineLen, c.scan.longSeen = 0, false
				b = b[1:]
				continue
			}
			c.violateAt(BareCR)
		}
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			c.scanText(b)
			return
		}
		c.scanText(b[:i])
		if b[i] == '\r' {
			c.scan.prevCR = true
		} else {
			c.violateAt(BareLF)
		}
		b = b[i+1:]
	}
}

func (c *conn) keepContent(b []byte) {
	c.size += int64(len(b))
	if c.size <= c.s.o.MaxSize {
		c.body = append(c.body, b...)
	}
}

// midBody lets the rule chosen for Body act once enough content was read.
func (c *conn) midBody(ctx context.Context) error {
	if c.bodyRule == nil || c.size < c.bodyRule.AfterBytes {
		return nil
	}
	r := c.bodyRule
	c.bodyRule = nil
	x := c.exchange(Body, "")
	return c.act(ctx, x, r)
}
