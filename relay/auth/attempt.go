package auth

import (
	"errors"
	"net/netip"

	"postrider/queue"
)

// Errors of Verify. Any other error is our own trouble: temporary, and only for
// the log. SMTP says 535 5.7.8 to ErrCredentials, ErrScope, ErrExpired and
// ErrNetwork, and 454 4.7.0 to all the rest.
var (
	// ErrCredentials: there is no such account, or the password is wrong.
	ErrCredentials = errors.New("wrong name or password")
	// ErrScope: the credential is right but does not carry the scope.
	ErrScope = errors.New("credential lacks the scope")
	// ErrExpired: the key was right, and its time is over.
	ErrExpired = errors.New("key has expired")
	// ErrNetwork: the key is right but may not be used from this address.
	ErrNetwork = errors.New("key may not be used from this address")
	// ErrThrottled: too many failed logins; the password was not looked at.
	ErrThrottled = errors.New("too many failed logins")
	// ErrBusy: too many passwords are being checked at once.
	ErrBusy = errors.New("too many logins at once")
)

// Scope is what a credential may be used for: see queue.Scope.
type Scope = queue.Scope

// The scopes that most credentials have.
const (
	ScopeSend  = queue.ScopeSend
	ScopeRead  = queue.ScopeRead
	ScopeAdmin = queue.ScopeAdmin
)

// The accounts that need no password. Nobody can log in under these names.
const (
	AccountTrusted = "trusted" // clients in the trusted networks
	AccountLocal   = "local"   // clients of the submission socket
)

// Attempt is one login.
type Attempt struct {
	Name     string     // account name, in any letter case; ignored, whatever it is, if Password is a key
	Password string     // password or key
	Remote   netip.Addr // zero for the local socket, which is not throttled and is in every network
	Protocol string     // "smtp", "http", "imap", "pop3": for the log
	Scope    Scope      // what it is for; empty: anything the credential may do
}

// Identity is who logged in.
type Identity struct {
	Account    string
	Scopes     []Scope
	Credential string // id of the key that was used; empty for the account's password
	Disabled   string // why the account may not send; empty: it may
	Sandbox    bool   // nothing that is sent with the key leaves the relay
	Stream     string // of mail that names none; empty: not limited to any
}

// May reports whether the identity carries the scope.
func (i Identity) May(s Scope) bool { return queue.Cover(i.Scopes, s) }
