package outbound_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

func accepted(t *testing.T, res outbound.Result) outbound.Result {
	t.Helper()
	for _, r := range res.Recipients {
		if r.Outcome != outbound.Accepted {
			t.Fatalf("result %+v", res)
		}
	}
	return res
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	for _, o := range []smtpsim.Options{{}, {TLS: smtpsim.StartTLS}} {
		s := sim(t, o)
		p := pool(t, outbound.Options{RootCAs: s.RootCAs()})
		for i := range 10 {
			res := accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
			if res.Reused != (i > 0) {
				t.Errorf("message %d: reused %v", i, res.Reused)
			}
		}
		if got := p.Stats(); got != (outbound.Stats{Open: 1, Idle: 1}) {
			t.Errorf("stats %+v", got)
		}
		if err := p.Drain(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := s.WaitFor(within(t), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
			t.Fatal(err)
		}
		ss := s.Sessions()
		if len(ss) != 1 || !ss[0].Quit || ss[0].Messages != 10 {
			t.Errorf("sessions %+v", ss)
		}
		for _, l := range ss[0].Transcript {
			if l.Client && l.Text == "RSET" {
				t.Error("RSET after a transaction that succeeded")
			}
		}
		clean(t, s)
	}
}

func TestResetFollowsAFailedTransactionOnly(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{NoPipelining: !pipelining}, Rules: []smtpsim.Rule{
			{Stage: smtpsim.Data, Times: 1, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "not now"))}}})
		p := pool(t, outbound.Options{})
		if r := p.Deliver(within(t), target(s), message("b@rcpt.test")).Recipients[0]; r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageData {
			t.Errorf("recipient %+v", r)
		}
		for range 2 {
			if res := accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test"))); !res.Reused {
				t.Error("the connection was not reused")
			}
		}
		resets := 0
		for _, l := range s.Sessions()[0].Transcript {
			if l.Client && l.Text == "RSET" {
				resets++
			}
		}
		if resets != 1 {
			t.Errorf("%d RSET, want 1", resets)
		}
		clean(t, s)
	}
}

func TestMessagesPerConnectionAreBounded(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{false, true} {
		o := smtpsim.Options{}
		limits := outbound.Limits{MessagesPerConnection: 3}
		if announced {
			o.Capabilities.Extra = []string{"LIMITS MAILMAX=3"}
			limits = outbound.Limits{}
		}
		s := sim(t, o)
		p := pool(t, outbound.Options{})
		tg := target(s)
		tg.Limits = limits
		for range 7 {
			accepted(t, p.Deliver(within(t), tg, message("b@rcpt.test")))
		}
		if n := s.Counters().Connections; n != 3 {
			t.Errorf("%d connections for 7 messages, want 3", n)
		}
	}
}

func TestMessageLimitLeavesRecipientsForLater(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{MaxRecipients: 2})
	tg := target(deadFirst(t, s)...)
	tg.Limits.MessagesPerConnection = 1
	res := pool(t, outbound.Options{}).Deliver(within(t), tg, message(many(3)...))
	if got := fmt.Sprint(outcomes(res)); got != "[accepted accepted not attempted]" || res.Err != nil {
		t.Errorf("outcomes %v, %v", got, res.Err)
	}
}

// deadFirst is a list of hosts of which the first greets nobody.
func deadFirst(t *testing.T, s *smtpsim.Server) []*smtpsim.Server {
	return []*smtpsim.Server{sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.Reply(554, "", "no"))}}}), s}
}

