package sendmail

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"
)

// Timeouts bounds how long the relay may take. Zero values become those of
// RFC 5321 §4.5.3.2.
type Timeouts struct {
	Connect time.Duration // per place tried; 10 s
	Reply   time.Duration // for each reply but the last, and for each write; 5 min
	Final   time.Duration // for the reply to the final dot; 10 min
}

func (t Timeouts) withDefaults() Timeouts {
	if t.Connect <= 0 {
		t.Connect = 10 * time.Second
	}
	if t.Reply <= 0 {
		t.Reply = 5 * time.Minute
	}
	if t.Final <= 0 {
		t.Final = 10 * time.Minute
	}
	return t
}

// session is an SMTP session with the relay, for one goroutine.
type session struct {
	at       endpoint
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	timeouts Timeouts
	banner   reply
	// extensions holds what EHLO offered, by upper-case keyword.
	extensions map[string]string
	// unwatch ends the watch over the context until the first final dot; a
	// further transaction of the same message is finished in any case.
	unwatch   func() bool
	unwatched bool
}

// openSession connects to the first endpoint that answers and logs in there
// if it is told to. Once a relay has answered, what it says is final.
func openSession(ctx context.Context, relays []endpoint, helo string, t Timeouts) (*session, error) {
	conn, at, err := dialAny(ctx, relays, t)
	if err != nil {
		return nil, err
	}
	s := newSession(ctx, conn, at, t)
	if err := s.greet(helo); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func dialAny(ctx context.Context, relays []endpoint, t Timeouts) (net.Conn, endpoint, error) {
	var problems []string
	for _, at := range relays {
		conn, err := at.dial(ctx, t.Connect)
		if err == nil {
			return conn, at, nil
		}
		problems = append(problems, err.Error())
	}
	return nil, endpoint{}, fail(exitUnavailable, "no relay is reachable: %s: is postrider serve running? else set POSTRIDER_SUBMIT", strings.Join(problems, "; "))
}

func newSession(ctx context.Context, conn net.Conn, at endpoint, t Timeouts) *session {
	s := &session{at: at, timeouts: t}
	s.use(conn)
	// Closing ends whatever the session waits for.
	s.unwatch = context.AfterFunc(ctx, func() { conn.Close() })
	return s
}

func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReader(conn)
	s.w = bufio.NewWriterSize(deadlineWriter{conn, s.timeouts.Reply}, 32<<10)
}

// release lets nothing be cancelled any more. It returns false if that
// happened before.
func (s *session) release() bool {
	if s.unwatched {
		return true
	}
	s.unwatched = s.unwatch()
	return s.unwatched
}

// close says goodbye without waiting long for the answer.
func (s *session) close() {
	s.release()
	if _, err := s.w.WriteString("QUIT\r\n"); err == nil && s.w.Flush() == nil {
		_ = s.conn.SetReadDeadline(time.Now().Add(min(time.Second, s.timeouts.Reply)))
		_, _ = readReply(s.r)
	}
	s.conn.Close()
}

// deadlineWriter gives every write its own time.
type deadlineWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(p)
}

// lost is what a broken connection means: nobody knows, so try again.
func (s *session) lost(during string, err error) error {
	return fail(exitTemporary, "lost the relay at %s during %s: %w", s.at, during, err)
}

func (s *session) read(during string, timeout time.Duration) (reply, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return reply{}, s.lost(during, err)
	}
	r, err := readReply(s.r)
	if err != nil {
		return reply{}, s.lost(during, err)
	}
	return r, nil
}

// command sends one line and waits for its reply. Lines are made of parts that
// hold no line end.
func (s *session) command(during, line string) (reply, error) {
	if err := s.send(line); err != nil {
		return reply{}, s.lost(during, err)
	}
	if err := s.w.Flush(); err != nil {
		return reply{}, s.lost(during, err)
	}
	return s.read(during, s.timeouts.Reply)
}

var errUnsafeLine = errors.New("line break in a command")

func (s *session) send(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return errUnsafeLine
	}
	_, err := s.w.WriteString(line + "\r\n")
	return err
}

// greet does everything up to the first transaction.
func (s *session) greet(helo string) error {
	var err error
	if s.banner, err = s.read("the greeting", s.timeouts.Reply); err != nil {
		return err
	}
	if s.banner.code != 220 {
		return refusal("the connection", exitUnavailable, s.banner)
	}
	if err := s.hello(helo); err != nil {
		return err
	}
	_, offered := s.extensions["STARTTLS"]
	if s.at.requireTLS || offered && s.at.user != "" && !s.at.isHere() && !s.at.implicitTLS {
		if err := s.startTLS(helo); err != nil {
			return err
		}
	}
	if s.at.user == "" {
		return nil
	}
	return s.authenticate()
}

func (s *session) hello(name string) error {
	r, err := s.command("EHLO", "EHLO "+name)
	if err != nil {
		return err
	}
	s.extensions = map[string]string{}
	if r.positive() {
		for _, line := range r.lines[1:] {
			keyword, args, _ := strings.Cut(line, " ")
			s.extensions[strings.ToUpper(keyword)] = args
		}
		return nil
	}
	if r, err = s.command("HELO", "HELO "+name); err != nil {
		return err
	}
	if !r.positive() {
		return refusal("HELO", exitUnavailable, r)
	}
	return nil
}

func (s *session) startTLS(helo string) error {
	r, err := s.command("STARTTLS", "STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return refusal("STARTTLS", exitUnavailable, r)
	}
	if s.r.Buffered() > 0 {
		return fail(exitUnavailable, "the relay at %s spoke before TLS began", s.at)
	}
	conn := tls.Client(s.conn, s.at.tlsConfig())
	_ = s.conn.SetDeadline(time.Now().Add(s.timeouts.Reply))
	if err := conn.Handshake(); err != nil {
		return fail(exitUnavailable, "TLS with the relay at %s: %w", s.at, err)
	}
	s.use(conn)
	return s.hello(helo)
}

// authenticate logs in with PLAIN, or with LOGIN where that is all there is.
func (s *session) authenticate() error {
	mechanisms := strings.Fields(strings.ToUpper(s.extensions["AUTH"]))
	has := func(name string) bool {
		for _, m := range mechanisms {
			if m == name {
				return true
			}
		}
		return false
	}
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	var lines []string
	switch {
	case has("PLAIN"):
		lines = []string{"AUTH PLAIN " + encode("\x00"+s.at.user+"\x00"+s.at.password)}
	case has("LOGIN"):
		lines = []string{"AUTH LOGIN", encode(s.at.user), encode(s.at.password)}
	default:
		return fail(exitConfig, "the relay at %s offers no login, but a user is set", s.at)
	}
	for i, line := range lines {
		r, err := s.command("AUTH", line)
		if err != nil {
			return err
		}
		if r.code != 334 && i < len(lines)-1 || !r.positive() && i == len(lines)-1 {
			return refusal("the login", exitNoPermission, r)
		}
	}
	return nil
}

// recipientLimit is how many recipients one transaction may have (RFC 9422),
// or 0 where the relay does not say.
func (s *session) recipientLimit() int {
	for _, item := range strings.Fields(s.extensions["LIMITS"]) {
		if value, ok := strings.CutPrefix(strings.ToUpper(item), "RCPTMAX="); ok {
			n, _ := strconv.Atoi(value)
			return max(n, 0)
		}
	}
	return 0
}

func (s *session) offers(extension string) bool {
	_, ok := s.extensions[extension]
	return ok
}
