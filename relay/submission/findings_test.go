package submission_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/submission"
)

// The tests named S1 to S23 each hold one weakness of the SMTP engine that this
// package covers.

func TestS01StalledContentIsNeverRunAsCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.ContentTimeout = 50 * time.Millisecond })
	c := s.dial(t).data()
	c.send("Subject: x\r\n\r\nhello\r\n")
	got := c.reply() // the stall is noticed here
	if !strings.HasPrefix(got, "421 4.4.2") {
		t.Fatalf("got %q", got)
	}
	_, _ = io.WriteString(c.Conn, "MAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nevil\r\n.\r\n")
	c.ended()
	if n := len(s.door.all()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
	if s.Stats().BrokenContents != 1 {
		t.Errorf("stats %+v", s.Stats())
	}
}

func TestS01ContentSentAheadOfAStallIsNotRunEither(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) { o.ContentTimeout = 50 * time.Millisecond })
	c := s.dial(t).data()
	c.send("x\r\n.\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nevil\r\n.\n")
	c.expect("421 4.4.2")
	c.ended()
	if n := len(s.door.all()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestS02SlowButSteadyUploadOutlivesEveryTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) {
		o.IdleTimeout, o.ContentTimeout, o.ContentGrace, o.MinRate = 300*time.Millisecond, 5*time.Second, time.Millisecond, 1
	})
	c := s.dial(t).data()
	started := time.Now()
	for time.Since(started) < 700*time.Millisecond {
		c.send("a line that is sent on its own\r\n")
		<-time.After(20 * time.Millisecond)
	}
	c.do(".", "250 ")
}

func TestS02TricklingUploadIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *submission.Options) {
		o.ContentTimeout, o.ContentGrace, o.MinRate = time.Minute, time.Millisecond, 1<<20
	})
	c := s.dial(t).data()
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(c.Conn, "x"); err != nil {
				return
			}
		}
	}()
	c.expect("421 4.4.2")
	c.ended()
}

func TestS03StrayLineEndsAndNULDoNotEndAContent(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, odd := range []string{"\n.\n", "\n.\r\n", "\r.\r\n", "\r\n\x00.\r\n"} {
		c := s.dial(t).data()
		c.send("a" + odd + "b\r\n")
		c.do(".", "250 ")
		if got := s.door.contents(); got[len(got)-1] != "a"+odd+"b\r\n" {
			t.Errorf("%q became %q", odd, got[len(got)-1])
		}
	}
}

func TestS04CRBeforeTheEndOfDataIsNoHang(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).data()
	c.send("a\r\r\n.\r\n")
	c.expect("250 ")
	c.open().do("DATA", "354")
	c.send(".\rx\r\n\r\n.\nb\r\n.\r\n")
	c.expect("250 ")
	if got := s.door.contents(); got[0] != "a\r\r\n" || got[1] != "\rx\r\n\r\n\nb\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestS05NestedMailAndAuthAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).open()
	c.do("MAIL FROM:<other@example.com>", "503 5.5.1")
	c.do("AUTH PLAIN", "503 5.5.1")
	c.do("DATA", "354")
	c.do("x\r\n.", "250 ")
	if m := s.door.all(); len(m) != 1 || m[0].Envelope.ReversePath.String() != "a@example.com" || len(m[0].Recipients) != 1 {
		t.Errorf("took %+v", m)
	}
	c.do("MAIL FROM:<next@example.com>", "250 ") // no RSET, as PHPMailer
}

func TestS05RefusedStepsLeaveNoTransactionBehind(t *testing.T) {
	t.Parallel()
	refusal := &queue.Refusal{Code: 554, Enhanced: queue.Enhanced{5, 7, 1}, Problem: "No."}
	var mended atomic.Bool
	s := serve(t, func(o *submission.Options) {
		o.Door = &recorder{after: func() error {
			if !mended.Load() {
				return refusal
			}
			return nil
		}}
	})
	c := s.dial(t).data()
	c.do("x\r\n.", "554-5.7.1")
	c.do("RCPT TO:<late@example.net>", "503 5.5.1")
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("DATA", "503 5.5.1")
	c.do("RCPT TO:<late@example.net>", "503 5.5.1")
	c.do("MAIL FROM:<a@example.com>", "250 ") // after a refused DATA
	c.raw("BDAT 3\r\nabc", "503 5.5.1")
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.net>", "250 ")
	mended.Store(true)
	c.do("DATA", "354")
	c.do("x\r\n.", "250 ")
}

func TestS06AddressesAreReadFromTheRawLine(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do(`MAIL FROM:<"x> NOTIFY=NEVER"@example.com>`, "250 2.1.0 Ok")
	c.do(`RCPT TO:<"a@b"@example.net>`, "250 2.1.5 Ok")
	c.do(`RCPT TO:<"a\"\\ b"@example.net> NOTIFY=FAILURE`, "250 ")
	c.do("DATA", "354")
	c.do("x\r\n.", "250 ")
	m := s.door.all()[0]
	if m.Envelope.ReversePath.Local != "x> NOTIFY=NEVER" || m.Envelope.ReversePath.String() != `"x> NOTIFY=NEVER"@example.com` {
		t.Errorf("sender %#v", m.Envelope.ReversePath)
	}
	if m.Recipients[0].Address.Local != "a@b" || m.Recipients[0].Notify != 0 {
		t.Errorf("first %#v", m.Recipients[0])
	}
	if m.Recipients[1].Address.Local != `a"\ b` || m.Recipients[1].Notify != queue.NotifyFailure {
		t.Errorf("second %#v", m.Recipients[1])
	}
}

