package smtpsim

import (
	"bytes"
	"errors"
	"strconv"
)

type verb uint8

const (
	verbUnknown verb = iota
	verbEhlo
	verbHelo
	verbStartTLS
	verbAuth
	verbMail
	verbRcpt
	verbData
	verbBdat
	verbRset
	verbNoop
	verbQuit
	verbVrfy
)

var verbNames = []struct {
	name string
	verb verb
}{
	{"MAIL", verbMail}, {"RCPT", verbRcpt}, {"DATA", verbData}, {"EHLO", verbEhlo}, {"HELO", verbHelo},
	{"RSET", verbRset}, {"QUIT", verbQuit}, {"NOOP", verbNoop}, {"AUTH", verbAuth},
	{"STARTTLS", verbStartTLS}, {"BDAT", verbBdat}, {"VRFY", verbVrfy},
}

// parseCommand splits a line, without its line end, into verb and argument.
func parseCommand(line []byte) (verb, []byte) {
	name, arg, _ := bytes.Cut(line, []byte{' '})
	for _, v := range verbNames {
		if len(name) == len(v.name) && equalFoldASCII(name, v.name) {
			return v.verb, bytes.TrimRight(arg, " ")
		}
	}
	return verbUnknown, arg
}

func equalFoldASCII(b []byte, upper string) bool {
	for i := range b {
		c := b[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

var (
	errNoKeyword = errors.New("FROM: or TO: expected")
	errNoPath    = errors.New("<address> expected")
	errBadParams = errors.New("malformed parameters")
)

// parsePath reads "FROM:<address> PARAM=value …", with keyword being "FROM:"
// or "TO:". The address is returned as sent, quoted strings included; a
// quoted pair or a > inside quotes does not end it. strict is false if it had
// to be lenient about blanks.
func parsePath(keyword string, arg []byte) (p Path, strict bool, err error) {
	if len(arg) < len(keyword) || !equalFoldASCII(arg[:len(keyword)], keyword) {
		return p, false, errNoKeyword
	}
	rest := arg[len(keyword):]
	trimmed := bytes.TrimLeft(rest, " ")
	strict = len(trimmed) == len(rest)
	end := pathEnd(trimmed)
	if end < 0 {
		return p, strict, errNoPath
	}
	p.Address = string(trimmed[1:end])
	rest = trimmed[end+1:]
	if len(rest) == 0 {
		return p, strict, nil
	}
	if rest[0] != ' ' {
		return p, strict, errBadParams
	}
	for param := range bytes.SplitSeq(rest[1:], []byte{' '}) {
		switch {
		case len(param) == 0:
			strict = false
		case param[0] == '=':
			return p, strict, errBadParams
		default:
			p.Params = append(p.Params, string(param))
		}
	}
	return p, strict, nil
}

// pathEnd is the index of the > that closes the < at the start, or -1.
func pathEnd(b []byte) int {
	if len(b) == 0 || b[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// parseBdat reads "size" or "size LAST".
func parseBdat(arg []byte) (size int64, last bool, err error) {
	num, tail, found := bytes.Cut(arg, []byte{' '})
	if found {
		if len(tail) != 4 || !equalFoldASCII(tail, "LAST") {
			return 0, false, errBadParams
		}
		last = true
	}
	n, err := strconv.ParseUint(string(num), 10, 62)
	if err != nil {
		return 0, false, errBadParams
	}
	return int64(n), last, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
