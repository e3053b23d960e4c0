package filing

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/queue"
	"postrider/relay/report/status"
)

// Limits of the part for people, in octets and lines.
const (
	maxText     = 32 << 10
	maxTimeline = 40
	maxLine     = 900 // RFC 5322 §2.1.1 asks for 998 at most
)

// explain writes the part for people: the sentence, for each recipient the reason,
// the verbatim reply and what to do, and then what happened when.
func (r *report) explain() string {
	var b strings.Builder
	b.WriteString(r.sentence() + "\r\n")
	left := r.who.len()
	for i := range r.who.all() {
		if b.Len() > maxText {
			fmt.Fprintf(&b, "\r\nand %d more\r\n", left)
			break
		}
		b.WriteString("\r\n")
		if r.who.len() > 1 {
			b.WriteString(clean(r.entry.Recipients[i].Address.String()) + "\r\n")
		}
		r.recipient(&b, &r.entry.Recipients[i])
		left--
	}
	r.timeline(&b)
	return b.String()
}

// sentence says what happened to what.
func (r *report) sentence() string {
	s := "Your message"
	if subject := clean(r.entry.Message.Header.Subject); subject != "" {
		s += ` "` + clipText(subject, maxName) + `"`
	}
	whom := fmt.Sprintf("%d recipients", r.who.len())
	if r.who.len() == 1 {
		whom = clean(r.entry.Recipients[r.first()].Address.String())
	}
	s += " to " + whom
	switch {
	case r.delayed && r.held:
		s += " has not been delivered yet, and is held."
	case r.delayed:
		s += " has not been delivered yet. It is tried again until " + moment(r.entry.Message.ExpiresAt) + "; you need not send it again."
	case r.only(queue.StateCancelled):
		s += " was cancelled, and was not delivered."
	case r.only(queue.StateSuppressed):
		s += " was not sent."
	default:
		s += " was not delivered."
	}
	if r.entry.Message.Sandbox {
		s += " It was sent to the sandbox: this is what would have happened."
	}
	return wrap(s, "")
}

func moment(t time.Time) string { return t.UTC().Format("2 January 15:04 MST") }

// recipient writes the block of one recipient.
func (r *report) recipient(b *strings.Builder, rc *queue.Recipient) {
	why := reasonOf(rc).words
	if h := hardness(rc.State); h != "" && h != why {
		why += " (" + h + ")"
	}
	line(b, "Reason", why)
	said := status.Said(rc.Last, r.reasonGiven(rc))
	if said != "" {
		name := "Reply"
		if rc.Last == nil || rc.Last.Reply.Code == 0 {
			name = "Details"
		}
		line(b, name, clean(said))
	}
	if a := rc.Last; a != nil && a.Host != "" {
		line(b, "Server", spoken(a))
	}
	if rc.State != queue.StateCancelled {
		class := queue.AdviceClass(rc)
		advice := queue.Advice(class, queue.FactsOf(&r.entry.Message, rc, rc.Last, r.reasonGiven(rc)))
		line(b, "What now", wrap(clean(advice), strings.Repeat(" ", column)))
		line(b, "Up to", queue.Mender(class, !rc.State.Final()))
	}
}

const column = 10 // where the values of a block begin

func line(b *strings.Builder, name, value string) {
	fmt.Fprintf(b, "%-*s%s\r\n", column, name, breakLong(value))
}

// reasonGiven is what the last event of a recipient says in words.
func (r *report) reasonGiven(rc *queue.Recipient) string {
	for i := len(r.history) - 1; i >= 0; i-- {
		if v := &r.history[i]; v.Recipient == rc.ID && v.Reason != "" {
			return v.Reason
		}
	}
	return ""
}

// spoken tells whom an attempt spoke to and how.
func spoken(a *queue.Attempt) string {
	s := clean(a.Host)
	if a.Addr.IsValid() {
		s += fmt.Sprintf(" [%s]:%d", a.Addr.Addr().Unmap(), a.Addr.Port())
	}
	if a.TLS != "" {
		s += ", " + clean(a.TLS)
	} else if a.Addr.IsValid() {
		s += ", without TLS"
	}
	return s
}

