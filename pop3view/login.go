package pop3view

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// loginTime is how long a login waits for the store at most.
const loginTime = 30 * time.Second

func (n *session) mayLogin() bool {
	switch {
	case n.tls:
		return true
	case n.security == StartTLS:
		return false
	case n.s.o.PlainLogin == PlainAlways:
		return true
	}
	return n.s.o.PlainLogin == PlainLoopback && n.remote.IsLoopback()
}

func (n *session) mayStartTLS() bool {
	return n.s.o.TLS != nil && !n.tls && n.box == nil && n.s.o.TLSReady()
}

// refuseClear answers logins that everybody on the way could read.
func (n *session) refuseClear() {
	if n.mayStartTLS() {
		n.fault("log in over TLS only: use STLS first")
		return
	}
	n.fault("log in over TLS only, which is not to be had here")
}

// stls goes over to TLS (RFC 2595 §4). Whatever was sent ahead of the handshake
// is somebody else's, and is forgotten with everything else.
func (n *session) stls(ctx context.Context, _ string) error {
	if !n.mayStartTLS() {
		if n.tls {
			n.fault("TLS is already active")
		} else {
			n.fault("TLS is not available")
		}
		return nil
	}
	n.ok("begin TLS")
	n.user = ""
	if err := n.wire.flush(); err != nil {
		return err
	}
	return n.handshake(ctx)
}

// userName keeps the name for PASS. That there is no such account is not said.
func (n *session) userName(_ context.Context, arg string) error {
	switch {
	case !n.mayLogin():
		n.refuseClear()
	case arg == "" || len(arg) > maxName || !printable(arg):
		n.fault("syntax: USER name")
	default:
		n.user = arg
		n.ok("send PASS")
	}
	return nil
}

// pass logs in. The password is all that follows the first blank.
func (n *session) pass(ctx context.Context, arg string) error {
	user := n.user
	n.user = ""
	switch {
	case !n.mayLogin():
		n.refuseClear()
	case user == "":
		n.fault("send USER first")
	case arg == "":
		n.fault("syntax: PASS password")
	default:
		n.login(ctx, user, arg)
	}
	return nil
}

// auth logs in with SASL PLAIN (RFC 5034, RFC 4616). Without an argument it says
// what there is, as it did before it was an RFC.
func (n *session) auth(ctx context.Context, arg string) error {
	fields := strings.Fields(arg)
	switch {
	case len(fields) == 0 && !n.mayLogin():
		n.ok("no mechanisms without TLS")
		n.wire.say(".")
		return nil
	case len(fields) == 0:
		n.ok("mechanisms follow")
		n.wire.say("PLAIN", ".")
		return nil
	case !strings.EqualFold(fields[0], "PLAIN") || len(fields) > 2:
		n.fault("syntax: AUTH PLAIN [response]")
		return nil
	case !n.mayLogin():
		n.refuseClear()
		return nil
	}
	response := ""
	if len(fields) == 2 {
		response = fields[1]
	} else {
		n.wire.say("+ ")
		line, err := n.readLine()
		if errors.Is(err, errLineTooLong) {
			n.fault("line is too long")
			return nil
		}
		if err != nil {
			return err
		}
		response = string(line)
	}
	return n.authPlain(ctx, response)
}

func (n *session) authPlain(ctx context.Context, response string) error {
	if response == "*" {
		n.no("cancelled")
		return nil
	}
	name, password, ok := decodePlain(response)
	if !ok {
		n.fault("malformed response")
		return nil
	}
	n.login(ctx, name, password)
	return nil
}

// decodePlain reads the base64 of [authzid] NUL authcid NUL password. To act for
// somebody else is not possible.
func decodePlain(response string) (name, password string, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(response)
	if err != nil {
		return "", "", false
	}
	parts := bytes.Split(b, []byte{0})
	if len(parts) != 3 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return "", "", false
	}
	name, password = string(parts[1]), string(parts[2])
	return name, password, name != "" && len(name) <= maxName && printable(name) && password != ""
}

// errNoAccount: an operator named an account that there is not.
var errNoAccount = errors.New("operator's name is no account")

