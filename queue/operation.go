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
}

// Operation is one Apply.
type Operation struct {
	Action Action
	Filter Filter
	Now    time.Time
	Actor  string // for the event
	Reason string // for the event
	DryRun bool   // count, change nothing
}

// Applied says what an Operation did, or would do.
type Applied struct {
	Matched int // recipients that the filter selects and the action can concern
	Changed int // recipients whose state changed
	Pending int // recipients that are active: the action follows when their lease ends without success
}
