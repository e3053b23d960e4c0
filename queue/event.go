package queue

import "time"

// EventKind says what happened.
type EventKind string

// The kinds of event: the state a recipient came to, or what was done to it.
const (
	EventQueued     EventKind = "queued" // of the whole message, once
	EventDelivered  EventKind = "delivered"
	EventRelayed    EventKind = "relayed"
	EventDeferred   EventKind = "deferred"
	EventBounced    EventKind = "bounced"
	EventExpired    EventKind = "expired"
	EventCancelled  EventKind = "cancelled"
	EventSuppressed EventKind = "suppressed"
	EventHeld       EventKind = "held"
	EventReleased   EventKind = "released"
	EventRetried    EventKind = "retried"   // an operator made it due
	EventScheduled  EventKind = "scheduled" // it got another time, or its message another end
)

// Event is one change of state, written in the commit that made it.
type Event struct {
	ID       EventID
	Position Position // of this event; reading after it continues with the next one
	Kind     EventKind
	At       time.Time
	Account  string
	Message  MessageID

	// Of the recipient; zero for EventQueued.
	Recipient RecipientID
	Address   Address
	Attempt   *Attempt  // nil unless an attempt led to it
	Class     Class     // why, if it is trouble
	Due       time.Time // next attempt, for deferred, released, retried and scheduled; for queued, if it was accepted for later
	Delayed   bool      // a notice is asked for: of delay, or of success (see Settlement)
	InDoubt   bool      // an earlier copy may have arrived: see Recipient.InDoubt

	Recipients int    // how many the message has; for EventQueued only
	Actor      string // who asked, for what operators do; at most 128 bytes
	Reason     string // in words; at most 512 bytes
}

// Position is a place in the event log: an opaque token, valid for the store it
// came from, also after a restart. The empty one is the beginning of what is
// kept.
type Position string
