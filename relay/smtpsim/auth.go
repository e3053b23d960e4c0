package smtpsim

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
)

// auth runs AUTH PLAIN and AUTH LOGIN, each with or without an initial
// response (RFC 4954 §4).
func (c *conn) auth(ctx context.Context, arg []byte) error {
	rep := &c.s.replies
	mech, initial, hasInitial := strings.Cut(string(arg), " ")
	mech = strings.ToUpper(mech)
	x := c.exchange(Auth, "AUTH "+mech)
	if r := c.s.rules.Load().pick(x); r != nil {
		if err := c.act(ctx, x, r); err != nil {
			return err
		}
		if x.code != 0 {
			if x.code == 235 {
				c.login("(by rule)")
			}
			return nil
		}
	}
	switch {
	case c.hello == "" || c.open || c.user != "" || len(c.s.o.Users) == 0:
		c.violate(BadSequence, 0, "AUTH")
		return c.answer(rep.sequence)
	case mech != "PLAIN" && mech != "LOGIN":
		return c.answer(rep.authNot)
	}
	user, pass, ok, err := c.credentials(mech, initial, hasInitial)
	if err != nil {
		return err
	}
	if !ok {
		return c.answer(rep.syntax)
	}
	if want, known := c.s.o.Users[user]; !known || want != pass {
		c.s.count.loginFailures.Add(1)
		return c.answer(rep.authFailed)
	}
	c.login(user)
	return c.answer(rep.authed)
}

func (c *conn) login(user string) {
	c.user = user
	c.s.count.logins.Add(1)
	c.note(func(e *Session) { e.User = user })
}

// credentials asks for what the command did not bring.
func (c *conn) credentials(mech, initial string, hasInitial bool) (user, pass string, ok bool, err error) {
	if mech == "PLAIN" {
		blob, ok, err := c.response("", initial, hasInitial)
		if err != nil || !ok {
			return "", "", false, err
		}
		parts := bytes.Split(blob, []byte{0})
		if len(parts) != 3 {
			return "", "", false, nil
		}
		return string(parts[1]), string(parts[2]), true, nil
	}
	name, ok, err := c.response("Username:", initial, hasInitial)
	if err != nil || !ok {
		return "", "", false, err
	}
	secret, ok, err := c.response("Password:", "", false)
	return string(name), string(secret), ok, err
}

// response is the initial response or the answer to a challenge; ok is false
// if it is no base64, or the client cancels with "*".
func (c *conn) response(challenge, initial string, hasInitial bool) (b []byte, ok bool, err error) {
	if !hasInitial {
		if err := c.write(formatReply(334, "", []string{base64.StdEncoding.EncodeToString([]byte(challenge))})); err != nil {
			return nil, false, err
		}
		line, err := c.readLine()
		if err != nil {
			return nil, false, err
		}
		c.transcribe(true, []byte("*"))
		initial = string(line)
	} else if initial == "=" {
		initial = ""
	}
	b, decodeErr := base64.StdEncoding.DecodeString(initial)
	return b, decodeErr == nil, nil
}
