package intake

import (
	"context"
	"errors"

	"postrider/queue"
)

// FromPolicy says what happens to a sender outside an account's domains.
type FromPolicy string

// The From policies.
const (
	FromAccept  FromPolicy = "accept"  // any sender may be used
	FromReject  FromPolicy = "reject"  // others are refused
	FromRewrite FromPolicy = "rewrite" // others move to Reply-To; the account's own takes their place
)

// Policy is what an account may do, with the key that it uses. It is asked for
// anew with every message.
type Policy struct {
	Senders       Addresses
	From          FromPolicy    // empty: accept
	DefaultSender queue.Address // takes the place of senders that are rewritten
	Disabled      string        // why the account may not send; empty: it may
	HourlyLimit   int           // messages per hour beyond which mail is held; 0: none

	// What a key narrows further.
	Recipients    Addresses // who may be sent to
	Streams       []string  // which streams may be used, the first one by mail that names none; empty: all
	Sandbox       bool      // nothing is sent, whatever the message says
	RatePerMinute int       // recipients a minute; 0: any number
	RateKey       string    // what RatePerMinute is counted under, such as the key's id
}

// ErrCredential is for a key that was deleted or has expired since it was used
// to log in.
var ErrCredential = errors.New("credential does not exist any more or has expired")

// Policies knows the accounts. An error is our own trouble, not a refusal; but
// queue.ErrNotFound is an account that is gone, and ErrCredential a key. The
// credential is the id of the key that was used, empty for none.
type Policies interface {
	Policy(ctx context.Context, account, credential string) (Policy, error)
}

// Sending says who may be sent as: by whom senders outside are treated how, and
// who takes their place.
func (p Policy) Sending() (from FromPolicy, instead queue.Address) {
	return p.fromPolicy(), p.defaultSender()
}

// fromPolicy resolves what is left open.
func (p Policy) fromPolicy() FromPolicy {
	if p.From == "" || p.Senders.Any() {
		return FromAccept
	}
	return p.From
}

func (p Policy) defaultSender() queue.Address {
	if !p.DefaultSender.IsNull() {
		return p.DefaultSender
	}
	return p.Senders.Default()
}

// Narrow returns p for a key that has senders of its own: a sender must be
// allowed by both. Who is not is refused, but rewritten where that is the
// account's policy and the sender that takes its place is one of the key's.
func (p Policy) Narrow(key Addresses) Policy {
	if key.Any() {
		return p
	}
	if p.fromPolicy() == FromAccept {
		p.Senders = Addresses{} // they bind nobody
	}
	rewrites := p.fromPolicy() == FromRewrite && key.Allow(p.defaultSender())
	if rewrites {
		p.DefaultSender, p.From = p.defaultSender(), FromRewrite
	} else {
		p.From = FromReject
	}
	p.Senders = p.Senders.And(key)
	return p
}
