package smtpsim_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postrider/relay/smtpsim"
)

func rule(st smtpsim.Stage, do ...smtpsim.Action) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Name: "it", Stage: st, Do: do}}}
}

func TestRepliesAtEachStage(t *testing.T) {
	t.Parallel()
	before := map[smtpsim.Stage][]string{
		smtpsim.Ehlo: {}, smtpsim.Helo: {}, smtpsim.StartTLSVerb: {"EHLO x"}, smtpsim.Auth: {"EHLO x"}, smtpsim.Mail: {"EHLO x"},
		smtpsim.Rcpt: {"EHLO x", "MAIL FROM:<>"},
		smtpsim.Data: {"EHLO x", "MAIL FROM:<>", "RCPT TO:<r@to.test>"},
		smtpsim.Dot:  {"EHLO x", "MAIL FROM:<>", "RCPT TO:<r@to.test>", "DATA"},
		smtpsim.Rset: {"EHLO x"}, smtpsim.Noop: {"EHLO x"}, smtpsim.Quit: {"EHLO x"},
	}
	line := map[smtpsim.Stage]string{
		smtpsim.Ehlo: "EHLO x", smtpsim.Helo: "HELO x", smtpsim.StartTLSVerb: "STARTTLS", smtpsim.Auth: "AUTH PLAIN AHUAcA==",
		smtpsim.Mail: "MAIL FROM:<>", smtpsim.Rcpt: "RCPT TO:<r@to.test>", smtpsim.Data: "DATA", smtpsim.Dot: "x\r\n.",
		smtpsim.Rset: "RSET", smtpsim.Noop: "NOOP", smtpsim.Quit: "QUIT",
	}
	for st, lines := range before {
		t.Run(st.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, rule(st, smtpsim.Reply(451, "4.3.0", "not now", "maybe later")))
			c := dial(t, s)
			c.expect("220")
			for _, l := range lines {
				c.say(l)
				c.expect("")
			}
			if got := c.ask(line[st], "451-4.3.0"); got != "451-4.3.0 not now\r\n451 4.3.0 maybe later\r\n" {
				t.Errorf("reply %q", got)
			}
			if n := s.Counters().Messages; n != 0 {
				t.Errorf("%d messages accepted", n)
			}
			s.SetRules(smtpsim.Rule{Stage: st, Do: smtpsim.Do(smtpsim.Drop())})
			if st != smtpsim.Quit {
				c = dial(t, s)
				c.expect("220")
				for _, l := range lines {
					c.say(l)
					c.expect("")
				}
				c.say(line[st])
			}
			c.closed()
		})
	}
}

func TestBanner(t *testing.T) {
	t.Parallel()
	s := start(t, rule(smtpsim.Connect, smtpsim.Reply(421, "4.3.2", "busy")))
	c := dial(t, s)
	c.expect("421 4.3.2 busy")
	c.closed()
	hold := make(chan struct{})
	s.SetRules(smtpsim.Rule{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.WaitUntil(hold), smtpsim.Reset())})
	c = dial(t, s)
	close(hold)
	if _, err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestEarlyTalkIsRecorded(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := start(t, rule(smtpsim.Connect, smtpsim.WaitUntil(hold), smtpsim.Accept()))
	c := dial(t, s)
	c.write("EHLO early\r\n")
	close(hold)
	c.expect("220")
	c.expect("250")
	if err := s.WaitFor(within(t), func(n smtpsim.Counters) bool { return n.Violations > 0 }); err != nil {
		t.Error(err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	no := smtpsim.Do(smtpsim.Reply(450, "4.2.0", "no"))
	s := start(t, smtpsim.Options{MaxRecipients: 3, Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, From: "Bad@from.test", Do: no},
		{Stage: smtpsim.Mail, NullFrom: true, Do: no},
		{Stage: smtpsim.Rcpt, RcptDomain: "full.test", Do: no},
		{Stage: smtpsim.Rcpt, Rcpt: "third@to.test", Skip: 1, Times: 1, Name: "once", Do: no},
		{Stage: smtpsim.Dot, Rcpt: "dot@to.test", Do: no},
	}})
	c := hello(t, s)
	c.ask("MAIL FROM:<bad@FROM.test>", "450")
	c.ask("MAIL FROM:<>", "450")
	c.ask("RCPT TO:<x@to.test>", "503")
	c.ask("MAIL FROM:<ok@from.test>", "250")
	c.ask("RCPT TO:<x@FULL.test>", "450")
	c.ask("RCPT TO:<third@to.test>", "250")
	c.ask("RCPT TO:<third@to.test>", "450")
	c.ask("RCPT TO:<third@to.test>", "250")
	c.ask("RCPT TO:<dot@to.test>", "250")
	c.ask("RCPT TO:<one@too.many>", "452 4.5.3")
	c.ask("DATA", "354")
	c.ask(".", "450")
	if n := s.Fired("once"); n != 1 {
		t.Errorf("fired %d times", n)
	}
	if n := s.Counters(); n.Messages != 0 || n.Refusals != 7 {
		t.Errorf("counters %+v", n)
	}
}

