package e2e_test

import (
	"bytes"
	"net/mail"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// A copy of a site that is set to staging sends nothing to its customers, by
// whichever door mail comes, and whenever it was accepted.
func TestNothingEscapesFromStaging(t *testing.T) {
	t.Parallel()
	ctx := within(t, 90*time.Second)
	world := e2etest.NewInternet(t)
	customer := world.Domain(t, "customer.test", smtpsim.Options{})
	qa := world.Domain(t, "qa.test", smtpsim.Options{})
	dir := e2etest.Dir(t)

	// What the site had queued and sent before it was copied.
	before := e2etest.StartIn(t, dir, world.Env())
	sent := before.Submit(ctx, t, "a@shop.test", []string{"sent@customer.test"}, e2etest.Mail("a@shop.test", "sent@customer.test", "sent before"))
	e2etest.Receive(ctx, t, customer, 1)
	later := bytes.Replace(e2etest.Mail("a@shop.test", "old@customer.test", "queued before"), []byte("Subject:"), []byte("X-Postrider-Send-At: +2s\r\nSubject:"), 1)
	old := before.Submit(ctx, t, "a@shop.test", []string{"old@customer.test"}, later)
	before.Signal(t, syscall.SIGTERM)
	before.Wait(ctx, t)

	relay := e2etest.StartIn(t, dir, world.Env(), e2etest.Env{"POSTRIDER_STAGING_REDIRECT": "tester@qa.test"})
	greeting, err := e2etest.Dial(ctx, relay.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer greeting.Close()
	if !strings.Contains(greeting.Banner, "Staging: all mail is redirected") {
		t.Errorf("it greets with %q", greeting.Banner)
	}

	relay.Submit(ctx, t, "a@shop.test", []string{"to@customer.test", "hidden@customer.test"}, e2etest.Mail("a@shop.test", "to@customer.test", "by smtp"))
	api := relay.Admin()
	receipt, _, err := api.Send(ctx, v1.NewMessage{
		From: v1.Address{Email: "a@shop.test"}, To: v1.Addresses{{Email: "to@customer.test"}}, Bcc: v1.Addresses{{Email: "hidden@customer.test"}}, Subject: "by http", Text: "x",
	}, client.SendOptions{Account: e2etest.User})
	if err != nil || receipt.Status != "queued" || !strings.HasPrefix(api.Staging(), "Staging: ") {
		t.Errorf("HTTP answers %+v, %v, %q", receipt, err, api.Staging())
	}
	e2etest.Run(ctx, t, e2etest.Command{
		Args: []string{"sendmail", "-t", "-i", "-fa@shop.test"}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir},
		Stdin: strings.NewReader("From: a@shop.test\nTo: to@customer.test\nBcc: hidden@customer.test\nSubject: by sendmail\n\nx\n"),
	})
	relay.CLI(ctx, t, "queue", "resend", sent)
	// The sender of a bad address is told: that report is mail as well.
	relay.Submit(ctx, t, "visitor@customer.test", []string{"x@customer.test", "bad@@customer.test"}, e2etest.Mail("visitor@customer.test", "x@customer.test", "to a bad address"))

	want := map[string][]string{
		"by smtp": {"to@customer.test", "hidden@customer.test"}, "by http": {"to@customer.test", "hidden@customer.test"},
		"by sendmail": {"to@customer.test", "hidden@customer.test"}, "sent before": {"sent@customer.test"}, "to a bad address": {"x@customer.test"},
	}
	reports := 0
	for _, m := range e2etest.Receive(ctx, t, qa, len(want)+1) {
		read, err := mail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		subject, whom := read.Header.Get("Subject"), read.Header["X-Original-To"]
		if m.From.Address == "" {
			reports++
			if !slices.Equal(whom, []string{"visitor@customer.test"}) {
				t.Errorf("a report was for %v", whom)
			}
			continue
		}
		slices.Sort(whom)
		slices.Sort(want[subject])
		if !slices.Equal(whom, want[subject]) || len(m.Rcpts) != 1 || m.Rcpts[0].Address != "tester@qa.test" {
			t.Errorf("%q came to %v and was for %v", subject, m.Rcpts, whom)
		}
	}
	if reports != 1 {
		t.Errorf("%d reports came", reports)
	}

	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("held") && l.Attr("id") == old })
	for _, args := range [][]string{{"queue", "list"}, {"queue", "why", old}} {
		r := e2etest.Run(ctx, t, e2etest.Command{Args: args, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}})
		if !strings.Contains(r.Stderr, "Staging: all mail is redirected") || !strings.Contains(r.Stdout, "local.staging") {
			t.Errorf("%v says %s\n%s", args, r.Stderr, r.Stdout)
		}
	}
	if text, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+"/metrics"); err != nil || !strings.Contains(text, `postrider_staging{mode="redirect"} 1`) {
		t.Errorf("metrics: %v", err)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Attr("level") == "WARN" && l.Attr("mode") == "redirect" })
	if n := customer.Counters().Messages; n != 1 {
		t.Errorf("the customers' server has %d messages, want that of before alone", n)
	}
}
