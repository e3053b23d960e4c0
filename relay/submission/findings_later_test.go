package submission_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/submission"
)

func TestS12CommandsSentAheadOfTheHandshakeAreNotRun(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert })
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.send("STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
	c.expect("554 5.5.1")
	c.ended()

	c = s.dial(t)
	c.do("EHLO x", "250")
	c.startTLS(pool)
	c.do("MAIL FROM:<a@example.com>", "503 5.5.1 Send EHLO first")
}

func TestS13CausesAreForTheLogOnly(t *testing.T) {
	t.Parallel()
	cause := errors.New("open /var/lib/secret: disk on fire")
	s := serve(t, func(o *submission.Options) { o.Door = &recorder{after: func() error { return cause }} })
	c := s.dial(t).data()
	got := c.do("x\r\n.", "451-4.3.0 ")
	if strings.Contains(got, "secret") || strings.Contains(got, "fire") {
		t.Errorf("told the client: %q", got)
	}
	ref := got[strings.Index(got, "ref="):]
	if l := s.log.String(); !strings.Contains(l, "disk on fire") || !strings.Contains(l, ref) {
		t.Errorf("log has not %s: %s", ref, l)
	}
}

func TestS13RefusalsHaveSeveralShortLines(t *testing.T) {
	t.Parallel()
	long := &queue.Refusal{Code: 550, Enhanced: queue.Enhanced{5, 7, 1}, Problem: strings.Repeat("what ", 200), Fix: "do\r\n250 this"}
	s := serve(t, func(o *submission.Options) {
		o.Door = &recorder{check: func(string, queue.Address) error { return fmt.Errorf("wrapped: %w", long) }}
	})
	c := s.dial(t)
	c.do("EHLO x", "250")
	got := c.do("MAIL FROM:<a@example.com>", "550-5.7.1 what ")
	lines := strings.Split(got, "\r\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "550-5.7.1 do??250 this") || !strings.HasPrefix(lines[2], "550 5.7.1 ref=") {
		t.Errorf("got %q", lines)
	}
	for _, l := range lines {
		if len(l)+2 > 510 {
			t.Errorf("%d octets: %q", len(l)+2, l)
		}
	}
	if ref := strings.TrimPrefix(lines[2], "550 5.7.1 "); !strings.Contains(s.log.String(), ref) {
		t.Errorf("log has not %s: %s", ref, s.log)
	}
}

func TestS14StrangersAreToldToLogIn(t *testing.T) {
	t.Parallel()
	s := serve(t, stranger)
	c := s.dial(t)
	c.do("EHLO x", "250")
	got := c.do("MAIL FROM:<a@example.com>", "530-5.7.0 Unauthenticated senders not allowed: turn on Authentication")
	if !strings.Contains(got, "ref=") {
		t.Errorf("got %q", got)
	}
	c.do("RCPT TO:<b@example.com>", "503 5.5.1")
	c.do("DATA", "503 5.5.1")
	c.do("MAIL FROM:<a@example.com> FOO=BAR", "555 5.5.4")
}

func TestS15WrongPasswordsEndTheConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, stranger)
	c := s.dial(t)
	c.do("EHLO x", "250")
	wrong := "AUTH PLAIN " + b64("\x00shop\x00wrong")
	c.do(wrong, "535 5.7.8")
	c.do(wrong, "535 5.7.8")
	c.do(wrong, "535 5.7.8")
	c.ended()
	if l := s.log.String(); strings.Count(l, "login failed") != 3 || strings.Contains(l, "wrong\x00") || strings.Contains(l, b64("\x00shop\x00wrong")) {
		t.Errorf("log: %s", l)
	}
	c = s.dial(t)
	c.do("EHLO x", "250")
	got := c.do("AUTH PLAIN "+b64("\x00broken\x00x"), "454 4.7.0")
	if strings.Contains(got, "secret") {
		t.Errorf("told the cause: %q", got)
	}
	c.do("AUTH PLAIN "+b64("\x00throttled\x00x"), "454 4.7.0 Too many failed logins")
}

