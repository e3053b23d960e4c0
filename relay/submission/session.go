package submission

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/emersion/go-smtp"

	"postrider/queue"
)

// session is what one dialogue has agreed on. All of it runs in the
// connection's goroutine.
type session struct {
	d          *dialogue
	account    string // empty: nobody we know
	credential string // id of the key that was used; empty for a password, and without login
	mech       string // how we know: a SASL mechanism, "trusted", or empty on the socket
	failures   int    // of AUTH

	open  bool // MAIL was accepted
	env   queue.Envelope
	rcpts []queue.SubmittedRecipient
}

// known reports whether the client may send.
func (s *session) known() bool { return s.account != "" }

// ready reports whether a content may come.
func (s *session) ready() bool { return s.open && len(s.rcpts) > 0 }

func (s *session) log() *slog.Logger {
	l := s.d.t.s.o.Logger.With("peer", s.d.t.peer, "helo", s.d.helo)
	if s.account != "" {
		l = l.With("account", s.account)
	}
	return l
}

// say is how every error leaves the session.
func (s *session) say(err error, step verb) error {
	s.d.spoke = true
	return s.answer(err, step)
}

// Reset implements smtp.Session.
func (s *session) Reset() {
	s.open, s.env, s.rcpts = false, queue.Envelope{}, nil
}

// Logout implements smtp.Session.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

// Mail implements smtp.Session. The address comes from the raw line.
func (s *session) Mail(_ string, o *smtp.MailOptions) error {
	if err := s.mail(s.d.cmd, o); err != nil {
		return s.say(err, verbMAIL)
	}
	return nil
}

func (s *session) mail(cmd command, o *smtp.MailOptions) error {
	if s.open {
		return reply(503, queue.Enhanced{5, 5, 1}, "Another message is open: finish it, or give it up with RSET")
	}
	if err := s.mayMail(); err != nil {
		return err
	}
	if cmd.badSize {
		return reply(501, queue.Enhanced{5, 5, 4}, "SIZE must be a number")
	}
	if limit := s.d.t.s.o.MaxSize; cmd.size > uint64(limit) {
		return tooLarge(cmd.size, limit)
	}
	if o.RequireTLS && s.d.t.tls == nil {
		return reply(555, queue.Enhanced{5, 5, 4}, "MAIL parameter not recognized or not implemented")
	}
	from, err := s.reversePath(cmd.path, o.UTF8)
	if err != nil {
		return err
	}
	if err := s.d.t.s.o.Door.CheckSender(s.d.t.ctx, s.account, s.credential, from); err != nil {
		return err
	}
	s.open = true
	s.env = queue.Envelope{ReversePath: from, EnvID: o.EnvelopeID, SMTPUTF8: o.UTF8, EightBit: o.Body == smtp.Body8BitMIME}
	s.env.RequireTLS, s.env.StrictTLS = o.RequireTLS, o.RequireTLS
	switch o.Return {
	case smtp.DSNReturnHeaders:
		s.env.Ret = queue.RetHeaders
	case smtp.DSNReturnFull:
		s.env.Ret = queue.RetFull
	}
	return nil
}

// mayMail refuses those who must start TLS or log in first. WordPress plugins
// look for the words "Unauthenticated senders not allowed" and explain them.
func (s *session) mayMail() error {
	if s.d.needsTLS() {
		return s.mustStartTLS(451)
	}
	if s.known() {
		return nil
	}
	fix := "turn on Authentication and enter user name and password"
	if len(s.AuthMechanisms()) == 0 {
		fix += ", and an encrypted connection (TLS)"
	}
	return &queue.Refusal{Code: 530, Enhanced: queue.Enhanced{5, 7, 0},
		Problem: "Unauthenticated senders not allowed: " + fix + "."}
}

func (s *session) reversePath(p path, utf8 bool) (queue.Address, error) {
	if p.ok && p.text == "" {
		return queue.Address{}, nil
	}
	a, err := p.parse()
	switch {
	case err != nil:
		return a, &queue.Refusal{Code: 501, Enhanced: queue.Enhanced{5, 1, 7},
			Problem: "The sender's address cannot be read.", Fix: "Check its spelling: name@example.com."}
	case !utf8 && !a.ASCII():
		return a, notASCII()
	}
	return a, nil
}

func (p path) parse() (queue.Address, error) {
	if !p.ok {
		return queue.Address{}, queue.ErrAddress
	}
	return queue.ParseAddress(p.text)
}

func notASCII() *queue.Refusal { // RFC 6531 §3.5
	return &queue.Refusal{Code: 553, Enhanced: queue.Enhanced{5, 6, 7},
		Problem: "The address has letters that need SMTPUTF8.", Fix: "Use a program that declares SMTPUTF8, or another address."}
}

// Rcpt implements smtp.Session. An address that cannot be read is refused while
// it is the first one. After others were accepted it is taken and bounces: the
// client would send to the others anyway, report failure, and send again.
func (s *session) Rcpt(_ string, o *smtp.RcptOptions) error {
	if err := s.rcpt(s.d.cmd.path, o); err != nil {
		return s.say(err, verbRCPT)
	}
	return nil
}

