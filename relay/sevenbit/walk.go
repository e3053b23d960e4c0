package sevenbit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// pieceSize is how much of a line is looked at at once: more than a boundary's
	// line can have (RFC 2046 §5.1.1).
	pieceSize = 4096
	// maxHeader bounds the header of one entity, and maxDepth how deep they nest.
	maxHeader = 256 << 10
	maxDepth  = 50
)

// walker goes through a message line by line and knows which entity it is in.
type walker struct {
	in   *bufio.Reader
	mid  bool   // the piece before ended in the middle of a line
	held []byte // a boundary that came in a header: it is the next piece
	open []string

	reading bool   // a header
	header  []byte // of it, so far
	whole   bool   // it is a message's, not a part's
	now     entity // whose body it is in
	depth   int
	count   int // leaves so far
}

func newWalker(r io.Reader) *walker {
	return &walker{in: bufio.NewReaderSize(r, pieceSize), reading: true, whole: true}
}

// kind says what next returns.
type kind uint8

const (
	headerEnd kind = iota // w.header is whole, piece the empty line or nothing
	bodyPiece             // of the body of w.now
	delimiter             // a boundary, or what belongs to no part
)

// errTooLarge says that a header is longer, or parts nest deeper, than is looked at.
var errTooLarge = errors.New("a header is too long, or parts nest too deeply")

// next returns the next piece, valid until it is called again, and what it is.
// At the end of the message the error is io.EOF.
func (w *walker) next() ([]byte, kind, error) {
	for {
		if line := w.held; line != nil {
			w.held = nil
			w.boundary(line)
			return line, delimiter, nil
		}
		piece, err := w.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		if len(piece) == 0 {
			if w.reading && errors.Is(err, io.EOF) {
				w.reading = false
				return nil, headerEnd, w.begin()
			}
			return nil, 0, err
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		first := !w.mid
		w.mid = piece[len(piece)-1] != '\n'
		if first && w.reading && len(w.header) > 0 && w.delimits(piece) >= 0 {
			w.reading, w.held = false, bytes.Clone(piece)
			return nil, headerEnd, w.begin()
		}
		if first && w.boundary(piece) {
			return piece, delimiter, nil
		}
		if !w.reading {
			if w.now.form == multipart {
				return piece, delimiter, nil // preamble or epilogue
			}
			return piece, bodyPiece, nil
		}
		if first && len(bytes.TrimRight(piece, "\r\n")) == 0 {
			w.reading = false
			return piece, headerEnd, w.begin()
		}
		if len(w.header)+len(piece) > maxHeader {
			return nil, 0, errTooLarge
		}
		w.header = append(w.header, piece...)
	}
}

// begin enters the body that the header announces.
func (w *walker) begin() error {
	w.now = read(split(w.header))
	switch w.now.form {
	case leaf:
		w.count++
	case multipart:
		w.open = append(w.open, w.now.boundary)
	case enclosed:
	}
	if w.depth++; w.depth > maxDepth && w.now.form != leaf {
		return errTooLarge
	}
	return nil
}

// nested goes on to the header of the message that is the body. The caller has
// dealt with w.header.
func (w *walker) nested() {
	w.reading, w.whole, w.header = true, true, w.header[:0]
}

// boundary reports whether a line delimits a part, and enters or leaves it.
func (w *walker) boundary(line []byte) bool {
	i := w.delimits(line)
	if i < 0 {
		return false
	}
	if len(bytes.TrimRight(line, " \t\r\n")) == len("--")+len(w.open[i]) {
		w.open = w.open[:i+1]
		w.reading, w.whole, w.header = true, false, w.header[:0]
	} else {
		w.open = w.open[:i]
		w.reading, w.now = false, entity{form: multipart} // the epilogue, of nobody
	}
	w.depth = len(w.open)
	return true
}

// delimits returns which of the open multiparts a line is a boundary of; -1: none.
func (w *walker) delimits(line []byte) int {
	rest, ok := bytes.CutPrefix(line, []byte("--"))
	if !ok {
		return -1
	}
	rest = bytes.TrimRight(rest, " \t\r\n")
	for i := len(w.open) - 1; i >= 0; i-- {
		if after, ok := bytes.CutPrefix(rest, []byte(w.open[i])); ok && (len(after) == 0 || string(after) == "--") {
			return i
		}
	}
	return -1
}
