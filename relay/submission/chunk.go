package submission

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

var discards = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// errWithdrawn: the client gave the content up with RSET or QUIT.
var errWithdrawn = errors.New("content withdrawn by the client")

// chunkContent reads the chunks of BDAT (RFC 3030 §2) and answers all but the
// last. It runs in the one goroutine of the connection; what may come between
// two chunks is done here.
type chunkContent struct {
	meter
	left int64 // octets of the chunk under way
	last bool
	by   verb // RSET or QUIT, if it was withdrawn
	err  error
}

func newChunkContent(t *transport, size int64, last bool) *chunkContent {
	return &chunkContent{meter: newMeter(t), left: size, last: last}
}

func (c *chunkContent) Read(p []byte) (int, error) {
	if c.err == nil {
		c.err = c.verdict()
	}
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	for c.left == 0 {
		if c.last {
			c.err = io.EOF
			return 0, io.EOF
		}
		c.t.say(fmt.Sprintf("250 2.0.0 Ok: %d octets so far", c.size))
		if c.err = c.nextChunk(); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.take(p)
	c.err = err
	return n, err
}

func (c *chunkContent) take(p []byte) (int, error) {
	if c.t.r == c.t.w {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(int64(len(p)), c.left)], c.t.in[c.t.r:c.t.w])
	c.t.r += n
	c.left -= int64(n)
	c.count(p[:n])
	return n, nil
}

// nextChunk reads commands until there is another chunk.
func (c *chunkContent) nextChunk() error {
	for {
		line, err := c.t.line(c.t.commandDeadline(true))
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		switch cmd := parseCommand(line); cmd.verb {
		case verbBDAT:
			size, last, ok := parseChunk(cmd.arg)
			if !ok {
				return errBadChunk
			}
			c.left, c.last = size, last
			return nil
		case verbNOOP:
			c.t.say("250 2.0.0 Ok")
		case verbRSET, verbQUIT:
			c.by = cmd.verb
			return errWithdrawn
		default:
			c.t.say("503 5.5.1 Finish the message with BDAT, or give it up with RSET")
		}
	}
}

// errBadChunk: nobody knows how many octets follow, so that they cannot be told
// from commands.
var errBadChunk = errors.New("malformed BDAT")

// discard reads the rest of the chunk under way. Chunks that the client has
// sent ahead are refused each, as they belong to no transaction any more.
func (c *chunkContent) discard() error {
	if c.by != "" || c.t.failed != nil || c.err == errBadChunk || c.err == errTooLong {
		return c.err
	}
	b := discards.Get().(*[]byte)
	defer discards.Put(b)
	for c.left > 0 {
		if c.size+c.left > 4*c.limit+64<<20 {
			return errEndless
		}
		if _, err := c.take(*b); err != nil {
			return err
		}
	}
	return nil
}
