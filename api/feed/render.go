package feed

import (
	"strings"
	"time"

	"postrider/queue"
)

// Render makes the API's event of one of the log and of what is known of its
// message, which may be nothing.
func Render(e *queue.Event, f *Facts) Event {
	at := stamp(e.At)
	v := Event{
		ID: e.ID.String(), Type: TypeOf(e), Timestamp: at, CreatedAt: at, Sequence: sequence(e),
		Data: Data{
			EmailID: e.Message.String(), Account: e.Account, Recipients: e.Recipients, InDoubt: e.InDoubt,
			Actor: e.Actor, Reason: e.Reason, DueAt: optional(e.Due), Attempt: attemptOf(e),
		},
	}
	d := &v.Data
	if !e.Recipient.IsZero() {
		d.RecipientID, d.Recipient = e.Recipient.String(), e.Address.String()
		d.To = []string{d.Recipient}
	}
	if f != nil {
		d.describe(e, f)
	}
	switch e.Kind {
	case queue.EventBounced, queue.EventExpired:
		d.Bounce = bounceOf(e)
		d.Advice = adviceOf(e, f)
	case queue.EventDeferred, queue.EventSuppressed, queue.EventHeld:
		d.Advice = adviceOf(e, f)
	}
	return v
}

func (d *Data) describe(e *queue.Event, f *Facts) {
	d.From, d.Subject, d.Stream, d.Sandbox = f.From.String(), f.Subject, f.Stream, f.Sandbox
	d.Tags, d.Metadata = f.Tags, f.Metadata
	if f.MessageID != "" {
		d.MessageID = "<" + f.MessageID + ">"
	}
	if e.Recipient.IsZero() {
		d.To = f.To
	}
}

// stamp cuts a time to what the API tells: milliseconds, in UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = stamp(t)
	return &t
}

// maxSequence bounds the search of sequence.
const maxSequence = 4096

// sequence counts the events in the life of a recipient, from 2, since the
// message's email.queued has 1. The log does not hold the number, but the event's
// id is derived from it, so that trying finds it.
func sequence(e *queue.Event) int {
	if e.Recipient.IsZero() {
		return 1
	}
	for n := range uint32(maxSequence) {
		if queue.NewEventID(e.At, e.Recipient, n) == e.ID {
			return int(n) + 2
		}
	}
	return 0
}

func attemptOf(e *queue.Event) *Attempt {
	a := e.Attempt
	if a == nil {
		return nil
	}
	v := &Attempt{
		Number: a.Number, StartedAt: stamp(a.Start), DurationMS: a.Took.Milliseconds(), Site: a.Site, MXHost: a.Host, TLS: tlsOf(a),
		Stage: string(a.Stage), Command: a.Reply.Command, Code: a.Reply.Code, EnhancedCode: enhanced(a.Reply.Enhanced),
		Response: a.Reply.Text, Error: a.Error, InDoubt: a.InDoubt,
	}
	if a.Addr.IsValid() {
		v.MXIP = a.Addr.Addr().String()
	}
	if e.Kind != queue.EventDelivered && e.Kind != queue.EventRelayed {
		v.Classification = string(e.Class)
	}
	if e.Kind == queue.EventDeferred {
		v.RetryAt = optional(e.Due)
	}
	return v
}

func enhanced(c queue.Enhanced) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

func tlsOf(a *queue.Attempt) *TLS {
	if a.TLS == "" {
		return nil
	}
	t := &TLS{Verified: a.TLSPeer == "verified"}
	t.Version, t.Cipher, _ = strings.Cut(a.TLS, " ")
	if why, ok := strings.CutPrefix(a.TLSPeer, "unverified: "); ok {
		t.Detail = why
	}
	return t
}

func bounceOf(e *queue.Event) *Bounce {
	b := &Bounce{Type: TypeOfBounce(e.Class), Classification: string(e.Class), Message: e.Reason, Source: "relay"}
	if e.Kind == queue.EventExpired {
		b.Type = Soft
	}
	a := e.Attempt
	if a == nil {
		return b
	}
	b.Code, b.EnhancedCode = a.Reply.Code, enhanced(a.Reply.Enhanced)
	if a.Reply.Code != 0 {
		b.Source = "smtp"
	}
	if said := said(a); said != "" {
		b.Message = said
	}
	return b
}

// said is what decided an attempt, in words.
func said(a *queue.Attempt) string {
	if a.Reply.Text != "" {
		return a.Reply.Text
	}
	return a.Error
}

func adviceOf(e *queue.Event, f *Facts) string {
	if e.Class == queue.ClassNone {
		return ""
	}
	r := queue.Recipient{Address: e.Address, State: stateAfter(e.Kind), Class: e.Class, Due: e.Due, UpdatedAt: e.At}
	var m queue.Message
	if f != nil {
		m = f.message
	}
	return queue.Advice(queue.AdviceClass(&r), queue.FactsOf(&m, &r, e.Attempt, e.Reason))
}

// stateAfter is the state of a recipient after an event with advice.
func stateAfter(k queue.EventKind) queue.State {
	switch k {
	case queue.EventBounced:
		return queue.StateBounced
	case queue.EventExpired:
		return queue.StateExpired
	case queue.EventSuppressed:
		return queue.StateSuppressed
	case queue.EventHeld:
		return queue.StateHeld
	}
	return queue.StateDeferred
}