func TestS16ErrorsOfStrangersAreCounted(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { stranger(o); o.MaxErrors = 5 })
	c := s.dial(t)
	for range 5 {
		c.do("MAIL FROM:<a@example.com>", "503")
	}
	c.expect("421 4.7.0 Too many errors")
	c.ended()
	known := serve(t, func(o *submission.Options) { o.MaxErrors = 5 }).dial(t)
	known.do("EHLO x", "250")
	for range 10 {
		known.do("RCPT TO:<a@example.com>", "503")
	}
}

func TestS17DrainTellsIdleClientsAndWaitsForContents(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	idle := s.dial(t)
	idle.do("EHLO x", "250")
	mid := s.dial(t).open()
	busy := s.dial(t).data()
	busy.send("half\r\n")
	chunks := s.dial(t).open()
	chunks.raw("BDAT 5\r\nhalf ", "250 2.0.0")
	drained := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		drained <- s.Drain(ctx)
	}()
	for _, c := range []*client{idle, mid} {
		c.expect("421 4.3.2")
		c.ended()
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with contents under way: %v", err)
	default:
	}
	busy.do("rest\r\n.", "250 2.0.0 Ok: queued as")
	busy.expect("421 4.3.2")
	busy.ended()
	chunks.raw("BDAT 4 LAST\r\nrest", "250 2.0.0 Ok: queued as")
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addrs()[0].String()); err == nil {
		t.Error("still accepting")
	}
}

func TestS17DrainThatRunsOutEndsWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).data()
	c.send("half\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n := len(s.door.all()); n != 0 || s.Stats().Open != 0 {
		t.Errorf("%d taken, %+v", n, s.Stats())
	}
}

func TestS18SizesOfAnyNumberOfDigits(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.MaxSize = 1000 })
	c := s.dial(t)
	if got := c.do("EHLO x", "250"); !strings.Contains(got, "250-SIZE 1000\r\n") {
		t.Errorf("got %q", got)
	}
	got := c.do("MAIL FROM:<a@example.com> SIZE=5000000000", "552-5.3.4")
	if !strings.Contains(got, "5000000000") || !strings.Contains(got, "1000") {
		t.Errorf("got %q", got)
	}
	c.do("MAIL FROM:<a@example.com> SIZE=99999999999999999999999", "552-5.3.4")
	c.do("MAIL FROM:<a@example.com> SIZE=x", "501 5.5.4")
	c.do("MAIL FROM:<a@example.com> SIZE=1000", "250")
	c.do("RCPT TO:<b@example.net>", "250")
	c.do("DATA", "354")
	c.send(strings.Repeat("0123456789abcdef\r\n", 5000))
	got = c.do(".", "552-5.3.4")
	if !strings.Contains(got, "90000 octets, the limit is 1000") {
		t.Errorf("got %q", got)
	}
	c.open().do("BDAT 2000 LAST\r\n"+strings.Repeat("x", 1998)+"\r\nNOOP", "552-5.3.4")
	c.expect("250 2.0.0 Ok")
	if len(s.door.all()) != 0 {
		t.Error("took an over-size message")
	}
}

func TestS19BareLFEndsACommand(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.send("EHLO x\nMAIL FROM:<a@example.com>\nRCPT TO:<b@example.net>\nDATA\nx\n.\n\r\n.\r\n")
	for _, want := range []string{"250", "250", "250", "354", "250"} {
		c.expect(want)
	}
	if got := s.door.contents(); got[0] != "x\n.\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestS20ChunksAndWhatComesBetweenThem(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).open()
	c.raw("BDAT 7\r\n.\r\nabc\n", "250 2.0.0")
	c.do("NOOP", "250")
	c.do("MAIL FROM:<a@example.com>", "503 5.5.1")
	c.do("BDAT 0 LAST", "250 2.0.0 Ok: queued as")
	c.open().raw("BDAT 3\r\nabc", "250")
	c.do("RSET", "250 2.0.0 Ok")
	c.do("DATA", "503")
	c.open().raw("BDAT 3\r\nabc", "250")
	c.do("BDAT x", "501 5.5.4")
	c.ended()
	c = s.dial(t).open()
	c.raw("BDAT 3\r\nabc", "250")
	c.do("QUIT", "221")
	c.ended()
	if got := s.door.contents(); len(got) != 1 || got[0] != ".\r\nabc\n" {
		t.Errorf("took %q", got)
	}
}

