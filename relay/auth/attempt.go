package auth

import (
	"errors"
	"net/netip"
	"slices"
)

// Errors of Verify. Any other error is our own trouble: temporary, and only for
// the log. SMTP says 535 5.7.8 to ErrCredentials and ErrScope, and 454 4.7.0 to
// all the rest.
var (
	// ErrCredentials: there is no such account, or the password is wrong.
	ErrCredentials = errors.New("wrong name or password")
	// ErrScope: the credential is right but does not carry the scope.
	ErrScope = errors.New("credential lacks the scope")
	// ErrThrottled: too many failed logins; the password was not looked at.
	ErrThrottled = errors.New("too many failed logins")
	// ErrBusy: too many passwords are being checked at once.
	ErrBusy = errors.New("too many logins at once")
)

// Scope is what a credential may be used for.
type Scope string

// The scopes. An account's own password carries ScopeSend and ScopeRead.
const (
	ScopeSend  Scope = "send"  // hand in mail
	ScopeRead  Scope = "read"  // see the account's mail and its fate
	ScopeAdmin Scope = "admin" // change accounts, keys and the queue
)

// Valid reports whether s is one of the scopes above.
func (s Scope) Valid() bool { return s == ScopeSend || s == ScopeRead || s == ScopeAdmin }

// The accounts that need no password. Nobody can log in under these names.
const (
	AccountTrusted = "trusted" // clients in the trusted networks
	AccountLocal   = "local"   // clients of the submission socket
)

// Attempt is one login.
type Attempt struct {
	Name     string     // account name, in any letter case; ignored if Password is a key
	Password string     // password or key
	Remote   netip.Addr // zero for the local socket, which is not throttled
	Protocol string     // "smtp", "http", "imap", "pop3": for the log
	Scope    Scope      // what it is for; empty: anything the credential may do
}

// Identity is who logged in.
type Identity struct {
	Account    string
	Scopes     []Scope
	Credential string // id of the key that was used; empty for the account's password
	Disabled   string // why the account may not send; empty: it may
}

// May reports whether the identity carries the scope.
func (i Identity) May(s Scope) bool { return slices.Contains(i.Scopes, s) }
