// Package send is the one way in for mail over HTTP, whatever surface of the API
// it came by: it checks a request, composes the message, and hands it to the
// relay's one door (queue.Submitter).
package send

import (
	"context"
	"io"
	"time"

	"postrider/api/access"
	"postrider/api/compose"
	"postrider/api/unsubscribe"
	"postrider/queue"
)

// Request is one message to send. Either Message is set or Raw.
type Request struct {
	Message *compose.Message // to be composed

	// Raw is a whole message (RFC 5322), streamed to the store as it is read, for
	// the recipients RawTo. With RawTo empty they are taken from its To, Cc and
	// Bcc fields. Bcc is removed. It is read to its end only if all goes well.
	Raw   io.Reader
	RawTo []queue.Address

	EnvelopeFrom *queue.Address // nil: the author's address, of Raw: that of Sender or From
	Labels       queue.Labels   // Stream empty: the caller's, else "transactional"
	Priority     queue.Priority
	ScheduledAt  time.Time // zero: now
	ExpiresAt    time.Time // zero: after the account's lifetime
	RequireTLS   bool
	StrictTLS    bool // REQUIRETLS (RFC 8689); with RequireTLS
	Sandbox      bool
	Unsubscribe  *Unsubscribe // nil: as the stream says

	// IdempotencyKey is 1 to 255 visible ASCII letters, or the same as a string of
	// RFC 8941 in quotes; empty for none.
	IdempotencyKey string
	// Operation keeps keys of different operations apart in the fingerprint only:
	// the key space is the account's, also for SMTP.
	Operation string // such as "POST /v1/messages"
	// Fingerprint is the SHA-256 of the canonical request; zero: computed from all
	// of the above. A surface whose requests say times relative to now gives one.
	Fingerprint [32]byte
}

// Unsubscribe says how recipients of a list leave it (RFC 8058, RFC 2369).
type Unsubscribe = unsubscribe.Offer

// UnsubscribeMode says who makes the link.
type UnsubscribeMode = unsubscribe.Mode

// The modes.
const (
	UnsubscribeNone     = unsubscribe.None
	UnsubscribeOneClick = unsubscribe.OneClick // we mint it
	UnsubscribeCustom   = unsubscribe.Custom   // the sender has one
)

// Receipt is what became of a request that was accepted.
type Receipt struct {
	ID         queue.MessageID
	MessageID  string // without angle brackets
	Account    string
	Stream     string
	CreatedAt  time.Time
	Recipients []Recipient
	Replayed   bool // an earlier request had the same idempotency key
	Held       bool
	Scheduled  bool
	Sandbox    bool
}

// Recipient is one recipient of a Receipt.
type Recipient struct {
	ID         queue.RecipientID
	Address    queue.Address
	Type       string // "to", "cc" or "bcc"
	Suppressed bool
}

// Sender sends for callers. Implementations are safe for concurrent use.
type Sender interface {
	// Send makes one message durable. Its errors are *Error for what the caller
	// can mend or wait for; any other is our own trouble.
	Send(ctx context.Context, c access.Caller, r Request) (Receipt, error)
	// Check does all of Send that needs no content, and sends nothing.
	Check(ctx context.Context, c access.Caller, r Request) error
}