func TestS06UnsafeAddressesAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.do("EHLO x", "250")
	for _, bad := range []string{"<a@b@c>", "<a b@example.com>", "<.a@example.com>", "<a@>", "<@example.com>", "<a>", "<a@b>c", "<a@b", "",
		"<@relay.example:a@example.com>", "<a@example.com\x00>", "<a\x1b[2J@example.com>", "<\"a\rb\"@example.com>", "<a\u2028@example.com>", "<\xff@example.com>",
		"<" + strings.Repeat("a", 65) + "@example.com>"} {
		c.do("MAIL FROM:"+bad, "501")
		c.do("RSET", "250")
	}
	c.do("MAIL FROM:<jürgen@example.com>", "553-5.6.7")
	c.do("MAIL FROM:<jürgen@example.com> SMTPUTF8", "250 ")
	c.do("RSET", "250")
	c.do("MAIL FROM:<a@example.com>", "250")
	c.do("RCPT TO:<jürgen@example.com>", "553-5.6.7")
	c.do("RCPT TO:<nobody>", "501-5.1.3")
	c.do("RCPT TO:<b@example.com>", "250")
	c.do("RCPT TO:<a\x00b@example.com>", "501 ")
}

func TestS06LaterBadRecipientIsTakenAndReported(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).open()
	c.do("RCPT TO:<nobody>", "250")
	c.do("RCPT TO:<a b@example.net> NOTIFY=NEVER", "250")
	c.do("RCPT TO:<jürgen@example.com>", "250")
	c.do("DATA", "354")
	c.do("x\r\n.", "250 ")
	var raw []string
	for _, r := range s.door.all()[0].Recipients {
		raw = append(raw, r.Raw)
	}
	if got := fmt.Sprintf("%q", raw); got != `["" "nobody" "a b@example.net" "jürgen@example.com"]` {
		t.Errorf("got %s", got)
	}
}

func TestS07LongBodyLinesAreTakenUpTo128KiB(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).data()
	c.send(strings.Repeat("x", 128<<10) + "\r\n")
	c.do(".", "250 ")
	c.open().do("DATA", "354")
	c.send(strings.Repeat("x", 128<<10+2) + "\r\nNOOP\r\n")
	c.do(".", "554-5.6.0")
	c.do("NOOP", "250")
}

func TestS07EndlessCommandLineIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	go func() { _, _ = io.WriteString(c.Conn, strings.Repeat("x", 20000)) }()
	c.expect("500 5.5.2 Line too long")
	c.ended()
}

func TestS08ChunkInTheSegmentOfItsCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	body := strings.Repeat("x", 100<<10)
	c := s.dial(t).open()
	c.send(fmt.Sprintf("BDAT %d LAST\r\n%sNOOP\r\n", len(body), body))
	c.expect("250 2.0.0 Ok: queued as msg_")
	c.expect("250 2.0.0 Ok")
	if got := s.door.contents(); got[0] != body {
		t.Errorf("%d octets", len(got[0]))
	}
}

func TestS09PipelinedGroupIsAnsweredInOneWrite(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t)
	c.send("EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n")
	b := make([]byte, 4096)
	n, err := c.Conn.Read(b) // what one write sent arrives at once on loopback
	if err != nil || !strings.Contains(string(b[:n]), "\r\n354 ") {
		t.Errorf("first read: %q %v", b[:n], err)
	}
}

func TestS10NothingRunsAfterQuit(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := s.dial(t).open()
	c.send("QUIT\r\nDATA\r\nx\r\n.\r\nNOOP\r\n")
	c.expect("221 2.0.0")
	c.ended()
	for range 5 {
		c := s.dial(t)
		c.send("X1\r\nX2\r\nX3\r\nX4\r\nX5\r\nMAIL FROM:<a@example.com>\r\n")
		for range 3 {
			c.expect("500 5.5.2 Unknown command")
		}
		c.expect("421 4.7.0")
		c.ended()
	}
	if strings.Contains(s.log.String(), "panic") {
		t.Error(s.log.String())
	}
}

func TestS11FailedHandshakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	s := serve(t, func(o *submission.Options) { o.TLS = cert })
	c := s.dial(t)
	c.do("EHLO x", "250")
	c.do("STARTTLS", "220 2.0.0")
	_, _ = io.WriteString(c.Conn, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n")
	rest, _ := io.ReadAll(c.r) // at most a TLS alert
	if strings.Contains(string(rest), "250") || strings.Contains(string(rest), "550") {
		t.Errorf("went on in plaintext: %q", rest)
	}
	if s.Stats().HandshakeFailures != 1 {
		t.Errorf("%+v", s.Stats())
	}
}