func (s *session) rcpt(p path, o *smtp.RcptOptions) error {
	if !s.open {
		return reply(503, queue.Enhanced{5, 5, 1}, "Send MAIL first")
	}
	r := queue.SubmittedRecipient{}
	a, err := p.parse()
	if err == nil && !s.env.SMTPUTF8 && !a.ASCII() {
		err = notASCII()
	}
	if err != nil {
		var refusal *queue.Refusal
		if !errors.As(err, &refusal) {
			refusal = &queue.Refusal{Code: 501, Enhanced: queue.Enhanced{5, 1, 3},
				Problem: "The recipient's address cannot be read.", Fix: "Check its spelling: name@example.com."}
		}
		if len(s.rcpts) == 0 {
			return refusal
		}
		r.Raw = p.text
		if r.Raw == "" {
			r.Raw = "<>"
		}
	} else {
		r.Address = a
	}
	if r.ORCPT, err = originalRecipient(o); err != nil {
		return err
	}
	for _, n := range o.Notify {
		r.Notify |= notifyBits[n]
	}
	s.rcpts = append(s.rcpts, r)
	return nil
}

var notifyBits = map[smtp.DSNNotify]queue.Notify{
	smtp.DSNNotifyNever:   queue.NotifyNever,
	smtp.DSNNotifySuccess: queue.NotifySuccess,
	smtp.DSNNotifyFailure: queue.NotifyFailure,
	smtp.DSNNotifyDelayed: queue.NotifyDelay,
}

// originalRecipient checks what go-smtp decoded: xtext can hide anything.
func originalRecipient(o *smtp.RcptOptions) (string, error) {
	if o.OriginalRecipient == "" {
		return "", nil
	}
	if len(o.OriginalRecipient) > 500 || !isSafe(o.OriginalRecipient) { // RFC 3461 §4.2
		return "", reply(501, queue.Enhanced{5, 5, 4}, "Bad ORCPT parameter")
	}
	return strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient, nil
}

// Data implements smtp.Session. It does not read what go-smtp offers, but the
// transport itself.
func (s *session) Data(io.Reader) error {
	c := s.d.content()
	done, err := s.d.t.s.o.Door.Submit(s.d.t.ctx, s.submission(c))
	broken := c.discard()
	s.d.contentDone()
	s.d.spoke = true
	if broken != nil {
		return s.brokenOff(c, broken)
	}
	if v := verdictOf(c); v != nil {
		err = v
	}
	if err != nil {
		return s.say(err, s.d.cmd.verb)
	}
	s.d.errors = 0
	s.d.t.s.stats.accepted.Add(1)
	return reply(250, queue.Enhanced{2, 0, 0}, "Ok: queued as "+done.ID.String())
}

// verdictOf is what the whole content has earned; only its end knows its size.
func verdictOf(c content) error {
	if v, ok := c.(interface{ verdict() error }); ok {
		return v.verdict()
	}
	return nil
}

// brokenOff ends the connection with a content that did not end. What came of
// it is never read as commands.
func (s *session) brokenOff(c content, err error) error {
	t := s.d.t
	if k, ok := c.(*chunkContent); ok && k.by != "" {
		if k.by == verbQUIT {
			s.d.over = true
			return reply(221, queue.Enhanced{2, 0, 0}, "Bye")
		}
		s.d.pending = []byte(".\r\n")
		return reply(250, queue.Enhanced{2, 0, 0}, "Ok")
	}
	s.d.over, s.d.pending, t.linger = true, nil, true
	s.log().Warn("content broke off", "error", err)
	t.s.stats.brokenContents.Add(1)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reply(421, queue.Enhanced{4, 4, 2}, "The content came too slowly or stopped, closing connection")
	case errors.Is(err, errEndless):
		return tooLargeReply(t.s.o.MaxSize)
	case errors.Is(err, errBadChunk):
		return reply(501, queue.Enhanced{5, 5, 4}, "Syntax: BDAT size [LAST]; closing connection, as nobody knows what follows")
	}
	return reply(421, queue.Enhanced{4, 4, 2}, "The content broke off, closing connection")
}

func tooLargeReply(limit int64) error {
	return reply(552, queue.Enhanced{5, 3, 4}, fmt.Sprintf("The message is far larger than the limit of %d octets, closing connection", limit))
}

func (s *session) submission(c content) queue.Submission {
	t := s.d.t
	src := queue.Source{Kind: "smtp", Remote: t.remote, Peer: s.d.helo, Auth: s.mech, TLS: t.tlsVersion()}
	if t.local {
		src.Kind, src.Peer = "socket", t.user
	}
	return queue.Submission{
		Account: s.account, Credential: s.credential, Source: src, Envelope: s.env, Recipients: s.rcpts, Content: c,
	}
}
