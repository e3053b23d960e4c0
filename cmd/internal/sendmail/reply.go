package sendmail

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// Bounds on one reply, which a relay in its right mind never comes near.
const (
	maxReplyBytes = 64 << 10
	maxReplyLines = 128
)

// reply is what the relay answered to one command.
type reply struct {
	code  int
	lines []string // without codes and line ends
}

func (r reply) positive() bool  { return r.code >= 200 && r.code < 300 }
func (r reply) temporary() bool { return r.code >= 400 && r.code < 500 }

// enhanced returns the RFC 3463 status code of the reply, or "".
func (r reply) enhanced() string {
	if len(r.lines) == 0 {
		return ""
	}
	word, _, _ := strings.Cut(r.lines[0], " ")
	if strings.Count(word, ".") != 2 || strings.Trim(word, "0123456789.") != "" {
		return ""
	}
	return word
}

func (r reply) String() string {
	return fmt.Sprintf("%d %s", r.code, strings.Join(r.lines, " / "))
}

var (
	errReplyTooLong = errors.New("the relay's reply is too long")
	errReplyFormat  = errors.New("the relay's reply is not SMTP")
)

// readReply reads one reply of any number of lines (RFC 5321 §4.2.1).
func readReply(r *bufio.Reader) (reply, error) {
	var whole reply
	budget := maxReplyBytes
	for {
		line, err := readReplyLine(r, &budget)
		if err != nil {
			return reply{}, err
		}
		code, more, text, ok := cutReplyLine(line)
		if !ok || whole.code != 0 && code != whole.code {
			return reply{}, errReplyFormat
		}
		whole.code = code
		whole.lines = append(whole.lines, text)
		if !more {
			return whole, nil
		}
		if len(whole.lines) >= maxReplyLines {
			return reply{}, errReplyTooLong
		}
	}
}

func readReplyLine(r *bufio.Reader, budget *int) (string, error) {
	var line strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		if *budget -= len(part); *budget < 0 {
			return "", errReplyTooLong
		}
		line.Write(part)
		if err == nil {
			return strings.TrimRight(line.String(), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func cutReplyLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false, "", false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(c-'0')
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}