func TestConnectionsAreNotSharedAcrossPolicies(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Users: map[string]string{"a": "x", "b": "x"}, Capabilities: smtpsim.Capabilities{RequireTLS: true}})
	p := pool(t, outbound.Options{RootCAs: s.RootCAs()})
	base := target(s)
	for i, change := range []func(*outbound.Target){
		func(*outbound.Target) {},
		func(t *outbound.Target) { t.Site = "other" },
		func(t *outbound.Target) { t.HELO = "other.test" },
		func(t *outbound.Target) { t.TLS.Mode = outbound.TLSRequired },
		func(t *outbound.Target) { t.TLS = outbound.TLS{Mode: outbound.TLSRequired, Verify: true} },
		func(t *outbound.Target) { t.Auth = outbound.Auth{Username: "a", Password: "x"} },
		func(t *outbound.Target) { t.Auth = outbound.Auth{Username: "b", Password: "x"} },
		func(t *outbound.Target) { t.LocalAddr = netip.MustParseAddr("127.0.0.1") },
		func(t *outbound.Target) {
			t.LocalAddr, t.LocalAddr6 = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
		},
		func(t *outbound.Target) { t.TLS = outbound.TLS{Mode: outbound.TLSRequired, Policy: "mta-sts"} },
		func(t *outbound.Target) { t.TLS = outbound.TLS{Mode: outbound.TLSRequired, Peer: &judge{key: "a"}} },
		func(t *outbound.Target) { t.TLS = outbound.TLS{Mode: outbound.TLSRequired, Peer: &judge{key: "b"}} },
		func(t *outbound.Target) { t.TLS = outbound.TLS{Mode: outbound.TLSRequired, RequireTLS: true} },
		func(t *outbound.Target) {
			t.Hosts = []outbound.Host{{Name: "alias.test", Addrs: t.Hosts[0].Addrs, Port: t.Hosts[0].Port}}
		},
		func(t *outbound.Target) {
			t.Hosts = append([]outbound.Host{deadHost2(t)}, t.Hosts...)
			t.Hosts[1].Preference = 10
		},
	} {
		tg := base
		change(&tg)
		if res := accepted(t, p.Deliver(within(t), tg, message("b@rcpt.test"))); res.Reused {
			t.Errorf("case %d took a connection of another", i)
		}
	}
	if res := accepted(t, p.Deliver(within(t), base, message("b@rcpt.test"))); !res.Reused {
		t.Error("the first connection is gone")
	}
	// Judges that are as good as each other share one, and a fault of the policy
	// makes no difference.
	base.TLS = outbound.TLS{Mode: outbound.TLSRequired, Peer: &judge{key: "a"}, Fault: outbound.FaultValidation}
	res := accepted(t, p.Deliver(within(t), base, message("b@rcpt.test")))
	if a := res.Recipients[0].Attempt; !res.Reused || a.TLSFault != outbound.FaultValidation || a.TLSPolicy != "verify" {
		t.Errorf("result %+v", res)
	}
}

func deadHost2(tg *outbound.Target) outbound.Host {
	return outbound.Host{Name: "dead.test", Addrs: tg.Hosts[0].Addrs, Port: 1}
}

func TestConnectionThatDiedWhileIdle(t *testing.T) {
	t.Parallel()
	deaths := map[string]smtpsim.Rule{
		"seen before use": {},
		"421 to MAIL":     {Stage: smtpsim.Mail, ConnNumber: 1, AfterMessages: 1, Do: smtpsim.Do(smtpsim.Reply(421, "4.4.2", "idle for too long"))},
		"drop at MAIL":    {Stage: smtpsim.Mail, ConnNumber: 1, AfterMessages: 1, Do: smtpsim.Do(smtpsim.Drop())},
		"reset at MAIL":   {Stage: smtpsim.Mail, ConnNumber: 1, AfterMessages: 1, Do: smtpsim.Do(smtpsim.Reset())},
		"silence at MAIL": {Stage: smtpsim.Mail, ConnNumber: 1, AfterMessages: 1, Do: smtpsim.Do(smtpsim.Stall())},
	}
	for name, rule := range deaths {
		for _, mode := range []smtpsim.TLSMode{smtpsim.NoTLS, smtpsim.StartTLS} {
			t.Run(fmt.Sprint(name, " with TLS mode ", mode), func(t *testing.T) {
				t.Parallel()
				s := sim(t, smtpsim.Options{TLS: mode, Rules: []smtpsim.Rule{rule}})
				o := outbound.Options{RootCAs: s.RootCAs(), SessionsPerAttempt: 1}
				o.Timeouts.Mail = time.Second
				p := pool(t, o)
				accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
				if rule.Do == nil {
					s.DropConnections()
					if err := s.WaitFor(within(t), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
						t.Fatal(err)
					}
				}
				res := accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
				if res.Connections != 1 || s.Counters().Messages != 2 {
					t.Errorf("result %+v", res)
				}
				if got := p.Stats(); got != (outbound.Stats{Open: 1, Idle: 1}) {
					t.Errorf("stats %+v", got)
				}
			})
		}
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{IdleTimeout: 50 * time.Millisecond})
	accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
	if err := s.WaitFor(within(t), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if !s.Sessions()[0].Quit {
		t.Error("no QUIT")
	}
	if got := p.Stats(); got != (outbound.Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

func TestIdleConnectionClosedByThePeerIsGivenUp(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
	s.DropConnections()
	ctx, again := within(t), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for p.Stats().Open != 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("the connection is still counted")
		}
	}
}

func TestConcurrentDeliveriesShareTheConnectionsAllowed(t *testing.T) {
	t.Parallel()
	const workers, each, limit = 20, 15, 4
	s := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	tg := target(s)
	tg.Limits.Connections, tg.Limits.MessagesPerConnection = limit, workers*each
	ctx := within(t)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				res := p.Deliver(ctx, tg, message(fmt.Sprintf("w%dm%d@rcpt.test", w, i)))
				if res.Recipients[0].Outcome != outbound.Accepted {
					t.Errorf("result %+v", res)
				}
				if n := p.Stats().Open; n > limit {
					t.Errorf("%d connections", n)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, m := range s.Messages() {
		seen[m.Rcpts[0].Address] = true
	}
	if len(seen) != workers*each || s.Counters().Messages != workers*each || s.Counters().Connections > limit {
		t.Errorf("%d recipients, counters %+v", len(seen), s.Counters())
	}
}

func TestWaitForAConnectionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{})
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(func(context.Context, *smtpsim.Exchange) error {
		close(held)
		return nil
	}, smtpsim.WaitUntil(hold))}}})
	p := pool(t, outbound.Options{})
	tg := target(s)
	tg.Limits.Connections = 1
	first := make(chan outbound.Result)
	go func() { first <- p.Deliver(t.Context(), tg, message("a@rcpt.test")) }()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	res := p.Deliver(ctx, tg, message("b@rcpt.test"))
	if !isErr(res.Err, context.DeadlineExceeded) || res.Recipients[0].Outcome != outbound.NotAttempted {
		t.Errorf("result %+v", res)
	}
	close(hold)
	accepted(t, <-first)
	accepted(t, p.Deliver(within(t), tg, message("c@rcpt.test")))
}

