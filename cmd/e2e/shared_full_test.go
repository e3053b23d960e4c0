//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// policer is a receiver that takes so many messages a second, and a second's at
// once, and says to the others that they are too many.
type policer struct {
	allows func(at time.Duration) float64

	mu      sync.Mutex
	began   time.Time // at the first message
	at      time.Duration
	tokens  float64
	taken   map[string]int // by who sent it
	seconds []second
}

// second is what came in one.
type second struct{ taken, refused, allowed float64 }

func (p *policer) options() smtpsim.Options {
	judge := func(_ context.Context, x *smtpsim.Exchange) error {
		if p.take(x.Hello) {
			return nil
		}
		return x.Reply(421, "4.7.0", "Sending rate limit exceeded, try again later")
	}
	return smtpsim.Options{Keep: smtpsim.KeepCounters, Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, Do: smtpsim.Do(judge)},
		{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(20 * time.Millisecond))},
	}}
}

func (p *policer) take(by string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began, p.tokens, p.taken = time.Now(), p.allows(0), make(map[string]int)
	}
	at := time.Since(p.began)
	rate := p.allows(at)
	p.tokens = min(p.tokens+(at-p.at).Seconds()*rate, max(rate, 1))
	p.at = at
	for len(p.seconds) <= int(at.Seconds()) {
		p.seconds = append(p.seconds, second{allowed: p.allows(time.Duration(len(p.seconds)) * time.Second)})
	}
	s := &p.seconds[int(at.Seconds())]
	if p.tokens < 1 {
		s.refused++
		return false
	}
	p.tokens--
	s.taken++
	p.taken[by]++
	return true
}

// between adds up what came in some seconds.
func (p *policer) between(from, to int) (sum second) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seconds[min(from, len(p.seconds)):min(to, len(p.seconds))] {
		sum.taken += s.taken
		sum.refused += s.refused
		sum.allowed += s.allowed
	}
	return sum
}

func (s second) share() float64 { return s.refused / max(s.taken+s.refused, 1) }
func (s second) use() float64   { return s.taken / max(s.allowed, 1) }

func (s second) String() string {
	return fmt.Sprintf("%4.0f taken of %4.0f, %3.0f refused: use %3.0f %%, refused %4.1f %%", s.taken, s.allowed, s.refused, 100*s.use(), 100*s.share())
}

// watch logs what comes, and returns after so many seconds of it.
func (p *policer) watch(ctx context.Context, t *testing.T, mx *smtpsim.Server, seconds int) {
	t.Helper()
	if err := mx.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Messages > 0 }); err != nil {
		t.Fatal(err)
	}
	const step = 5
	for from := 0; from < seconds; from += step {
		pass(ctx, t, step*time.Second)
		t.Logf("%2d s: %v", from, p.between(from, from+step))
	}
}

// A receiver's limit is learned by both nodes together: they send most of what it
// allows, and little of what it refuses.
func TestNodesLearnAPaceTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world := e2etest.NewInternet(t)
	const rate, settled, end = 40, 20, 80
	p := &policer{allows: func(time.Duration) float64 { return rate }}
	mx := world.Domain(t, "paced.test", p.options())
	_, a, b := twoNodes(t, world)
	a.CLI(ctx, t, "domain", "records", "shop.test")
	var sent sync.WaitGroup
	defer sent.Wait()
	for _, r := range []*e2etest.Relay{a, b} {
		sent.Go(func() { submitMany(ctx, t, r, "paced.test", rate*end*6/10) })
	}
	p.watch(ctx, t, mx, end)
	all := p.between(settled, end)
	t.Logf("once settled: %v; by node %v", all, p.taken)
	if all.share() > 0.06 || all.use() < 0.55 {
		t.Errorf("once settled: %v", all)
	}
	for _, name := range []string{"a.relay.test", "b.relay.test"} {
		if p.taken[name] < rate*end/20 {
			t.Errorf("by node: %v", p.taken)
		}
	}
}

