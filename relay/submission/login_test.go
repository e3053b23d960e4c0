package submission_test

import (
	"net/netip"
	"strings"
	"testing"

	"postrider/relay/submission"
)

func TestLoginInEveryForm(t *testing.T) {
	t.Parallel()
	s := serve(t, stranger)
	plain, user, pass := b64("\x00shop\x00s3cret"), b64("shop"), b64("s3cret")
	for name, steps := range map[string][][2]string{
		"PLAIN at once":             {{"AUTH PLAIN " + plain, "235 2.7.0"}},
		"PLAIN in two steps":        {{"AUTH PLAIN", "334 "}, {plain, "235 2.7.0"}},
		"PLAIN for oneself":         {{"auth plain " + b64("shop\x00shop\x00s3cret"), "235"}},
		"PLAIN for somebody else":   {{"AUTH PLAIN " + b64("admin\x00shop\x00s3cret"), "501 5.5.2"}},
		"PLAIN with a part missing": {{"AUTH PLAIN " + b64("shop\x00s3cret"), "501 5.5.2"}},
		"PLAIN with nothing":        {{"AUTH PLAIN =", "501 5.5.2"}},
		"LOGIN in three steps":      {{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {user, "334 UGFzc3dvcmQ6"}, {pass, "235 2.7.0"}},
		"LOGIN with the name":       {{"AUTH LOGIN " + user, "334 UGFzc3dvcmQ6"}, {pass, "235 2.7.0"}},
		"LOGIN without a password":  {{"AUTH LOGIN " + user, "334 UGFzc3dvcmQ6"}, {"", "535 5.7.8"}},
		"LOGIN without a name":      {{"AUTH LOGIN", "334"}, {"", "501 5.5.2"}},
		"cancelled":                 {{"AUTH LOGIN", "334"}, {"*", "501 5.7.0"}},
		"not base64":                {{"AUTH PLAIN %%%", "501 5.5.2"}},
		"no mechanism":              {{"AUTH", "501 5.5.4"}},
		"mechanism not offered":     {{"AUTH CRAM-MD5", "504 5.5.4"}},
		"twice":                     {{"AUTH PLAIN " + plain, "235"}, {"AUTH PLAIN " + plain, "503 5.5.1"}},
		"wrong":                     {{"AUTH PLAIN " + b64("\x00shop\x00x"), "535 5.7.8"}, {"AUTH PLAIN " + plain, "235"}},
		"long":                      {{"AUTH PLAIN", "334 "}, {b64("\x00shop\x00" + strings.Repeat("x", 9000)), "535"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial(t)
			if got := c.do("EHLO x", "250"); !strings.Contains(got, "250-AUTH PLAIN LOGIN\r\n") {
				t.Errorf("got %q", got)
			}
			for _, step := range steps {
				c.do(step[0], step[1])
			}
		})
	}
	c := s.dial(t)
	c.do("AUTH PLAIN "+plain, "503 5.5.1 Send EHLO first")
	c.do("HELO x", "250 mail.example.com") // as PHPMailer after a failed EHLO
	c.do("AUTH LOGIN", "334")
	c.do(user, "334")
	c.do(pass, "235")
	c.do("MAIL FROM:<a@example.com>", "250")
	c.do("RCPT TO:<b@example.net>", "250")
	c.do("DATA", "354")
	c.do("x\r\n.", "250")
	if m := s.door.all()[0]; m.Account != "shop" || m.Source.Auth != "LOGIN" {
		t.Errorf("%+v", m.Source)
	}
	if strings.Contains(s.log.String(), pass) || strings.Contains(s.log.String(), "s3cret") {
		t.Error("a password is in the log")
	}
}

func TestLoginOverridesTheTrustedNetwork(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.AcceptTrustedLogin = true })
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do("AUTH PLAIN "+b64("\x00shop\x00s3cret"), "235")
	c.open().do("DATA", "354")
	c.do("x\r\n.", "250")
	c = s.dial(t)
	c.do("EHLO x", "250")
	c.do("AUTH PLAIN "+b64("\x00shop\x00"), "235") // a half-filled form
	c.open().do("DATA", "354")
	c.do("x\r\n.", "250")
	if m := s.door.all(); m[0].Account != "shop" || m[1].Account != "trusted" {
		t.Errorf("accounts %q %q", m[0].Account, m[1].Account)
	}
	c = serve(t, nil).dial(t)
	c.do("EHLO x", "250")
	c.do("AUTH PLAIN "+b64("\x00shop\x00"), "535")
}

