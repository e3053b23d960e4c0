package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// Explainer says what keeps the recipients of a message from being tried.
type Explainer interface {
	// Why returns what binds now. It is quick: what it cannot find out it leaves
	// out.
	Why(ctx context.Context, e queue.Entry) ([]Hindrance, error)
	// Route says in words where a recipient that is not final is sent, at which
	// step of its route, from which source and with which TLS; empty if that is
	// not known.
	Route(m *queue.Message, r *queue.Recipient) string
}

// Hindrance is a limit or a rule that binds.
type Hindrance struct {
	Recipient queue.RecipientID // zero: of all
	Kind      string            // "suspension", "site_paused", "site_rate", "site_connections", "port25", …
	Detail    string            // for people, with what to do
	Until     time.Time         // zero: not known
}

func (s *Server) why(ctx context.Context, in *messageInput) (*answer[v1.Why], error) {
	e, err := s.message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var binds []Hindrance
	if s.o.Why != nil && slices.ContainsFunc(e.Recipients, func(r queue.Recipient) bool { return !r.State.Final() }) {
		if binds, err = s.o.Why.Why(ctx, e); err != nil {
			return nil, err
		}
	}
	v := v1.Why{ID: e.Message.ID.String(), Data: make([]v1.RecipientWhy, 0, len(e.Recipients))}
	for _, r := range e.Recipients {
		v.Data = append(v.Data, s.whyOf(e.Message, r, binds))
	}
	return answerOf(v), nil
}

func (s *Server) whyOf(m queue.Message, r queue.Recipient, binds []Hindrance) v1.RecipientWhy {
	known := recipientOf(m, r)
	v := v1.RecipientWhy{
		ID: known.ID, Address: known.Address, State: known.State, Summary: s.summary(m, r), NextTry: known.NextTry,
		Attempts: known.Attempts, Last: known.Last, Class: known.Class, Advice: known.Advice, Mender: known.Mender,
	}
	if r.State.Final() {
		return v
	}
	v.ExpiresAt = timeOf(m.ExpiresAt)
	if s.o.Why != nil {
		v.Route = s.o.Why.Route(&m, &r)
	}
	for _, b := range binds {
		if b.Recipient.IsZero() || b.Recipient == r.ID {
			v.Limits = append(v.Limits, v1.Limit{Kind: b.Kind, Detail: b.Detail, Until: timeOf(b.Until)})
		}
	}
	slices.SortStableFunc(v.Limits, func(a, b v1.Limit) int { return instant(b.Until).Compare(instant(a.Until)) })
	return v
}

// summary says in one sentence where a recipient stands.
func (s *Server) summary(m queue.Message, r queue.Recipient) string {
	due := r.Due.UTC().Format(time.RFC3339)
	switch r.State {
	case queue.StateQueued:
		if r.Due.After(s.o.Now()) {
			return "It waits until " + due + " for its first try."
		}
		return "It is due, and waits for its turn."
	case queue.StateActive:
		return "It is being attempted now."
	case queue.StateDeferred:
		return fmt.Sprintf("It was tried %s without success; the next try is at %s.", times(r.Attempts), due)
	case queue.StateHeld:
		return "It is held back until it is released."
	case queue.StateScheduled:
		return "Its sender asked for it to be sent at " + due + "."
	case queue.StateDelivered:
		return "It was delivered: a mail server of its domain took it."
	case queue.StateRelayed:
		return "It was handed to a smart host; later failures are reported to the sender's address."
	case queue.StateBounced:
		return "It was refused for good."
	case queue.StateExpired:
		return "It could not be delivered before " + m.ExpiresAt.UTC().Format(time.RFC3339) + "."
	case queue.StateCancelled:
		return "It was cancelled."
	case queue.StateSuppressed:
		if r.Class == queue.ClassLocalStaging {
			return "This relay is set to staging: it was not tried."
		}
		return "Its address is on the suppression list: it was not tried."
	}
	return "Its state is " + r.State.String() + "."
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