func Test421AfterMessages(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, AfterMessages: 2, Do: smtpsim.Do(smtpsim.Reply(421, "4.7.0", "enough"))},
	}})
	c := hello(t, s)
	for range 2 {
		c.toData("r@to.test")
		c.ask(".", "250")
	}
	c.ask("MAIL FROM:<>", "421")
	c.closed()
	s.SetRules(smtpsim.Rule{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Accept(), smtpsim.Drop())})
	c = hello(t, s)
	c.toData("r@to.test")
	c.ask(".", "250")
	c.closed()
}

func TestLostReplyIsAnAcceptedMessage(t *testing.T) {
	t.Parallel()
	s := start(t, rule(smtpsim.Dot, smtpsim.LoseReply()))
	c := hello(t, s)
	c.toData("r@to.test")
	c.say("x\r\n.")
	c.closed()
	wait(t, s, 1)
	if n := s.Counters(); n.LostReplies != 1 || n.Messages != 1 {
		t.Errorf("counters %+v", n)
	}
}

func TestGreylistByTriplet(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	o := rule(smtpsim.Rcpt, smtpsim.Greylist(time.Minute))
	o.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	s := start(t, o)
	c := hello(t, s)
	c.ask("MAIL FROM:<a@from.test>", "250")
	c.ask("RCPT TO:<r@to.test>", "451 4.7.1")
	now.Store(59)
	c.ask("RCPT TO:<r@to.test>", "451 4.7.1")
	now.Store(60)
	c.ask("RCPT TO:<r@to.test>", "250")
	c.ask("RCPT TO:<other@to.test>", "451 4.7.1")
}

func TestHostileReplies(t *testing.T) {
	t.Parallel()
	t.Run("trickled", func(t *testing.T) {
		t.Parallel()
		c := hello(t, start(t, rule(smtpsim.Ehlo, smtpsim.Trickle(0))))
		c.toData("r@to.test")
	})
	t.Run("over-long", func(t *testing.T) {
		t.Parallel()
		c := hello(t, start(t, rule(smtpsim.Mail, smtpsim.OverlongReply(250, 1<<20))))
		if n := len(c.ask("MAIL FROM:<>", "250")); n != 1<<20+6 {
			t.Errorf("reply of %d bytes", n)
		}
	})
	t.Run("mixed codes", func(t *testing.T) {
		t.Parallel()
		c := hello(t, start(t, rule(smtpsim.Mail, smtpsim.MixedCodes(250, 550))))
		if got := c.ask("MAIL FROM:<>", "250-first"); !strings.HasSuffix(got, "550 last\r\n") {
			t.Errorf("reply %q", got)
		}
		c.ask("RCPT TO:<r@to.test>", "503")
	})
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		s := start(t, rule(smtpsim.Ehlo, smtpsim.EndlessReply(250)))
		c := dial(t, s)
		c.expect("220")
		c.say("EHLO x")
		if n, err := io.CopyN(io.Discard, c.r, 4<<20); err != nil {
			t.Errorf("got %d bytes: %v", n, err)
		}
		c.conn.Close()
		if err := s.WaitFor(within(t), func(n smtpsim.Counters) bool { return n.Open == 0 }); err != nil {
			t.Error(err)
		}
	})
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		c := hello(t, start(t, rule(smtpsim.Mail, smtpsim.Garbage(3000))))
		c.say("MAIL FROM:<>")
		if _, err := io.CopyN(io.Discard, c.r, 3000); err != nil {
			t.Error(err)
		}
	})
}

