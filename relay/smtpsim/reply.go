package smtpsim

import (
	"bytes"
	"fmt"
	"strconv"
)

// reply is a default reply; code 0 is none.
type reply struct {
	code     int
	enhanced string
	lines    []string
	bare     bool // never with an enhanced code: banner, EHLO, 354
	wire     []byte
}

func say(code int, enhanced, text string) reply {
	return reply{code: code, enhanced: enhanced, lines: []string{text},
		wire: formatReply(code, enhanced, []string{text})}
}

func sayBare(code int, lines ...string) reply {
	return reply{code: code, bare: true, lines: lines, wire: formatReply(code, "", lines)}
}

// formatDefault is r on the wire, with or without enhanced codes as offered.
func (c *conn) formatDefault(r reply) []byte {
	if r.bare || !c.s.o.Capabilities.NoEnhancedCodes {
		return r.wire
	}
	return formatReply(r.code, "", r.lines)
}

func formatReply(code int, enhanced string, lines []string) []byte {
	if len(lines) == 0 {
		lines = []string{""}
	}
	var b []byte
	for i, line := range lines {
		b = fmt.Appendf(b, "%03d", code)
		if i < len(lines)-1 {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if enhanced != "" {
			b = append(append(b, enhanced...), ' ')
		}
		b = append(append(b, line...), "\r\n"...)
	}
	return b
}

// rawCode is the code of the last line of raw, or -1.
func rawCode(raw []byte) int {
	raw = bytes.TrimRight(raw, "\r\n")
	raw = raw[bytes.LastIndexByte(raw, '\n')+1:]
	if len(raw) < 3 || len(raw) > 3 && raw[3] != ' ' {
		return -1
	}
	code, err := strconv.Atoi(string(raw[:3]))
	if err != nil || code < 200 || code > 599 {
		return -1
	}
	return code
}

// replies are the fixed default replies of a Server, made once.
type replies struct {
	banner, helo, ok, rset, mail, rcpt, data, dot, chunk, bye, tls, noTLS, noTLSNow, authed, authFailed, needAuth, needTLS,
	tooMany, tooBig, unknown, syntax, badParam, sequence, idle, vrfy, authNot reply
}

func newReplies(host string) replies {
	return replies{
		banner:     sayBare(220, host+" ESMTP"),
		helo:       sayBare(250, host),
		ok:         say(250, "2.0.0", "Ok"),
		rset:       say(250, "2.0.0", "Reset"),
		mail:       say(250, "2.1.0", "Sender ok"),
		rcpt:       say(250, "2.1.5", "Recipient ok"),
		data:       sayBare(354, "End data with <CR><LF>.<CR><LF>"),
		dot:        say(250, "2.0.0", "Ok: queued"),
		chunk:      say(250, "2.0.0", "Chunk ok"),
		bye:        say(221, "2.0.0", host+" closing"),
		tls:        say(220, "2.0.0", "Ready to start TLS"),
		noTLS:      say(502, "5.5.1", "STARTTLS not available"),
		noTLSNow:   say(503, "5.5.1", "TLS already active"),
		authed:     say(235, "2.7.0", "Authenticated"),
		authFailed: say(535, "5.7.8", "Authentication credentials invalid"),
		authNot:    say(504, "5.5.4", "Mechanism not available"),
		needAuth:   say(530, "5.7.0", "Authentication required"),
		needTLS:    say(530, "5.7.0", "Must issue a STARTTLS command first"),
		tooMany:    say(452, "4.5.3", "Too many recipients"),
		tooBig:     say(552, "5.3.4", "Message too big"),
		unknown:    say(500, "5.5.1", "Command not recognised"),
		syntax:     say(501, "5.5.4", "Syntax error"),
		badParam:   say(555, "5.5.4", "Parameter not recognised"),
		sequence:   say(503, "5.5.1", "Bad sequence of commands"),
		idle:       say(421, "4.4.2", host+" idle for too long"),
		vrfy:       say(252, "2.1.5", "Send some mail, I will try my best"),
	}
}
