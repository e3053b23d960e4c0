package imapview

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"

	"postrider/imapview/syntax"
)

// maxFailures is how many logins of one connection may fail.
const maxFailures = 3

func (c *conn) doStartTLS(ctx context.Context, cmd syntax.Command) {
	if !c.mayStartTLS() {
		c.bad(cmd, "TLS is not to be had here")
		return
	}
	c.ok(cmd, "", "Begin TLS now")
	c.out.flush()
	c.wire.readBy(c.loginDeadline())
	if err := c.handshake(ctx); err != nil {
		c.log(slog.LevelDebug, "connection ended", err)
		c.out.err, c.ended = err, true // half in TLS, half not: there is nothing to say
	}
}

func (c *conn) doLogin(ctx context.Context, cmd syntax.Command) {
	if !c.mayLogin() {
		c.privacyRequired(cmd)
		return
	}
	a := cmd.Args.(syntax.Login)
	c.login(ctx, cmd, a.User, a.Password)
}

func (c *conn) privacyRequired(cmd syntax.Command) {
	text := "Passwords are taken only over TLS"
	if c.mayStartTLS() {
		text = "Passwords are taken only over TLS: use STARTTLS first"
	}
	c.no(cmd, "PRIVACYREQUIRED", text)
}

// doAuthenticate is AUTHENTICATE PLAIN (RFC 4616), with or without an initial
// response (RFC 4959).
func (c *conn) doAuthenticate(ctx context.Context, cmd syntax.Command) {
	a := cmd.Args.(syntax.Authenticate)
	if a.Mechanism != "PLAIN" {
		c.no(cmd, "CANNOT", "Only PLAIN is known here")
		return
	}
	if !c.mayLogin() {
		c.privacyRequired(cmd)
		return
	}
	answer, ok := c.saslAnswer(a)
	if !ok {
		return
	}
	if answer == "*" {
		c.bad(cmd, "Given up as you wish")
		return
	}
	if answer == "=" {
		answer = ""
	}
	raw, err := base64.StdEncoding.DecodeString(answer)
	if err != nil {
		c.bad(cmd, "That is not base64")
		return
	}
	parts := strings.Split(string(raw), "\x00")
	if len(parts) != 3 {
		c.bad(cmd, "That is not what PLAIN sends")
		return
	}
	if parts[0] != "" && parts[0] != parts[1] {
		c.failed(cmd)
		return
	}
	c.login(ctx, cmd, parts[1], parts[2])
}

// saslAnswer returns the client's response, asking for it if it did not come with
// the command. If it never comes, the connection has ended.
func (c *conn) saslAnswer(a syntax.Authenticate) (answer string, ok bool) {
	if a.Initial != nil {
		return *a.Initial, true
	}
	c.out.say("+ \r\n")
	c.out.flush()
	answer, err := c.in.Line()
	if err != nil {
		c.leave(err)
		return "", false
	}
	return answer, true
}

// login asks who it is. There is one text for whatever was wrong.
func (c *conn) login(ctx context.Context, cmd syntax.Command, name, password string) {
	if name == "" || password == "" {
		c.failed(cmd)
		return
	}
	who, err := c.s.o.Auth.Login(ctx, Login{Name: name, Password: password, Remote: c.remote, TLS: c.usesTLS})
	switch {
	case errors.Is(err, ErrCredentials):
		c.failed(cmd)
	case errors.Is(err, ErrThrottled):
		c.failure(cmd, "UNAVAILABLE", "There were too many attempts, try again later")
	case err != nil:
		c.log(slog.LevelWarn, "cannot check a login", err)
		c.failure(cmd, "UNAVAILABLE", "Logging in does not work at the moment, try again later")
	case !c.s.admission.login(who.Account):
		c.failure(cmd, "LIMIT", "There are too many connections of this account")
	default:
		c.who = who
		c.s.counters.logins.Add(1)
		c.s.log.Debug("login", "peer", c.remote.String(), "account", who.Account, "operator", who.Operator, "tls", c.usesTLS)
		c.ok(cmd, "CAPABILITY "+c.capabilities(), "Logged in")
	}
}

func (c *conn) failed(cmd syntax.Command) {
	c.s.counters.refused.Add(1)
	c.failure(cmd, "AUTHENTICATIONFAILED", "Name or password are wrong")
}

// failure answers a login that failed, and parts with whoever tries for ever.
func (c *conn) failure(cmd syntax.Command, code, text string) {
	c.no(cmd, code, text)
	if c.failures++; c.failures >= maxFailures {
		c.bye("Too many logins failed")
	}
}