func TestStallEndsWithTheClient(t *testing.T) {
	t.Parallel()
	for _, st := range []smtpsim.Stage{smtpsim.Mail, smtpsim.Body, smtpsim.Dot} {
		t.Run(st.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, rule(st, smtpsim.Stall()))
			c := hello(t, s)
			c.write("MAIL FROM:<>\r\nRCPT TO:<r@to.test>\r\nDATA\r\nx\r\n.\r\n")
			if err := s.WaitFor(within(t), func(smtpsim.Counters) bool { return s.Fired("it") == 1 }); err != nil {
				t.Fatal(err)
			}
			c.conn.Close()
			if err := s.WaitFor(within(t), func(n smtpsim.Counters) bool { return n.Open == 0 }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStalledBodyFillsTheWindow(t *testing.T) {
	t.Parallel()
	o := rule(smtpsim.Body, smtpsim.Stall())
	o.Rules[0].AfterBytes = 1000
	o.ReceiveBuffer = 4096
	s := start(t, o)
	c := hello(t, s)
	c.toData("r@to.test")
	if err := c.conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := c.conn.Write([]byte(strings.Repeat(strings.Repeat("x", 998)+"\r\n", 64<<10)))
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("wrote %d bytes: %v, want a blocked write", n, err)
	}
}

func TestReplyInTheMiddleOfContent(t *testing.T) {
	t.Parallel()
	o := rule(smtpsim.Body, smtpsim.Reply(421, "4.3.0", "going down"))
	o.Rules[0].AfterBytes = 3
	c := hello(t, start(t, o))
	c.toData("r@to.test")
	c.write("abc\r\nmore")
	c.expect("421")
	c.closed()
}

func TestBrokenTLS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do   smtpsim.Action
		want func(error) bool
	}{
		"plain text": {smtpsim.PlaintextForTLS(), func(err error) bool { return isA[tls.RecordHeaderError](err) }},
		"dropped":    {smtpsim.DropHandshake(), func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }},
		"expired": {smtpsim.ExpiredCertificate(), func(err error) bool {
			var inv x509.CertificateInvalidError
			return errors.As(err, &inv) && inv.Reason == x509.Expired
		}},
		"wrong name":                             {smtpsim.WrongCertificate("other.test"), func(err error) bool { return isA[x509.HostnameError](err) }},
		"not yet valid":                          {smtpsim.ShowCertificate(smtpsim.Certificate{NotBefore: time.Now().Add(time.Hour)}), func(err error) bool { return isA[x509.CertificateInvalidError](err) }},
		"self-signed":                            {smtpsim.ShowCertificate(smtpsim.Certificate{SelfSigned: true}), isA[x509.UnknownAuthorityError]},
		"of a stranger":                          {smtpsim.ShowCertificate(smtpsim.Certificate{Stranger: true}), isA[x509.UnknownAuthorityError]},
		"by an authority below":                  {smtpsim.ShowCertificate(smtpsim.Certificate{Intermediate: true}), func(err error) bool { return err == nil }},
		"by an authority below that is left out": {smtpsim.ShowCertificate(smtpsim.Certificate{Intermediate: true, NoChain: true}), isA[x509.UnknownAuthorityError]},
		"old version":                            {smtpsim.HandshakeWith(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}), func(err error) bool { return err != nil }},
	} {
		for mode, o := range map[string]smtpsim.Options{
			"by STARTTLS": {TLS: smtpsim.StartTLS}, "implicit": {TLS: smtpsim.ImplicitTLS},
		} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				o.Rules = []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(tc.do)}}
				s := start(t, o)
				c := dial(t, s)
				if o.TLS == smtpsim.StartTLS {
					c.expect("220")
					c.ask("EHLO x", "250")
					c.ask("STARTTLS", "220")
				}
				if err := tls.Client(unread{c.conn, c.r}, s.ClientTLS()).HandshakeContext(within(t)); !tc.want(err) {
					t.Errorf("handshake: %v", err)
				}
			})
		}
	}
}

// unread is a connection of which some was read into r.
type unread struct {
	net.Conn
	r *bufio.Reader
}

func (u unread) Read(p []byte) (int, error) { return u.r.Read(p) }

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestRequireTLSIsOfferedUnderTLSAlone(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{RequireTLS: true}})
	c := dial(t, s)
	c.expect("220")
	c.say("EHLO x")
	if got := c.expect("250"); strings.Contains(got, "REQUIRETLS") {
		t.Errorf("offered without TLS: %s", got)
	}
	c.ask("MAIL FROM:<a@x.test> REQUIRETLS", "250")
	if v := s.Violations(); len(v) != 1 || v[0].Kind != smtpsim.UnofferedParam {
		t.Errorf("violations %v", v)
	}
	c.ask("RSET", "250")
	c.ask("STARTTLS", "220")
	tc := tls.Client(c.conn, s.ClientTLS())
	c.conn, c.r = tc, bufio.NewReader(tc)
	c.say("EHLO x")
	if got := c.expect("250"); !strings.Contains(got, "REQUIRETLS") {
		t.Errorf("not offered under TLS: %s", got)
	}
	c.ask("MAIL FROM:<a@x.test> REQUIRETLS", "250")
	if v := s.Violations(); len(v) != 1 {
		t.Errorf("violations %v", v)
	}
}

