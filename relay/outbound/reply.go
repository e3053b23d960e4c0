package outbound

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"postrider/queue"
)

// Limits on what a peer may say to one command.
const (
	maxReplyLine  = 4 << 10
	maxReplyLines = 128
	maxReplySize  = 64 << 10
	maxReplyText  = 1024 // what is kept of it
)

// protocolError is said of a peer that does not speak SMTP. The connection on
// which it happened is of no more use.
type protocolError string

func (e protocolError) Error() string { return "protocol error: " + string(e) }

// replyReader reads replies (RFC 5321 §4.2.1), bounded in every direction.
type replyReader struct {
	src  io.Reader
	buf  []byte // maxReplyLine, allocated with the reader
	r, w int
	text []byte
}

func newReplyReader(src io.Reader) replyReader {
	return replyReader{src: src, buf: make([]byte, maxReplyLine)}
}

// rawReply is a reply as it came; text is valid until the next one is read.
type rawReply struct {
	code int
	text []byte // lines joined by LF, without reply codes
}

// buffered reports whether the peer has said more than was asked for.
func (r *replyReader) buffered() bool { return r.r < r.w }

func (r *replyReader) read() (rawReply, error) {
	if cap(r.text) > maxReplyLine {
		r.text = nil
	}
	r.text = r.text[:0]
	code, size := 0, 0
	for n := 0; ; n++ {
		line, err := r.line()
		if err != nil {
			return rawReply{}, err
		}
		size += len(line)
		c, text, last, err := parseReplyLine(line)
		switch {
		case err != nil:
			return rawReply{}, err
		case n > 0 && c != code:
			return rawReply{}, protocolError("the lines of a reply have different codes")
		case n == maxReplyLines:
			return rawReply{}, protocolError("a reply has more than 128 lines")
		case size > maxReplySize:
			return rawReply{}, protocolError("a reply has more than 64 KiB")
		}
		if code = c; n > 0 {
			r.text = append(r.text, '\n')
		}
		r.text = append(r.text, text...)
		if last {
			return rawReply{code: code, text: r.text}, nil
		}
	}
}

// line returns the next line with its LF, valid until the next call.
func (r *replyReader) line() ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(r.buf[r.r+seen:r.w], '\n'); i >= 0 {
			line := r.buf[r.r : r.r+seen+i+1]
			r.r += len(line)
			return line, nil
		}
		// What can no longer become a reply is not waited for.
		if err := checkReplyStart(r.buf[r.r:r.w]); err != nil {
			return nil, err
		}
		seen = r.w - r.r
		if r.r > 0 {
			copy(r.buf, r.buf[r.r:r.w])
			r.r, r.w = 0, seen
		}
		if r.w == len(r.buf) {
			return nil, protocolError("a reply has a line of more than 4 KiB")
		}
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

func checkReplyStart(b []byte) error {
	for i, c := range b[:min(len(b), 4)] {
		ok := '0' <= c && c <= '9'
		switch i {
		case 0:
			ok = '2' <= c && c <= '5'
		case 3:
			ok = c == ' ' || c == '-' || c == '\r' || c == '\n' || c == '\t'
		}
		if !ok {
			return protocolError("what came is not a reply: " + clipText(string(b[:min(len(b), 60)]), 60))
		}
	}
	return nil
}

// parseReplyLine takes a line with its LF apart. A lone LF as line end and a
// code without text are tolerated, as they are unmistakable.
func parseReplyLine(line []byte) (code int, text []byte, last bool, err error) {
	if err := checkReplyStart(line); err != nil {
		return 0, nil, false, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) < 3 {
		return 0, nil, false, protocolError("a reply line is too short")
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, nil, true, nil
	}
	return code, line[4:], line[3] != '-', nil
}

// reply makes the reply fit for the record: codes apart, no control characters.
// Of one that is too long the end stays, since many servers say there what the
// matter is, and the lines before it are cut.
func (r rawReply) reply(command string) queue.Reply {
	out := queue.Reply{Code: r.code, Command: command}
	var lines []string
	for line := range strings.Lines(string(r.text)) {
		line = strings.TrimRight(line, "\n")
		if e, rest, ok := cutEnhanced(line); ok {
			out.Enhanced, line = e, rest // the last line that has one decides
		}
		lines = append(lines, clipText(line, maxReplyText))
	}
	out.Text = strings.Join(lines, "\n")
	if len(out.Text) > maxReplyText {
		const gap = "...\n"
		last := clipText(lines[len(lines)-1], maxReplyText/2)
		head := strings.Join(lines[:len(lines)-1], "\n")
		n := min(len(head), maxReplyText-len(gap)-len(last))
		for n > 0 && n < len(head) && !utf8.RuneStart(head[n]) {
			n--
		}
		out.Text = head[:n] + gap + last
	}
	return out
}

func cutEnhanced(line string) (e queue.Enhanced, rest string, ok bool) {
	if len(line) < 5 || line[1] != '.' {
		return e, line, false
	}
	word, rest, _ := strings.Cut(line, " ")
	e, ok = queue.ParseEnhanced(word)
	if !ok {
		return queue.Enhanced{}, line, false
	}
	return e, strings.TrimLeft(rest, " "), true
}
