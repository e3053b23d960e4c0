package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

const (
	unknownReply = "The email account that you tried to reach does not exist"
	ipReply      = "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://check.spamhaus.org/"
	domainReply  = "Message rejected: your domain shop.test is listed at dbl.spamhaus.org"
)

// bounceWorld has a mail server for each kind of refusal.
func bounceWorld(t *testing.T) (world *e2etest.Internet, sender *smtpsim.Server) {
	t.Helper()
	world = e2etest.NewInternet(t)
	world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", unknownReply)))
	world.Domain(t, "listed.test", at(smtpsim.Rcpt, smtpsim.Reply(554, "5.7.1", ipReply)))
	world.Domain(t, "dbl.test", at(smtpsim.Dot, smtpsim.Reply(554, "5.7.1", domainReply)))
	return world, world.Domain(t, "shop.test", smtpsim.Options{})
}

// The recipient's side puts an address on the list; what is about the sender never
// does, whoever gives up in the end.
func TestBouncesSuppressAndBlocksNever(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world, _ := bounceWorld(t)
	relay := e2etest.Start(t, world.Env(), bouncesCount)
	submit := func(to string) string {
		return relay.Submit(ctx, t, "a@shop.test", []string{to}, e2etest.Mail("a@shop.test", to, "to "+to))
	}
	blocked, byName := submit("ann@listed.test"), submit("ann@dbl.test")
	awaitState(ctx, t, relay, blocked, "deferred")
	awaitState(ctx, t, relay, byName, "bounced")
	relay.CLI(ctx, t, "queue", "bounce", blocked, "--reason", "it will not be mended today", "--yes")
	awaitState(ctx, t, relay, blocked, "expired")
	// Bounces are read in their order.
	unknown := submit("bob@refusal.test")
	var list v1.SuppressionList
	e2etest.Poll(ctx, t, func() error {
		if err := json.Unmarshal([]byte(relay.CLI(ctx, t, "suppression", "list", "--json")), &list); err != nil || len(list.Data) == 0 {
			return fmt.Errorf("the list is %v, %v", list.Data, err)
		}
		return nil
	})
	if s := list.Data[0]; len(list.Data) != 1 || s.Email != "bob@refusal.test" || s.Account != e2etest.User || s.Reason != "bounce" ||
		s.Source != unknown || s.Note != "the mailbox does not exist; mx.refusal.test said: 550 5.1.1 "+unknownReply || s.ExpiresAt != nil {
		t.Errorf("the list is %+v", list.Data)
	}
	if table := relay.CLI(ctx, t, "suppression", "list", "--reason", "bounce"); !containsAll(table, "bob@refusal.test", "the mailbox does not exist") {
		t.Errorf("the list is shown as\n%s", table)
	}
	again := submit("Bob@Refusal.test")
	awaitState(ctx, t, relay, again, "suppressed")
	if m, err := relay.Admin().Message(ctx, again); err != nil || m.Recipients[0].Class != "rcpt.suppressed" || m.Recipients[0].Advice == "" {
		t.Errorf("what is suppressed is %+v, %v", m.Recipients, err)
	}
	for _, to := range []string{"ann@listed.test", "ann@dbl.test"} {
		if state, err := stateOf(ctx, relay, submit(to)); err != nil || state == "suppressed" {
			t.Errorf("after a block mail to %s is %s, %v", to, state, err)
		}
	}
}

// words is text without its folding.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func readable(t *testing.T, text string) string {
	t.Helper()
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return words(string(b))
}

