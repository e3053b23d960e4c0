package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/dkim"
	"postrider/queue/redistest"
	"postrider/relay/smtpsim"
)

// node makes a relay one of several on a Redis, with a name of its own and
// leases that end soon.
func node(store, name string) e2etest.Env {
	return e2etest.Env{
		"POSTRIDER_STORE":    store,
		"POSTRIDER_HOSTNAME": name + ".relay.test",
		"POSTRIDER_LEASE":    "5s",
	}
}

func redisURL(s *redistest.Server) string { return "redis://" + s.Addr() }

// twoNodes are relays on a Redis of their own.
func twoNodes(t *testing.T, world *e2etest.Internet, envs ...e2etest.Env) (redis *redistest.Server, a, b *e2etest.Relay) {
	t.Helper()
	redis = redistest.StartServer(t)
	start := func(name string) *e2etest.Relay {
		return e2etest.Start(t, slices.Concat([]e2etest.Env{world.Env(), node(redisURL(redis), name)}, envs)...)
	}
	return redis, start("a"), start("b")
}

// What a node acknowledged outlives it, be it waiting or under way: another one
// delivers it.
func TestMailOfAKilledNodeIsDelivered(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	arrived := &arrivals{copies: make(map[string][]string)}
	world := e2etest.NewInternet(t)
	sink := smtpsim.Options{OnMessage: arrived.note}
	quick := world.Domain(t, "sink.test", sink)
	sink.Rules = []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(smtpsim.Stall())}}
	stuck := world.Domain(t, "stuck.test", sink)
	sink.Rules = []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))}}
	later := world.Domain(t, "later.test", sink)
	redis := redistest.StartServer(t)
	a := e2etest.Start(t, world.Env(), node(redisURL(redis), "a"))
	a.CLI(ctx, t, "domain", "records", "shop.test")
	acked := newLedger()
	send := func(domain string, n int) {
		for range n {
			rcpts := acked.recipients(1, domain)
			acked.acknowledge(a.Submit(ctx, t, "source@shop.test", rcpts, e2etest.Mail("source@shop.test", rcpts[0], "mail "+rcpts[0])), rcpts)
		}
	}
	// It has nobody to share with yet, so that what is under way is its own.
	send("stuck.test", 1)
	send("later.test", 10)
	if err := stuck.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Transactions > 0 }); err != nil {
		t.Fatal(err)
	}
	b := e2etest.Start(t, world.Env(), node(redisURL(redis), "b"))
	send("sink.test", 20)
	a.Kill()
	killed := time.Now()
	later.SetRules()
	awaitEmpty(ctx, t, b)
	if took := time.Since(killed); took > 30*time.Second {
		t.Errorf("the work of the dead node was taken over after %v", took)
	}
	reconcile(ctx, t, b, acked, arrived)
	if m := stuck.Messages(); len(m) != 1 || m[0].Hello != "b.relay.test" {
		t.Errorf("what was under way at a arrived as %v", m)
	}
	if n := quick.Counters().Messages; n < 20 {
		t.Errorf("%d of 20 arrived", n)
	}
}

// An account's limit is for all nodes together.
func TestNodesCountAnAccountTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	const limit, sent = 6, 10
	_, a, b := twoNodes(t, world, e2etest.Env{"POSTRIDER_RATE_PER_HOUR": fmt.Sprint(limit)})
	a.CLI(ctx, t, "domain", "records", "shop.test")
	for i := range sent {
		rcpt := fmt.Sprintf("r%d@customer.test", i)
		[]*e2etest.Relay{a, b}[i%2].Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, fmt.Sprint("mail ", i)))
	}
	e2etest.Receive(ctx, t, mx, limit)
	awaitEmpty(ctx, t, a)
	for name, r := range map[string]*e2etest.Relay{"a": a, "b": b} {
		q, err := r.Admin().Queue(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if held := q.States["held"].Recipients; held != sent-limit {
			t.Errorf("node %s says that %d are held, want %d", name, held, sent-limit)
		}
	}
	if n := len(mx.Messages()); n != limit {
		t.Errorf("%d arrived, want %d", n, limit)
	}
	// Either releases what the other holds.
	b.CLI(ctx, t, "queue", "release", "--account", e2etest.User)
	e2etest.Receive(ctx, t, mx, sent)
}

// Whoever guesses at one node has guessed at all.
func TestNodesCountFailedLoginsTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	_, a, b := twoNodes(t, world)
	const budget = 10 // a minute and address
	guess := func(r *e2etest.Relay, password string) error {
		c, err := e2etest.Login(ctx, r.SMTP, e2etest.User, password)
		if err == nil {
			c.Close()
		}
		return err
	}
	// At once: each is answered late, and the budget grows again.
	guesses := func(r *e2etest.Relay, n int) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				if err := guess(r, fmt.Sprint("guess ", i)); err == nil {
					t.Error("a wrong password is taken")
				}
			})
		}
		all.Wait()
	}
	guesses(a, budget/2+1)
	guesses(b, budget/2+1)
	refusal := new(textproto.Error)
	if err := guess(b, e2etest.Password); !errors.As(err, &refusal) {
		t.Errorf("after %d guesses at two nodes the right password is answered %v", budget+2, err)
	}
	b.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("too many failed logins") })
}

