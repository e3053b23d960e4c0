package pop3view

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLine is more than the 255 octets of RFC 2449 §4, for the base64 of
	// RFC 5034 §4.
	maxLine = 4 << 10
	// maxOverlong is what is read and thrown away of a line that is too long.
	maxOverlong = 64 << 10
)

var (
	errLineTooLong = errors.New("line is too long")
	errNoCommands  = errors.New("what comes are no commands")
)

// commandReader reads lines. They end with LF; a CR in front of it goes with it.
type commandReader struct{ b *bufio.Reader }

func newCommandReader(r io.Reader) *commandReader {
	return &commandReader{bufio.NewReaderSize(r, maxLine)}
}

// line returns the next line without its end, good until the next call. After
// errLineTooLong the line has been read to its end; all other errors are the end
// of the conversation.
func (r *commandReader) line() ([]byte, error) {
	line, err := r.b.ReadSlice('\n')
	if err == nil {
		return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
	}
	for n := len(line); errors.Is(err, bufio.ErrBufferFull); n += len(line) {
		if n > maxOverlong {
			return nil, errNoCommands
		}
		if line, err = r.b.ReadSlice('\n'); err == nil {
			return nil, errLineTooLong
		}
	}
	return nil, err
}

// restart forgets what was read ahead, and reads from another source.
func (r *commandReader) restart(from io.Reader) { r.b.Reset(from) }

// command is one line of a client. Everything behind the first blank is the
// argument, for a password may begin and end with blanks (RFC 1939 §7).
type command struct {
	verb string // upper case
	arg  string
}

func parseCommand(line []byte) command {
	verb, arg, _ := bytes.Cut(line, []byte(" "))
	return command{verb: strings.ToUpper(string(verb)), arg: string(arg)}
}

// numbers reads an argument of one to most message numbers or line counts.
func numbers(arg string, least, most int) ([]int, bool) {
	fields := strings.Fields(arg)
	if len(fields) < least || len(fields) > most {
		return nil, false
	}
	ns := make([]int, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 31)
		if err != nil {
			return nil, false
		}
		ns[i] = int(n)
	}
	return ns, true
}

// printable reports whether an argument has no control characters.
func printable(arg string) bool {
	return !strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f })
}
