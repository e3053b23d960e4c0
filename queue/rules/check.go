package rules

import (
	"errors"
	"fmt"

	"postrider/queue"
)

// MaxLane is how many octets a lane may have.
const MaxLane = 320

// Enqueue reports what is wrong with a request to enqueue, apart from its
// content.
func Enqueue(r *queue.EnqueueRequest) error {
	m := &r.Message
	switch {
	case m.ID.IsZero() || m.ID[14]|m.ID[15] != 0:
		return errors.New("the message has no proper id")
	case len(r.Recipients) == 0 || len(r.Recipients) > queue.MaxRecipients:
		return fmt.Errorf("it has %d recipients, and may have 1 to %d", len(r.Recipients), queue.MaxRecipients)
	case len(m.Account) > 1024 || len(r.Idempotency.Key) > 4096:
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

// Settlements reports what is wrong with settlements of a lease, and returns
// whom they are of.
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
