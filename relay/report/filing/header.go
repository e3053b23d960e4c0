package filing

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postrider/queue"
	"postrider/relay/report/status"
)

// Limits of what is put in front of a message, in octets.
const (
	maxRecipientFields = 48 << 10 // X-Relay-Recipient fields together
	maxReply           = 512      // of one reply in a field
	maxName            = 256      // of an account or a subject
	lineWidth          = 78       // RFC 5322 §2.1.1
)

// field writes a header field and folds it at blanks. The value must be ASCII of
// one line.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	width := len(name) + 2
	for len(value) > 0 {
		word := len(value)
		if i := strings.IndexByte(strings.TrimLeft(value, " "), ' '); i >= 0 {
			word = i + len(value) - len(strings.TrimLeft(value, " "))
		}
		if width+word > lineWidth && value[0] == ' ' {
			b.WriteString("\r\n")
			width = 0
		}
		b.WriteString(value[:word])
		width += word
		value = value[word:]
	}
	b.WriteString("\r\n")
}

// text writes a header field of unstructured text in any script (RFC 2047).
func text(b *bytes.Buffer, name, value string) {
	field(b, name, mime.QEncoding.Encode("utf-8", clean(value)))
}

// clean makes foreign text one line without control characters; it keeps letters
// of all scripts, and drops what changes the direction of writing, since that
// could dress one address up as another.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// clipText returns at most n octets of s, and no half letter.
func clipText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// states are the words of X-Relay-Status and X-Relay-Recipient.
func stateWord(s queue.State) string {
	if s == queue.StateDelivered {
		return "sent"
	}
	return s.String()
}

// facts writes the fields that every entry begins with, and one for each of the
// recipients that it tells of.
func facts(b *bytes.Buffer, e *queue.Entry, word string, who *indexes) {
	m := &e.Message
	field(b, "X-Relay-Status", word)
	field(b, "X-Relay-Id", m.ID.String())
	field(b, "X-Relay-Account", status.Clip(status.OneLine(m.Account), maxName))
	field(b, "X-Relay-Queued", m.AcceptedAt.UTC().Format(time.RFC1123Z))
	if m.Sandbox {
		field(b, "X-Relay-Sandbox", "yes; nothing was sent")
	}
	attempts, next := 0, time.Time{}
	for i := range who.all() {
		r := &e.Recipients[i]
		attempts = max(attempts, r.Attempts)
		if !r.State.Final() && r.State != queue.StateHeld && (next.IsZero() || r.Due.Before(next)) {
			next = r.Due
		}
	}
	field(b, "X-Relay-Attempts", strconv.Itoa(attempts))
	if !next.IsZero() {
		field(b, "X-Relay-Next-Attempt", next.UTC().Format(time.RFC1123Z))
	}
	start, left := b.Len(), who.len()
	for i := range who.all() {
		if b.Len()-start > maxRecipientFields {
			field(b, "X-Relay-More-Recipients", strconv.Itoa(left))
			return
		}
		field(b, "X-Relay-Recipient", recipientFact(&e.Recipients[i]))
		left--
	}
}

// recipientFact tells where a recipient stands, and of its last attempt.
func recipientFact(r *queue.Recipient) string {
	at := r.UpdatedAt
	if r.Last != nil && r.State != queue.StateExpired && r.State != queue.StateCancelled && r.State != queue.StateHeld {
		at = r.Last.Start.Add(r.Last.Took)
	}
	b := append(make([]byte, 0, 320), status.ASCII(r.Address)...)
	b = append(append(b, "; "...), stateWord(r.State)...)
	b = at.UTC().AppendFormat(append(b, "; "...), time.RFC3339)
	if r.Last != nil {
		b = appendAttempt(b, r.Last)
	}
	b = strconv.AppendInt(append(b, "; attempts="...), int64(r.Attempts), 10)
	switch {
	case r.State == queue.StateRelayed:
		b = append(b, "; a later bounce comes to the envelope sender"...)
	case r.InDoubt:
		b = append(b, "; an earlier copy may have arrived"...)
	}
	return string(b)
}

func appendAttempt(b []byte, a *queue.Attempt) []byte {
	if a.Host != "" {
		b = appendServer(append(b, "; mx="...), a)
	}
	if a.TLS != "" {
		b = append(append(b, "; tls="...), strings.TrimSpace(status.OneLine(a.TLS+" "+a.TLSPeer))...)
	}
	if said := status.Said(a, ""); said != "" {
		b = append(append(b, "; reply="...), quote(status.Clip(status.OneLine(said), maxReply))...)
	}
	b = strconv.AppendFloat(append(b, "; t="...), a.Took.Seconds(), 'f', 1, 64)
	return append(b, 's')
}

// appendServer names whom an attempt spoke to.
func appendServer(b []byte, a *queue.Attempt) []byte {
	b = append(b, status.Clip(status.OneLine(a.Host), maxName)...)
	if a.Addr.IsValid() {
		b = a.Addr.Addr().Unmap().AppendTo(append(b, '['))
		b = strconv.AppendUint(append(b, "]:"...), uint64(a.Addr.Port()), 10)
	}
	return b
}

// quote writes a quoted-string (RFC 5322 §3.2.4).
func quote(s string) string {
	if strings.ContainsAny(s, `\"`) {
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`)
	}
	return `"` + s + `"`
}

// known writes the fields of a message whose content is no longer kept, as far as
// they are known without it.
func known(b *bytes.Buffer, e *queue.Entry) {
	m := &e.Message
	if from := author(m); !from.IsNull() {
		mailboxes(b, "From", from)
	}
	var to []queue.Address
	size := 0
	for i := range e.Recipients {
		if size += len(e.Recipients[i].Address.String()) + 4; size > maxKnownRecipients {
			break
		}
		to = append(to, e.Recipients[i].Address)
	}
	mailboxes(b, "To", to...)
	text(b, "Subject", clipText(m.Header.Subject, maxName))
	if id := messageID(m); id != "" {
		field(b, "Message-ID", id)
	}
	field(b, "Date", m.AcceptedAt.UTC().Format(time.RFC1123Z))
}

// maxKnownRecipients is how many octets of recipients are named where the content
// is gone.
const maxKnownRecipients = 4 << 10

// author is whom a message is from, for people: its author, else its sender.
func author(m *queue.Message) queue.Address {
	if !m.Header.From.IsNull() {
		return m.Header.From
	}
	return m.Envelope.ReversePath
}

// messageID returns a Message-ID in its brackets, if it has a safe one.
func messageID(m *queue.Message) string {
	id := m.Header.MessageID
	if id == "" || id != status.OneLine(id) || strings.ContainsAny(id, " <>") {
		return ""
	}
	return "<" + id + ">"
}

// mailboxes writes a field of addresses. One that is not ASCII is written as a
// group without members that is named for it, as RFC 6857 §3.1.8 does for
// those who cannot read it otherwise.
func mailboxes(b *bytes.Buffer, name string, as ...queue.Address) {
	list := make([]string, len(as))
	for i, a := range as {
		if a.ASCII() {
			list[i] = "<" + a.String() + ">"
		} else {
			list[i] = encodeWord(clean(a.String())) + ":;"
		}
	}
	field(b, name, strings.Join(list, ", "))
}
