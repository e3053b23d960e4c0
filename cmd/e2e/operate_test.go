package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

func TestOperatorHoldsReleasesRetriesAndCancels(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", at(smtpsim.Rcpt, smtpsim.Reply(450, "4.2.0", "Not now")))
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "1h"})
	relay.CLI(ctx, t, "domain", "records", "shop.test")

	send := func(rcpt string) string {
		id := relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "for "+rcpt))
		relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") && l.Attr("id") == id && l.Attr("code") == "450" })
		return id
	}
	state := func(id, want string) {
		t.Helper()
		e2etest.Poll(ctx, t, func() error {
			m, err := relay.Admin().Message(ctx, id)
			if err == nil && m.Recipients[0].State != want {
				err = fmt.Errorf("%s is %s, want %s", id, m.Recipients[0].State, want)
			}
			return err
		})
	}
	contains := func(text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in:\n%s", want, text)
			}
		}
	}
	first, second := send("b@customer.test"), send("c@customer.test")
	contains(relay.CLI(ctx, t, "queue", "list", "--state", "deferred"), first, second, "b@customer.test", "c@customer.test")
	contains(relay.CLI(ctx, t, "queue", "list", "--recipient", "b@customer.test"), first)
	contains(relay.CLI(ctx, t, "queue", "show", first), first, "DEFERRED", "Not now", "Next try", "queued")
	contains(relay.CLI(ctx, t, "queue", "status"), "deferred")

	contains(relay.CLI(ctx, t, "queue", "cancel", "--dry-run", "--domain", "customer.test"), "2 recipients match")
	state(first, "deferred")

	relay.CLI(ctx, t, "queue", "hold", "--reason", "looking into it", first)
	state(first, "held")
	contains(relay.CLI(ctx, t, "queue", "show", first), "looking into it")
	// A relay that starts again keeps what was decided.
	relay.Kill()
	relay = relay.Restart(t)
	state(first, "held")
	state(second, "deferred")

	mx.SetRules()
	relay.CLI(ctx, t, "queue", "retry", second)
	state(second, "delivered")
	state(first, "held")
	relay.CLI(ctx, t, "queue", "release", first)
	state(first, "delivered")

	mx.SetRules(smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))})
	third := send("d@customer.test")
	contains(e2etest.Run(ctx, t, e2etest.Command{Args: []string{"sendmail", "-bp"}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}}).Stdout,
		third, "d@customer.test", "Not now")
	relay.CLI(ctx, t, "queue", "cancel", third)
	state(third, "cancelled")
	contains(e2etest.Run(ctx, t, e2etest.Command{Args: []string{"sendmail", "-bp"}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}}).Stdout,
		"Mail queue is empty")
	if n := len(mx.Messages()); n != 2 {
		t.Errorf("%d messages arrived, want the two that were not cancelled", n)
	}
}

func TestIdempotencyKeyIsHonouredAndStripped(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	relay.CLI(ctx, t, "domain", "records", "shop.test")

	keyed := append([]byte("X-Idempotency-Key: order-17\r\n"), e2etest.Mail("a@shop.test", "b@customer.test", "your order")...)
	to := []string{"b@customer.test"}
	first := relay.Submit(ctx, t, "a@shop.test", to, keyed)
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("delivered") && l.Attr("id") == first })
	relay.Kill()
	relay = relay.Restart(t)
	if again := relay.Submit(ctx, t, "a@shop.test", to, keyed); again != first {
		t.Errorf("the repeated submission got the id %s, the first one %s", again, first)
	}
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id, err := c.Send("a@shop.test", to, bytes.Replace(keyed, []byte("Subject: your order"), []byte("Subject: another order"), 1))
	if refusal := new(textproto.Error); !errors.As(err, &refusal) || refusal.Code != 554 || !strings.Contains(refusal.Msg, "idempotency key") {
		t.Errorf("the key with another message is answered %v %v", id, err)
	}
	// What comes after it shows that no second copy is on its way.
	relay.Submit(ctx, t, "a@shop.test", to, e2etest.Mail("a@shop.test", "b@customer.test", "the last one"))
	got := e2etest.Receive(ctx, t, mx, 2)
	if !bytes.Contains(got[1].Raw, []byte("the last one")) {
		t.Errorf("a second copy arrived:\n%s", got[1].Raw)
	}
	if bytes.Contains(got[0].Raw, []byte("X-Idempotency-Key")) {
		t.Errorf("the key went out:\n%s", got[0].Raw)
	}
}

func TestMetricsAndProbes(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "counted"))
	e2etest.Receive(ctx, t, mx, 1)
	e2etest.Poll(ctx, t, func() error {
		text, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+"/metrics")
		if err != nil {
			return err
		}
		for _, want := range []string{
			`postrider_accepted_recipients_total{source="smtp"} 1`, `postrider_outcomes_total{class="",outcome="delivered"} 1`,
			`postrider_queue_recipients{state="delivered"} 1`, `postrider_queue_oldest_seconds{state="queued"} 0`,
			`postrider_attempt_stage_seconds_count{stage="dot"} 1`,
		} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("%q is not in:\n%s", want, text)
			}
		}
		return nil
	})
	if _, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+"/livez"); err != nil {
		t.Error(err)
	}
	if text, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+"/v1/queue"); err == nil {
		t.Errorf("the queue is shown without a key: %s", text)
	}
	if got := relay.CLI(ctx, t, "health"); got != "ready\n" {
		t.Errorf("health prints %q", got)
	}
}
