package rules

import (
	"slices"
	"time"

	"postrider/queue"
)

// Waits reports whether a recipient in the state is due at some time, and may be
// leased then: queued, deferred and scheduled ones.
func Waits(s queue.State) bool {
	return s == queue.StateQueued || s == queue.StateDeferred || s == queue.StateScheduled
}

// Trouble reports a final state other than delivered and relayed: the entry is
// kept for Retention.Bounced, not Retention.Sent.
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
	case queue.ActionReschedule:
		return []queue.State{queue.StateQueued, queue.StateScheduled}
	}
	return nil
}

// Concerned reports whether an action is for r, as it is or, if it is leased,
// when that has ended.
func Concerned(a queue.Action, r *queue.Recipient, leased bool) bool {
	switch {
	case leased:
		return a != queue.ActionRelease && a != queue.ActionReschedule
	case a == queue.ActionReschedule && r.Attempts > 0:
		return false
	}
	return slices.Contains(Concerns(a), r.State)
}

// Act does an action to r, which is not leased, and returns what it is called
// as an event. The action must be one that may be pending (all but
// queue.ActionReschedule), and concern the state of r (see Concerns).
// Released and retried ones are due now at the latest, retried ones that were due
// before keep their turn. Act leaves Pending, UpdatedAt and Events to its caller:
// see Done.
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

// Rescheduled returns the recipient r, which queue.ActionReschedule concerns (see
// Concerned), with its new time, and the event of it. One that is due already
// keeps its turn.
func Rescheduled(m *queue.Message, r queue.Recipient, op *queue.Operation) (queue.Recipient, queue.Event) {
	switch {
	case op.Due.IsZero():
	case op.Due.After(op.Now):
		r.State, r.Due = queue.StateScheduled, op.Due
	default:
		r.State = queue.StateQueued
		if r.Due.After(op.Now) {
			r.Due = op.Now
		}
	}
	r.UpdatedAt = op.Now
	v := Event(m, &r, queue.EventScheduled, op.Now)
	v.Actor, v.Reason, v.Due = op.Actor, op.Reason, r.Due
	return r, v
}

// FinalEvent returns the kind of event for a state, which must be final.
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

// Ended makes the event of r, which is final from the beginning, with the attempt
// that says why.
func Ended(m *queue.Message, r *queue.Recipient, at time.Time) queue.Event {
	v := Event(m, r, FinalEvent(r.State), at)
	v.Attempt = r.Last
	return v
}

// Event makes the next event in the life of r, and counts it in r.Events. Its
// Position and what belongs to single kinds (Attempt, Due, Delayed, Actor, Reason)
// are not set.
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
	Actor, Reason string    // as in queue.Operation
	At            time.Time // Operation.Now
}

// Outcome returns the recipient r after a settlement, which must be a proper one
// (see Settlements), and the event of it. What it is given stays as it is. doubt
// says that a copy was in doubt before the attempt that is settled; at is when it
// happened if there was no attempt. An action that is pending for r is done
// instead of deferring it, and cancel and expire also instead of holding it; only
// then asked is called, once, for who wanted it.
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

// Done returns the recipient r, which is not leased, after an action that
// concerns its state (see Concerns), at the time now and by the one who asked, and
// the event of it. Nothing is pending then.
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
