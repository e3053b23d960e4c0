package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// blackHole is a DNS server that counts questions and answers none.
type blackHole struct {
	net.PacketConn
	asked atomic.Int64
}

func newBlackHole(t *testing.T) *blackHole {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, done := &blackHole{PacketConn: c}, make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 1500); ; h.asked.Add(1) {
			if _, _, err := c.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return h
}

// closedPort is an address that refuses connections.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Mail is taken by every door while no DNS answers and the smart host is down,
// and nothing at all is asked of the DNS: the way to the smart host is an address.
func TestMailIsTakenWithoutAskingAnybody(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dns := newBlackHole(t)
	relay := e2etest.Start(t, e2etest.Env{
		"POSTRIDER_DNS_SERVERS": dns.LocalAddr().String(), "POSTRIDER_SMARTHOST": "smtp://" + closedPort(t) + "?tls=none",
		"POSTRIDER_DKIM_AUTOGENERATE": "false",
	})
	deferred := func(id string) {
		t.Helper()
		relay.Out.Expect(ctx, t, func(l e2etest.Line) bool {
			return l.Is("deferred") && l.Attr("id") == id && l.Attr("class") == "net.connect"
		})
	}
	bySMTP := relay.Submit(ctx, t, "a@unheard-of.test", []string{"b@customer.test"}, e2etest.Mail("a@unheard-of.test", "b@customer.test", "by SMTP"))
	receipt, _, err := relay.Admin().Send(ctx, v1.NewMessage{
		From: v1.Address{Email: "a@unheard-of.test"}, To: v1.Addresses{{Email: "b@customer.test"}}, Subject: "by HTTP", Text: "Hello.",
	}, client.SendOptions{Account: e2etest.User})
	if err != nil {
		t.Fatalf("over HTTP: %v", err)
	}
	res := e2etest.Run(ctx, t, e2etest.Command{Args: []string{"sendmail", "-f", "a@unheard-of.test", "b@customer.test"}, Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir}, Stdin: strings.NewReader("Subject: by sendmail\n\nHello.\n")})
	if res.Status != 0 {
		t.Fatalf("sendmail exits %d: %s", res.Status, res.Stderr)
	}
	deferred(bySMTP)
	deferred(receipt.ID)
	if n := dns.asked.Load(); n != 0 {
		t.Errorf("the DNS was asked %d times", n)
	}
}

// With mail that goes by MX nobody is asked before the final dot, and the answer
// to it does not wait for the DNS.
func TestTheAnswerDoesNotWaitForTheDNS(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	dns := newBlackHole(t)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_DNS_SERVERS": dns.LocalAddr().String(), "POSTRIDER_MX_PORT": "2", "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, command := range []string{"MAIL FROM:<a@unheard-of.test>", "RCPT TO:<b@nowhere-to-be-found.test>"} {
		if _, err := c.Do(250, "%s", command); err != nil {
			t.Fatal(err)
		}
	}
	if n := dns.asked.Load(); n != 0 {
		t.Errorf("the DNS was asked %d times before the content", n)
	}
	id, err := c.Data(e2etest.Mail("a@unheard-of.test", "b@nowhere-to-be-found.test", "in the dark"))
	if err != nil {
		t.Fatal(err)
	}
	// Delivery does ask, so the black hole is where it looks; and no answer is
	// trouble that passes.
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool {
		return l.Is("deferred") && l.Attr("id") == id && l.Attr("class") == "dns.temp"
	})
	if dns.asked.Load() == 0 {
		t.Error("delivery did not ask this DNS: the test shows nothing")
	}
}

