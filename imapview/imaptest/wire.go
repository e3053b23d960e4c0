package imaptest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a server may send.
const (
	maxLine    = 64 << 20
	maxLiteral = 64 << 20
	patience   = 30 * time.Second // for the next octet
)

// wire reads whole responses, and remembers the last of what was said.
type wire struct {
	nc   net.Conn
	r    *bufio.Reader
	said [dialogue]string
	n    int
}

// dialogue is how many lines of what was said go with a complaint.
const dialogue = 24

func newWire(nc net.Conn) *wire { return &wire{nc: nc, r: bufio.NewReaderSize(nc, 32<<10)} }

func (w *wire) note(who string, text []byte) {
	const most = 300
	line := fmt.Sprintf("%s %.*q", who, most, text)
	if len(text) > most {
		line += fmt.Sprintf(" … (%d octets)", len(text))
	}
	w.said[w.n%dialogue] = line
	w.n++
}

// complaint is an error with the dialogue that led to it.
func (w *wire) complaint(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	var lines []string
	for i := max(0, w.n-dialogue); i < w.n; i++ {
		lines = append(lines, w.said[i%dialogue])
	}
	return fmt.Errorf("%w; the dialogue ends with\n\t%s", err, strings.Join(lines, "\n\t"))
}

func (w *wire) send(text string) error {
	w.note("C:", []byte(text))
	if err := w.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(w.nc, text)
	return err
}

// silentFor reports whether nothing comes within d.
func (w *wire) silentFor(d time.Duration) (bool, error) {
	if w.r.Buffered() > 0 {
		return false, nil
	}
	if err := w.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
		return false, err
	}
	_, err := w.r.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true, nil
	}
	return false, err
}

// read returns one response: a line with the literals in it, and its CRLF.
func (w *wire) read() ([]byte, error) {
	var all []byte
	for {
		if err := w.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
		line, err := w.r.ReadBytes('\n')
		if all = append(all, line...); err != nil {
			return all, w.complaint("read, after %.100q: %w", all, err)
		}
		if len(all) > maxLine {
			return all, w.complaint("a response has more than %d octets", maxLine)
		}
		n, ok := literalAtEnd(line)
		if !ok {
			w.note("S:", all)
			return all, nil
		}
		if n > maxLiteral {
			return all, w.complaint("a literal has %d octets", n)
		}
		from := len(all)
		all = append(all, make([]byte, n)...)
		if _, err := io.ReadFull(w.r, all[from:]); err != nil {
			return all[:from], w.complaint("read a literal of %d octets: %w", n, err)
		}
	}
}

// literalAtEnd reports whether a line announces a literal, as "{12}" does.
func literalAtEnd(line []byte) (n int, ok bool) {
	rest, ok := bytes.CutSuffix(line, []byte("}\r\n"))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(rest[bytes.LastIndexByte(rest, '{')+1:]))
	return n, err == nil && n >= 0
}
