package skeleton

import (
	"bytes"
	"io"
)

// lines cuts a stream at its LFs.
type lines struct {
	r    io.Reader
	buf  []byte
	from int // buf[from:to] is read and not given out
	to   int
	at   int64 // place of buf[from]
	mid  bool  // what was given out last has no LF
	err  error
}

// line is a line with its line end, or a piece of one that is longer than the
// buffer.
type line struct {
	text  []byte // good until the next call
	at    int64
	first bool // the line begins here
	cut   bool // the line goes on
}

// next returns io.EOF behind the last line.
func (l *lines) next() (line, error) {
	looked := l.from
	for {
		if i := bytes.IndexByte(l.buf[looked:l.to], '\n'); i >= 0 {
			return l.take(looked+i+1, false), nil
		}
		looked = l.to
		if l.from == 0 && l.to == len(l.buf) {
			return l.take(l.to, true), nil
		}
		if l.err != nil {
			if l.from < l.to && l.err == io.EOF {
				return l.take(l.to, false), nil
			}
			return line{}, l.err
		}
		looked -= l.from
		l.fill()
	}
}

func (l *lines) take(to int, cut bool) line {
	out := line{text: l.buf[l.from:to], at: l.at, first: !l.mid, cut: cut}
	l.at += int64(to - l.from)
	l.from = to
	l.mid = cut
	return out
}

// fill moves what is left to the front and reads more behind it.
func (l *lines) fill() {
	if l.from > 0 {
		l.to = copy(l.buf, l.buf[l.from:l.to])
		l.from = 0
	}
	for range 100 {
		n, err := l.r.Read(l.buf[l.to:])
		l.to += n
		l.err = err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}