var selector = regexp.MustCompile(`[;\s]s=([^;\s]+)`)

// The keys of a domain are made once, and every node signs with them.
func TestNodesSignWithTheSameKeys(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	_, a, b := twoNodes(t, world)
	// Both find at the same time that there is no key.
	var errs [2]error
	done := make(chan struct{}, 2)
	for i, r := range []*e2etest.Relay{a, b} {
		go func() {
			defer func() { done <- struct{}{} }()
			c, err := e2etest.Login(ctx, r.SMTP, e2etest.User, e2etest.Password)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			for n := range 10 {
				if _, err := c.Send("a@fresh.test", []string{"b@customer.test"}, e2etest.Mail("a@fresh.test", "b@customer.test", fmt.Sprint("mail ", n))); err != nil {
					errs[i] = err
					return
				}
			}
		}()
	}
	<-done
	<-done
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	got := e2etest.Receive(ctx, t, mx, 20)
	// Until both have delivered some.
	names := func() map[string]bool {
		names := make(map[string]bool)
		for _, m := range mx.Messages() {
			names[m.Hello] = true
		}
		return names
	}
	for len(names()) < 2 {
		for _, r := range []*e2etest.Relay{a, b} {
			r.Submit(ctx, t, "a@fresh.test", []string{"b@customer.test"}, e2etest.Mail("a@fresh.test", "b@customer.test", "one more"))
		}
		got = e2etest.Receive(ctx, t, mx, len(got)+2)
	}
	selectors := make(map[string]int)
	for _, m := range got {
		parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, signature := range parsed.Header["Dkim-Signature"] {
			if s := selector.FindStringSubmatch(signature); s != nil {
				selectors[s[1]]++
			}
		}
	}
	if len(selectors) != 2 {
		t.Errorf("the selectors are %v; want one of RSA and one of Ed25519", selectors)
	}
	for s, n := range selectors {
		if n != len(got) {
			t.Errorf("%s signed %d of %d", s, n, len(got))
		}
	}
	world.Publish(t, "fresh.test", b.CLI(ctx, t, "domain", "records", "--zone", "fresh.test"))
	verify(ctx, t, world, got)
}

// verify checks that every signature is good.
func verify(ctx context.Context, t *testing.T, world *e2etest.Internet, msgs []*smtpsim.Message) {
	t.Helper()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, world.DNS.Addr())
	}}
	for _, m := range msgs {
		verdicts, err := dkim.Verify(ctx, bytes.NewReader(m.Raw), resolver.LookupTXT)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range verdicts {
			if v.Err != nil {
				t.Errorf("the signature of %s: %v", v.Domain, v.Err)
			}
		}
	}
}

// Whatever node bounced a message, and although the one that writes reports
// dies, every sender hears of it by one report.
func TestEveryBounceIsReportedOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	heard := &arrivals{copies: make(map[string][]string)}
	world := e2etest.NewInternet(t)
	world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user")))
	sender := world.Domain(t, "shop.test", smtpsim.Options{Keep: smtpsim.KeepCounters, OnMessage: heard.note})
	_, a, b := twoNodes(t, world)
	a.CLI(ctx, t, "domain", "records", "shop.test")
	const each = 20
	var senders []string
	submit := func(r *e2etest.Relay) {
		for range each {
			from := fmt.Sprintf("s%d@shop.test", len(senders))
			senders = append(senders, from)
			r.Submit(ctx, t, from, []string{"b@refusal.test"}, e2etest.Mail(from, "b@refusal.test", "bounce of "+from))
		}
	}
	submit(a)
	submit(b)
	if _, err := sender.Wait(ctx, each); err != nil { // in the middle of it
		t.Fatal(err)
	}
	writer, other := a, b
	if len(b.Out.All(func(l e2etest.Line) bool { return l.Is("report written") })) > 0 {
		writer, other = b, a
	}
	submit(writer)
	writer.Kill()
	submit(other)
	e2etest.Poll(ctx, t, func() error {
		if n := heard.count(); n < len(senders) {
			return fmt.Errorf("%d senders of %d have heard", n, len(senders))
		}
		return nil
	})
	awaitEmpty(ctx, t, other)
	for _, to := range senders {
		l, err := other.Admin().Messages(ctx, v1.Filter{Recipient: to}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Data) != 1 {
			t.Errorf("%d reports were written for %s", len(l.Data), to)
			continue
		}
		// One that was under way at the dead node may come twice.
		if len(heard.copies[to]) > 1 {
			if err := doubted(ctx, other, l.Data[0].ID, to); err != nil {
				t.Error(err)
			}
		}
	}
	if q, err := other.Admin().Queue(ctx); err != nil || q.States["bounced"].Recipients != int64(len(senders)) {
		t.Errorf("%d recipients are bounced, %v; want %d", q.States["bounced"].Recipients, err, len(senders))
	}
}
