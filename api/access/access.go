// Package access says who calls the HTTP API and what that caller may do.
//
// It reads a request's credential from every place where the surfaces of the API
// take one (Bearer, Basic, the headers of other providers), and leaves it to an
// Authenticator whether it is right. A Caller sees and changes only what is its
// account's own, unless it is an admin.
package access

import (
	"context"
	"errors"
	"net/netip"

	"postrider/queue"
)

// Errors of an Authenticator. Any other error is our own trouble: temporary, and
// only for the log.
var (
	// ErrUnauthorized: there is no such credential.
	ErrUnauthorized = errors.New("no such credential")
	// ErrExpired: the key was right, and its time is over.
	ErrExpired = errors.New("key has expired")
	// ErrNetwork: the key may not be used from this address.
	ErrNetwork = errors.New("key may not be used from this address")
	// ErrThrottled: too many failed tries; the credential was not looked at.
	ErrThrottled = errors.New("too many failed logins")
)

// Credentials are what a request shows. A key needs no name.
type Credentials struct {
	Name   string // account; empty for a key
	Secret string // password or key
}

// Authenticator checks credentials, in a time that does not tell why they are wrong.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials, remote netip.Addr) (Caller, error)
}

// Caller is who makes a request.
type Caller struct {
	Account    string
	Credential string // id of the key; empty for a password and on the admin socket
	Scopes     []queue.Scope
	Stream     string // of mail that names none; empty: "transactional"
	Sandbox    bool   // whatever it sends is sandboxed
	Disabled   string // why its account may not send; empty: it may
	Remote     netip.Addr
}

// May reports whether the caller carries the scope.
func (c Caller) May(s queue.Scope) bool { return queue.Cover(c.Scopes, s) }

// Admin reports whether the caller may see and change what is others'.
func (c Caller) Admin() bool { return queue.Cover(c.Scopes, queue.ScopeAdmin) }

type callerKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller of a request, which the middleware has put there; the
// zero Caller, which may do nothing, if it has not.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
