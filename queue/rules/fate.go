package rules

import (
	"time"

	"postrider/queue"
)

// Waits reports whether a recipient in the state is due at some time.
func Waits(s queue.State) bool {
	return s == queue.StateQueued || s == queue.StateDeferred || s == queue.StateScheduled
}

// Trouble reports a final state that is none of success.
func Trouble(s queue.State) bool {
	return s.Final() && s != queue.StateDelivered && s != queue.StateRelayed
}

// Concerns returns the states, apart from active, that an action is for; none
// if it is no action.
func Concerns(a queue.Action) []queue.State {
	switch a {
	case queue.ActionHold, queue.ActionRetry:
		return []queue.State{queue.StateQueued, queue.StateDeferred, queue.StateScheduled}
	case queue.ActionRelease:
		return []queue.State{queue.StateHeld}
	case queue.ActionCancel, queue.ActionExpire:
		return []queue.State{queue.StateQueued, queue.StateDeferred, queue.StateScheduled, queue.StateHeld}
	}
	return nil
}

// Act does an action to r, which is not leased, and returns what it is called
// as an event.
func Act(r *queue.Recipient, a queue.Action, now time.Time) queue.EventKind {
	switch a {
	case queue.ActionHold:
		r.State = queue.StateHeld
		return queue.EventHeld
	case queue.ActionCancel:
		r.State = queue.StateCancelled
		return queue.EventCancelled
	case queue.ActionExpire:
		r.State = queue.StateExpired
		return queue.EventExpired
	}
	kind := queue.EventReleased
	if a == queue.ActionRetry {
		kind = queue.EventRetried
	}
	if r.State == queue.StateHeld || r.Due.After(now) {
		r.Due = now
	}
	r.State = queue.StateDeferred
	if r.Attempts == 0 {
		r.State = queue.StateQueued
	}
	return kind
}

// FinalEvent is the kind of event for a state that is final.
func FinalEvent(s queue.State) queue.EventKind {
	switch s {
	case queue.StateDelivered:
		return queue.EventDelivered
	case queue.StateRelayed:
		return queue.EventRelayed
	case queue.StateBounced:
		return queue.EventBounced
	case queue.StateExpired:
		return queue.EventExpired
	case queue.StateCancelled:
		return queue.EventCancelled
	}
	return queue.EventSuppressed
}

// Event makes the next event in the life of r, and counts it there.
func Event(m *queue.Message, r *queue.Recipient, kind queue.EventKind, at time.Time) queue.Event {
	v := queue.Event{
		ID: queue.NewEventID(at, r.ID, r.Events), Kind: kind, At: at,
		Account: m.Account, Message: m.ID, Recipient: r.ID, Address: r.Address,
		Class: r.Class, InDoubt: r.InDoubt,
	}
	r.Events++
	return v
}

// Asked says who wants a pending action, why and since when.
type Asked struct {
	Actor, Reason string
	At            time.Time
}

// Outcome is the recipient r after a settlement, and the event of it. doubt says
// that an earlier lease left r in doubt; at is when it happened if there was no
// attempt; asked is who wants the action that is pending for r.
func Outcome(m *queue.Message, r queue.Recipient, doubt bool, st *queue.Settlement, at time.Time, asked func() Asked) (queue.Recipient, queue.Event) {
	before := r.Due
	r.InDoubt = doubt
	if a := st.Attempt; a != nil {
		last := *a
		at = a.Start.Add(a.Took)
		r.Attempts++
		if last.Number == 0 {
			last.Number = r.Attempts
		}
		r.Last = &last
		r.InDoubt = r.InDoubt || a.InDoubt
	}
	if st.Lane != "" {
		r.Lane = st.Lane
	}
	if st.Outcome != queue.StateDelivered && st.Outcome != queue.StateRelayed {
		r.Class = st.Class
	}
	r.Delayed = r.Delayed || st.Delayed && st.Outcome == queue.StateDeferred
	r.State, r.Due, r.UpdatedAt = st.Outcome, st.Due, at
	if r.State != queue.StateDeferred {
		r.Due = before
	}
	kind, by := settledAs(&r, st, at, asked)
	r.Pending = queue.ActionNone
	v := Event(m, &r, kind, at)
	v.Class, v.Delayed = st.Class, st.Delayed && r.State == st.Outcome
	if st.Attempt != nil {
		v.Attempt = r.Last
	}
	v.Actor, v.Reason = by.Actor, by.Reason
	if Waits(r.State) {
		v.Due = r.Due
	}
	return r, v
}

// settledAs does the action that is pending instead of an outcome that is no
// end, and returns what it is called.
func settledAs(r *queue.Recipient, st *queue.Settlement, at time.Time, asked func() Asked) (kind queue.EventKind, by Asked) {
	ends := r.Pending == queue.ActionCancel || r.Pending == queue.ActionExpire
	if r.Pending != queue.ActionNone && (st.Outcome == queue.StateDeferred || st.Outcome == queue.StateHeld && ends) {
		by = asked()
		return Act(r, r.Pending, at), by
	}
	by.Reason = st.Reason
	switch st.Outcome {
	case queue.StateDeferred:
		return queue.EventDeferred, by
	case queue.StateHeld:
		return queue.EventHeld, by
	}
	return FinalEvent(st.Outcome), by
}

// Done is the recipient r, which is not leased, after an action, and the event
// of it.
func Done(m *queue.Message, r queue.Recipient, a queue.Action, by Asked, now time.Time) (queue.Recipient, queue.Event) {
	kind := Act(&r, a, now)
	r.Pending, r.UpdatedAt = queue.ActionNone, now
	v := Event(m, &r, kind, now)
	v.Actor, v.Reason = by.Actor, by.Reason
	if Waits(r.State) {
		v.Due = r.Due
	}
	return r, v
}