// Whatever one knows of a message finds it: at once after the 250, and after each
// event with what the remote server said.
func TestMailIsFoundByWhatOneKnowsOfIt(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	hop := at(smtpsim.Rcpt, smtpsim.Reply(450, "4.2.0", "Come back later"))
	hop.Rules[0].Times = 1
	world.Domain(t, "customer.test", hop)
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "1h", "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	rcpt := "kunde@customer.test"
	relay.Submit(ctx, t, "a@shop.test", []string{"other@customer.invalid"}, e2etest.Mail("a@shop.test", "other@customer.invalid", "something else"))
	id := relay.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "Order 4711"))
	searches := map[string]v1.Filter{
		"recipient": {Recipient: rcpt}, "subject": {Subject: "order 4711"}, "Message-ID": {MessageID: "Order.4711@client.test"}, "id": {IDs: []string{id}},
	}
	found := func(when, reply string) {
		t.Helper()
		for by, f := range searches {
			list, err := relay.Admin().Messages(ctx, f, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Data) != 1 || list.Data[0].ID != id {
				t.Errorf("%s, the search by %s finds %v", when, by, list.Data)
				continue
			}
			if last := list.Data[0].Recipients[0].Last; reply != "" && (last == nil || !strings.Contains(fmt.Sprint(last.Code, " ", last.Reply), reply)) {
				t.Errorf("%s, the search by %s does not show %q: %+v", when, by, reply, last)
			}
		}
		for option, value := range map[string]string{"--recipient": rcpt, "--subject": "order 4711", "--message-id": "Order.4711@client.test", "--id": id} {
			if text := relay.CLI(ctx, t, "queue", "list", option, value); !strings.Contains(text, id) || strings.Contains(text, "customer.invalid") {
				t.Errorf("%s, queue list %s prints\n%s", when, option, text)
			}
		}
	}
	found("after the 250", "")
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") && l.Attr("id") == id })
	found("after the first attempt", "Come back later")
	if text := relay.CLI(ctx, t, "queue", "show", id); !strings.Contains(text, "Come back later") || !strings.Contains(text, "Next try") {
		t.Errorf("queue show prints\n%s", text)
	}
	relay.CLI(ctx, t, "queue", "retry", id)
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("delivered") && l.Attr("id") == id })
	found("after delivery", "250")
}

// Of three recipients one cannot be read: all are taken, the bad one is reported
// as an event and to the sender, and the others get one copy each.
func TestOneBadRecipientOfThreeMakesNoDuplicates(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	sender := world.Domain(t, "shop.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_DKIM_AUTOGENERATE": "false"})
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test", "no address at all", "c@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "to three"))
	e2etest.Receive(ctx, t, sender, 1)
	awaitEmpty(ctx, t, relay)

	m, err := relay.Admin().Message(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	states := make(map[string]string)
	bad := ""
	for _, r := range m.Recipients {
		states[r.Address] = r.State
		if r.State == "bounced" {
			bad = r.ID
		}
	}
	if states["b@customer.test"] != "delivered" || states["c@customer.test"] != "delivered" || len(states) != 3 || bad == "" {
		t.Errorf("the recipients ended as %v", states)
	}
	told := false
	for _, e := range m.Events {
		told = told || e.Kind == "bounced" && e.Recipient == bad
	}
	if !told {
		t.Errorf("no event tells of the bad one: %+v", m.Events)
	}
	copies := make(map[string]int)
	for _, got := range mx.Messages() {
		for _, r := range got.Rcpts {
			copies[r.Address]++
		}
	}
	if len(copies) != 2 || copies["b@customer.test"] != 1 || copies["c@customer.test"] != 1 {
		t.Errorf("copies arrived: %v", copies)
	}
	if report := sender.Messages()[0].Raw; !bytes.Contains(report, []byte("no address at all")) {
		t.Errorf("the report does not name the bad one:\n%s", report)
	}
}

// Probes ask over HTTP, and leave neither a line in the log nor an SMTP session.
func TestProbesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_LOG_LEVEL": "debug"})
	before := len(relay.Out.Lines())
	for range 20 {
		for _, path := range []string{"/livez", "/readyz"} {
			if _, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+path); err != nil {
				t.Error(err)
			}
		}
	}
	if got := relay.CLI(ctx, t, "health"); got != "ready\n" {
		t.Errorf("health prints %q", got)
	}
	// What comes after them shows that nothing of theirs is on its way.
	id := relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.invalid"}, e2etest.Mail("a@shop.test", "b@customer.invalid", "a mark"))
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return accepted(l) && l.Attr("id") == id })
	for _, line := range relay.Out.Lines()[before:] {
		if line.Attr("id") == id {
			break
		}
		t.Errorf("a probe made the line %s", line.Text)
	}
}

// status is that of a GET.
func status(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	return res.StatusCode, nil
}

// A key that has nothing left is told so at MAIL FROM, where people see it, with
// what to do and a reference.
func TestAnExhaustedKeyIsToldAtMail(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_SMARTHOST": "smtp://" + closedPort(t) + "?tls=none", "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	key, err := relay.Admin().CreateKey(ctx, v1.NewKey{Account: e2etest.User, Label: "one", Scopes: []string{"send"}, KeyLimits: v1.KeyLimits{RatePerMinute: 1}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, key.Secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "the one")); err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(250, "MAIL FROM:<a@shop.test>")
	refusal := new(textproto.Error)
	if !errors.As(err, &refusal) || refusal.Code != 450 {
		t.Fatalf("MAIL is answered %v", err)
	}
	for _, want := range []string{"1 recipients a minute", "Try again in a minute", "ref="} {
		if !strings.Contains(refusal.Msg, want) {
			t.Errorf("%q is not in %q", want, refusal.Msg)
		}
	}
}
