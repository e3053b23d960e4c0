package syntax

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// What Options stand at if they say nothing.
const (
	DefaultMaxLine    = 64 << 10
	DefaultMaxLiteral = 4 << 10
	DefaultMaxDrain   = 64 << 10
)

// bufferSize is what a Reader holds while it waits.
const bufferSize = 4 << 10

// Options say what a Reader bears.
type Options struct {
	MaxLine    int   // octets of a command, with the literals that are taken
	MaxLiteral int64 // octets of a literal that is taken
	MaxDrain   int64 // octets of refused literals of one command that are read and thrown away

	// Continue tells the client to send its literal: it writes and flushes a line
	// that begins with "+ ".
	Continue func() error
}

// ErrTooLong says that a command is longer than may be read. What follows it cannot
// be told from it: the server says BYE.
var ErrTooLong = errors.New("the command is too long")

// Error is a command that is not obeyed. All of it was read, and the next one can
// be. The answer is BAD.
type Error struct {
	Tag     string // empty: the answer is untagged
	Name    string // of the command, if it was understood as far as that
	Mailbox string // of APPEND, if it was
	Code    string // response code of the answer: "TOOBIG" (RFC 4469), mostly empty
	Text    string // for the client
}

// Error returns the text for the client.
func (e *Error) Error() string { return e.Text }

// Reader reads the commands of one connection. It is for one goroutine at a time.
type Reader struct {
	in   *bufio.Reader
	o    Options
	utf8 bool

	left  int    // octets that this command may still have
	drain int64  // octets of refused literals that may still come
	long  []byte // a line that did not fit into the buffer of in
}

// NewReader returns a Reader of what comes from r.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxLiteral <= 0 {
		o.MaxLiteral = DefaultMaxLiteral
	}
	if o.MaxDrain <= 0 {
		o.MaxDrain = DefaultMaxDrain
	}
	if o.Continue == nil {
		o.Continue = func() error { return nil }
	}
	return &Reader{in: bufio.NewReaderSize(r, bufferSize), o: o}
}

// Reset goes on with another connection, such as after STARTTLS. What was read
// ahead of the old one is forgotten (RFC 3501 §6.2.1).
func (r *Reader) Reset(in io.Reader) { r.in.Reset(in) }

// AcceptUTF8 says that the client enabled UTF8=ACCEPT (RFC 6855): mailbox names are
// no longer in modified UTF-7, and searches name no character set.
func (r *Reader) AcceptUTF8() { r.utf8 = true }

// Buffered is how many octets are here already of what comes next.
func (r *Reader) Buffered() int { return r.in.Buffered() }

// Wait returns when something came that Next or Line would read, so that the time
// to wait for a command and the time to finish it can differ.
func (r *Reader) Wait() error {
	_, err := r.in.Peek(1)
	return err
}

// Next reads one command. Empty lines are passed over. Its error is an *Error,
// ErrTooLong, or what reading or Options.Continue returned.
func (r *Reader) Next() (Command, error) {
	r.begin()
	defer r.giveBack()
	line, err := r.line()
	for err == nil && len(bytes.Trim(line, " \t")) == 0 {
		line, err = r.line()
	}
	if err != nil {
		return Command{}, err
	}
	p := &parser{r: r, line: line, whole: line, utf8: r.utf8}
	c := p.command()
	var bad *Error
	if p.err != nil && !errors.As(p.err, &bad) {
		return Command{}, p.err
	}
	if err := r.passOver(p.whole); err != nil {
		return Command{}, err
	}
	if bad != nil {
		return Command{}, bad
	}
	return c, nil
}

// Line reads one line that is no command: an answer of AUTHENTICATE, or the end of
// IDLE. It returns it without its end.
func (r *Reader) Line() (string, error) {
	r.begin()
	defer r.giveBack()
	line, err := r.line()
	return string(line), err
}

func (r *Reader) begin() {
	r.left, r.drain = r.o.MaxLine, r.o.MaxDrain
}

func (r *Reader) giveBack() { r.long = nil }

// line reads up to the next LF and cuts off the line end. What it returns is good
// until the next read.
func (r *Reader) line() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if r.left -= len(part); r.left < 0 {
			return nil, ErrTooLong
		}
		switch {
		case err == nil && len(r.long) == 0:
			return cutEnd(part), nil
		case err == nil:
			r.long = append(r.long, part...)
			return cutEnd(r.long), nil
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, part...)
		default:
			return nil, err
		}
	}
}

func cutEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// literal takes what the client announced, and asks for it first if it waits to be.
func (r *Reader) literal(n int64, waits bool) ([]byte, error) {
	if waits {
		if err := r.o.Continue(); err != nil {
			return nil, fmt.Errorf("ask for a literal: %w", err)
		}
	}
	r.left -= int(n)
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, err
	}
	return b, nil
}

// passOver reads what is still to come of a command whose current line is given:
// as long as a line ends in a literal that the client sends unasked. One that waits
// to be asked for is given up by the client when it sees the answer.
func (r *Reader) passOver(line []byte) error {
	for {
		n, waits, ok := announced(line)
		if !ok || waits {
			return nil
		}
		if r.drain -= n; r.drain < 0 {
			return ErrTooLong
		}
		if _, err := io.CopyN(io.Discard, r.in, n); err != nil {
			return err
		}
		var err error
		if line, err = r.line(); err != nil {
			return err
		}
	}
}

// announced tells whether a line ends in the announcement of a literal, "{n}" or
// "{n+}" (RFC 7888), of how many octets, and whether the client waits to be asked.
// Nothing else that is right ends so: a quoted string ends in its quote, and an atom
// holds no brace. A number beyond all measure is taken as the largest there is.
func announced(line []byte) (n int64, waits, ok bool) {
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return 0, false, false
	}
	line, unasked := bytes.CutSuffix(line, []byte("+"))
	open := bytes.LastIndexByte(line, '{')
	if open < 0 || open+1 == len(line) {
		return 0, false, false
	}
	for _, c := range line[open+1:] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
	}
	// ParseInt returns the largest number where the text is a greater one.
	n, _ = strconv.ParseInt(string(line[open+1:]), 10, 64)
	return n, !unasked, true
}
