package outbound

import (
	"errors"
	"strings"
	"unicode/utf8"

	"postrider/queue"
)

// Outcome is what became of a recipient.
type Outcome uint8

// The outcomes.
const (
	// NotAttempted: nothing was decided, and nothing counts as a failure of the
	// recipient: it may be tried again at once. It is given only if others of
	// the same call were decided, or with Result.Err.
	NotAttempted Outcome = iota
	Accepted             // the next hop has taken responsibility
	Temporary            // refused with 4yz, or the next hops were in trouble
	Permanent            // refused with 5yz at MAIL or later, or by us for good
)

func (o Outcome) String() string {
	switch o {
	case NotAttempted:
		return "not attempted"
	case Accepted:
		return "accepted"
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	}
	return "unknown"
}

// Result says what became of a Transaction.
type Result struct {
	// Recipients, in the order of Transaction.Recipients.
	Recipients []RecipientResult
	// Err is our own trouble: the context's error, ErrClosed, ErrContent, or
	// what Open, reading the content, or BeforeDot returned, wrapped.
	Err error

	Reused       bool   // a pooled connection was used
	Connections  int    // sessions opened anew
	Transactions int    // in which MAIL was sent
	TLSFailure   string // why an opportunistic session went on without TLS; empty if it did not
	// Setbacks are the sessions that came to nothing on the way by a temporary
	// reply or a fault of TLS, also where the recipients were served by another one
	// after it.
	Setbacks []Setback
	// Endings are the connections that the peer ended, or over which it took no
	// more, after it had taken some messages over them.
	Endings []Ending
	// EightBitUnoffered says that octets above 127 were sent to a peer that does
	// not offer 8BITMIME.
	EightBitUnoffered bool
}

// Setback is a session that decided about nobody.
type Setback struct {
	Attempt queue.Attempt // its Number is 0
	Enough  bool          // the peer took no more messages over the connection, and said so
}

// Ending is the end of a connection by the peer.
type Ending struct {
	Messages int         // transactions that it took over the connection before; 1 at least
	Reply    queue.Reply // to the next one; zero if it closed the connection
	Said     bool        // the reply says that they were as many as a connection may have
}

// RecipientResult says what became of one recipient.
type RecipientResult struct {
	ID      queue.RecipientID
	Outcome Outcome
	// Attempt has everything but Number. If we refused by ourselves its Reply
	// has an enhanced code but no reply code, and Error says why.
	Attempt queue.Attempt
	// DSNPassed says that the peer offers DSN (RFC 3461) and so was told what
	// reports are wanted.
	DSNPassed bool
}

// ErrClosed is in Result.Err of deliveries that the end of the Pool refused or
// broke off.
var ErrClosed = errors.New("outbound: pool is closed")

// ErrContent is wrapped in Result.Err if the content has a bare CR, a bare LF or
// a NUL and so was not sent.
var ErrContent = errors.New("content is not safe to send")

const maxError = 512

// failure is why a session did not serve the recipients still open.
type failure struct {
	stage queue.Stage
	reply queue.Reply
	text  string // our words; empty if reply says it

	lost      bool  // the connection ended under a transaction
	refusal   bool  // we refuse this host for good: SIZE, SMTPUTF8
	ours      error // not the peer's doing: ends the call
	transient bool  // of TLS: by the network rather than by TLS
	unacked   bool  // no reply to a command of the transaction was read
	enough    bool  // the peer says that it takes no more messages over this connection
}

// clipText makes text fit into n bytes of valid UTF-8 without control characters.
func clipText(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