func TestDrain(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(func(context.Context, *smtpsim.Exchange) error {
		held <- struct{}{}
		return nil
	}, smtpsim.WaitUntil(hold))}}})

	t.Run("waits for what is under way", func(t *testing.T) {
		p := pool(t, outbound.Options{})
		got := make(chan outbound.Result)
		go func() { got <- p.Deliver(t.Context(), target(s), message("a@rcpt.test")) }()
		<-held
		drained := make(chan error)
		go func() { drained <- p.Drain(within(t)) }()
		// Refused from some moment on; until then it would only be another one.
		for {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if res := p.Deliver(ctx, target(s), message("b@rcpt.test")); isErr(res.Err, outbound.ErrClosed) {
				break
			}
		}
		hold <- struct{}{}
		accepted(t, <-got)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
	t.Run("leaves a dot without reply in doubt when time is up", func(t *testing.T) {
		p := pool(t, outbound.Options{})
		got := make(chan outbound.Result)
		go func() { got <- p.Deliver(t.Context(), target(s), message("a@rcpt.test")) }()
		<-held
		go p.Close()
		if r := (<-got).Recipients[0]; !r.Attempt.InDoubt || r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageDot {
			t.Errorf("recipient %+v", r)
		}
	})
	t.Run("breaks off a connection being made", func(t *testing.T) {
		dialling := make(chan struct{})
		p := pool(t, outbound.Options{Dial: func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		got := make(chan outbound.Result)
		go func() { got <- p.Deliver(t.Context(), target(s), message("a@rcpt.test")) }()
		<-dialling
		p.Close()
		if res := <-got; !isErr(res.Err, outbound.ErrClosed) || res.Recipients[0].Outcome != outbound.NotAttempted {
			t.Errorf("result %+v", res)
		}
	})
}

func TestTheDotHasTenMinutes(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{599 * time.Second, 601 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s, err := smtpsim.Start(smtpsim.Options{InMemory: true, Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(after))}}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			p := outbound.New(outbound.Options{Dial: func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return s.Pipe(), nil }})
			defer p.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // is over before the reply
			defer cancel()
			tg := outbound.Target{Hosts: []outbound.Host{{Name: "sim.test", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}}
			res := p.Deliver(ctx, tg, message("b@rcpt.test"))
			r := res.Recipients[0]
			if ok := after < 600*time.Second; r.Attempt.InDoubt == ok || (r.Outcome == outbound.Accepted) != ok || r.Attempt.Took < 599*time.Second {
				t.Errorf("after %v: %+v", after, r)
			}
			if strings.Contains(r.Attempt.Error, "timed out") != (after > 600*time.Second) {
				t.Errorf("error %q", r.Attempt.Error)
			}
		})
	}
}

func TestStagesAreObserved(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS})
	var mu sync.Mutex
	seen := map[queue.Stage]int{}
	p := pool(t, outbound.Options{RootCAs: s.RootCAs(), Observe: func(stage queue.Stage, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if took > 0 {
			seen[stage]++
		}
	}})
	for range 2 {
		accepted(t, p.Deliver(within(t), target(s), message("b@rcpt.test")))
	}
	for stage, n := range map[queue.Stage]int{
		queue.StageConnect: 1, queue.StageGreeting: 1, queue.StageEhlo: 1, queue.StageTLS: 1,
		queue.StageMail: 2, queue.StageRcpt: 2, queue.StageData: 2, queue.StageBody: 2, queue.StageDot: 2,
	} {
		if seen[stage] != n {
			t.Errorf("%s observed %d times, want %d", stage, seen[stage], n)
		}
	}
}
