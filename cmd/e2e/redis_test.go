package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/queue/redistest"
	"postrider/relay/smtpsim"
)

// refusalTime is within how long a client hears that the store is away.
const refusalTime = 2 * time.Second

// awaitAway waits until readiness says that the store is away, and why.
func awaitAway(ctx context.Context, t *testing.T, r *e2etest.Relay, why string) (reason string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		_, err := e2etest.Fetch(ctx, "http://"+r.HTTP+"/readyz")
		if err == nil {
			return errors.New("the relay says that it is ready")
		}
		if reason = err.Error(); !strings.HasPrefix(reason, "503 ") || !strings.Contains(reason, why) {
			return err
		}
		return nil
	})
	return reason
}

// refusedInTime checks that a new client is refused for now, and soon.
func refusedInTime(ctx context.Context, t *testing.T, r *e2etest.Relay, l *ledger) {
	t.Helper()
	began, err := l.session(ctx, r.SMTP, 0, "sink.test")
	took := time.Since(began)
	if refusal := new(textproto.Error); !errors.As(err, &refusal) || refusal.Code/100 != 4 {
		t.Errorf("while the store is away a client is answered %v", err)
	}
	if took > refusalTime+time.Second { // machines that run tests are busy
		t.Errorf("while the store is away a client is answered after %v", took)
	}
	t.Logf("refused after %v: %v", took, err)
}

// Redis dies under load and comes back: clients hear so in time, nothing that
// was acknowledged is lost, and all goes on by itself.
func TestRedisIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	redis := redistest.StartServer(t)
	s := startStorm(ctx, t, redisURL(redis), 2, 3)
	s.progress(ctx, t, 200)
	redis.Kill()
	for _, r := range s.nodes {
		t.Logf("readiness: %s", awaitAway(ctx, t, r, "Redis"))
		refusedInTime(ctx, t, r, s.acked)
	}
	redis.Restart(t)
	began := time.Now()
	allReady(ctx, t, s.nodes...)
	s.progress(ctx, t, 200)
	t.Logf("200 recipients were acknowledged within %v of the restart", time.Since(began))
	s.abate(ctx, t, s.nodes...)
}

func TestRedisWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	const password = "unspeakable"
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	redis := redistest.StartTLSServer(t, "requirepass "+password)
	relay := e2etest.Start(t, world.Env(), node("rediss://:"+password+"@"+redis.TLSAddr()+"?ca="+redis.CAFile(), "a"))
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "encrypted"))
	e2etest.Receive(ctx, t, mx, 1)
	if text := relay.Out.Text() + relay.Err.Text(); strings.Contains(text, password) {
		t.Errorf("the password of the store is shown:\n%s", text)
	}
}

// A Redis without room takes no more mail and gives out what it has.
func TestFullRedisRefusesMailAndDeliversOn(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	arrived := &arrivals{copies: make(map[string][]string)}
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{
		Keep: smtpsim.KeepCounters, OnMessage: arrived.note,
		Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "Not now"))}},
	})
	redis := redistest.StartServer(t, "maxmemory 24mb")
	relay := e2etest.Start(t, world.Env(), node(redisURL(redis), "a"))
	relay.CLI(ctx, t, "domain", "records", "shop.test")
	acked := newLedger()
	fill := func(size int) error {
		c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
		if err != nil {
			return err
		}
		defer c.Close()
		rcpts := acked.recipients(1, "customer.test")
		content := append(e2etest.Mail("source@shop.test", rcpts[0], "mail "+rcpts[0]),
			bytes.Repeat([]byte(strings.Repeat("x", 62)+"\r\n"), size/64)...)
		id, err := c.Send("source@shop.test", rcpts, content)
		if err != nil {
			return err
		}
		acked.acknowledge(id, rcpts)
		return c.Quit()
	}
	// Large bodies go ahead of their message, small ones with it: both end.
	for _, size := range []int{500 << 10, 8 << 10} {
		e2etest.Poll(ctx, t, func() error {
			for {
				if err := fill(size); fullReply(err) {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
	}
	e2etest.Poll(ctx, t, func() error {
		if err := fill(8 << 10); !fullReply(err) {
			return fmt.Errorf("mail is answered %v", err)
		}
		if _, err := e2etest.Fetch(ctx, "http://"+relay.HTTP+"/readyz"); err == nil || !strings.Contains(err.Error(), "maxmemory") {
			return fmt.Errorf("readiness says %v", err)
		}
		return nil
	})
	n := acked.count()
	t.Logf("%d messages were taken until Redis was full", n)
	if n < 20 {
		t.Errorf("only %d messages were taken", n)
	}
	mx.SetRules()
	awaitEmpty(ctx, t, relay)
	reconcile(ctx, t, relay, acked, arrived)
	agree(ctx, t, arrived, relay)
	// With room again, mail is taken again.
	if err := redis.Client().ConfigSet(ctx, "maxmemory", "100mb").Err(); err != nil {
		t.Fatal(err)
	}
	e2etest.Poll(ctx, t, func() error { return fill(8 << 10) })
	e2etest.Poll(ctx, t, func() error { return fill(500 << 10) })
	awaitEmpty(ctx, t, relay)
}
