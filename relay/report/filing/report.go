package filing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"postrider/queue"
	"postrider/relay/report/status"
)

// maxStatus bounds the part for machines, in octets.
const maxStatus = 48 << 10

// report is an entry of Deferred or Bounced: what happened to some recipients, in
// words and for machines, and the original (RFC 6522).
type report struct {
	hostname string
	entry    *queue.Entry
	history  []queue.Event
	key      key
	who      indexes // key.rcpts
	delayed  bool    // it is not over yet
	held     bool
	at       time.Time
}

// first is the first recipient that the report tells of.
func (r *report) first() int {
	for i := range r.who.all() {
		return i
	}
	return 0
}

// only reports whether all of them are in a state.
func (r *report) only(s queue.State) bool { return onlyIn(r.entry, &r.who, s) }

func onlyIn(e *queue.Entry, who *indexes, s queue.State) bool {
	for i := range who.all() {
		if e.Recipients[i].State != s {
			return false
		}
	}
	return true
}

// boundary separates the parts. It cannot be in the original unless it was
// guessed when that was written, before the message had an id.
func (r *report) boundary() string {
	m := &r.entry.Message
	h := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %s", m.ID, r.hostname, m.AcceptedAt.UnixNano(), r.key))
	return "=_" + strings.TrimPrefix(m.ID.String(), "msg_") + "_" + hex.EncodeToString(h[:8])
}

// render writes what is in front of the original, with the words of explain, and
// what is behind it. Without a content the whole report is in front.
func (r *report) render(words string) (front, back []byte) {
	var b bytes.Buffer
	facts(&b, r.entry, r.word(), &r.who)
	r.header(&b)
	m := &r.entry.Message
	boundary := r.boundary()
	eight := !r.key.gone && m.Envelope.EightBit
	if eight || !ascii(words) {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=%q\r\n\r\n", boundary)
	encoding := ""
	if !ascii(words) {
		encoding = "Content-Transfer-Encoding: 8bit\r\n"
	}
	part(&b, boundary, "text/plain; charset=utf-8", encoding)
	b.WriteString(words)
	part(&b, boundary, "message/delivery-status", "")
	r.status(&b)
	end := "\r\n--" + boundary + "--\r\n"
	if r.key.gone {
		part(&b, boundary, "text/rfc822-headers", "")
		known(&b, r.entry)
		return append(b.Bytes(), end...), nil
	}
	kind, encoding := "message/rfc822", ""
	if m.Envelope.SMTPUTF8 {
		kind = "message/global" // RFC 6533 §6
	}
	if eight {
		encoding = "Content-Transfer-Encoding: 8bit\r\n"
	}
	part(&b, boundary, kind, encoding)
	return b.Bytes(), []byte(end)
}

func part(b *bytes.Buffer, boundary, contentType, more string) {
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, contentType, more)
}

// word is the report's X-Relay-Status: that of its recipients if they agree.
func (r *report) word() string {
	switch s := r.entry.Recipients[r.first()].State; {
	case r.delayed && r.held:
		return stateWord(queue.StateHeld)
	case r.delayed:
		return stateWord(queue.StateDeferred)
	case r.only(s):
		return stateWord(s)
	}
	return stateWord(queue.StateBounced)
}

func (r *report) header(b *bytes.Buffer) {
	// Mail programs drop a name that looks like an address and is not the sender's.
	whom := strings.ReplaceAll(clean(r.entry.Recipients[r.first()].Address.String()), "@", " at ")
	if n := r.who.len() - 1; n > 0 {
		whom += fmt.Sprintf(" and %d more", n)
	}
	name := quote(whom)
	if !ascii(whom) {
		name = encodeWord(whom)
	}
	field(b, "From", name+" <mailer-daemon@"+r.hostname+">")
	if to := r.entry.Message.Envelope.ReversePath; !to.IsNull() {
		mailboxes(b, "To", to)
	} else if to := author(&r.entry.Message); !to.IsNull() {
		mailboxes(b, "To", to)
	} else {
		field(b, "To", "undisclosed-recipients:;")
	}
	text(b, "Subject", r.subject())
	field(b, "Date", r.at.UTC().Format(time.RFC1123Z))
	field(b, "Message-ID", fmt.Sprintf("<%s@%s>", strings.TrimPrefix(r.boundary(), "=_"), r.hostname))
	if id := messageID(&r.entry.Message); id != "" {
		field(b, "In-Reply-To", id)
		field(b, "References", id)
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
}

// subject says the reason in brackets, so that a list of messages tells it.
func (r *report) subject() string {
	s := r.entry.Message.Header.Subject
	if clean(s) == "" {
		s = "your message to " + r.entry.Recipients[r.first()].Address.String()
	}
	word, why := "Bounced", reasonOf(&r.entry.Recipients[r.first()]).words
	for i := range r.who.all() {
		if reasonOf(&r.entry.Recipients[i]).words != why {
			why = fmt.Sprintf("%d recipients", r.who.len())
			break
		}
	}
	switch {
	case r.delayed && r.held:
		word, why = "Delayed", why+", held"
	case r.delayed:
		word, why = "Delayed", why+", retry "+clock(r.retry(), r.at)
	case r.only(queue.StateCancelled):
		return "Cancelled: " + clipText(s, maxName)
	case why == reasons[queue.ClassLocalStaging].words && r.only(queue.StateSuppressed):
		word = "Not sent"
	}
	return word + " (" + why + "): " + clipText(s, maxName)
}

// retry is when the first of the recipients is tried next.
func (r *report) retry() (next time.Time) {
	for i := range r.who.all() {
		rc := &r.entry.Recipients[i]
		if rc.State != queue.StateHeld && (next.IsZero() || rc.Due.Before(next)) {
			next = rc.Due
		}
	}
	return next
}

// status writes the part for machines, as far as there is room.
func (r *report) status(b *bytes.Buffer) {
	s := status.Report{Hostname: r.hostname, Message: &r.entry.Message}
	s.Head(b)
	start := b.Len()
	for i := range r.who.all() {
		if b.Len()-start > maxStatus {
			return
		}
		rc := &r.entry.Recipients[i]
		act := status.Failed
		if r.delayed {
			act = status.Delayed
		}
		one := status.Recipient{
			Address: rc.Address, ORCPT: rc.ORCPT, Action: act, Attempt: rc.Last,
			Code: status.Code(act, rc.State == queue.StateExpired, rc.Last),
			Said: status.Said(rc.Last, r.reasonGiven(rc)), Until: r.entry.Message.ExpiresAt,
		}
		one.Write(b)
	}
}
