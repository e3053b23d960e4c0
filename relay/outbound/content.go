package outbound

import (
	"bytes"
	"fmt"
	"io"
)

// Sizes of the buffers of a transaction. A block read grows by a third at most
// when its dots are stuffed ("\r\n." → "\r\n.."), so that after a flush there is
// always room for a block and the final dot.
const (
	readBlock  = 24 << 10
	writeBlock = 64 << 10
	flushAt    = writeBlock - readBlock*4/3 - 16
)

// stuffer turns content into what DATA sends (RFC 5321 §4.5.2), in blocks cut
// anywhere. Content that could be read as more than one message is an error
// that wraps ErrContent.
type stuffer struct {
	offset  int64
	midLine bool // something but CR of the current line was seen
	cr      bool // the last byte was a CR, not yet written
}

// append adds p to out.
func (s *stuffer) append(out, p []byte) ([]byte, error) {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		return out, s.refuse("a NUL", int64(i))
	}
	if s.cr && len(p) > 0 {
		if p[0] != '\n' {
			return out, s.refuse("a bare CR", -1)
		}
		out = append(out, '\r', '\n')
		s.cr, s.midLine = false, false
		s.offset++
		p = p[1:]
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		line := p
		if i >= 0 {
			line = p[:i]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr >= 0 && cr != len(line)-1:
			return out, s.refuse("a bare CR", int64(cr))
		case i >= 0 && cr < 0:
			return out, s.refuse("a bare LF", int64(i))
		}
		if !s.midLine && p[0] == '.' {
			out = append(out, '.')
		}
		if i >= 0 {
			out = append(out, p[:i+1]...)
			p = p[i+1:]
			s.midLine = false
			s.offset += int64(i + 1)
			continue
		}
		if cr >= 0 {
			s.cr = true
			line = line[:cr]
		}
		if len(line) > 0 {
			s.midLine = true
		}
		s.offset += int64(len(p))
		return append(out, line...), nil
	}
	return out, nil
}

func (s *stuffer) refuse(what string, at int64) error {
	return fmt.Errorf("%w: %s at octet %d", ErrContent, what, s.offset+at)
}

// end adds the final CRLF if it is missing, and the dot.
func (s *stuffer) end(out []byte) ([]byte, error) {
	if s.cr {
		return out, s.refuse("a bare CR", -1)
	}
	if s.midLine {
		out = append(out, '\r', '\n')
	}
	return append(out, '.', '\r', '\n'), nil
}

// stuff sends prefix and content by flush but for the last block, which it
// returns with the final dot at its end. out and block are buffers of
// writeBlock and readBlock. Errors of flush are returned as flushError.
func stuff(prefix []byte, content io.Reader, out, block []byte, flush func([]byte) error) ([]byte, error) {
	var s stuffer
	out = out[:0]
	add := func(p []byte) (err error) {
		if len(out) > flushAt {
			if err := flush(out); err != nil {
				return flushError{err}
			}
			out = out[:0]
		}
		out, err = s.append(out, p)
		return err
	}
	for len(prefix) > 0 {
		n := min(len(prefix), readBlock)
		if err := add(prefix[:n]); err != nil {
			return nil, err
		}
		prefix = prefix[n:]
	}
	for {
		n, err := content.Read(block[:readBlock])
		if n > 0 {
			if err := add(block[:n]); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read content: %w", err)
		}
	}
	if len(out) > writeBlock-8 {
		if err := flush(out); err != nil {
			return nil, flushError{err}
		}
		out = out[:0]
	}
	return s.end(out)
}

// flushError tells trouble with the peer from trouble with the content.
type flushError struct{ error }

func (e flushError) Unwrap() error { return e.error }
