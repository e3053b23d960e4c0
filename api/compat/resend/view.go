package resend

import (
	"time"

	"postrider/queue"
)

// view is a message without its bodies.
func view(e queue.Entry, c stored) shown {
	v := shown{
		ID: e.Message.ID.String(), From: c.from, To: c.to, Cc: c.cc, ReplyTo: c.replyTo,
		Subject: e.Message.Header.Subject, CreatedAt: timeText(e.Message.AcceptedAt), LastEvent: lastEvent(e.Recipients),
	}
	if e.Message.Header.MessageID != "" {
		v.MessageID = "<" + e.Message.Header.MessageID + ">"
	}
	if v.From == "" {
		v.From = e.Message.Header.From.String()
	}
	named := make(map[string]bool)
	for _, list := range [][]string{c.to, c.cc} {
		for _, a := range list {
			named[fold(a)] = true
		}
	}
	for _, r := range e.Recipients {
		if a := r.Address.String(); !named[fold(a)] {
			v.Bcc = append(v.Bcc, a)
		}
		if r.State == queue.StateScheduled && v.ScheduledAt == nil {
			at := timeText(r.Due)
			v.ScheduledAt = &at
		}
	}
	if !c.known { // its header is gone, so nobody knows who was named in it
		v.To, v.Bcc = v.Bcc, nil
	}
	if v.To == nil {
		v.To = []string{}
	}
	return v
}

// fold makes addresses comparable that were written by different hands.
func fold(address string) string {
	a, err := queue.ParseAddress(address)
	if err != nil {
		return address
	}
	return a.Fold().String()
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// events are Resend's words for the states, in the order in which one of them
// stands for a message whose recipients differ: first the trouble, then what is
// still to come, then what went well, then what was not to be.
var events = []struct {
	word   string
	states []queue.State
}{
	{"bounced", []queue.State{queue.StateBounced, queue.StateExpired}},
	{"delivery_delayed", []queue.State{queue.StateDeferred}},
	{"scheduled", []queue.State{queue.StateScheduled}},
	{"queued", []queue.State{queue.StateQueued, queue.StateActive, queue.StateHeld}},
	{"delivered", []queue.State{queue.StateDelivered}},
	{"sent", []queue.State{queue.StateRelayed}},
	{"suppressed", []queue.State{queue.StateSuppressed}},
	{"canceled", []queue.State{queue.StateCancelled}},
}

func lastEvent(rs []queue.Recipient) string {
	for _, e := range events {
		for _, s := range e.states {
			for _, r := range rs {
				if r.State == s {
					return e.word
				}
			}
		}
	}
	return "queued"
}
