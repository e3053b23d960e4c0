package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"postrider/imapview"
	"postrider/pop3view"
	"postrider/relay/auth"
)

// reader is who may look at an account's folders.
type reader struct {
	account  string
	operator bool
}

// readerOf checks a login to the folders. The configured admin key is an operator's
// under the name of any account, whose folders are then shown as its own.
func (a *App) readerOf(ctx context.Context, protocol, name, password string, remote netip.Addr) (reader, error) {
	if k := a.cfg.API.AdminKey; !k.IsZero() && k.Equal(password) {
		name = strings.ToLower(strings.TrimSpace(name))
		exists, err := a.auth.Exists(ctx, name)
		if err != nil || !exists {
			return reader{account: auth.AccountLocal, operator: true}, err
		}
		return reader{account: name, operator: true}, nil
	}
	id, err := a.auth.Verify(ctx, auth.Attempt{Name: name, Password: password, Remote: remote, Protocol: protocol, Scope: auth.ScopeRead})
	if err != nil {
		return reader{}, fmt.Errorf("log in: %w", err)
	}
	return reader{account: id.Account, operator: id.May(auth.ScopeAdmin)}, nil
}

// notAllowed are the errors that say that a credential is right and will not do.
func notAllowed(err error) bool {
	return errors.Is(err, auth.ErrScope) || errors.Is(err, auth.ErrExpired) || errors.Is(err, auth.ErrNetwork)
}

func tooManyLogins(err error) bool {
	return errors.Is(err, auth.ErrThrottled) || errors.Is(err, auth.ErrBusy)
}

// imapLogins tells the IMAP server who its clients are.
type imapLogins struct{ a *App }

func (l imapLogins) Login(ctx context.Context, at imapview.Login) (imapview.Identity, error) {
	r, err := l.a.readerOf(ctx, "imap", at.Name, at.Password, at.Remote)
	switch {
	case errors.Is(err, auth.ErrCredentials), notAllowed(err):
		err = fmt.Errorf("%w: %w", imapview.ErrCredentials, err)
	case tooManyLogins(err):
		err = fmt.Errorf("%w: %w", imapview.ErrThrottled, err)
	}
	return imapview.Identity{Account: r.account, Operator: r.operator}, err
}

// pop3Logins does the same for POP3.
type pop3Logins struct{ a *App }

func (l pop3Logins) Exists(ctx context.Context, name string) (bool, error) {
	return l.a.auth.Exists(ctx, name)
}

func (l pop3Logins) Login(ctx context.Context, at pop3view.Login) (pop3view.Identity, error) {
	r, err := l.a.readerOf(ctx, "pop3", at.Name, at.Password, at.Remote)
	switch {
	case errors.Is(err, auth.ErrCredentials):
		err = fmt.Errorf("%w: %w", pop3view.ErrCredentials, err)
	case notAllowed(err):
		err = fmt.Errorf("%w: %w", pop3view.ErrNotAllowed, err)
	case tooManyLogins(err):
		err = fmt.Errorf("%w: %w", pop3view.ErrThrottled, err)
	}
	return pop3view.Identity{Account: r.account, Operator: r.operator}, err
}
