package submission

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// verb is the first word of a command line.
type verb string

const (
	verbEHLO     verb = "EHLO"
	verbHELO     verb = "HELO"
	verbMAIL     verb = "MAIL"
	verbRCPT     verb = "RCPT"
	verbDATA     verb = "DATA"
	verbBDAT     verb = "BDAT"
	verbAUTH     verb = "AUTH"
	verbSTARTTLS verb = "STARTTLS"
	verbRSET     verb = "RSET"
	verbNOOP     verb = "NOOP"
	verbVRFY     verb = "VRFY"
	verbQUIT     verb = "QUIT"
	verbHELP     verb = "HELP"
	verbEXPN     verb = "EXPN"
	verbUnknown  verb = ""
)

// command is one line, taken apart.
type command struct {
	verb verb
	arg  string // what follows the verb, trimmed

	// Of MAIL and RCPT:
	path    path
	params  string // without SIZE and AUTH, which are ours
	size    uint64 // of MAIL; what does not fit is the largest number
	unsafe  bool   // control characters, or not UTF-8
	badSize bool
}

// path is a forward- or reverse-path as the client wrote it.
type path struct {
	text string // between the angle brackets, or what stands in their place
	ok   bool   // it had the shape of a path; what is in it is not checked
}

// parseCommand takes a line apart; its end may be CR LF or LF.
func parseCommand(line []byte) command {
	s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	word, arg, _ := strings.Cut(s, " ")
	c := command{verb: knownVerb(word), arg: strings.Trim(arg, " \t"), unsafe: !isSafe(s)}
	switch c.verb {
	case verbMAIL:
		c.parsePath("FROM:")
	case verbRCPT:
		c.parsePath("TO:")
	}
	return c
}

func knownVerb(word string) verb {
	switch v := verb(strings.ToUpper(word)); v {
	case verbEHLO, verbHELO, verbMAIL, verbRCPT, verbDATA, verbBDAT, verbAUTH,
		verbSTARTTLS, verbRSET, verbNOOP, verbVRFY, verbQUIT, verbHELP, verbEXPN:
		return v
	}
	return verbUnknown
}

// isSafe reports whether s is UTF-8 without characters that could be read as the
// end of a line or change what a terminal or a log shows. Tab is a space.
func isSafe(s string) bool {
	for _, r := range s {
		if r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return utf8.ValidString(s)
}

func (c *command) parsePath(keyword string) {
	if len(c.arg) < len(keyword) || !strings.EqualFold(c.arg[:len(keyword)], keyword) {
		return
	}
	rest := strings.TrimLeft(c.arg[len(keyword):], " \t")
	var params string
	c.path, params = cutPath(rest)
	c.takeParams(params)
}

// cutPath finds the end of a path: the first ">" outside quotes, or, for the
// many who forget the brackets, the first space outside quotes.
func cutPath(s string) (p path, params string) {
	bracketed := strings.HasPrefix(s, "<")
	start := 0
	if bracketed {
		start = 1
	}
	quoted := false
	for i := start; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '\\' && quoted:
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case bracketed && ch == '>':
			if i+1 < len(s) && s[i+1] != ' ' && s[i+1] != '\t' {
				return path{text: s}, ""
			}
			return path{text: s[1:i], ok: true}, s[i+1:]
		case !bracketed && (ch == ' ' || ch == '\t'):
			return path{text: s[:i], ok: i > 0}, s[i:]
		}
	}
	return path{text: s, ok: !bracketed && !quoted && s != ""}, ""
}

// takeParams keeps the parameters for go-smtp, but for two: SIZE, so that the
// refusal can name both numbers and any number is understood, and AUTH, whose
// claim about the author nobody here believes (RFC 4954 §5 allows to ignore it).
func (c *command) takeParams(s string) {
	var kept []string
	for p := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(p, "=")
		switch {
		case c.verb == verbMAIL && strings.EqualFold(key, "SIZE"):
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil && !isDigits(value) {
				c.badSize = true
			}
			c.size = n
		case c.verb == verbMAIL && strings.EqualFold(key, "AUTH"):
		default:
			kept = append(kept, p)
		}
	}
	c.params = strings.Join(kept, " ")
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// parseChunk reads the argument of BDAT (RFC 3030 §2).
func parseChunk(arg string) (size int64, last, ok bool) {
	fields := strings.Fields(arg)
	if len(fields) == 0 || len(fields) > 2 || !isDigits(fields[0]) {
		return 0, false, false
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || len(fields) == 2 && !strings.EqualFold(fields[1], "LAST") {
		return 0, false, false
	}
	return size, len(fields) == 2, true
}

// speaksHTTP recognises a browser that was made to talk to us (cross-protocol
// attacks such as ALPACA).
func speaksHTTP(line []byte) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(string(line[:min(len(line), 16)])), " ")
	switch strings.ToUpper(word) {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI", "HOST:":
		return true
	}
	return false
}