func TestIssueNeedsTLS(t *testing.T) {
	t.Parallel()
	if _, err := start(t, smtpsim.Options{}).Issue(smtpsim.Certificate{}); err == nil {
		t.Error("a certificate by no authority")
	}
	s := start(t, smtpsim.Options{TLS: smtpsim.StartTLS})
	cert, err := s.Issue(smtpsim.Certificate{Names: []string{"a.test", "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil || leaf.VerifyHostname("a.test") != nil || leaf.VerifyHostname("192.0.2.1") != nil || leaf.CheckSignatureFrom(s.Authority()) != nil {
		t.Errorf("certificate %v, %v", leaf, err)
	}
}

func TestInjectedResponseComesWithThe220(t *testing.T) {
	t.Parallel()
	o := rule(smtpsim.StartTLSVerb, smtpsim.InjectAfterStartTLS("250 injected\r\n"))
	o.TLS = smtpsim.StartTLS
	s := start(t, o)
	c := hello(t, s)
	c.ask("STARTTLS", "220")
	c.expect("250 injected")
	tc := tls.Client(c.conn, s.ClientTLS())
	if err := tc.HandshakeContext(within(t)); err != nil {
		t.Fatal(err)
	}
	c.conn, c.r = tc, bufio.NewReader(tc)
	c.ask("EHLO x", "250")
}

func TestCapabilitiesAsSwitched(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]smtpsim.Options{
		"250 sim.test at your service\r\n": {Capabilities: smtpsim.Capabilities{Verbatim: []string{}}},
		"250-sim.test at your service\r\n250-pipelining\r\n250-size 9\r\n250-8bitmime\r\n250-smtputf8\r\n250-dsn\r\n250-enhancedstatuscodes\r\n250 starttls\r\n": {
			TLS: smtpsim.StartTLS, MaxSize: 9, Capabilities: smtpsim.Capabilities{LowerCase: true}},
		"250-sim.test at your service\r\n250-CHUNKING\r\n250-LIMITS RCPTMAX=7\r\n250 X-ODD\r\n": {
			MaxRecipients: 7, Capabilities: smtpsim.Capabilities{NoPipelining: true, NoSize: true, No8BitMIME: true, NoSMTPUTF8: true,
				NoDSN: true, NoEnhancedCodes: true, Chunking: true, Limits: true, Extra: []string{"X-ODD"}}},
	} {
		c := dial(t, start(t, o))
		c.expect("220")
		if got := c.ask("EHLO x", "250"); got != want {
			t.Errorf("EHLO %q, want %q", got, want)
		}
	}
}

func TestTimePassesOverMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := rule(smtpsim.Mail, smtpsim.Delay(10*time.Minute))
		o.InMemory, o.IdleTimeout = true, time.Hour
		s := start(t, o)
		conn := s.Pipe()
		c := &client{t: t, conn: conn, r: bufio.NewReader(conn)}
		c.expect("220")
		c.ask("EHLO x", "250")
		begin := time.Now()
		c.ask("MAIL FROM:<>", "250")
		if took := time.Since(begin); took != 10*time.Minute {
			t.Errorf("took %v", took)
		}
		c.expect("421 4.4.2")
		c.closed()
		if took := time.Since(begin); took != 70*time.Minute {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestSlowRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := rule(smtpsim.Body, smtpsim.SlowRead(10, time.Second))
		o.InMemory = true
		s := start(t, o)
		conn := s.Pipe()
		c := &client{t: t, conn: conn, r: bufio.NewReader(conn)}
		c.expect("220")
		c.ask("EHLO x", "250")
		c.toData("r@to.test")
		c.write("begin\r\n")
		begin := time.Now()
		c.write(strings.Repeat("0123456789", 20) + "\r\n.\r\n")
		c.expect("250")
		if took := time.Since(begin); took < 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCloseEndsStalledSessions(t *testing.T) {
	t.Parallel()
	s := start(t, rule(smtpsim.Mail, smtpsim.Delay(time.Hour)))
	c := hello(t, s)
	c.say("MAIL FROM:<>")
	if err := s.WaitFor(within(t), func(smtpsim.Counters) bool { return s.Fired("it") == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.Counters().Open; n != 0 {
		t.Errorf("%d sessions left", n)
	}
	c.closed()
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for keep, want := range map[smtpsim.Keep]int{smtpsim.KeepBodies: 3, smtpsim.KeepDigests: 3, smtpsim.KeepCounters: 0} {
		var seen atomic.Int64
		s := start(t, smtpsim.Options{Keep: keep, KeepMessages: 3, OnMessage: func(m *smtpsim.Message) { seen.Add(int64(len(m.Raw))) }})
		c := hello(t, s)
		for range 10 {
			c.toData("r@to.test")
			c.ask("x\r\n.", "250")
		}
		m := wait(t, s, 10)
		if len(m) != want || seen.Load() != 30 {
			t.Errorf("keep %d: %d messages, %d bytes seen", keep, len(m), seen.Load())
		}
		for i, one := range m {
			if one.Number != 8+i || (one.Raw != nil) != (keep == smtpsim.KeepBodies) || one.Digest == [32]byte{} {
				t.Errorf("keep %d: message %+v", keep, one)
			}
		}
	}
}