// Whoever asks, wherever, gets the same advice, beside the peer's own words; and
// the operator hears which limit holds mail back.
func TestAdviceIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world, sender := bounceWorld(t)
	relay := e2etest.Start(t, world.Env())
	c := folderClient(ctx, t, relay)
	for i, to := range []struct{ domain, reply string }{{"refusal.test", unknownReply}, {"dbl.test", domainReply}} {
		id := relay.Submit(ctx, t, "a@shop.test", []string{"x@" + to.domain}, e2etest.Mail("a@shop.test", "x@"+to.domain, "advice"))
		awaitState(ctx, t, relay, id, "bounced")
		m, err := relay.Admin().Message(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		advice := words(m.Recipients[0].Advice)
		if len(advice) < 20 || m.Recipients[0].Last.Reply != to.reply {
			t.Errorf("the API says %+v", m.Recipients[0])
		}
		awaitFolder(ctx, t, c, "Bounced", i+1)
		shown, err := c.Do("FETCH %d BODY.PEEK[1]", i+1)
		if err != nil {
			t.Fatal(err)
		}
		d, err := e2etest.ParseDSN(e2etest.Receive(ctx, t, sender, i+1)[i].Raw)
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{
			"the folder": readable(t, strings.Join(shown, "\r\n")), "the report": readable(t, d.Text),
		} {
			if !containsAll(text, advice, to.reply) {
				t.Errorf("%s says\n%s\nwant %q and %q in it", where, text, advice, to.reply)
			}
		}
	}
	first := relay.Submit(ctx, t, "a@shop.test", []string{"x@listed.test"}, e2etest.Mail("a@shop.test", "x@listed.test", "blocked"))
	awaitState(ctx, t, relay, first, "deferred")
	next := relay.Submit(ctx, t, "a@shop.test", []string{"y@listed.test"}, e2etest.Mail("a@shop.test", "y@listed.test", "kept back"))
	m, err := relay.Admin().Message(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if why := words(relay.CLI(ctx, t, "queue", "why", first)); !containsAll(why, words(m.Recipients[0].Advice), "554 5.7.1 "+ipReply, "(block.ip)", "192.0.2.1") {
		t.Errorf("why says\n%s\nwant %q", why, m.Recipients[0].Advice)
	}
	e2etest.Poll(ctx, t, func() error {
		if why := relay.CLI(ctx, t, "queue", "why", next); !containsAll(why, "Held by:", "block.ip", "(site_paused, until ") {
			return fmt.Errorf("why says\n%s", why)
		}
		return nil
	})
	if state, err := stateOf(ctx, relay, next); err != nil || state != "queued" {
		t.Errorf("what is kept back is %s, %v", state, err)
	}
}

// A route goes on to the smart host for what it names, and for nothing else.
func TestRouteFallsBackOnBlocks(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world, _ := bounceWorld(t)
	hub := world.Domain(t, "upstream.test", smtpsim.Options{})
	file := filepath.Join(e2etest.Dir(t), "postrider.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
routes:
  - match: "*"
    via: [mx, {to: "smtp://mx.upstream.test:%d?tls=none", when: [block.*]}]
`, hub.Port()), 0o644); err != nil {
		t.Fatal(err)
	}
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_CONFIG": file})
	for to, state := range map[string]string{"x@listed.test": "relayed", "x@dbl.test": "relayed", "x@refusal.test": "bounced"} {
		id := relay.Submit(ctx, t, "a@shop.test", []string{to}, e2etest.Mail("a@shop.test", to, "to "+to))
		awaitState(ctx, t, relay, id, state)
	}
	for _, m := range e2etest.Receive(ctx, t, hub, 2) {
		if to := m.Rcpts[0].Address; to == "x@refusal.test" {
			t.Errorf("the smart host got mail to %s", to)
		}
	}
}

// arrivedAre waits until a server has taken mail to these recipients, and no other.
func arrivedAre(ctx context.Context, t *testing.T, s *smtpsim.Server, want ...string) {
	t.Helper()
	got := make(map[string]bool)
	for _, m := range e2etest.Receive(ctx, t, s, len(want)) {
		got[m.Rcpts[0].Address] = true
	}
	for _, w := range want {
		if !got[w] || len(got) != len(want) {
			t.Fatalf("mail to %v has arrived, want %v", got, want)
		}
	}
}

// The operator keeps mail back, lets it go and gives it another time by who sent it
// and by where it goes.
func TestQueueIsSteeredBySenderAndRecipientDomain(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	later := smtpsim.Rule{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))}
	one := world.Domain(t, "one.test", smtpsim.Options{Rules: []smtpsim.Rule{later}})
	two := world.Domain(t, "two.test", smtpsim.Options{Rules: []smtpsim.Rule{later}})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_RETRY": "1h"})
	submit := func(from, to, fields string) string {
		return relay.Submit(ctx, t, from, []string{to}, append([]byte(fields), e2etest.Mail(from, to, "from "+from)...))
	}
	ids := []string{submit("a@news.test", "n@one.test", ""), submit("a@shop.test", "s@one.test", ""), submit("a@shop.test", "s@two.test", "")}
	for _, id := range ids {
		awaitState(ctx, t, relay, id, "deferred")
	}
	relay.CLI(ctx, t, "queue", "hold", "--sender", "@news.test")
	relay.CLI(ctx, t, "queue", "hold", "--domain", "two.test")
	one.SetRules()
	two.SetRules()
	relay.CLI(ctx, t, "queue", "retry", "--all")
	arrivedAre(ctx, t, one, "s@one.test")
	for _, id := range []string{ids[0], ids[2]} {
		awaitState(ctx, t, relay, id, "held")
	}
	relay.CLI(ctx, t, "queue", "release", "--sender", "@news.test")
	arrivedAre(ctx, t, one, "s@one.test", "n@one.test")
	awaitState(ctx, t, relay, ids[2], "held")
	relay.CLI(ctx, t, "queue", "release", "--domain", "two.test")
	arrivedAre(ctx, t, two, "s@two.test")

	const inAnHour = "X-Postrider-Send-At: +1h\r\n"
	ids = []string{submit("a@news.test", "t@one.test", inAnHour), submit("a@shop.test", "u@one.test", inAnHour), submit("a@shop.test", "t@two.test", inAnHour)}
	for _, id := range ids {
		awaitState(ctx, t, relay, id, "scheduled")
	}
	relay.CLI(ctx, t, "queue", "reschedule", "--sender", "@news.test", "--at", "now")
	arrivedAre(ctx, t, one, "s@one.test", "n@one.test", "t@one.test")
	relay.CLI(ctx, t, "queue", "reschedule", "--domain", "two.test", "--at", "now")
	arrivedAre(ctx, t, two, "s@two.test", "t@two.test")
	awaitState(ctx, t, relay, ids[1], "scheduled")
}
