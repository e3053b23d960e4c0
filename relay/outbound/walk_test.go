package outbound_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// scripted is a peer that says what smtpsim would not: each step is the verb it
// waits for ("" for the connection, "." for the dot) and what it says then.
func scripted(t *testing.T, steps ...[2]string) outbound.Host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			play(nc, steps)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return outbound.Host{Name: "scripted.test", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: uint16(ln.Addr().(*net.TCPAddr).Port)}
}

func play(nc net.Conn, steps [][2]string) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for _, step := range steps {
		for step[0] != "" {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, step[0]) {
				break
			}
		}
		if _, err := io.WriteString(nc, step[1]); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

func TestLoneDotWhenNobodyIsAccepted(t *testing.T) {
	t.Parallel()
	h := scripted(t, [2]string{"", "220 hi\r\n"}, [2]string{"EHLO", "250-hi\r\n250 PIPELINING\r\n"},
		[2]string{"MAIL", "250 ok\r\n"}, [2]string{"RCPT", "550 5.1.1 unknown\r\n"}, [2]string{"DATA", "354 go\r\n"}, [2]string{".", "250 an empty message\r\n"},
		[2]string{"MAIL", "250 ok\r\n"}, [2]string{"RCPT", "250 ok\r\n"}, [2]string{"DATA", "354 go\r\n"}, [2]string{".\r", "250 taken\r\n"})
	p := pool(t, outbound.Options{})
	tg := outbound.Target{Site: "x", Hosts: []outbound.Host{h}}
	res := p.Deliver(within(t), tg, message("c@perm.test"))
	if r := res.Recipients[0]; r.Outcome != outbound.Permanent || r.Attempt.Stage != queue.StageRcpt || r.Attempt.Reply.Code != 550 {
		t.Errorf("recipient %+v", r)
	}
	res = p.Deliver(within(t), tg, message("b@ok.test"))
	if r := res.Recipients[0]; !res.Reused || r.Outcome != outbound.Accepted || r.Attempt.Reply.Text != "taken" {
		t.Errorf("result %+v", res)
	}
}

func TestReplyToMailIsPreferredToTheLossAfterIt(t *testing.T) {
	t.Parallel()
	h := scripted(t, [2]string{"", "220 hi\r\n"}, [2]string{"EHLO", "250-hi\r\n250 PIPELINING\r\n"},
		[2]string{"MAIL", "550 5.7.606 banned\r\n"}, [2]string{"RCPT", ""}, [2]string{"DATA", "garbage"})
	p := pool(t, outbound.Options{})
	res := p.Deliver(within(t), outbound.Target{Site: "x", Hosts: []outbound.Host{h}}, message(many(3)...))
	for _, r := range res.Recipients {
		if r.Outcome != outbound.Permanent || r.Attempt.Stage != queue.StageMail || r.Attempt.Reply.Enhanced != (queue.Enhanced{5, 7, 606}) {
			t.Errorf("recipient %+v", r)
		}
	}
}

func TestAnswerBeforeTheContentIsNotBelieved(t *testing.T) {
	t.Parallel()
	h := scripted(t, [2]string{"", "220 hi\r\n"}, [2]string{"EHLO", "250-hi\r\n250 PIPELINING\r\n"},
		[2]string{"MAIL", "250 ok\r\n"}, [2]string{"RCPT", "250 ok\r\n"}, [2]string{"DATA", "354 go\r\n250 taken already\r\n"})
	p := pool(t, outbound.Options{})
	res := p.Deliver(within(t), outbound.Target{Site: "x", Hosts: []outbound.Host{h}}, message("b@ok.test"))
	if r := res.Recipients[0]; r.Outcome != outbound.Temporary || r.Attempt.InDoubt || !strings.Contains(r.Attempt.Error, "protocol error") {
		t.Errorf("recipient %+v", r)
	}
}

func TestHELOForThoseWhoDoNotKnowEHLO(t *testing.T) {
	t.Parallel()
	for _, code := range []int{500, 501, 502, 503, 504} {
		s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Ehlo, Do: smtpsim.Do(smtpsim.Reply(code, "", "what?"))}}})
		p := pool(t, outbound.Options{})
		res := p.Deliver(within(t), target(s), message("b@rcpt.test"))
		if res.Recipients[0].Outcome != outbound.Accepted || s.Messages()[0].ESMTP {
			t.Errorf("%d: result %+v", code, res)
		}
		clean(t, s)
	}
}