// A receiver changes its mind, over real connections.
func TestPaceFollowsWhatAReceiverAllows(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world := e2etest.NewInternet(t)
	p := &policer{allows: func(at time.Duration) float64 {
		switch {
		case at < 20*time.Second:
			return 60
		case at < 40*time.Second:
			return 25
		}
		return 60
	}}
	mx := world.Domain(t, "moody.test", p.options())
	relay := e2etest.Start(t, world.Env())
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	var sent sync.WaitGroup
	defer sent.Wait()
	sent.Go(func() { submitMany(ctx, t, relay, "moody.test", 4000) })
	p.watch(ctx, t, mx, 60)
	all := p.between(5, 60)
	t.Logf("all but the beginning: %v", all)
	if all.share() > 0.06 || all.use() < 0.55 {
		t.Errorf("all but the beginning: %v", all)
	}
	if low := p.between(25, 40); low.share() > 0.15 {
		t.Errorf("after it allowed less: %v", low)
	}
}

// Two nodes pause a dead site together and send one probe when the pause is over;
// and the operator hears once of a site that blocks both.
func TestNodesProbeAndAlertOnce(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	world := e2etest.NewInternet(t)
	dead := world.Domain(t, "dead.test", at(smtpsim.Connect, smtpsim.Drop()))
	blocking := world.Domain(t, "listed.test", at(smtpsim.Mail, smtpsim.Reply(554, "5.7.1", ipReply)))
	operator := world.Domain(t, "operator.test", smtpsim.Options{})
	dir := e2etest.Dir(t)
	pages, program := filepath.Join(dir, "pages"), filepath.Join(dir, "page")
	script := fmt.Sprintf("#!/bin/sh\necho \"page $POSTRIDER_ALERT_CLASS $POSTRIDER_ALERT_SITE $*\" >>%s\nexec /bin/cat >>%[1]s\n", pages)
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	_, a, b := twoNodes(t, world, e2etest.Env{
		"POSTRIDER_ALERT_ADDRESS": "ops@operator.test", "POSTRIDER_ALERT_COMMAND": program + ",--team",
	})
	a.CLI(ctx, t, "domain", "records", "shop.test")
	for _, r := range []*e2etest.Relay{a, b} {
		submitMany(ctx, t, r, "dead.test", 4)
		submitMany(ctx, t, r, "listed.test", 4)
	}
	checkOneProbe(ctx, t, dead, a, b)
	if n := blocking.Counters().Connections; n > 8 {
		t.Errorf("%d connections to the site that blocks us", n)
	}
	m := e2etest.Receive(ctx, t, operator, 1)[0]
	if m.Rcpts[0].Address != "ops@operator.test" || !containsAll(string(m.Raw), "listed.test", "554 5.7.1", "spamhaus.org") {
		t.Errorf("the alert to %v is\n%s", m.Rcpts, m.Raw)
	}
	e2etest.Poll(ctx, t, func() error {
		if text, err := os.ReadFile(pages); err != nil || !strings.Contains(string(text), "page block.ip listed.test --team\n") {
			return fmt.Errorf("the command wrote %q, %v", text, err)
		}
		return nil
	})
	pass(ctx, t, 5*time.Second)
	text, err := os.ReadFile(pages)
	if n := strings.Count(string(text), "page block.ip"); n != 1 || err != nil || !strings.Contains(string(text), "554 5.7.1") {
		t.Errorf("the command was run %d times and wrote\n%s", n, text)
	}
	if n := len(operator.Messages()); n != 1 {
		t.Errorf("%d mails were sent to the operator", n)
	}
}

// checkOneProbe waits until the first pause of a dead site is over.
func checkOneProbe(ctx context.Context, t *testing.T, dead *smtpsim.Server, nodes ...*e2etest.Relay) {
	t.Helper()
	paused := func(l e2etest.Line) bool { return l.Is("site is paused") && l.Attr("site") == "dead.test" }
	for len(nodes[0].Out.All(paused))+len(nodes[1].Out.All(paused)) == 0 {
		pass(ctx, t, 50*time.Millisecond)
	}
	pass(ctx, t, 3*time.Second) // until the other knows
	before := dead.Counters().Connections
	since := time.Now()
	if before < 5 || before > 12 {
		t.Errorf("%d connections were made until the site was paused", before)
	}
	if err := dead.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Connections > before }); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections until the pause; the probe came %v after it began", before, time.Since(since)+3*time.Second)
	if early := time.Since(since); early < 50*time.Second {
		t.Errorf("it was tried again after %v", early)
	}
	pass(ctx, t, 10*time.Second)
	if n := dead.Counters().Connections - before; n != 1 {
		t.Errorf("%d probes were sent after one pause", n)
	}
}
