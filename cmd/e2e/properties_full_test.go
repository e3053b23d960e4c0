//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// A shop that writes to all its customers at once: 200 workers with one address
// hold 200 connections, and hand in 5,000 mails within a minute. Nobody is turned
// away, memory is bounded, and a site gets no more connections than it may.
func TestBurstFromOneAddressIsTakenAndPacedOut(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	const workers, mails, perSite = 200, 5000, 4
	world := e2etest.NewInternet(t)
	var busy, most atomic.Int64 // transactions at once
	mx := world.Domain(t, "customer.test", smtpsim.Options{
		Keep: smtpsim.KeepCounters, Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(func(ctx context.Context, x *smtpsim.Exchange) error {
			for n := busy.Add(1); n > most.Load(); {
				most.CompareAndSwap(most.Load(), n)
			}
			defer busy.Add(-1)
			return x.Pause(ctx, 10*time.Millisecond)
		})}},
	})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_CONNECTIONS_PER_SITE": fmt.Sprint(perSite), "POSTRIDER_DKIM_AUTOGENERATE": "false"})
	idle := relay.MemoryMiB(t)

	clients := make([]*e2etest.Client, workers)
	began := time.Now()
	for i := range clients {
		c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
		if err != nil {
			t.Fatalf("connection %d of one address: %v", i+1, err)
		}
		defer c.Close()
		clients[i] = c
	}
	body := []byte(strings.Repeat("A line of a newsletter that is as long as lines are, more or less.\r\n", 60))
	failed := make(chan error, workers)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := range mails / workers {
				rcpt := fmt.Sprintf("c%d-%d@customer.test", i, n)
				if _, err := c.Send("news@shop.test", []string{rcpt}, append(e2etest.Mail("news@shop.test", rcpt, "news "+rcpt), body...)); err != nil {
					failed <- fmt.Errorf("worker %d, mail %d: %w", i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	memory := relay.MemoryMiB(t)
	t.Logf("%d mails over %d connections in %v; memory %d MiB, %d at first", mails, workers, took.Round(time.Millisecond), memory, idle)
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	if memory > idle+200 {
		t.Errorf("memory went from %d to %d MiB", idle, memory)
	}
	if err := mx.WaitFor(ctx, func(c smtpsim.Counters) bool { return c.Messages >= mails }); err != nil {
		t.Fatal(err)
	}
	if n := most.Load(); n > perSite || n == 0 {
		t.Errorf("the site saw %d mails at once, want at most %d", n, perSite)
	}
}

// A connection that is kept alive between two mails of a newsletter is there
// after more than a minute, whether it has logged in or was just opened.
func TestConnectionsMayIdleForAMinute(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_SMARTHOST": "smtp://" + closedPort(t) + "?tls=none"})
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func() {
		t.Helper()
		if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "kept alive")); err != nil {
			t.Fatal(err)
		}
	}
	send()
	idle, cancel := context.WithTimeout(ctx, 61*time.Second)
	defer cancel()
	<-idle.Done()
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	send()
	if err := c.Quit(); err != nil {
		t.Errorf("QUIT is answered %v", err)
	}
}

// What is encoded for a server without 8BITMIME verifies by other people's
// implementations.
func TestEncodedMailVerifiesElsewhere(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	old := world.Domain(t, "old.test", smtpsim.Options{Capabilities: smtpsim.Capabilities{No8BitMIME: true}})
	relay := e2etest.Start(t, world.Env())
	publishKeys(ctx, t, world, relay, "shop.test")
	relay.Submit(ctx, t, "a@shop.test", []string{"b@old.test"}, eightBit("a@shop.test", "b@old.test"))
	got := e2etest.Receive(ctx, t, old, 1)[0]
	if encoding, _ := readBody(t, got.Raw); encoding != "quoted-printable" {
		t.Errorf("it arrived as %q", encoding)
	}
	verifySignatures(ctx, t, world, got.Raw)
}
