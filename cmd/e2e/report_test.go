package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// awaitReport waits for the notification that went to an address.
func awaitReport(ctx context.Context, t *testing.T, sender *smtpsim.Server, to string) *e2etest.DSN {
	t.Helper()
	var found *smtpsim.Message
	e2etest.Poll(ctx, t, func() error {
		all := sender.Messages()
		i := slices.IndexFunc(all, func(m *smtpsim.Message) bool { return m.Rcpts[0].Address == to })
		if i < 0 {
			return fmt.Errorf("no report for %s has come", to)
		}
		found = all[i]
		return nil
	})
	d, err := e2etest.ParseDSN(found.Raw)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, found.Raw)
	}
	return d
}

// The sender may ask what to be told of (RFC 3461).
func TestReportsAreThoseThatWereAskedFor(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	// It does not promise to report, so that the relay has to.
	mx := world.Domain(t, "customer.test", smtpsim.Options{Capabilities: smtpsim.Capabilities{NoDSN: true}})
	world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	sender := world.Domain(t, "shop.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	submit := func(from, mail, to, rcpt string) {
		t.Helper()
		if _, err := c.Do(250, "MAIL FROM:<%s>%s", from, mail); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(250, "RCPT TO:<%s>%s", to, rcpt); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Data(e2etest.Mail(from, to, "asked by "+from)); err != nil {
			t.Fatal(err)
		}
	}
	submit("never@shop.test", "", "b@refusal.test", " NOTIFY=NEVER")
	submit("full@shop.test", " RET=FULL ENVID=order+2B17", "b@refusal.test", " NOTIFY=FAILURE ORCPT=rfc822;first@refusal.test")
	submit("headers@shop.test", " RET=HDRS", "b@refusal.test", "")
	submit("success@shop.test", "", "b@customer.test", " NOTIFY=SUCCESS")

	full := awaitReport(ctx, t, sender, "full@shop.test")
	if full.Kind != "message/rfc822" || full.Message.Get("Original-Envelope-Id") != "order+17" ||
		full.Recipients[0].Get("Original-Recipient") != "rfc822; first@refusal.test" {
		t.Errorf("the report asked for in full is %s, %v, %v", full.Kind, full.Message, full.Recipients)
	}
	if headers := awaitReport(ctx, t, sender, "headers@shop.test"); headers.Kind != "text/rfc822-headers" {
		t.Errorf("the report without the body returns %s", headers.Kind)
	}
	success := awaitReport(ctx, t, sender, "success@shop.test")
	if r := success.Recipients[0]; r.Get("Action") != "relayed" || !strings.HasPrefix(r.Get("Status"), "2.") {
		t.Errorf("the report of success is %v", r)
	}
	e2etest.Receive(ctx, t, mx, 1)
	awaitEmpty(ctx, t, relay)
	for _, m := range sender.Messages() {
		if m.Rcpts[0].Address == "never@shop.test" {
			t.Errorf("who wanted to hear nothing was told:\n%s", m.Raw)
		}
	}
}

func TestDelayIsToldOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	busy := world.Domain(t, "busy.test", at(smtpsim.Rcpt, smtpsim.Reply(450, "4.2.0", "Not now")))
	sender := world.Domain(t, "shop.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "300ms", "POSTRIDER_DELAY_NOTICE": "500ms"})
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	relay.Submit(ctx, t, "a@shop.test", []string{"b@busy.test"}, e2etest.Mail("a@shop.test", "b@busy.test", "late"))

	d := awaitReport(ctx, t, sender, "a@shop.test")
	if r := d.Recipients[0]; r.Get("Action") != "delayed" || r.Get("Status") != "4.2.0" || r.Get("Will-Retry-Until") == "" {
		t.Errorf("the report is %v", r)
	}
	tries := busy.Counters().Refusals
	if err := busy.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Refusals >= tries+4 }); err != nil {
		t.Fatal(err)
	}
	busy.SetRules()
	e2etest.Receive(ctx, t, busy, 1)
	awaitEmpty(ctx, t, relay)
	if n := len(sender.Messages()); n != 1 {
		t.Errorf("the sender got %d reports, want the one of the delay", n)
	}
}
