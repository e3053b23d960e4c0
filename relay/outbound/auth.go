package outbound

import (
	"encoding/base64"
	"time"

	"postrider/queue"
)

// login authenticates by PLAIN (RFC 4616) or LOGIN, whichever is offered.
func (s *session) login(p *Pool, a Auth) *failure {
	began := time.Now()
	fail := func(text string) *failure { return &failure{stage: queue.StageAuth, text: text} }
	switch {
	case s.tls == "" && !a.AllowPlaintext:
		return fail("credentials are not sent over a connection without TLS: require TLS for this route, or allow it explicitly")
	case !s.caps.authPlain && !s.caps.authLogin:
		return fail("the server offers neither AUTH PLAIN nor AUTH LOGIN")
	}
	b64 := base64.StdEncoding.EncodeToString
	line, answers := "AUTH LOGIN", []string{b64([]byte(a.Username)), b64([]byte(a.Password))}
	if s.caps.authPlain {
		ir := b64([]byte("\x00" + a.Username + "\x00" + a.Password))
		// A server that does not know the initial response asks for it once more.
		line, answers = "AUTH PLAIN "+ir, []string{ir}
	}
	for {
		raw, f := s.ask(queue.StageAuth, "AUTH", line, p.o.Timeouts.Ehlo)
		switch {
		case f != nil:
			return f
		case raw.code/100 == 2:
			p.observe(queue.StageAuth, began)
			return nil
		case raw.code == 334 && len(answers) > 0:
			line, answers = answers[0], answers[1:]
		case raw.code == 334:
			return fail("the server asks for more than the mechanism has to say")
		default:
			return &failure{stage: queue.StageAuth, reply: raw.reply("AUTH")}
		}
	}
}
