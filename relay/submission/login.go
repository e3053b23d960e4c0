package submission

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/queue"
	"postrider/relay/auth"
)

// AuthMechanisms implements smtp.AuthSession: PLAIN and LOGIN, which all
// clients know, and nothing that needs the password in clear on our side.
func (s *session) AuthMechanisms() []string {
	if !s.mayLogin() {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

func (s *session) mayLogin() bool {
	t := s.d.t
	switch {
	case t.s.o.Auth == nil || s.d.needsTLS():
		return false
	case t.tls != nil || t.local:
		return true
	}
	switch t.s.o.AuthWithoutTLS {
	case AuthAlways:
		return true
	case AuthLocal:
		return t.remote.IsLoopback() || t.remote.IsPrivate() || t.remote.IsLinkLocalUnicast()
	}
	return false
}

// needsTLS reports a listener that wants STARTTLS first.
func (d *dialogue) needsTLS() bool { return d.t.from == StartTLS && d.t.tls == nil }

// mustStartTLS refuses what is too early, with the given code where TLS is not to
// be had yet: that is ours to mend, and the client may come again.
func (s *session) mustStartTLS(notYet int) error {
	if !s.d.t.s.o.TLSReady() {
		return reply(notYet, queue.Enhanced{4, 7, 0}, "TLS is needed here, and is not available yet: try again later")
	}
	return reply(530, queue.Enhanced{5, 7, 0}, "Must issue a STARTTLS command first")
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(name, password string) error {
		if err := s.login(mech, name, password); err != nil {
			return s.say(err, verbAUTH)
		}
		return nil
	}
	switch {
	case s.open: // RFC 4954 §4
		return nil, s.say(reply(503, queue.Enhanced{5, 5, 1}, "AUTH is not allowed during a message"), verbAUTH)
	case s.d.needsTLS():
		return nil, s.say(s.mustStartTLS(454), verbAUTH) // RFC 4954 §6
	case s.d.t.s.o.Auth == nil:
		return nil, s.say(reply(502, queue.Enhanced{5, 5, 1}, "Authentication is not available"), verbAUTH)
	case !s.mayLogin():
		return nil, s.say(reply(538, queue.Enhanced{5, 7, 11}, "Encryption required for authentication"), verbAUTH)
	case mech == "PLAIN":
		return &plainLogin{check: check, malformed: s.malformed}, nil
	case mech == "LOGIN":
		return &loginLogin{check: check, malformed: s.malformed}, nil
	}
	return nil, s.say(reply(504, queue.Enhanced{5, 5, 4}, "Unknown mechanism: PLAIN and LOGIN are offered"), verbAUTH)
}

func (s *session) malformed() error {
	return s.say(reply(501, queue.Enhanced{5, 5, 2}, "Malformed authentication response"), verbAUTH)
}

// login checks a password and takes on the account.
func (s *session) login(mech, name, password string) error {
	t := s.d.t
	id, err := t.s.o.Auth.Verify(t.ctx, auth.Attempt{
		Name: name, Password: password, Remote: t.remote, Protocol: "smtp", Scope: auth.ScopeSend,
	})
	switch {
	case err == nil:
		s.account, s.credential, s.mech = id.Account, id.Credential, mech
		t.s.stats.logins.Add(1)
		return nil
	case errors.Is(err, auth.ErrCredentials) && t.trusted && t.s.o.AcceptTrustedLogin:
		s.log().Info("login of a trusted client ignored", "name", name, "error", err)
		return nil
	case errors.Is(err, auth.ErrExpired):
		return s.loginFailed(name, err, "Authentication failed: this key has expired, use a new one")
	case errors.Is(err, auth.ErrNetwork):
		return s.loginFailed(name, err, "Authentication failed: this key may not be used from your network address")
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrScope):
		return s.loginFailed(name, err, "Authentication failed: wrong user name or password")
	}
	t.s.stats.loginFailures.Add(1)
	s.log().Warn("login not possible", "name", name, "mech", mech, "error", err)
	if errors.Is(err, auth.ErrThrottled) || errors.Is(err, auth.ErrBusy) {
		return reply(454, queue.Enhanced{4, 7, 0}, "Too many failed logins, try again later")
	}
	return reply(454, queue.Enhanced{4, 7, 0}, "Temporary authentication failure, try again later")
}

// loginFailed answers a wrong password, later each time, and only a few times
// on one connection.
func (s *session) loginFailed(name string, err error, text string) error {
	t := s.d.t
	t.s.stats.loginFailures.Add(1)
	s.log().Warn("login failed", "name", name, "error", err)
	s.failures++
	pause(t.ctx, t.s.o.LoginFailureDelay<<min(s.failures-1, 3))
	if s.failures >= t.s.o.MaxLoginFailures {
		s.d.hangUp("")
	}
	return reply(535, queue.Enhanced{5, 7, 8}, text)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// plainLogin is the server side of PLAIN (RFC 4616), with the response in the
// AUTH line or after an empty challenge.
type plainLogin struct {
	check     func(name, password string) error
	malformed func() error
}

// Next implements sasl.Server.
func (p *plainLogin) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return nil, false, nil
	}
	name, password, ok := decodePlain(response)
	if !ok {
		return nil, false, p.malformed()
	}
	if err := p.check(name, password); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// decodePlain reads [authzid] NUL authcid NUL password. To act for somebody
// else is not possible.
func decodePlain(b []byte) (name, password string, ok bool) {
	parts := bytes.Split(b, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return "", "", false
	}
	return string(parts[1]), string(parts[2]), true
}

// loginLogin is the server side of LOGIN, which never became an RFC and which
// half of the world's programs insist on.
type loginLogin struct {
	check     func(name, password string) error
	malformed func() error
	name      string
	asked     int
}

// Next implements sasl.Server.
func (l *loginLogin) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && l.asked == 0 {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	if l.asked < 2 {
		if len(response) == 0 || bytes.IndexByte(response, 0) >= 0 {
			return nil, false, l.malformed()
		}
		l.name, l.asked = string(response), 2
		return []byte("Password:"), false, nil
	}
	if bytes.IndexByte(response, 0) >= 0 {
		return nil, false, l.malformed()
	}
	if err := l.check(l.name, string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
