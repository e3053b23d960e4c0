package queue

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Submission is a message as a client hands it over, whichever way it comes in.
type Submission struct {
	ID         MessageID // zero: the submitter makes one
	Account    string    // authenticated; decides policy, rate and who may look
	Credential string    // id of the key that was used, whose limits count too; empty for none
	Source     Source
	Labels     Labels
	Sandbox    bool // accept and report, do not send; a sandbox key means it always
	Envelope   Envelope
	Recipients []SubmittedRecipient
	Priority   Priority  // zero: normal
	NotBefore  time.Time // zero: now
	ExpiresAt  time.Time // zero: after the account's lifetime

	// IdempotencyKey makes a repeated submission return the first one's id;
	// empty for none. At most 255 printable ASCII characters. A key in the
	// message's X-Idempotency-Key header counts when this one is empty.
	IdempotencyKey string
	// Fingerprint is asked for what was submitted, after Content was read to its
	// end; nil: sender, author, subject and recipients are compared.
	Fingerprint func() [32]byte

	// Content is read once, to its end. Any line ends are accepted.
	Content io.Reader
}

// SubmittedRecipient is a forward-path as the client gave it. Address is parsed
// but may be unusable: it then has Raw.
type SubmittedRecipient struct {
	Address Address
	Raw     string // as given, where Address could not be parsed: it bounces with 5.1.3
	ORCPT   string
	Notify  Notify
}

// Submitted says what became of a submission.
type Submitted struct {
	ID        MessageID
	Duplicate bool // an earlier submission had the same idempotency key
	Held      bool // accepted, but kept back (account rate)
	// AcceptedAt is when the message was accepted, as it is kept; not told of a
	// duplicate.
	AcceptedAt time.Time
	// MessageID is the one in its header, ours if it had none; likewise.
	MessageID string
	// Suppressed are the indexes of the recipients that will not be sent to,
	// since they are on the suppression list; not told of a duplicate.
	Suppressed []int
}

// Submitter is the one door for mail: it checks policy, repairs, and makes the
// message durable. An error that wraps a *Refusal may be told to the client;
// any other is our own trouble: temporary, and only for the log.
type Submitter interface {
	Submit(ctx context.Context, s Submission) (Submitted, error)
}

// Refusal is a no that a client is told: what is wrong, what to do about it, and
// a reference for the log. All three are neutral ASCII text of one line.
type Refusal struct {
	Code       int // SMTP reply code, 4yz or 5yz
	Enhanced   Enhanced
	Kind       RefusalKind // for programs; empty: other
	Problem    string
	Fix        string
	Reference  string
	RetryAfter time.Duration // when the same may be accepted; 0: not known
}

// RefusalKind says what a refusal is about, for programs. It is part of the API.
type RefusalKind string

// The kinds of refusal.
const (
	RefusedOther        RefusalKind = ""
	RefusedSender       RefusalKind = "sender_not_allowed"
	RefusedRecipient    RefusalKind = "recipient_not_allowed"
	RefusedStream       RefusalKind = "stream_not_allowed"
	RefusedAddress      RefusalKind = "invalid_address"
	RefusedAccount      RefusalKind = "account_disabled"
	RefusedCredential   RefusalKind = "key_expired"
	RefusedSize         RefusalKind = "payload_too_large"
	RefusedContent      RefusalKind = "invalid_content"
	RefusedRate         RefusalKind = "rate_limited"
	RefusedFull         RefusalKind = "queue_full"
	RefusedUnavailable  RefusalKind = "unavailable"
	RefusedIdempotency  RefusalKind = "idempotency_key_reused"
	RefusedKey          RefusalKind = "idempotency_key_invalid"
	RefusedSuppressed   RefusalKind = "all_recipients_suppressed"
	RefusedRecipientMax RefusalKind = "too_many_recipients"
)

func (r *Refusal) Error() string {
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, strings.Join(r.Lines(), "; "))
}

// Temporary reports whether the same submission may be accepted later.
func (r *Refusal) Temporary() bool { return r.Code < 500 }

// Lines returns the texts of a multi-line reply, without codes; each has at
// most 480 bytes, so that with its codes it fits the 510 bytes a client reads.
func (r *Refusal) Lines() []string {
	lines := []string{clip(r.Problem, maxReplyText)}
	if r.Fix != "" {
		lines = append(lines, clip(r.Fix, maxReplyText))
	}
	if r.Reference != "" {
		lines = append(lines, clip("ref="+r.Reference, maxReplyText))
	}
	return lines
}

const maxReplyText = 480

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
