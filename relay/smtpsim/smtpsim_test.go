package smtpsim_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/relay/smtpsim"
)

// client is a raw SMTP client: it sends what it is told.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func start(t *testing.T, o smtpsim.Options) *smtpsim.Server {
	t.Helper()
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, s *smtpsim.Server) *client {
	t.Helper()
	conn, err := s.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// hello dials and gets past EHLO.
func hello(t *testing.T, s *smtpsim.Server) *client {
	t.Helper()
	c := dial(t, s)
	c.expect("220")
	c.say("EHLO client.test")
	c.expect("250")
	return c
}

func (c *client) write(raw string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(raw)); err != nil {
		c.t.Fatalf("write %.40q: %v", raw, err)
	}
}

func (c *client) say(line string) { c.t.Helper(); c.write(line + "\r\n") }

func (c *client) read() (string, error) {
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] != '-' {
			return all.String(), err
		}
	}
}

func (c *client) expect(prefix string) string {
	c.t.Helper()
	got, err := c.read()
	if err != nil || !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got %.200q (%v), want %s…", got, err, prefix)
	}
	return got
}

func (c *client) closed() {
	c.t.Helper()
	if got, err := c.read(); err == nil || got != "" {
		c.t.Fatalf("got %.80q (%v), want a closed connection", got, err)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatal("connection was left open")
	}
}

func (c *client) ask(line, prefix string) string {
	c.t.Helper()
	c.say(line)
	return c.expect(prefix)
}

// toData goes through MAIL, RCPT and DATA.
func (c *client) toData(rcpts ...string) {
	c.t.Helper()
	c.ask("MAIL FROM:<a@from.test>", "250")
	for _, r := range rcpts {
		c.ask("RCPT TO:<"+r+">", "250")
	}
	c.ask("DATA", "354")
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wait(t *testing.T, s *smtpsim.Server, n int) []*smtpsim.Message {
	t.Helper()
	m, err := s.Wait(within(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func kinds(v []smtpsim.Violation) (out []smtpsim.ViolationKind) {
	for _, one := range v {
		if !slices.Contains(out, one.Kind) {
			out = append(out, one.Kind)
		}
	}
	return out
}

func TestMessageIsRecordedAsOnTheWire(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{})
	c := hello(t, s)
	c.ask(`MAIL FROM:<"a > b"@from.test> size=99 BODY=8BITMIME`, "250 2.1.0")
	c.ask("RCPT TO:<r1@to.test> NOTIFY=NEVER", "250 2.1.5")
	c.ask("RCPT TO:<r2@to.test>", "250")
	c.ask("DATA", "354")
	c.write("Subject: x\r\n\r\n..dot\r\n...two\r\nend\r\n.\r\n")
	c.expect("250 2.0.0")
	c.ask("QUIT", "221")
	c.closed()

	m := wait(t, s, 1)[0]
	if got, want := string(m.Raw), "Subject: x\r\n\r\n.dot\r\n..two\r\nend\r\n"; got != want {
		t.Errorf("raw %q, want %q", got, want)
	}
	if m.From.Address != `"a > b"@from.test` || !slices.Equal(m.From.Params, []string{"size=99", "BODY=8BITMIME"}) {
		t.Errorf("from %+v", m.From)
	}
	if len(m.Rcpts) != 2 || m.Rcpts[0].Address != "r1@to.test" || m.Rcpts[0].Params[0] != "NOTIFY=NEVER" {
		t.Errorf("rcpts %+v", m.Rcpts)
	}
	if m.Hello != "client.test" || !m.ESMTP || m.Conn != 1 || m.Number != 1 || len(m.Violations) != 0 {
		t.Errorf("message %+v", m)
	}
	if want := []string{`MAIL FROM:<"a > b"@from.test> size=99 BODY=8BITMIME`, "RCPT TO:<r1@to.test> NOTIFY=NEVER", "RCPT TO:<r2@to.test>", "DATA"}; !slices.Equal(m.Commands, want) {
		t.Errorf("commands %q", m.Commands)
	}
}

func TestPipelinedTransactionIsAnsweredInOneWrite(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{})
	c := hello(t, s)
	for i := range 3 {
		c.write(fmt.Sprintf("MAIL FROM:<>\r\nRCPT TO:<r%d@to.test>\r\nDATA\r\n", i))
		c.expect("250")
		c.expect("250")
		c.expect("354")
		c.write("hi\r\n.\r\n")
		c.expect("250")
	}
	if n := len(wait(t, s, 3)); n != 3 {
		t.Fatalf("%d messages", n)
	}
	if v := s.Violations(); len(v) != 0 {
		t.Errorf("violations %v", v)
	}
}

func TestStartTLSAndLogin(t *testing.T) {
	t.Parallel()
	s := start(t, smtpsim.Options{TLS: smtpsim.StartTLS, Users: map[string]string{"u": "p"}, RequireAuth: true})
	c := hello(t, s)
	c.ask("MAIL FROM:<>", "530 5.7.0")
	c.ask("STARTTLS", "220")
	tc := tls.Client(c.conn, s.ClientTLS())
	if err := tc.HandshakeContext(within(t)); err != nil {
		t.Fatal(err)
	}
	c.conn, c.r = tc, bufio.NewReader(tc)
	c.ask("MAIL FROM:<>", "503")
	if ehlo := c.ask("EHLO again", "250"); strings.Contains(ehlo, "STARTTLS") || !strings.Contains(ehlo, "AUTH PLAIN LOGIN") {
		t.Errorf("EHLO under TLS: %q", ehlo)
	}
	c.ask("AUTH PLAIN AHUAd3Jvbmc=", "535")
	c.ask("AUTH LOGIN", "334 VXNlcm5hbWU6")
	c.ask("dQ==", "334 UGFzc3dvcmQ6")
	c.ask("cA==", "235")
	c.toData("r@to.test")
	c.ask("x\r\n.", "250")
	m := wait(t, s, 1)[0]
	if m.TLS == nil || m.User != "u" || m.Hello != "again" {
		t.Errorf("message %+v", m)
	}
	for _, l := range s.Sessions()[0].Transcript {
		if strings.Contains(l.Text, "AHUA") || l.Client && strings.Contains(l.Text, "cA==") {
			t.Errorf("credentials in the transcript: %q", l.Text)
		}
	}
}
