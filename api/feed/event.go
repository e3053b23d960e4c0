package feed

import (
	"slices"
	"time"

	"postrider/queue"
)

// Type says what happened. Callers should expect that others are added.
type Type string

// The types: those that Resend has too are named as there.
const (
	Queued     Type = "email.queued"    // accepted; of the whole message, once
	Scheduled  Type = "email.scheduled" // waits for the time that its sender asked for
	Delivered  Type = "email.delivered" // a mail exchanger of the domain took it
	Relayed    Type = "email.relayed"   // a smart host took it
	Delayed    Type = "email.delivery_delayed"
	Bounced    Type = "email.bounced"
	Expired    Type = "email.expired"
	Canceled   Type = "email.canceled"
	Suppressed Type = "email.suppressed"
	Held       Type = "email.held"
	Released   Type = "email.released"
	Retried    Type = "email.retried"
)

var types = map[queue.EventKind]Type{
	queue.EventQueued: Queued, queue.EventScheduled: Scheduled, queue.EventDelivered: Delivered, queue.EventRelayed: Relayed,
	queue.EventDeferred: Delayed, queue.EventBounced: Bounced, queue.EventExpired: Expired, queue.EventCancelled: Canceled,
	queue.EventSuppressed: Suppressed, queue.EventHeld: Held, queue.EventReleased: Released, queue.EventRetried: Retried,
}

// Types lists all types, by the life of a message.
func Types() []Type {
	return []Type{Queued, Scheduled, Delivered, Relayed, Delayed, Bounced, Expired, Canceled, Suppressed, Held, Released, Retried}
}

// Valid reports whether t is one of the types above.
func (t Type) Valid() bool { return slices.Contains(Types(), t) }

// TypeOf returns what an event of the log is called in the API.
func TypeOf(e *queue.Event) Type {
	if e.Kind == queue.EventQueued && e.Due.After(e.At) {
		return Scheduled
	}
	if t, ok := types[e.Kind]; ok {
		return t
	}
	return Type("email." + string(e.Kind))
}

// Event is one event as callers see it. The id stays the same however often and
// by whatever way it is told.
type Event struct {
	ID        string    `json:"id" doc:"Stays the same however often and by whatever way the event is told."`
	Type      Type      `json:"type"`
	Timestamp time.Time `json:"timestamp" doc:"When it happened."`
	CreatedAt time.Time `json:"created_at" doc:"The same as timestamp."`
	Sequence  int       `json:"sequence" doc:"Grows with each event of one recipient; email.queued, which is of the whole message, has 1. 0 if it is not known."`
	Data      Data      `json:"data"`
}

// Data is what an event is about. What is known of the message is absent once
// the message was forgotten.
type Data struct {
	EmailID     string `json:"email_id"`
	RecipientID string `json:"recipient_id,omitempty" doc:"Absent if the event is of the whole message."`
	Recipient   string `json:"recipient,omitempty"`
	Recipients  int    `json:"recipients,omitempty" doc:"How many the message has, in email.queued."`
	Account     string `json:"account"`

	MessageID string            `json:"message_id,omitempty" doc:"The Message-ID header field, in angle brackets."`
	From      string            `json:"from,omitempty"`
	To        []string          `json:"to,omitempty" doc:"The recipient; of the whole message, its first 50."`
	Subject   string            `json:"subject,omitempty"`
	Stream    string            `json:"stream,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Sandbox   bool              `json:"sandbox,omitempty" doc:"It was only pretended to be sent."`

	Attempt *Attempt   `json:"attempt,omitempty"`
	Bounce  *Bounce    `json:"bounce,omitempty" doc:"Of email.bounced and email.expired."`
	Advice  string     `json:"advice,omitempty" doc:"What the trouble means and what to do, for the owner of a site."`
	DueAt   *time.Time `json:"due_at,omitempty" doc:"When it is tried next."`
	InDoubt bool       `json:"in_doubt,omitempty" doc:"An earlier copy may have arrived already."`
	Actor   string     `json:"actor,omitempty" doc:"Who asked for it."`
	Reason  string     `json:"reason,omitempty"`
}

// Attempt is one try to hand a message to a next hop.
type Attempt struct {
	Number         int        `json:"number"`
	StartedAt      time.Time  `json:"started_at"`
	DurationMS     int64      `json:"duration_ms"`
	Site           string     `json:"site,omitempty"`
	MXHost         string     `json:"mx_host,omitempty"`
	MXIP           string     `json:"mx_ip,omitempty"`
	TLS            *TLS       `json:"tls,omitempty" doc:"Absent without TLS."`
	Stage          string     `json:"stage" doc:"The step that decided: route, sign, connect, tls, greeting, ehlo, auth, mail, rcpt, data, body or dot."`
	Command        string     `json:"command,omitempty" doc:"The command that was answered."`
	Code           int        `json:"code,omitempty"`
	EnhancedCode   string     `json:"enhanced_code,omitempty"`
	Response       string     `json:"response,omitempty" doc:"The peer's words; lines are joined by a line feed."`
	Error          string     `json:"error,omitempty" doc:"Our words, where no reply decided."`
	Classification string     `json:"classification,omitempty"`
	RetryAt        *time.Time `json:"retry_at,omitempty"`
	InDoubt        bool       `json:"in_doubt,omitempty"`
}

// TLS says how an attempt was protected.
type TLS struct {
	Version  string `json:"version"`
	Cipher   string `json:"cipher,omitempty"`
	Verified bool   `json:"verified"`
	Detail   string `json:"detail,omitempty" doc:"Why the peer was not verified."`
}

// Bounce says why a message was given up.
type Bounce struct {
	Type           BounceType `json:"type" enum:"hard,soft,block,policy"`
	Classification string     `json:"classification,omitempty"`
	Code           int        `json:"code,omitempty"`
	EnhancedCode   string     `json:"enhanced_code,omitempty"`
	Message        string     `json:"message"`
	Source         string     `json:"source" doc:"smtp: the next hop said so; relay: we did."`
}

// BounceType says what a bounce means for the next message to the same address.
type BounceType string

// The types of bounce.
const (
	Hard   BounceType = "hard"   // the address or its domain does not exist: do not send there again
	Soft   BounceType = "soft"   // trouble that passes
	Block  BounceType = "block"  // the sender, its address or its content is not wanted
	Policy BounceType = "policy" // a rule, size or form was not met, or nobody knows
)

// TypeOfBounce sorts the classes of bounces. Only what says for sure that there is
// no such recipient is hard, since receivers of events stop sending upon it.
func TypeOfBounce(c queue.Class) BounceType {
	switch c {
	case queue.ClassRcptUnknown, queue.ClassRcptDisabled, queue.ClassRcptMoved, queue.ClassRcptSyntax, queue.ClassDomainBad:
		return Hard
	case queue.ClassRcptFull, queue.ClassRcptRate, queue.ClassDNSTemp, queue.ClassNetConnect, queue.ClassNetTLS, queue.ClassGreylist,
		queue.ClassRateSite, queue.ClassExpired, queue.ClassSystemTemp, queue.ClassLocalTemp, queue.ClassOtherTemp:
		return Soft
	case queue.ClassBlockIP, queue.ClassBlockDomain, queue.ClassAuthNone, queue.ClassAuthSPF, queue.ClassAuthDKIM, queue.ClassAuthDMARC,
		queue.ClassAuthAlign, queue.ClassAuthPTR, queue.ClassContentSpam, queue.ClassContentVirus:
		return Block
	}
	return Policy
}
