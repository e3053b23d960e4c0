package queue

import (
	"fmt"
	"time"
)

// Action is what an operator does to recipients that match a Filter.
type Action uint8

// The actions; the numbers are stored.
const (
	ActionNone    Action = 0
	ActionHold    Action = 1 // queued, deferred, scheduled → held
	ActionRelease Action = 2 // held → queued or deferred, due now
	ActionRetry   Action = 3 // queued, deferred, scheduled → due now
	ActionCancel  Action = 4 // anything not final → cancelled
	ActionExpire  Action = 5 // anything not final → expired

	// ActionReschedule gives those that wait for their first attempt, queued
	// and scheduled, another time for it (Operation.Due), and their messages
	// another end (Operation.ExpiresAt). Active and attempted ones stay as they
	// are.
	ActionReschedule Action = 6
)

func (a Action) String() string {
	switch a {
	case ActionNone:
		return "none"
	case ActionHold:
		return "hold"
	case ActionRelease:
		return "release"
	case ActionRetry:
		return "retry"
	case ActionCancel:
		return "cancel"
	case ActionExpire:
		return "expire"
	case ActionReschedule:
		return "reschedule"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Filter selects recipients; all the fields that are set must match. The zero
// Filter matches everything.
type Filter struct {
	Messages   []MessageID
	Recipients []RecipientID
	Account    string
	States     []State
	Lane       Lane
	Domain     string // of the recipient, folded
	Recipient  string // address, domain folded
	Sender     string // reverse-path, or "@domain" for all of one domain
	Class      Class
	Since      time.Time // accepted at or after
	Until      time.Time // accepted before

	// Of the message, as its sender wrote or labelled it.
	From       string // the first author's address, or "@domain"
	Subject    string // a part of the decoded subject, in any letter case
	MessageID  string // without angle brackets
	Stream     string
	Tag        string            // one of its tags
	Metadata   map[string]string // all of these pairs
	Credential string            // id of the key that handed it in
}

// Operation is one Apply.
type Operation struct {
	Action Action
	Filter Filter
	Now    time.Time
	Actor  string // for the event
	Reason string // for the event
	DryRun bool   // count, change nothing

	// For ActionReschedule, one of them at least.
	Due       time.Time // when it may be tried first: at once if that is not after Now; zero: as before
	ExpiresAt time.Time // of the message, with all its recipients; zero: as before
}

// Applied says what an Operation did, or would do.
type Applied struct {
	Matched int // recipients that the filter selects and the action can concern
	Changed int // recipients whose state changed
	Pending int // recipients that are active: the action follows when their lease ends without success
}
