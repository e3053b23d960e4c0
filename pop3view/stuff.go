package pop3view

import (
	"bytes"
	"io"
)

// stuffer writes a multi-line reply: a dot in front of each line that begins
// with one (RFC 1939 §3). Lines begin after LF, for that is how clients read
// them; our entries have CR LF.
type stuffer struct {
	w         io.Writer
	lineStart bool
}

func (s *stuffer) write(p []byte) error {
	for len(p) > 0 {
		if s.lineStart && p[0] == '.' {
			if _, err := s.w.Write([]byte{'.'}); err != nil {
				return err
			}
		}
		n := dotAfterLine(p)
		if _, err := s.w.Write(p[:n]); err != nil {
			return err
		}
		s.lineStart = p[n-1] == '\n'
		p = p[n:]
	}
	return nil
}

// dotAfterLine returns where the first line begins with a dot, the beginning of
// p excepted; else all of p.
func dotAfterLine(p []byte) int {
	if i := bytes.Index(p, []byte("\n.")); i >= 0 {
		return i + 1
	}
	return len(p)
}

// end ends the last line, and the reply.
func (s *stuffer) end() error {
	if !s.lineStart {
		if _, err := io.WriteString(s.w, "\r\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(s.w, ".\r\n")
	return err
}

// everything is the reach of RETR.
type everything struct{}

func (everything) take(p []byte) (int, bool) { return len(p), false }

// header is the reach of TOP: all up to the empty line, and some lines behind it.
type header struct {
	lines   int // of the body that are still to be sent
	inBody  bool
	started bool // the line has something in it already
}

func (h *header) take(p []byte) (count int, done bool) {
	for {
		if h.inBody && h.lines == 0 {
			return count, true
		}
		line, _, whole := bytes.Cut(p[count:], []byte("\n"))
		h.started = h.started || len(line) > 0 && !bytes.Equal(line, []byte("\r"))
		if !whole {
			return len(p), false
		}
		count += len(line) + 1
		switch {
		case h.inBody:
			h.lines--
		case !h.started:
			h.inBody = true
		}
		h.started = false
	}
}