// timeline writes what happened when: all of it, or how it began and the newest.
func (r *report) timeline(b *strings.Builder) {
	var of []*queue.Event
	for i := range r.history {
		v := &r.history[i]
		if v.Recipient.IsZero() || r.tells(v.Recipient) {
			of = append(of, v)
		}
	}
	if len(of) == 0 {
		return
	}
	b.WriteString("\r\n")
	form := "15:04:05"
	first, last := of[0].At.UTC(), of[len(of)-1].At.UTC()
	if first.Truncate(day).Equal(last.Truncate(day)) {
		fmt.Fprintf(b, "%s, UTC\r\n", first.Format("2006-01-02"))
	} else {
		form = "2006-01-02 15:04:05"
		b.WriteString("All times are UTC\r\n")
	}
	skip := len(of) - maxTimeline
	for i, v := range of {
		if i > 0 && i <= skip {
			if i == 1 {
				fmt.Fprintf(b, "%*s\r\n", len(form)+4, fmt.Sprintf("(%d more)", skip))
			}
			continue
		}
		b.WriteString(breakLong(v.At.UTC().Format(form)+"  "+r.happened(v, first)) + "\r\n")
	}
}

func (r *report) tells(id queue.RecipientID) bool {
	i := id.Index()
	return i >= 0 && i < len(r.entry.Recipients) && r.who.has(i)
}

// happened tells an event in a line.
func (r *report) happened(v *queue.Event, start time.Time) string {
	var words []string
	add := func(s string) {
		if s != "" {
			words = append(words, s)
		}
	}
	if r.who.len() > 1 && !v.Recipient.IsZero() {
		add(clean(v.Address.String()))
	}
	switch {
	case v.Kind == queue.EventQueued:
		add(accepted(&r.entry.Message))
	case v.Attempt != nil && v.Attempt.Number > 0:
		add(fmt.Sprintf("attempt %d", v.Attempt.Number))
		add(clean(v.Attempt.Host))
		add(clipText(clean(status.Said(v.Attempt, v.Reason)), 300))
	default:
		add(string(v.Kind))
		if v.Actor != "" {
			add("by " + clean(v.Actor))
		}
		add(clipText(clean(v.Reason), 300))
	}
	s := strings.Join(words, "  ")
	if v.Kind == queue.EventDeferred && !v.Due.IsZero() {
		s += ", retry " + clock(v.Due, start)
	}
	return s
}

// accepted tells how the message came in.
func accepted(m *queue.Message) string {
	s := "accepted"
	switch {
	case m.Source.Remote != (netip.Addr{}):
		s += " from " + m.Source.Remote.Unmap().String()
	case m.Source.Kind == "internal":
		return "made by this relay"
	case m.Source.Kind != "":
		s += " from the " + clean(m.Source.Kind)
	}
	return s + " (account " + clipText(clean(m.Account), maxName) + ")"
}

// clock is a time of day, with the day if it is another one than that of ref.
func clock(t, ref time.Time) string {
	t = t.UTC()
	if t.Truncate(day).Equal(ref.UTC().Truncate(day)) {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// wrap breaks text into lines at blanks, and begins all but the first with indent.
func wrap(s, indent string) string {
	var b strings.Builder
	width := len(indent)
	for i, word := range strings.Fields(s) {
		switch n := utf8.RuneCountInString(word); {
		case i == 0:
			width += n
		case width+1+n > lineWidth:
			b.WriteString("\r\n" + indent)
			width = len(indent) + n
		default:
			b.WriteByte(' ')
			width += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}

// breakLong breaks lines that are longer than mail may have.
func breakLong(s string) string {
	if len(s) <= maxLine {
		return s
	}
	var b strings.Builder
	for i, l := range strings.Split(s, "\r\n") {
		if i > 0 {
			b.WriteString("\r\n")
		}
		for len(l) > maxLine {
			n := maxLine
			for !utf8.RuneStart(l[n]) {
				n--
			}
			b.WriteString(l[:n] + "\r\n" + strings.Repeat(" ", column))
			l = l[n:]
		}
		b.WriteString(l)
	}
	return b.String()
}
