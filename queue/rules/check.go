package rules

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

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
	// MaxCredential is how many octets the id of a credential may have.
	MaxCredential = 256
)

// Enqueue reports what is wrong with a request to enqueue, apart from its
// content: the ids, the number of recipients (1 to queue.MaxRecipients), the
// states that they start in, the labels (see queue.Labels) and the lengths of
// names (MaxLane, MaxAccount, MaxKey, MaxCredential). Who is final already needs
// no lane.
func Enqueue(r *queue.EnqueueRequest) error {
	m := &r.Message
	switch {
	case m.ID.IsZero() || m.ID[14]|m.ID[15] != 0:
		return errors.New("the message has no proper id")
	case len(r.Recipients) == 0 || len(r.Recipients) > queue.MaxRecipients:
		return fmt.Errorf("it has %d recipients, and may have 1 to %d", len(r.Recipients), queue.MaxRecipients)
	case len(m.Account) > MaxAccount || len(r.Idempotency.Key) > MaxKey:
		return errors.New("the name of its account or its idempotency key is too long")
	case len(m.Credential) > MaxCredential:
		return fmt.Errorf("the id of its credential has %d octets, and may have %d", len(m.Credential), MaxCredential)
	}
	if err := labels(&m.Labels); err != nil {
		return err
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

// labels reports what labels may not be.
func labels(l *queue.Labels) error {
	switch {
	case len(l.Stream) > queue.MaxStream || !utf8.ValidString(l.Stream):
		return fmt.Errorf("its stream has more than %d octets, or is no UTF-8", queue.MaxStream)
	case len(l.List) > queue.MaxList || !utf8.ValidString(l.List):
		return fmt.Errorf("its list has more than %d octets, or is no UTF-8", queue.MaxList)
	case len(l.Tags) > queue.MaxTags:
		return fmt.Errorf("it has %d tags, and may have %d", len(l.Tags), queue.MaxTags)
	case len(l.Metadata) > queue.MaxMetadata:
		return fmt.Errorf("its metadata has %d pairs, and may have %d", len(l.Metadata), queue.MaxMetadata)
	}
	for i, tag := range l.Tags {
		switch {
		case tag == "" || len(tag) > queue.MaxTag || !utf8.ValidString(tag):
			return fmt.Errorf("tag %d is empty, has more than %d octets, or is no UTF-8", i, queue.MaxTag)
		case slices.Contains(l.Tags[:i], tag):
			return fmt.Errorf("tag %d is there twice", i)
		}
	}
	octets := 0
	for name, value := range l.Metadata {
		octets += len(name) + len(value)
		if name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return errors.New("a name of its metadata is empty, or it is no UTF-8")
		}
	}
	if octets > queue.MaxMetadataBytes {
		return fmt.Errorf("its metadata has %d octets, and may have %d", octets, queue.MaxMetadataBytes)
	}
	return nil
}

// Operation reports what is wrong with an operation, apart from its filter.
func Operation(op *queue.Operation) error {
	switch {
	case Concerns(op.Action) == nil:
		return fmt.Errorf("%s is no action", op.Action)
	case op.Action == queue.ActionReschedule && op.Due.IsZero() && op.ExpiresAt.IsZero():
		return errors.New("neither another time nor another end is given")
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