// deadAddress is a port at which nobody listens.
func deadHost(t *testing.T) outbound.Host {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return outbound.Host{Name: "dead.test", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: uint16(ln.Addr().(*net.TCPAddr).Port)}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	reply := func(stage smtpsim.Stage, code int) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(smtpsim.Reply(code, "", "no"))}}
	}
	drop := func(stage smtpsim.Stage) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(smtpsim.Drop())}}
	}
	tests := []struct {
		name  string
		first []smtpsim.Rule
		next  bool // the second host is tried
		want  outbound.Outcome
	}{
		{"5xx greeting leads to the next host", reply(smtpsim.Connect, 554), true, outbound.Accepted},
		{"4xx greeting leads to the next host", reply(smtpsim.Connect, 450), true, outbound.Accepted},
		{"421 greeting leads to the next host", reply(smtpsim.Connect, 421), true, outbound.Accepted},
		{"5xx to EHLO leads to the next host", reply(smtpsim.Ehlo, 550), true, outbound.Accepted},
		{"a drop at the greeting leads to the next host", drop(smtpsim.Connect), true, outbound.Accepted},
		{"421 to MAIL leads to the next host", reply(smtpsim.Mail, 421), true, outbound.Accepted},
		{"a drop at RCPT leads to the next host", drop(smtpsim.Rcpt), true, outbound.Accepted},
		{"a drop at DATA leads to the next host", drop(smtpsim.Data), true, outbound.Accepted},
		{"4xx to MAIL is the answer", reply(smtpsim.Mail, 451), false, outbound.Temporary},
		{"5xx to MAIL is the answer", reply(smtpsim.Mail, 550), false, outbound.Permanent},
		{"4xx to RCPT is the answer", reply(smtpsim.Rcpt, 451), false, outbound.Temporary},
		{"5xx to the dot is the answer", reply(smtpsim.Dot, 554), false, outbound.Permanent},
		{"421 to the dot is the answer", reply(smtpsim.Dot, 421), false, outbound.Temporary},
		{"a drop after the dot is not tried again", drop(smtpsim.Dot), false, outbound.Temporary},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := sim(t, smtpsim.Options{Rules: tt.first}), sim(t, smtpsim.Options{})
			p := pool(t, outbound.Options{})
			res := p.Deliver(within(t), target(a, b), message("b@rcpt.test"))
			if r := res.Recipients[0]; r.Outcome != tt.want || r.Attempt.InDoubt != (tt.name == "a drop after the dot is not tried again") {
				t.Errorf("recipient %+v", r)
			}
			if got := b.Counters().Connections == 1; got != tt.next {
				t.Errorf("next host tried: %v, want %v", got, tt.next)
			}
		})
	}
	t.Run("a dead address leads to the next", func(t *testing.T) {
		t.Parallel()
		s := sim(t, smtpsim.Options{})
		tg := target(s)
		tg.Hosts = append([]outbound.Host{deadHost(t)}, tg.Hosts...)
		tg.Hosts[1].Addrs = append([]netip.Addr{netip.MustParseAddr("127.0.0.99")}, tg.Hosts[1].Addrs...)
		res := pool(t, outbound.Options{}).Deliver(within(t), tg, message("b@rcpt.test"))
		if r := res.Recipients[0]; r.Outcome != outbound.Accepted || r.Attempt.Addr.Addr() != tg.Hosts[1].Addrs[1] {
			t.Errorf("recipient %+v", r)
		}
	})
	t.Run("addresses are bounded", func(t *testing.T) {
		t.Parallel()
		s := sim(t, smtpsim.Options{})
		dead := deadHost(t)
		tg := outbound.Target{Hosts: []outbound.Host{dead, dead, host(s)}}
		r := pool(t, outbound.Options{AddressesPerAttempt: 2}).Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]
		if r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageConnect || !strings.Contains(r.Attempt.Error, "refused") || r.Attempt.Host != "dead.test" {
			t.Errorf("recipient %+v", r)
		}
	})
	t.Run("lost sessions are bounded", func(t *testing.T) {
		t.Parallel()
		s := sim(t, smtpsim.Options{Rules: drop(smtpsim.Mail)})
		r := pool(t, outbound.Options{}).Deliver(within(t), target(s, s, s, s), message("b@rcpt.test")).Recipients[0]
		if r.Outcome != outbound.Temporary || s.Counters().Connections != 2 {
			t.Errorf("recipient %+v, %d connections", r, s.Counters().Connections)
		}
	})
	t.Run("no address at all", func(t *testing.T) {
		t.Parallel()
		r := pool(t, outbound.Options{}).Deliver(within(t), outbound.Target{}, message("b@rcpt.test")).Recipients[0]
		if r.Outcome != outbound.Temporary || r.Attempt.Error == "" {
			t.Errorf("recipient %+v", r)
		}
	})
	t.Run("a source address picks the family", func(t *testing.T) {
		t.Parallel()
		s := sim(t, smtpsim.Options{})
		tg := target(s)
		tg.LocalAddr = netip.MustParseAddr("127.0.0.7")
		tg.Hosts[0].Addrs = append([]netip.Addr{netip.MustParseAddr("::1")}, tg.Hosts[0].Addrs...)
		res := pool(t, outbound.Options{}).Deliver(within(t), tg, message("b@rcpt.test"))
		if res.Recipients[0].Outcome != outbound.Accepted || !strings.HasPrefix(s.Messages()[0].Client, "127.0.0.7:") {
			t.Errorf("result %+v", res)
		}
	})
}

