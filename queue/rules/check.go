package rules

import (
	"errors"
	"fmt"
	"slices"

	"postrider/queue"
)

// Limits in octets.
const (
	// MaxLane is how many octets the name of a lane may have.
	MaxLane = 320
	// MaxAccount is how many octets the name of an account may have.
	MaxAccount = 1024
	// MaxKey is how many octets an idempotency key may have.
	MaxKey = 4096
)

// Enqueue reports what is wrong with a request to enqueue, apart from its
// content: the ids, the number of recipients (1 to queue.MaxRecipients), the
// states that they start in and the lengths of names (MaxLane, MaxAccount,
// MaxKey). Who is final already needs no lane.
func Enqueue(r *queue.EnqueueRequest) error {
	m := &r.Message
	switch {
	case m.ID.IsZero() || m.ID[14]|m.ID[15] != 0:
		return errors.New("the message has no proper id")
	case len(r.Recipients) == 0 || len(r.Recipients) > queue.MaxRecipients:
		return fmt.Errorf("it has %d recipients, and may have 1 to %d", len(r.Recipients), queue.MaxRecipients)
	case len(m.Account) > MaxAccount || len(r.Idempotency.Key) > MaxKey:
		return errors.New("the name of its account or its idempotency key is too long")
	}
	for i := range r.Recipients {
		rcpt := &r.Recipients[i]
		switch st := rcpt.State; {
		case rcpt.ID != m.ID.Recipient(i):
			return fmt.Errorf("recipient %d has the id %s", i, rcpt.ID)
		case st != queue.StateQueued && st != queue.StateScheduled && st != queue.StateHeld && !st.Final():
			return fmt.Errorf("recipient %s starts as %s", rcpt.ID, st)
		case !st.Final() && (rcpt.Lane == "" || len(rcpt.Lane) > MaxLane):
			return fmt.Errorf("recipient %s has the lane %.330q", rcpt.ID, rcpt.Lane)
		}
	}
	return nil
}

// Import reports what is wrong with a message from an archive. It is asked for
// what Enqueue asks for, but that its recipients may be in any state that is
// stored, which is all but active.
func Import(v *queue.Entry) error {
	starts := slices.Clone(v.Recipients)
	for i := range starts {
		switch r := &starts[i]; {
		case r.State == queue.StateActive || !r.State.Valid():
			return fmt.Errorf("recipient %s is %s", r.ID, r.State)
		case r.State == queue.StateDeferred:
			r.State = queue.StateQueued
		}
	}
	return Enqueue(&queue.EnqueueRequest{Message: v.Message, Recipients: starts})
}

// Settlements reports what is wrong with settlements of a lease, and returns
// whom they are of, in their order: they must be of the message of the lease,
// end, defer or hold, and name a lane of at most MaxLane octets, or none. That
// the lease has these recipients, and each is settled once, is left to the
// engine.
func Settlements(l *queue.Lease, ss []queue.Settlement) ([]queue.RecipientID, error) {
	ids := make([]queue.RecipientID, len(ss))
	for i := range ss {
		o := ss[i].Outcome
		switch {
		case ss[i].Recipient.Message() != l.Message.ID:
			return nil, fmt.Errorf("recipient %s is of another message", ss[i].Recipient)
		case o != queue.StateDeferred && o != queue.StateHeld && !o.Final():
			return nil, fmt.Errorf("recipient %s cannot become %s", ss[i].Recipient, o)
		case len(ss[i].Lane) > MaxLane:
			return nil, fmt.Errorf("the lane is longer than %d bytes", MaxLane)
		}
		ids[i] = ss[i].Recipient
	}
	return ids, nil
}
