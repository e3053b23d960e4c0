package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// With shutdown.delay a stop begins with not being ready and taking mail all the
// same, so that whoever spreads connections sees it before one is refused.
func TestStopIsAnnouncedBeforeConnectionsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_SHUTDOWN_DELAY": "3s"})
	relay.Signal(t, syscall.SIGTERM)
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("not ready any more; mail is still taken") })
	if code, err := status(ctx, "http://"+relay.HTTP+"/readyz"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d, %v", code, err)
	}
	if code, err := status(ctx, "http://"+relay.HTTP+"/livez"); err != nil || code != http.StatusOK {
		t.Errorf("/livez answers %d, %v", code, err)
	}
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.invalid"}, e2etest.Mail("a@shop.test", "b@customer.invalid", "just in time"))
	if got := relay.Wait(ctx, t); got != 0 {
		t.Errorf("the exit status is %d", got)
	}
	again := relay.Restart(t)
	if _, err := again.Admin().Message(ctx, id); err != nil {
		t.Errorf("what was taken at the end is not there after a restart: %v", err)
	}
}

// Where the storage goes with the container, a stop waits until nothing waits
// any more: what is deferred is tried at once, and no new mail comes in.
func TestStopDrainsAQueueThatWouldBeLost(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", at(smtpsim.Rcpt, smtpsim.Reply(450, "4.2.0", "Not now")))
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "1h", "POSTRIDER_SHUTDOWN_DRAIN": "30s", "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	for i := range 3 {
		rcpt := fmt.Sprintf("r%d@customer.test", i)
		id := relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, fmt.Sprint("mail ", i)))
		relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") && l.Attr("id") == id })
	}
	mx.SetRules()
	relay.Signal(t, syscall.SIGTERM)
	if got := relay.Wait(ctx, t); got != 0 {
		t.Errorf("the exit status is %d", got)
	}
	if n := len(mx.Messages()); n != 3 {
		t.Errorf("%d messages arrived before the end, want 3", n)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("the queue is empty") })
}

// What cannot be delivered in that time is counted in the log, and the stop goes
// on.
func TestStopSaysWhatItCouldNotDrain(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{
		"POSTRIDER_SMARTHOST": "smtp://" + closedPort(t) + "?tls=none", "POSTRIDER_RETRY": "1h", "POSTRIDER_SHUTDOWN_DRAIN": "500ms", "POSTRIDER_DKIM_AUTOGENERATE": "false",
	})
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "stuck"))
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") })
	relay.Signal(t, syscall.SIGTERM)
	if got := relay.Wait(ctx, t); got != 0 {
		t.Errorf("the exit status is %d", got)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool {
		return l.Attr("level") == "WARN" && strings.HasPrefix(l.Attr("msg"), "the queue is not empty") && l.Attr("waiting") == "1"
	})
}

// outcomeKeys are the keys that each line about a recipient has, whatever became
// of it. Programs that read the log rely on them.
func outcomeKeys() []string {
	return []string{"time", "level", "msg", "id", "message_id", "from", "rcpt", "domain", "site", "hop", "attempt", "stage", "code", "status", "delay", "took"}
}

// The log is one JSON object for each event, with fixed keys.
func TestEventsAreLoggedWithFixedKeys(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	world.Domain(t, "full.test", at(smtpsim.Rcpt, smtpsim.Reply(452, "4.2.2", "Mailbox full")))
	world.Domain(t, "gone.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "1h", "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	for domain, msg := range map[string]string{"customer.test": "delivered", "full.test": "deferred", "gone.test": "bounced"} {
		rcpt := "kunde@" + domain
		id := relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "logged "+domain))
		line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is(msg) && l.Attr("id") == id })
		for _, key := range outcomeKeys() {
			if line.Attr(key) == "" {
				t.Errorf("the line of %s has no %s: %s", msg, key, line.Text)
			}
		}
		if line.Attr("from") != "a@shop.test" || line.Attr("message_id") != "logged."+domain+"@client.test" {
			t.Errorf("the line says %s", line.Text)
		}
	}
	for _, line := range relay.Out.Lines() {
		if !json.Valid([]byte(line.Text)) {
			t.Errorf("no JSON object: %s", line.Text)
		}
	}
}

// Masked, the log shows no address in full, and as text it is no JSON.
func TestAddressesInTheLogCanBeMasked(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	world.Domain(t, "gone.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	// What is logged as text cannot be waited for as JSON is; so the relay is asked.
	dir := e2etest.Dir(t)
	env := world.Env()
	for name, value := range map[string]string{
		"POSTRIDER_DATA_DIR": dir + "/data", "POSTRIDER_SUBMISSION_LISTEN": "127.0.0.1:0", "POSTRIDER_HTTP_LISTEN": "127.0.0.1:0",
		"POSTRIDER_IMAP_LISTEN": "off", "POSTRIDER_POP3_LISTEN": "off", "POSTRIDER_DOCTOR_EVERY": "off", "POSTRIDER_DKIM_AUTOGENERATE": "false",
		"POSTRIDER_LOG_FORMAT": "text", "POSTRIDER_LOG_MASK_ADDRESSES": "true",
	} {
		env[name] = value
	}
	relay := e2etest.Launch(t, dir, env)
	e2etest.Poll(ctx, t, func() error { return relay.Admin().Ready(ctx) })
	for _, domain := range []string{"customer.test", "gone.test"} {
		res := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"sendmail", "-f", "verkauf@shop.test", "kunde@" + domain}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}, Stdin: strings.NewReader("Subject: x\n\nHello.\n")})
		if res.Status != 0 {
			t.Fatal(res.Stderr)
		}
	}
	for _, msg := range []string{"msg=delivered", "msg=bounced"} {
		line := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return strings.Contains(l.Text, msg) })
		if !strings.Contains(line.Text, "rcpt=k***@") || !strings.Contains(line.Text, "from=v***@shop.test") {
			t.Errorf("the line is %s", line.Text)
		}
	}
	for _, line := range relay.Out.Lines() {
		if strings.Contains(line.Text, "kunde@") || strings.Contains(line.Text, "verkauf@") || strings.HasPrefix(line.Text, "{") {
			t.Errorf("the log has the line %s", line.Text)
		}
	}
}