func TestRecipientsLeftByALostConnectionAreNotCounted(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Rcpt: "r0@rcpt.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "unknown"))},
		{Stage: smtpsim.Rcpt, Rcpt: "r2@rcpt.test", Do: smtpsim.Do(smtpsim.Reply(421, "4.7.0", "slow down"))},
	}})
	res := pool(t, outbound.Options{}).Deliver(within(t), target(s), message(many(4)...))
	if got := fmt.Sprint(outcomes(res)); got != "[permanent not attempted not attempted not attempted]" || res.Err != nil {
		t.Errorf("outcomes %v, error %v", got, res.Err)
	}
	if a := res.Recipients[3].Attempt; a.Reply.Code != 421 || a.Stage != queue.StageRcpt {
		t.Errorf("attempt %+v", a)
	}
}

func TestTooManyRecipientsGoIntoFurtherTransactions(t *testing.T) {
	t.Parallel()
	for _, o := range []smtpsim.Options{
		{MaxRecipients: 4},
		{MaxRecipients: 4, Capabilities: smtpsim.Capabilities{NoPipelining: true}},
		{MaxRecipients: 4, Capabilities: smtpsim.Capabilities{Limits: true}},
		{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, AfterRcpts: 4, Do: smtpsim.Do(smtpsim.Reply(552, "5.5.3", "too many"))}}},
		{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, AfterRcpts: 4, Do: smtpsim.Do(smtpsim.Reply(452, "", "too many"))}}},
	} {
		s := sim(t, o)
		res := pool(t, outbound.Options{}).Deliver(within(t), target(s), message(many(10)...))
		for _, r := range res.Recipients {
			if r.Outcome != outbound.Accepted {
				t.Errorf("recipient %+v", r)
			}
		}
		if c := s.Counters(); res.Transactions != 3 || c.Messages != 3 || c.Recipients != 10 || c.Connections != 1 {
			t.Errorf("%d transactions, counters %+v", res.Transactions, c)
		}
		if refused := s.Counters().Refusals; o.Capabilities.Limits && refused != 0 {
			t.Errorf("%d refusals though the limit was announced", refused)
		}
		clean(t, s)
	}
}

func TestFullMailboxIsNotTooManyRecipients(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Rcpt: "full@rcpt.test", Do: smtpsim.Do(smtpsim.Reply(452, "4.2.2", "full"))}}})
	res := pool(t, outbound.Options{}).Deliver(within(t), target(s), message("a@rcpt.test", "full@rcpt.test"))
	if got := fmt.Sprint(outcomes(res)); got != "[accepted temporary]" || res.Transactions != 1 {
		t.Errorf("outcomes %v in %d transactions", got, res.Transactions)
	}
}

func TestLongGroupDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	// A peer with a small window that stops reading until its replies are read.
	s := sim(t, smtpsim.Options{ReceiveBuffer: 2048, Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(250, "2.1.5", strings.Split(strings.Repeat(strings.Repeat("long ", 90)+"\n", 60), "\n")...))},
	}})
	var rcpts []string
	for i := range 100 {
		rcpts = append(rcpts, fmt.Sprintf("%s%d@%s.test", strings.Repeat("x", 60), i, strings.Repeat("a.", 80)+"a"))
	}
	res := pool(t, outbound.Options{}).Deliver(within(t), target(s), message(rcpts...))
	for _, r := range res.Recipients {
		if r.Outcome != outbound.Accepted {
			t.Fatalf("recipient %+v", r)
		}
	}
	if res.Transactions != 1 {
		t.Errorf("%d transactions", res.Transactions)
	}
}

