package pop3view

import (
	"context"
	"errors"
	"net/netip"
)

// Errors of an Authenticator's Login. Any other error is our own trouble: the
// client is told to come back, and the cause is logged.
var (
	// ErrCredentials: there is no such account, or the password is wrong.
	ErrCredentials = errors.New("wrong name or password")
	// ErrThrottled: too many failed logins; the password was not looked at. The
	// client gets the same reply as for ErrCredentials.
	ErrThrottled = errors.New("too many failed logins")
	// ErrNotAllowed: the credential is right and may not read mail: it lacks the
	// scope, has expired, or is used from where it may not be. Only return it to
	// those who know the secret.
	ErrNotAllowed = errors.New("credential may not read mail")
)

// Authenticator knows accounts and their passwords. It is safe for concurrent
// use, and answers within seconds.
type Authenticator interface {
	// Login checks a password, and counts failures. It returns one of the errors
	// above or our own trouble.
	Login(ctx context.Context, l Login) (Identity, error)
	// Exists reports whether an account has this name, in whatever letter case.
	// It decides, before a password is looked at, whether "shop+sent" is an
	// account or a folder of shop: so there is one Login for each attempt, and
	// one failure to count. It costs nothing of anybody's budget.
	Exists(ctx context.Context, name string) (bool, error)
}

// Login is an attempt to log in.
type Login struct {
	Name     string // without what names a folder; otherwise as the client wrote it
	Password string // with all its blanks
	Remote   netip.Addr
	TLS      bool
}

// Identity is who logged in.
type Identity struct {
	Account string // folded; empty for an operator's key that belongs to no account
	// Operator may look at every account: at the one that the name says.
	Operator bool
}
