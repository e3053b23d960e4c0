package submission

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/emersion/go-smtp"

	"postrider/queue"
)

// reply makes the error that go-smtp writes. go-smtp puts the enhanced code only
// on the last line of a reply, so the others carry it in their text; with it,
// each line has at most 510 octets (PHPMailer reads no more).
func reply(code int, enhanced queue.Enhanced, lines ...string) *smtp.SMTPError {
	for i, l := range lines {
		l = printable(l)
		lines[i] = l[:min(len(l), 490)]
		if i < len(lines)-1 {
			lines[i] = enhanced.String() + " " + lines[i]
		}
	}
	return &smtp.SMTPError{
		Code:         code,
		EnhancedCode: smtp.EnhancedCode{int(enhanced[0]), int(enhanced[1]), int(enhanced[2])},
		Message:      strings.Join(lines, "\n"),
	}
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// newReference names a refusal in the reply and in the log.
func newReference() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read does not fail
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// answer is the one place where an error becomes a reply. Refusals are told;
// everything else is our own trouble, temporary, and only for the log.
func (s *session) answer(err error, step verb) *smtp.SMTPError {
	var said *smtp.SMTPError
	if errors.As(err, &said) {
		return said
	}
	ref := newReference()
	var r *queue.Refusal
	if !errors.As(err, &r) {
		s.log().Error("submission failed", "command", step, "error", err, "ref", ref)
		s.d.t.s.stats.troubles.Add(1)
		return reply(451, queue.Enhanced{4, 3, 0}, "Temporary trouble of the relay, try again later", "ref="+ref)
	}
	told := *r
	if told.Reference == "" {
		told.Reference = ref
	}
	s.d.t.s.stats.refusals.Add(1)
	attrs := []any{"command", step, "code", told.Code, "status", told.Enhanced.String(), "problem", told.Problem, "ref", told.Reference}
	if err != error(r) {
		attrs = append(attrs, "error", err)
	}
	switch {
	case !s.known():
		s.d.t.s.quiet.log(slog.LevelInfo, "submission refused", append(attrs, "peer", s.d.t.peer, "helo", s.d.helo)...)
	case told.Temporary():
		s.log().Warn("submission refused", attrs...)
	default:
		s.log().Info("submission refused", attrs...)
	}
	return reply(told.Code, told.Enhanced, told.Lines()...)
}

// reword replaces the texts that are go-smtp's own: codes as the RFCs want them
// and words that echo nothing of what the client sent.
func (d *dialogue) reword(b []byte) []byte {
	code := string(b[:min(3, len(b))])
	switch {
	case d.cmd.verb == verbEHLO && code == "250":
		return d.greetingReply(b)
	case d.cmd.verb == verbHELO && code == "250":
		return fmt.Appendf(nil, "250 %s\r\n", d.t.s.o.Hostname)
	case d.spoke:
		return b
	}
	if text := d.ownText(code, string(b)); text != "" {
		return []byte(text + "\r\n")
	}
	return b
}

func (d *dialogue) ownText(code, text string) string {
	switch v := d.cmd.verb; v {
	case verbUnknown:
		if strings.Contains(text, "Too many errors") {
			return "421 4.7.0 Too many errors, closing connection"
		}
		return "500 5.5.2 Unknown command"
	case verbMAIL, verbRCPT:
		return pathText(v, code, text)
	case verbDATA, verbBDAT:
		switch code {
		case "354":
			return "354 End data with <CR><LF>.<CR><LF>"
		case "502":
			return "503 5.5.1 There is no recipient yet: send MAIL and RCPT first"
		}
	case verbAUTH:
		return authText(code, text)
	case verbNOOP, verbRSET:
		if code == "250" {
			return "250 2.0.0 Ok"
		}
	case verbVRFY:
		if code == "252" {
			return "252 2.1.5 Cannot say: send the message and see"
		}
	}
	return ""
}

func pathText(v verb, code, text string) string {
	switch {
	case code == "250" && v == verbMAIL:
		return "250 2.1.0 Ok"
	case code == "250":
		return "250 2.1.5 Ok"
	case code == "502" && v == verbMAIL:
		return "503 5.5.1 Send EHLO first"
	case code == "502":
		return "503 5.5.1 Send MAIL first"
	case code == "500", code == "504": // RFC 5321 §4.1.1.11
		return "555 5.5.4 " + string(v) + " parameter not recognized or not implemented"
	case code == "501" && strings.Contains(text, "5.5.4"):
		return "501 5.5.4 Bad " + string(v) + " parameter"
	case code == "501" && v == verbMAIL:
		return "501 5.5.2 Syntax: MAIL FROM:<address>"
	case code == "501":
		return "501 5.5.2 Syntax: RCPT TO:<address>"
	case code == "452":
		return "452 4.5.3 Too many recipients: send the message to the rest separately"
	}
	return ""
}

func authText(code, text string) string {
	switch {
	case code == "235":
		return "235 2.7.0 Authentication successful"
	case code == "454" && strings.Contains(text, "base64"): // RFC 4954 §4
		return "501 5.5.2 Cannot decode the response: base64 is expected"
	case code == "501":
		return "501 5.7.0 Authentication cancelled"
	case code == "502" && strings.Contains(text, "introduce"):
		return "503 5.5.1 Send EHLO first"
	case code == "502":
		return "501 5.5.4 Syntax: AUTH mechanism"
	}
	return ""
}

// greetingReply takes go-smtp's list of extensions, which it knows best, under
// our name, and adds STARTTLS and REQUIRETLS, since it knows nothing of TLS.
func (d *dialogue) greetingReply(b []byte) []byte {
	out := fmt.Appendf(nil, "250-%s\r\n", d.t.s.o.Hostname)
	_, extensions, _ := bytes.Cut(b, []byte("\r\n"))
	if d.mayStartTLS() {
		out = append(out, "250-STARTTLS\r\n"...)
	}
	if d.t.tls != nil { // RFC 8689 §2: offered under TLS only
		out = append(out, "250-REQUIRETLS\r\n"...)
	}
	return append(out, extensions...)
}