func TestFaultsInTheContent(t *testing.T) {
	t.Parallel()
	big := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 200_000)
	t.Run("a refusal with a drop is the answer", func(t *testing.T) {
		t.Parallel()
		h := scripted(t, [2]string{"", "220 hi\r\n"}, [2]string{"EHLO", "250 hi\r\n"},
			[2]string{"MAIL", "250 ok\r\n"}, [2]string{"RCPT", "250 ok\r\n"}, [2]string{"DATA", "354 go\r\n"}, [2]string{"xxx", "552 5.3.4 too big\r\n"})
		r := pool(t, outbound.Options{}).Deliver(within(t), outbound.Target{Hosts: []outbound.Host{h}}, messageOf(big, "b@rcpt.test")).Recipients[0]
		if r.Outcome != outbound.Permanent || r.Attempt.Reply.Code != 552 {
			t.Errorf("recipient %+v", r)
		}
	})
	t.Run("a drop leads to the next host", func(t *testing.T) {
		t.Parallel()
		a := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Body, AfterBytes: 100_000, Do: smtpsim.Do(smtpsim.Drop())}}})
		b := sim(t, smtpsim.Options{})
		res := pool(t, outbound.Options{}).Deliver(within(t), target(a, b), messageOf(big, "b@rcpt.test"))
		if res.Recipients[0].Outcome != outbound.Accepted || a.Counters().Messages != 0 || b.Counters().Messages != 1 {
			t.Errorf("result %+v", res)
		}
	})
	t.Run("a peer that stops reading is given up", func(t *testing.T) {
		t.Parallel()
		s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Body, Do: smtpsim.Do(smtpsim.Stall())}}})
		r := pool(t, outbound.Options{Timeouts: short(queue.StageBody)}).Deliver(within(t), target(s), messageOf(big, "b@rcpt.test")).Recipients[0]
		if r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageBody || r.Attempt.InDoubt || !strings.Contains(r.Attempt.Error, "timed out") {
			t.Errorf("recipient %+v", r)
		}
	})
}

func TestLostReplyToTheDotIsInDoubt(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.LoseReply())}}})
	other := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	r := p.Deliver(within(t), target(s, other), message("b@rcpt.test")).Recipients[0]
	if r.Outcome != outbound.Temporary || !r.Attempt.InDoubt || r.Attempt.Stage != queue.StageDot || s.Counters().Messages != 1 {
		t.Errorf("recipient %+v", r)
	}
	if other.Counters().Connections != 0 || p.Stats().Open != 0 {
		t.Errorf("the message was sent again, or the connection kept: %+v", p.Stats())
	}
}

func TestOpenFailureIsOurs(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	tx := message("b@rcpt.test")
	tx.Open = func() (io.ReadCloser, error) { return nil, queue.ErrUnavailable }
	res := pool(t, outbound.Options{}).Deliver(within(t), target(s), tx)
	if !isErr(res.Err, queue.ErrUnavailable) || res.Recipients[0].Outcome != outbound.NotAttempted {
		t.Errorf("result %+v", res)
	}
	tx.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half\r\n"), failing{})), nil
	}
	res = pool(t, outbound.Options{}).Deliver(within(t), target(s), tx)
	if !isErr(res.Err, io.ErrNoProgress) || res.Recipients[0].Outcome != outbound.NotAttempted || s.Counters().Messages != 0 {
		t.Errorf("result %+v", res)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestContextInterruptsBeforeTheDotAndNotAfter(t *testing.T) {
	t.Parallel()
	for _, stage := range []smtpsim.Stage{smtpsim.Connect, smtpsim.Ehlo, smtpsim.Mail, smtpsim.Rcpt, smtpsim.Data} {
		ctx, cancel := context.WithCancel(within(t))
		s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(func(context.Context, *smtpsim.Exchange) error {
			cancel()
			return nil
		}, smtpsim.Stall())}}})
		p := pool(t, outbound.Options{})
		res := p.Deliver(ctx, target(s, s), message("b@rcpt.test"))
		if !isErr(res.Err, context.Canceled) || res.Recipients[0].Outcome != outbound.NotAttempted || p.Stats().Open != 0 {
			t.Errorf("%v: result %+v", stage, res)
		}
	}
	ctx, cancel := context.WithCancel(within(t))
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(func(context.Context, *smtpsim.Exchange) error {
		cancel()
		return nil
	})}}})
	p := pool(t, outbound.Options{})
	res := p.Deliver(ctx, target(s), message("b@rcpt.test"))
	if res.Err != nil || res.Recipients[0].Outcome != outbound.Accepted {
		t.Errorf("result %+v", res)
	}
	res = p.Deliver(within(t), target(s), message("b@rcpt.test"))
	if !res.Reused || res.Recipients[0].Outcome != outbound.Accepted {
		t.Errorf("result %+v", res)
	}
}
