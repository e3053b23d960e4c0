package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

func refuses(stage smtpsim.Stage, code int, enhanced, text string) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(smtpsim.Reply(code, enhanced, text))}}}
}

// One line of configuration: mail exchangers first, and the smart host when it
// must be.
func TestFallbackSmartHostTakesWhatIsRefusedForOurAddress(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	listed := world.Domain(t, "listed.test", refuses(smtpsim.Mail, 554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"))
	friendly := world.Domain(t, "friendly.test", smtpsim.Options{})
	world.Domain(t, "busy.test", refuses(smtpsim.Rcpt, 451, "4.3.0", "try later"))
	hub := world.Domain(t, "upstream.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_FALLBACK_SMARTHOST": fmt.Sprintf("smtp://mx.upstream.test:%d?tls=none", hub.Port()),
	})
	submit := func(to string) string {
		return relay.Submit(ctx, t, "a@shop.test", []string{to}, e2etest.Mail("a@shop.test", to, "hello"))
	}
	id := submit("b@listed.test")
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relayed") && l.Attr("id") == id })
	submit("b@friendly.test")
	e2etest.Receive(ctx, t, friendly, 1)
	for i := range 10 {
		submit(fmt.Sprintf("c%d@listed.test", i))
	}
	for _, m := range e2etest.Receive(ctx, t, hub, 11) {
		if !strings.HasSuffix(m.Rcpts[0].Address, "@listed.test") {
			t.Errorf("the smart host got mail to %s", m.Rcpts[0].Address)
		}
	}
	if n := listed.Counters().Connections; n != 1 {
		t.Errorf("%d connections to the site that refuses us, want 1", n)
	}
	id = submit("b@busy.test")
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") && l.Attr("id") == id })
	why := relay.CLI(ctx, t, "queue", "why", id)
	want := fmt.Sprintf("mx (step 1 of 2), then mx.upstream.test:%d after 3 attempts, or on block.ip, auth.ptr, route.*, or while port 25 is blocked; TLS: opportunistic at the last try", hub.Port())
	if !strings.Contains(why, want) {
		t.Errorf("why says\n%s\nwant %s", why, want)
	}
}

// Two accounts of one machine leave from an address and with a name of their
// own, each with the TLS that its route asks for.
func TestAccountsLeaveFromTheirSources(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	hop := world.Domain(t, "customer.test", smtpsim.Options{TLS: smtpsim.StartTLS})
	world.Domain(t, "busy.test", refuses(smtpsim.Rcpt, 451, "4.3.0", "try later"))
	file := filepath.Join(e2etest.Dir(t), "postrider.yaml")
	if err := os.WriteFile(file, []byte(`
sources:
  - {name: news, address: 127.0.0.2, helo: news.shop.test}
  - {name: orders, address: 127.0.0.3, helo: orders.shop.test}
routes:
  - {account: newsletter, source: news, tls: none}
  - {sender: orders.test, source: orders, tls: encrypt}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	relay := e2etest.Start(t, world.Env(), e2etest.Env{
		"POSTRIDER_CONFIG": file, "POSTRIDER_ACCOUNTS": "newsletter:one-long-secret,shop:another-long-secret",
	})
	for _, m := range []struct{ account, password, from string }{
		{"newsletter", "one-long-secret", "a@news.test"},
		{"shop", "another-long-secret", "a@orders.test"},
		{"shop", "another-long-secret", "a@other.test"},
	} {
		c, err := e2etest.Login(ctx, relay.SMTP, m.account, m.password)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(m.from, []string{"b@customer.test"}, e2etest.Mail(m.from, "b@customer.test", "hello")); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	want := map[string]string{
		"a@news.test":   "127.0.0.2 news.shop.test false",
		"a@orders.test": "127.0.0.3 orders.shop.test true",
	}
	for _, m := range e2etest.Receive(ctx, t, hop, 3) {
		peer, _, _ := net.SplitHostPort(m.Client)
		got := fmt.Sprint(peer, " ", m.Hello, " ", m.TLS != nil)
		if w, ok := want[m.From.Address]; ok && got != w {
			t.Errorf("mail from %s came by %s, want %s", m.From.Address, got, w)
		} else if !ok && (strings.HasPrefix(got, "127.0.0.2") || strings.HasPrefix(got, "127.0.0.3")) {
			t.Errorf("mail from %s came by %s", m.From.Address, got)
		}
	}
	c, err := e2etest.Login(ctx, relay.SMTP, "newsletter", "one-long-secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id, err := c.Send("a@news.test", []string{"b@busy.test"}, e2etest.Mail("a@news.test", "b@busy.test", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("deferred") && l.Attr("id") == id })
	if why := relay.CLI(ctx, t, "queue", "why", id); !strings.Contains(why, "mx; from source news (127.0.0.2 as news.shop.test); TLS: none by its route, none at the last try") {
		t.Errorf("why says\n%s", why)
	}
}
