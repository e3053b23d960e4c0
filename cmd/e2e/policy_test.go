package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// A contact form that puts its visitor into From would fail DMARC; the site
// sends in its own name, and an answer goes to the visitor.
func TestVisitorsFromBecomesReplyTo(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "shop.test"})
	content := e2etest.Mail("visitor@freemail.test", "owner@customer.test", "a question")
	content = bytes.Replace(content, []byte("From: <visitor"), []byte("From: A Visitor <visitor"), 1)
	relay.Submit(ctx, t, "visitor@freemail.test", []string{"owner@customer.test"}, content)

	got := e2etest.Receive(ctx, t, mx, 1)[0]
	m, err := mail.ReadMessage(bytes.NewReader(got.Raw))
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil {
		t.Fatal(err)
	}
	if len(from) != 1 || from[0].Name != "A Visitor" || !strings.HasSuffix(from[0].Address, "@shop.test") {
		t.Errorf("From is %v", from)
	}
	if got.From.Address != from[0].Address {
		t.Errorf("the envelope is from %s, the header from %s", got.From.Address, from[0].Address)
	}
	if reply, err := m.Header.AddressList("Reply-To"); err != nil || len(reply) != 1 || reply[0].Address != "visitor@freemail.test" {
		t.Errorf("Reply-To is %v, %v", reply, err)
	}
	if sig := m.Header.Get("DKIM-Signature"); !strings.Contains(sig, "d=shop.test;") {
		t.Errorf("the signature is not aligned: %s", sig)
	}
}

// What a site owner can act on is said at MAIL FROM, where their plugin shows it.
func TestPolicyIsToldAtMail(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "shop.test", "POSTRIDER_FROM_POLICY": "reject"})
	blog := strings.Fields(relay.CLI(ctx, t, "account", "create", "blog"))
	password := ""
	for i, word := range blog {
		if word == "Password:" {
			password = blog[i+1]
		}
	}
	relay.CLI(ctx, t, "account", "disable", "blog", "--reason", "the invoice of May is open")
	for _, c := range []struct {
		name, user, password, from, says string
	}{
		{"a sender that is not allowed", e2etest.User, e2etest.Password, "a@elsewhere.test", "elsewhere.test"},
		{"an account that is disabled", "blog", password, "a@shop.test", "the invoice of May is open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, time.Minute) // of its own: it waits for its turn
			s, err := e2etest.Login(ctx, relay.SMTP, c.user, c.password)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Do(250, "MAIL FROM:<%s>", c.from)
			refusal := new(textproto.Error)
			if !errors.As(err, &refusal) || refusal.Code/100 != 5 {
				t.Fatalf("MAIL is answered %v", err)
			}
			lines := strings.Split(refusal.Msg, "\n")
			if !strings.Contains(refusal.Msg, c.says) || len(lines) < 2 || !strings.Contains(refusal.Msg, "ref=") {
				t.Errorf("the refusal does not say what, what to do, and a reference:\n%s", refusal.Msg)
			}
			for _, line := range lines {
				if len(line)+len("550-\r\n") > 512 {
					t.Errorf("a line has %d octets", len(line))
				}
			}
			if err := s.Quit(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTrustedNetworkNeedsNoLogin(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_TRUSTED_NETWORKS": "127.0.0.0/8"})
	c, err := e2etest.Dial(ctx, relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "trusted")); err != nil {
		t.Fatal(err)
	}
	e2etest.Receive(ctx, t, mx, 1)
	if line := relay.Out.Expect(ctx, t, accepted); line.Attr("account") != "trusted" {
		t.Errorf("the account is %q", line.Attr("account"))
	}
}

// What is beyond an account's limit is kept, not lost and not sent, until the
// operator has looked at it.
func TestSurgeIsHeldUntilReleased(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	const limit, sent = 5, 8
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RATE_PER_HOUR": fmt.Sprint(limit)})
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	for i := range sent {
		rcpt := fmt.Sprintf("r%d@customer.test", i)
		relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, fmt.Sprint("mail ", i)))
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool {
		return l.Attr("level") == "WARN" && l.Attr("account") == e2etest.User && strings.Contains(l.Text, "held")
	})
	e2etest.Receive(ctx, t, mx, limit)
	awaitEmpty(ctx, t, relay)
	q, err := relay.Admin().Queue(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if held := q.States["held"].Recipients; held != sent-limit || len(mx.Messages()) != limit {
		t.Errorf("%d are held and %d arrived, want %d and %d", held, len(mx.Messages()), sent-limit, limit)
	}
	relay.CLI(ctx, t, "queue", "release", "--account", e2etest.User)
	e2etest.Receive(ctx, t, mx, sent)
}
