package queue

import (
	"net/netip"
	"time"
)

// Limits that every part of the relay shares.
const (
	MaxRecipients      = 1000 // recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100 at least)
	MaxLeaseRecipients = 100  // recipients of one lease, and so of one SMTP transaction
)

// Priority orders messages of one account within a lane. It is a weight, not a
// wall: low-priority mail is slowed by high-priority mail, never starved.
type Priority uint8

// The priorities; the numbers are stored.
const (
	PriorityHigh   Priority = 1
	PriorityNormal Priority = 2
	PriorityLow    Priority = 3
)

// Lane is the store's opaque grouping key of deliveries that would use the same
// next hops: a static route's id, else the recipient's domain; and, behind an @,
// the source that the mail leaves from, if that is set. At most 320 bytes, never
// empty, without NUL.
type Lane string

// Envelope is what SMTP says about a message apart from its recipients.
type Envelope struct {
	ReversePath Address // the null address for mail that must not be answered
	EnvID       string  // RFC 3461 §4.4, decoded
	Ret         Ret     // RFC 3461 §4.3
	SMTPUTF8    bool    // an address or a header needs RFC 6531
	EightBit    bool    // the content has octets above 127
	RequireTLS  bool    // never sent over a connection without TLS, whatever the route says
	// StrictTLS is REQUIRETLS (RFC 8689): every hop must be proven to be the right
	// one, and ask the same of the next. RequireTLS is set as well.
	StrictTLS bool
}

// Ret says how much of a message its failure report should carry (RFC 3461 §4.3).
type Ret uint8

// The values of RET.
const (
	RetUnset   Ret = 0
	RetHeaders Ret = 1
	RetFull    Ret = 2
)

// Notify says which reports a recipient's sender wants (RFC 3461 §4.1). The zero
// value means that the sender did not say: failures, and delays at our choice.
type Notify uint8

// The values of NOTIFY, which may be joined, but for NotifyNever.
const (
	NotifyNever   Notify = 1 << 0
	NotifySuccess Notify = 1 << 1
	NotifyFailure Notify = 1 << 2
	NotifyDelay   Notify = 1 << 3
)

// Header holds the few facts of a message's header that are needed without
// reading its content.
type Header struct {
	From      Address // the first author's address; null if there is none
	Subject   string  // decoded, at most 256 bytes
	MessageID string  // without angle brackets, at most 256 bytes
}

// Limits of Labels.
const (
	MaxStream        = 64      // octets
	MaxList          = 256     // octets
	MaxTags          = 20      // of a message
	MaxTag           = 128     // octets of one
	MaxMetadata      = 50      // pairs
	MaxMetadataBytes = 4 << 10 // octets of all names and values
)

// Labels are what a sender says about a message for its own use: they are kept,
// can be searched for, and come back in events; nothing of them is sent.
type Labels struct {
	Stream   string            // what kind of mail it is, such as "transactional"; empty: not said
	List     string            // the mailing list, whose unsubscriptions hold for it; empty: none
	Tags     []string          // none is empty, each is there once
	Metadata map[string]string // no name is empty
}

// IsZero reports whether nothing was said.
func (l Labels) IsZero() bool {
	return l.Stream == "" && l.List == "" && len(l.Tags) == 0 && len(l.Metadata) == 0
}

// Source says how a message came in.
type Source struct {
	Kind   string     // "smtp", "socket", "http" or "internal" (reports we make)
	Remote netip.Addr // zero for the socket and for internal mail
	Peer   string     // the EHLO argument, or "uid=33" on the socket; at most 256 bytes
	Auth   string     // the SASL mechanism used, or "trusted"
	TLS    string     // protocol version, empty without TLS
}

// Message is an accepted message without its recipients and its content. Its
// facts never change after Enqueue, but for ExpiresAt: see ActionReschedule.
type Message struct {
	ID         MessageID
	Account    string
	Credential string // id of the key that handed it in; empty: the account's password, or none was needed
	Envelope   Envelope
	Header     Header
	Source     Source
	Labels     Labels
	Sandbox    bool // shown and reported like any other, never sent
	Priority   Priority
	AcceptedAt time.Time
	NotBefore  time.Time // when it was to be sent, as asked when it was accepted; zero: at once
	ExpiresAt  time.Time // after it, a recipient that is still open expires; never zero

	Content ContentRef
}

// SenderDomain is the domain that a message is from: that of the reverse-path, or
// of the author where that is null.
func (m *Message) SenderDomain() string {
	if d := m.Envelope.ReversePath.Domain; d != "" {
		return d
	}
	return m.Header.From.Domain
}

// ContentRef names a stored content: opaque to all but the engine that made it.
type ContentRef struct {
	Key        []byte // the engine's own; empty once the content has been removed
	Size       int64  // octets
	HeaderSize int64  // octets up to and with the empty line
}

// Recipient is one forward-path of one message, with its own fate.
type Recipient struct {
	ID      RecipientID
	Address Address
	ORCPT   string // RFC 3461 §4.2, "type;address" decoded; empty if not given
	Notify  Notify

	State    State
	Lane     Lane
	Due      time.Time // when it may be leased next; meaningless once final
	Attempts int       // attempts that were settled
	Pending  Action    // what an operator asked for while it was active

	// InDoubt says that a final dot may have been sent for it without our
	// having recorded the reply: the next copy is possibly a second one.
	InDoubt bool
	// Delayed says that the delay notice of RFC 3461 §4.1 was settled for it.
	Delayed bool

	Class     Class     // of the last attempt that did not succeed
	Last      *Attempt  // the last attempt; nil before the first
	UpdatedAt time.Time // of the last change of state
	Events    uint32    // events so far in its life; for NewEventID
}

// Entry is a message with all its recipients, in order of index.
type Entry struct {
	Message    Message
	Recipients []Recipient
}