// login checks the password and opens the maildrop.
func (n *session) login(ctx context.Context, name, password string) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	t, id, err := n.authenticate(ctx, name, password)
	if err == nil {
		err = n.enter(ctx, t, id)
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrThrottled):
		// One reply for all: who guesses learns nothing from it.
		n.refuse(ctx, name, err, "[AUTH] wrong user name or password, or too many failed logins")
	case errors.Is(err, ErrNotAllowed):
		n.refuse(ctx, name, err, "[AUTH] these credentials may not read mail")
	case errors.Is(err, errNoAccount):
		n.refuse(ctx, name, err, "[AUTH] there is no such account: the user name says whose mail an operator sees")
	case errors.Is(err, errFullHouse):
		n.s.stats.turnedAway.Add(1)
		n.s.quiet.warn("pop3 session turned away: too many", "peer", n.remote.String(), "name", clip(name))
		n.no("[IN-USE] too many sessions of this account, try again later") // RFC 2449 §8.1.1
	default:
		n.s.stats.loginFailures.Add(1)
		n.trouble("open the maildrop", fmt.Errorf("log in as %q: %w", clip(name), err))
	}
}

func (n *session) authenticate(ctx context.Context, name, password string) (target, Identity, error) {
	t := parseName(name)
	if t.suffixed() {
		literally, err := n.s.o.Auth.Exists(ctx, t.whole)
		if err != nil {
			return t, Identity{}, fmt.Errorf("look up account: %w", err)
		}
		if literally {
			t = t.literally()
		}
	}
	id, err := n.s.o.Auth.Login(ctx, Login{Name: t.base, Password: password, Remote: n.remote, TLS: n.tls})
	return t, id, err
}

// enter opens the maildrop of whoever logged in.
func (n *session) enter(ctx context.Context, t target, id Identity) error {
	account, login, err := n.whose(ctx, t, id)
	if err != nil {
		return err
	}
	if !n.s.admission.settle(n, login) {
		return errFullHouse
	}
	box, err := n.s.open(ctx, account, login, t)
	if err != nil {
		n.s.admission.unsettle(n)
		return err
	}
	n.box = box
	n.s.stats.logins.Add(1)
	n.s.o.Logger.Debug("pop3 login", "peer", n.remote.String(), "account", account, "folder", t.folder, "messages", box.messages.len())
	n.ok(fmt.Sprintf("%d messages", box.messages.len()))
	return nil
}

// whose returns the account to show, and the login that hides what it deletes. An
// account has one for itself, whatever name was written beside a key, so that it
// outlives the key; what operators hide stays in sight of the account.
func (n *session) whose(ctx context.Context, t target, id Identity) (account, login string, err error) {
	name := fold(t.base)
	switch {
	case id.Account == "" && !id.Operator:
		return "", "", ErrNotAllowed
	case id.Account == name, !id.Operator:
		return id.Account, id.Account, nil
	}
	known, err := n.s.o.Auth.Exists(ctx, name)
	if err == nil && !known { // such as those of the local socket
		var shelves []string
		shelves, err = n.s.o.Book.Accounts(ctx)
		known = slices.Contains(shelves, name)
	}
	switch {
	case err != nil:
		return "", "", fmt.Errorf("look up account: %w", err)
	case !known:
		return "", "", errNoAccount
	}
	return name, "operator:" + id.Account, nil
}

var errFullHouse = errors.New("too many sessions of this account")

// refuse answers a failed login, later each time, and only a few times on one
// connection.
func (n *session) refuse(ctx context.Context, name string, err error, text string) {
	n.s.stats.loginFailures.Add(1)
	n.s.quiet.warn("pop3 login failed", "peer", n.remote.String(), "name", clip(name), "error", err)
	n.failures++
	pause(ctx, n.s.o.LoginFailureDelay<<min(n.failures-1, 3))
	n.no(text)
	n.over = n.failures >= n.s.o.MaxLoginFailures
}

// clip is what the log sees of a name.
func clip(name string) string { return name[:min(len(name), 80)] }
