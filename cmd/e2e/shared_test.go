package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// crowd counts the transactions that are under way at a mail server at a time.
type crowd struct{ now, most atomic.Int64 }

// options make a server take so long over each message.
func (c *crowd) options(each time.Duration) smtpsim.Options {
	enter := func(context.Context, *smtpsim.Exchange) error {
		for n := c.now.Add(1); ; {
			most := c.most.Load()
			if n <= most || c.most.CompareAndSwap(most, n) {
				return nil
			}
		}
	}
	leave := func(context.Context, *smtpsim.Exchange) error {
		c.now.Add(-1)
		return nil
	}
	return smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, Do: smtpsim.Do(enter)},
		{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(each), leave)},
	}}
}

// submitMany hands in n small messages over one connection, to addresses of
// a domain that are all different.
func submitMany(ctx context.Context, t *testing.T, r *e2etest.Relay, domain string, n int) {
	t.Helper()
	c, err := e2etest.Login(ctx, r.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for i := range n {
		rcpt := fmt.Sprintf("r%d.%d@%s", r.PID(), i, domain)
		if _, err := c.Send("a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "mail to "+rcpt)); err != nil {
			t.Error(err)
			return
		}
	}
}

// Both nodes together open no more connections to a site than one would.
func TestNodesShareTheConnectionsToASite(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	var busy crowd
	mx := world.Domain(t, "busy.test", busy.options(60*time.Millisecond))
	const limit, each = 6, 50
	_, a, b := twoNodes(t, world, e2etest.Env{"POSTRIDER_CONNECTIONS_PER_SITE": fmt.Sprint(limit)})
	a.CLI(ctx, t, "domain", "records", "shop.test")
	var sent sync.WaitGroup
	for _, r := range []*e2etest.Relay{a, b} {
		sent.Go(func() { submitMany(ctx, t, r, "busy.test", each) })
	}
	by := make(map[string]int)
	for _, m := range e2etest.Receive(ctx, t, mx, 2*each) {
		by[m.Hello]++
	}
	sent.Wait()
	most := busy.most.Load()
	t.Logf("at most %d transactions at a time; by node: %v", most, by)
	// For some seconds after a node has started there may be one more.
	if most > limit+1 || most < limit/2 {
		t.Errorf("%d transactions at a time, want %d", most, limit)
	}
	if len(by) != 2 {
		t.Errorf("only %v sent", by)
	}
}

// bouncesCount lets bounces feed the suppression list.
var bouncesCount = e2etest.Env{"POSTRIDER_SUPPRESSION_BOUNCES": "true"}

// What bounced at one node is not tried at another.
func TestBounceAtOneNodeSuppressesAtTheOther(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "refusal.test", at(smtpsim.Rcpt, smtpsim.Reply(550, "5.1.1", "No such user here")))
	world.Domain(t, "shop.test", smtpsim.Options{})
	_, a, b := twoNodes(t, world, bouncesCount)
	const rcpt = "bob@refusal.test"
	first := a.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "to nobody"))
	e2etest.Poll(ctx, t, func() error {
		if list := b.CLI(ctx, t, "suppression", "list", "--json"); !strings.Contains(list, first) {
			return fmt.Errorf("the list is %s", list)
		}
		return nil
	})
	tried := mx.Counters().Connections
	for _, r := range []*e2etest.Relay{b, a} {
		id := r.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "to nobody again"))
		awaitState(ctx, t, r, id, "suppressed")
	}
	if n := mx.Counters().Connections; n != tried {
		t.Errorf("%d connections were made for an address that is suppressed", n-tried)
	}
	// Taken off at one node, it is tried again at the other.
	a.CLI(ctx, t, "suppression", "remove", rcpt)
	e2etest.Poll(ctx, t, func() error {
		id := b.Submit(ctx, t, "a@shop.test", []string{rcpt}, e2etest.Mail("a@shop.test", rcpt, "once more"))
		if state, err := stateOf(ctx, b, id); err != nil || state == "suppressed" {
			return fmt.Errorf("it is %q, %w", state, err)
		}
		return nil
	})
}

// A node knows of TLS that another found broken.
func TestNodesRememberBrokenTLSTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	broken := at(smtpsim.StartTLSVerb, smtpsim.PlaintextForTLS())
	broken.TLS = smtpsim.StartTLS
	mx := world.Domain(t, "broken.test", broken)
	_, a, b := twoNodes(t, world)
	a.CLI(ctx, t, "domain", "records", "shop.test")
	submitMany(ctx, t, a, "broken.test", 1)
	first := e2etest.Receive(ctx, t, mx, 1)[0]
	gone, left := a, b
	if first.Hello == "b.relay.test" {
		gone, left = b, a
	}
	gone.Signal(t, syscall.SIGTERM)
	gone.Wait(ctx, t)
	submitMany(ctx, t, left, "broken.test", 3)
	for _, m := range e2etest.Receive(ctx, t, mx, 4)[1:] {
		if m.Hello == first.Hello || m.TLS != nil {
			t.Errorf("it came by %s, which was stopped, or over TLS", m.Hello)
		}
	}
	if n := mx.Fired("trouble"); n != 1 {
		t.Errorf("STARTTLS was tried %d times, want once", n)
	}
}