func TestWhoMaySendPasswordsWithoutTLS(t *testing.T) {
	t.Parallel()
	for choice, offered := range map[submission.AuthWithoutTLS]bool{"": true, submission.AuthLocal: true, submission.AuthAlways: true, submission.AuthNever: false} {
		s := serve(t, func(o *submission.Options) { o.AuthWithoutTLS = choice; stranger(o) })
		c := s.dial(t)
		if got := c.do("EHLO x", "250"); strings.Contains(got, "AUTH") != offered {
			t.Errorf("%q: got %q", choice, got)
		}
		if !offered {
			c.do("AUTH PLAIN "+b64("\x00shop\x00s3cret"), "538 5.7.11")
			if got := c.do("MAIL FROM:<a@example.com>", "530"); !strings.Contains(got, "TLS") {
				t.Errorf("got %q", got)
			}
		}
	}
	s := serve(t, func(o *submission.Options) {
		o.Auth = nil
		o.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	c := s.dial(t)
	if got := c.do("EHLO x", "250"); strings.Contains(got, "AUTH") {
		t.Errorf("got %q", got)
	}
	c.do("AUTH PLAIN", "502 5.5.1")
}

// TestOpenRelayProbes sends what nmap's smtp-open-relay and others send.
func TestOpenRelayProbes(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { stranger(o); o.MaxErrors = 1000 })
	c := s.dial(t)
	c.do("EHLO x", "250")
	for _, from := range []string{"", "x@dom.example", "x@mail.example.com", "x@[127.0.0.1]"} {
		for _, to := range []string{"t@dom.example", "t%dom.example@[127.0.0.1]", "t%dom.example@mail.example.com", `"t@dom.example"`, `"t%dom.example"`,
			"t@dom.example@[127.0.0.1]", `"t@dom.example"@[127.0.0.1]`, "t@dom.example@mail.example.com", "@[127.0.0.1]:t@dom.example",
			"@mail.example.com:t@dom.example", "dom.example!t", "dom.example!t@[127.0.0.1]", "dom.example!t@mail.example.com"} {
			c.do("MAIL FROM:<"+from+">", "530")
			c.do("RCPT TO:<"+to+">", "503")
			c.do("DATA", "503")
			c.do("BDAT 3 LAST\r\nabc", "503")
			c.expect("500") // the line end after the chunk
			c.do("RSET", "250")
			if s.Stats().Accepted != 0 {
				t.Fatal("took mail from a stranger")
			}
			c.do("NOOP", "250")
			c = again(t, s, c)
		}
	}
	known := serve(t, nil).dial(t)
	known.do("EHLO x", "250")
	for _, to := range []string{`"t@dom.example"`, `"t%dom.example"`, "t@dom.example@[127.0.0.1]", "t@dom.example@mail.example.com",
		"@[127.0.0.1]:t@dom.example", "@mail.example.com:t@dom.example", "dom.example!t"} {
		known.do("MAIL FROM:<a@example.com>", "250")
		known.do("RCPT TO:<"+to+">", "501-5.1.3")
		known.do("RSET", "250")
	}
}

// again opens another connection: unknown commands end one after a few.
func again(t *testing.T, s *serverUnderTest, c *client) *client {
	c.Close()
	c = s.dial(t)
	c.do("EHLO x", "250")
	return c
}
