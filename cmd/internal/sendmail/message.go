package sendmail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"unicode/utf8"
)

// maxHeld is how much of a body is kept in memory, in bytes.
const maxHeld = 1 << 20

// message is a header and a body in canonical lines. What of the body is not
// in memory can be read once, or from a temporary file as often as needed.
type message struct {
	head []byte
	held []byte
	rest io.Reader // nil if held is everything
	file *os.File  // what rest was, if it was spooled
}

// readMessage reads a body up to maxHeld or its end.
func readMessage(head, start []byte, body io.Reader) (*message, error) {
	held := bytes.NewBuffer(start)
	if _, err := io.CopyN(held, body, maxHeld); err != nil {
		if err != io.EOF {
			return nil, err
		}
		return &message{head: head, held: held.Bytes()}, nil
	}
	return &message{head: head, held: held.Bytes(), rest: body}, nil
}

// mayBeEightBit reports whether the message has a byte above 127, or has not
// been seen whole.
func (m *message) mayBeEightBit() bool {
	eightBit := func(r rune) bool { return r >= utf8.RuneSelf }
	return m.rest != nil || bytes.ContainsFunc(m.head, eightBit) || bytes.ContainsFunc(m.held, eightBit)
}

// spool makes the message readable more than once.
func (m *message) spool() error {
	if m.rest == nil {
		return nil
	}
	file, err := os.CreateTemp("", "postrider-sendmail-")
	if err != nil {
		return fail(exitCannotCreate, "temporary file: %w", err)
	}
	m.file = file
	// Without a name it is gone with the process, however that ends.
	_ = os.Remove(file.Name())
	if _, err := io.Copy(file, m.rest); err != nil {
		if isInputError(err) {
			return err
		}
		return fail(exitCannotCreate, "temporary file: %w", err)
	}
	m.rest = nil
	return nil
}

func (m *message) close() {
	if m.file != nil {
		m.file.Close()
	}
}

// writeTo writes the message as DATA wants it: dots doubled at line starts,
// without the final one.
func (m *message) writeTo(w io.Writer) error {
	d := &dotWriter{w: w, atLineStart: true}
	if _, err := d.Write(m.head); err != nil {
		return err
	}
	if _, err := d.Write(m.held); err != nil {
		return err
	}
	rest := m.rest
	if m.file != nil {
		if _, err := m.file.Seek(0, io.SeekStart); err != nil {
			return fail(exitCannotCreate, "temporary file: %w", err)
		}
		rest = m.file
	}
	if rest == nil {
		return nil
	}
	_, err := io.Copy(d, rest)
	return err
}

// dotWriter doubles the dots at the start of canonical lines (RFC 5321
// §4.5.2).
type dotWriter struct {
	w           io.Writer
	atLineStart bool
}

func (d *dotWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if d.atLineStart && p[0] == '.' {
			if _, err := io.WriteString(d.w, "."); err != nil {
				return 0, err
			}
		}
		line := p
		if end := bytes.IndexByte(p, '\n'); end >= 0 {
			line = p[:end+1]
		}
		if _, err := d.w.Write(line); err != nil {
			return 0, err
		}
		d.atLineStart = line[len(line)-1] == '\n'
		p = p[len(line):]
	}
	return total, nil
}

// inputReader tells a failure to read from every other one.
type inputReader struct{ r io.Reader }

type inputError struct{ err error }

func (e *inputError) Error() string { return "read the message: " + e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

func (r inputReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = &failure{code: exitIO, err: &inputError{err}}
	}
	return n, err
}

func isInputError(err error) bool {
	var e *inputError
	return errors.As(err, &e)
}
