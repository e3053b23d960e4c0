// Package status writes the part of a report that is for machines, as
// message/delivery-status (RFC 3464) or message/global-delivery-status
// (RFC 6533). The report that is mailed and the one that lies in a folder have
// the same.
//
// It promises that nothing foreign adds a field or a line: all text is ASCII
// without control characters, and clipped; in the global form addresses are
// UTF-8.
package status

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"

	"postrider/queue"
)

// Action is the Action field of RFC 3464 §2.3.3.
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
)

// Report is what is said about some recipients of one message.
type Report struct {
	Hostname   string // Reporting-MTA
	Message    *queue.Message
	Recipients []Recipient
}

// Recipient is what is said about one of them.
type Recipient struct {
	Address queue.Address
	ORCPT   string
	Action  Action
	Code    queue.Enhanced
	Attempt *queue.Attempt // nil if there was none
	Said    string         // see Said
	Until   time.Time      // for delayed: when we give up
	Global  bool           // addresses as UTF-8, for message/global-delivery-status
}

// Write writes the fields of the message (RFC 3464 §2.2) and of each recipient
// (§2.3).
func (r *Report) Write(b *bytes.Buffer) {
	r.Head(b)
	for i := range r.Recipients {
		r.Recipients[i].Write(b)
	}
}

// Head writes the fields of the message alone.
func (r *Report) Head(b *bytes.Buffer) {
	fmt.Fprintf(b, "Reporting-MTA: dns; %s\r\n", r.Hostname)
	if id := r.Message.Envelope.EnvID; id != "" {
		fmt.Fprintf(b, "Original-Envelope-Id: %s\r\n", OneLine(id))
	}
	fmt.Fprintf(b, "X-Postrider-Queue-Id: %s\r\n", r.Message.ID)
	fmt.Fprintf(b, "Arrival-Date: %s\r\n", r.Message.AcceptedAt.Format(time.RFC1123Z))
}

// Write writes the fields of one recipient behind an empty line.
func (r *Recipient) Write(b *bytes.Buffer) {
	b.WriteString("\r\n")
	if kind, addr, ok := strings.Cut(r.ORCPT, ";"); ok {
		if strings.EqualFold(strings.TrimSpace(kind), "utf-8") {
			addr = r.unicode(addr)
		}
		fmt.Fprintf(b, "Original-Recipient: %s; %s\r\n", OneLine(kind), oneLine(addr, r.Global))
	}
	fmt.Fprintf(b, "Final-Recipient: %s\r\n", r.typedAddress())
	fmt.Fprintf(b, "Action: %s\r\nStatus: %s\r\n", r.Action, r.Code)
	r.attempt(b)
	if r.Action == Delayed {
		fmt.Fprintf(b, "Will-Retry-Until: %s\r\n", r.Until.Format(time.RFC1123Z))
	}
}

func (r *Recipient) attempt(b *bytes.Buffer) {
	a := r.Attempt
	if a == nil {
		return
	}
	if a.Host != "" {
		fmt.Fprintf(b, "Remote-MTA: dns; %s\r\n", OneLine(a.Host))
	}
	if a.Reply.Code != 0 && a.Host != "" {
		fmt.Fprintf(b, "Diagnostic-Code: smtp; %s\r\n", Clip(OneLine(a.Reply.String()), maxDiagnostic))
	} else if r.Said != "" {
		fmt.Fprintf(b, "Diagnostic-Code: X-Postrider; %s\r\n", Clip(OneLine(r.Said), maxDiagnostic))
	}
	fmt.Fprintf(b, "Last-Attempt-Date: %s\r\n", a.Start.Format(time.RFC1123Z))
}

const maxDiagnostic = 512

// Said is the verbatim reply to an attempt, or our own words where there was
// none; reason is what else is known.
func Said(a *queue.Attempt, reason string) string {
	switch {
	case a == nil:
		return reason
	case a.Reply.Code != 0:
		return a.Reply.String()
	case a.Error != "":
		return a.Error
	}
	return a.Reply.Text
}

// Code is the enhanced code of the attempt's reply if it has the class that the
// action needs, else the plain one (RFC 3464 §2.3.4).
func Code(act Action, expired bool, a *queue.Attempt) queue.Enhanced {
	class := map[Action]uint16{Failed: 5, Delayed: 4, Delivered: 2, Relayed: 2}[act]
	if expired {
		return queue.Enhanced{5, 4, 7} // RFC 3463 §3.5: delivery time expired
	}
	if a != nil && a.Reply.Enhanced[0] == class {
		return a.Reply.Enhanced
	}
	return queue.Enhanced{class, 0, 0}
}

// typedAddress writes the address with its type: rfc822 if it is ASCII, else
// utf-8 (RFC 6533 §3).
func (r *Recipient) typedAddress() string {
	if r.Address.ASCII() {
		return "rfc822; " + r.Address.String()
	}
	return "utf-8; " + oneLine(r.unicode(r.Address.String()), r.Global)
}

// unicode writes an address that may not be ASCII: as it is in the global form,
// else so that it needs no SMTPUTF8.
func (r *Recipient) unicode(addr string) string {
	if r.Global {
		return addr
	}
	return xtext(addr)
}

// ASCII writes an address in ASCII: one that is not is written in the form of
// RFC 6533 §3, "utf-8-addr-xtext" with the letters in braces.
func ASCII(a queue.Address) string {
	if a.ASCII() {
		return a.String()
	}
	return xtext(a.String())
}

func xtext(addr string) string {
	var b strings.Builder
	for _, r := range addr {
		if r <= ' ' || r > '~' || r == '\\' || r == '+' || r == '=' {
			fmt.Fprintf(&b, `\x{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// OneLine makes foreign text safe for a header field: no line ends, no control
// characters, ASCII.
func OneLine(s string) string { return oneLine(s, false) }

// oneLine is OneLine, which with global leaves other letters as they are.
func oneLine(s string, global bool) string {
	if global {
		s = strings.ToValidUTF8(s, "?")
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			return -1
		case r > '~' && !global:
			return '?'
		}
		return r
	}, s))
}

// Plain makes foreign text safe for the part that people read: one line without
// control characters or what changes the direction of writing, letters as they
// are.
func Plain(s string) string { return oneLine(s, true) }

// Clip returns at most n octets of s, and no half letter.
func Clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}