func TestS20TornChunkIsNoMessage(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).open()
	c.send("BDAT 100 LAST\r\nonly this")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	c.expect("421 4.4.2")
	c.ended()
	if len(s.door.all()) != 0 {
		t.Error("took a message that was cut off")
	}
}

func TestS20ChunkOfARefusedTransactionIsNotRun(t *testing.T) {
	t.Parallel()
	s := serve(t, stranger)
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do("BDAT 6\r\nNOOP\r\nRSET", "503 5.5.1")
	c.expect("250 2.0.0 Ok")
	c.do("BDAT 5 FIRST\r\nNOOP", "501 5.5.4")
	c.ended()
}

func TestS21RepliesEchoNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	for _, cmd := range []string{"EHLO <script>", "MAIL FROM:<script@example.com>", "RCPT TO:<script@example.com>", "script", "VRFY script"} {
		c.send(cmd + "\r\n")
		if got := c.reply(); strings.Contains(strings.ToLower(got), "script") {
			t.Errorf("%q: %q", cmd, got)
		}
	}
}

func TestS22ParametersOfOtherExtensionsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	caps := c.do("EHLO x", "250")
	for _, no := range []string{"DELIVERBY", "MT-PRIORITY", "RRVS", "REQUIRETLS", "BINARYMIME", "STARTTLS", "CRAM", "XCLIENT"} {
		if strings.Contains(caps, no) {
			t.Errorf("offers %s", no)
		}
	}
	for _, p := range []string{"BY=120;R", "MT-PRIORITY=3", "REQUIRETLS", "BODY=BINARYMIME", "XFOO=1"} {
		c.do("MAIL FROM:<a@example.com> "+p, "555 5.5.4")
	}
	c.do("MAIL FROM:<a@example.com>", "250")
	for _, p := range []string{"BY=120;R", "MT-PRIORITY=3", "RRVS=2014-04-03T23:01:00Z"} {
		c.do("RCPT TO:<a@example.com> "+p, "555 5.5.4")
	}
}

func TestS23HiddenControlCharactersInParameters(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do("MAIL FROM:<a@example.com> AUTH=x+0D+0Ay@c ENVID=a+0D+0Ab", "501 5.5.4")
	c.do("MAIL FROM:<a@example.com> AUTH=x+0D+0Ay@c ENVID=a+2Bb RET=HDRS", "250")
	c.do("RCPT TO:<b@example.net> ORCPT=rfc822;x+0D+0Ay@c", "501 5.5.4")
	c.do("RCPT TO:<b@example.net> ORCPT=rfc822;x+2By@c NOTIFY=SUCCESS,DELAY", "250")
	c.do("RCPT TO:<c@example.net> NOTIFY=NEVER", "250")
	c.do("RCPT TO:<c@example.net> NOTIFY=NEVER,DELAY", "501 5.5.4")
	c.do("DATA", "354")
	c.do("x\r\n.", "250")
	m := s.door.all()[0]
	if m.Envelope.EnvID != "a+b" || m.Envelope.Ret != queue.RetHeaders {
		t.Errorf("%+v", m.Envelope)
	}
	if r := m.Recipients; r[0].ORCPT != "rfc822;x+y@c" || r[0].Notify != queue.NotifySuccess|queue.NotifyDelay || r[1].Notify != queue.NotifyNever {
		t.Errorf("%+v", r)
	}
	if strings.Contains(s.log.String(), "x+0D") {
		t.Error("AUTH= is in the log")
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
