package outbound_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

func sim(t testing.TB, o smtpsim.Options) *smtpsim.Server {
	t.Helper()
	s, err := smtpsim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func pool(t testing.TB, o outbound.Options) *outbound.Pool {
	t.Helper()
	p := outbound.New(o)
	t.Cleanup(p.Close)
	return p
}

// short limits the stage at which a test's peer falls silent, and no other, so
// that a busy machine is not taken for it.
func short(stage queue.Stage) (limits outbound.Timeouts) {
	const d = 150 * time.Millisecond
	switch stage {
	case queue.StageGreeting:
		limits.Greeting = d
	case queue.StageEhlo:
		limits.Ehlo = d
	case queue.StageTLS:
		limits.StartTLS = d
	case queue.StageMail:
		limits.Mail = d
	case queue.StageRcpt:
		limits.Rcpt = d
	case queue.StageData:
		limits.Data = d
	case queue.StageBody:
		limits.BodyBlock = d
	case queue.StageDot:
		limits.Dot = d
	}
	return limits
}

func host(s *smtpsim.Server) outbound.Host {
	return outbound.Host{Name: "sim.test", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: uint16(s.Port())}
}

func target(ss ...*smtpsim.Server) outbound.Target {
	t := outbound.Target{Site: "sim", HELO: "relay.test"}
	for _, s := range ss {
		t.Hosts = append(t.Hosts, host(s))
	}
	return t
}

func address(s string) queue.Address {
	a, err := queue.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

const content = "From: a@sender.test\r\nSubject: hello\r\n\r\n.leading dot\r\nlast line\r\n"

func message(rcpts ...string) *outbound.Transaction {
	return messageOf(content, rcpts...)
}

func messageOf(content string, rcpts ...string) *outbound.Transaction {
	tx := &outbound.Transaction{
		Envelope: queue.Envelope{ReversePath: address("a@sender.test")},
		Size:     int64(len(content)),
		Open:     func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
	id := queue.NewMessageID()
	for i, r := range rcpts {
		tx.Recipients = append(tx.Recipients, outbound.Recipient{ID: id.Recipient(i), Address: address(r)})
	}
	return tx
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("r%d@rcpt.test", i)
	}
	return out
}

// within limits a test's patience.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func outcomes(r outbound.Result) (out []outbound.Outcome) {
	for _, x := range r.Recipients {
		out = append(out, x.Outcome)
	}
	return out
}

// clean fails the test for whatever the peer found wrong.
func clean(t *testing.T, s *smtpsim.Server) {
	t.Helper()
	for _, v := range s.Violations() {
		// Of a peer that spoke nonsense to an earlier command of a group that
		// ends in DATA.
		if v.Kind != smtpsim.CutInContent {
			t.Errorf("violation: %v", v)
		}
	}
}

func TestMessageArrivesAsItIs(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{NoPipelining: !pipelining}})
		p := pool(t, outbound.Options{})
		tx := message("b@rcpt.test", "c@rcpt.test")
		tx.Prefix = []byte("DKIM-Signature: v=1\r\n")
		res := p.Deliver(within(t), target(s), tx)
		if res.Err != nil || res.Transactions != 1 || res.Connections != 1 || res.Reused {
			t.Fatalf("result %+v", res)
		}
		for _, r := range res.Recipients {
			a := r.Attempt
			if r.Outcome != outbound.Accepted || a.Stage != queue.StageDot || a.Reply.Code != 250 || a.Reply.Command != "." ||
				a.Host != "sim.test" || int(a.Addr.Port()) != s.Port() || a.Site != "sim" || a.Start.IsZero() || a.Took <= 0 || a.InDoubt {
				t.Errorf("recipient %+v", r)
			}
		}
		ms, err := s.Wait(within(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(ms[0].Raw), string(tx.Prefix)+content; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if ms[0].Hello != "relay.test" || len(ms[0].Rcpts) != 2 || ms[0].From.Address != "a@sender.test" {
			t.Errorf("message %+v", ms[0])
		}
		clean(t, s)
	}
}

func TestFaultsByStage(t *testing.T) {
	t.Parallel()
	stages := map[smtpsim.Stage]queue.Stage{
		smtpsim.Connect: queue.StageGreeting, smtpsim.Ehlo: queue.StageEhlo, smtpsim.Mail: queue.StageMail,
		smtpsim.Rcpt: queue.StageRcpt, smtpsim.Data: queue.StageData, smtpsim.Dot: queue.StageDot,
	}
	const (
		temporary = outbound.Temporary
		permanent = outbound.Permanent
	)
	faults := []struct {
		name   string
		do     []smtpsim.Action
		early  outbound.Outcome // before MAIL
		late   outbound.Outcome
		code   int
		error  string
		silent bool // no reply: in doubt after the dot
		slow   bool
	}{
		{name: "4xx", do: smtpsim.Do(smtpsim.Reply(451, "4.7.1", "later")), early: temporary, late: temporary, code: 451},
		{name: "5xx", do: smtpsim.Do(smtpsim.Reply(550, "5.7.1", "never")), early: temporary, late: permanent, code: 550},
		{name: "421", do: smtpsim.Do(smtpsim.Reply(421, "4.3.2", "closing")), early: temporary, late: temporary, code: 421},
		{name: "drop", do: smtpsim.Do(smtpsim.Drop()), early: temporary, late: temporary, error: "closed the connection", silent: true},
		{name: "reset", do: smtpsim.Do(smtpsim.Reset()), early: temporary, late: temporary, error: "connection reset", silent: true},
		{name: "stall", do: smtpsim.Do(smtpsim.Stall()), early: temporary, late: temporary, error: "timed out", silent: true, slow: true},
		{name: "garbage", do: smtpsim.Do(smtpsim.Garbage(100)), early: temporary, late: temporary, error: "protocol error", silent: true},
		{name: "mixed codes", do: smtpsim.Do(smtpsim.MixedCodes(250, 550)), early: temporary, late: temporary, error: "protocol error", silent: true},
		{name: "overlong", do: smtpsim.Do(smtpsim.OverlongReply(250, 70000)), early: temporary, late: temporary, error: "4 KiB", silent: true},
		{name: "endless", do: smtpsim.Do(smtpsim.EndlessReply(250)), early: temporary, late: temporary, error: "128 lines", silent: true},
		{name: "byte by byte", do: smtpsim.Do(smtpsim.Trickle(0)), early: outbound.Accepted, late: outbound.Accepted, code: 250},
	}
	for _, f := range faults {
		for at, stage := range stages {
			for _, pipelining := range []bool{true, false} {
				if f.name == "reset" && at == smtpsim.Connect {
					continue // it may come before the connection is there
				}
				t.Run(fmt.Sprintf("%s at %v, pipelining %v", f.name, at, pipelining), func(t *testing.T) {
					t.Parallel()
					s := sim(t, smtpsim.Options{
						Capabilities: smtpsim.Capabilities{NoPipelining: !pipelining},
						Rules:        []smtpsim.Rule{{Stage: at, Do: f.do}},
					})
					o := outbound.Options{}
					if f.slow {
						o.Timeouts = short(stage)
					}
					p := pool(t, o)
					res := p.Deliver(within(t), target(s), message("b@rcpt.test"))
					r := res.Recipients[0]
					want := f.late
					if at == smtpsim.Connect || at == smtpsim.Ehlo {
						want = f.early
					}
					if want == outbound.Accepted {
						stage = queue.StageDot
					}
					if r.Outcome != want || r.Attempt.Stage != stage || r.Attempt.Reply.Code != f.code || !strings.Contains(r.Attempt.Error, f.error) {
						t.Errorf("got %v at %v with %d %q, want %v at %v with %d %q", r.Outcome, r.Attempt.Stage, r.Attempt.Reply.Code, r.Attempt.Error, want, stage, f.code, f.error)
					}
					if want := f.silent && at == smtpsim.Dot; r.Attempt.InDoubt != want {
						t.Errorf("in doubt is %v, want %v", r.Attempt.InDoubt, want)
					}
					if res.Err != nil {
						t.Errorf("error %v", res.Err)
					}
					clean(t, s)
				})
			}
		}
	}
}

func TestReplyIsKeptInFull(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt,
		Do: smtpsim.Do(smtpsim.Raw("550-5.7.1 first \x07line\r\n550 5.1.1 second\r\n"))}}})
	p := pool(t, outbound.Options{})
	r := p.Deliver(within(t), target(s), message("b@rcpt.test")).Recipients[0].Attempt.Reply
	want := queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "first  line\nsecond", Command: "RCPT"}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestMarkComesBetweenRepliesAndDot(t *testing.T) {
	t.Parallel()
	dots := make(chan struct{}, 1)
	s := sim(t, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Rcpt: "no@rcpt.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "unknown"))},
		{Stage: smtpsim.Dot, Do: smtpsim.Do(func(context.Context, *smtpsim.Exchange) error {
			dots <- struct{}{}
			return nil
		})},
	}})
	p := pool(t, outbound.Options{})
	tx := message("yes@rcpt.test", "no@rcpt.test", "too@rcpt.test")
	var marked []queue.RecipientID
	tx.BeforeDot = func(_ context.Context, ids []queue.RecipientID) error {
		marked = ids
		ss := s.Sessions()
		tr := ss[0].Transcript
		if last := tr[len(tr)-1]; last.Client || !strings.HasPrefix(last.Text, "354") {
			t.Errorf("the last line before the mark is %+v", last)
		}
		if len(dots) != 0 {
			t.Error("the dot came before the mark")
		}
		return nil
	}
	res := p.Deliver(within(t), target(s), tx)
	if len(marked) != 2 || marked[0] != tx.Recipients[0].ID || marked[1] != tx.Recipients[2].ID {
		t.Errorf("marked %v", marked)
	}
	if got := fmt.Sprint(outcomes(res)); got != "[accepted permanent accepted]" {
		t.Errorf("outcomes %v", got)
	}
	if len(dots) != 1 {
		t.Error("no dot after the mark")
	}
}

func TestNoMarkNoDot(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 300_000} {
		s := sim(t, smtpsim.Options{})
		p := pool(t, outbound.Options{})
		tx := messageOf(strings.Repeat("x\r\n", size/3), "b@rcpt.test")
		tx.BeforeDot = func(context.Context, []queue.RecipientID) error { return queue.ErrLeaseLost }
		res := p.Deliver(within(t), target(s), tx)
		if r := res.Recipients[0]; r.Outcome != outbound.NotAttempted || r.Attempt.InDoubt {
			t.Errorf("recipient %+v", r)
		}
		if !isErr(res.Err, queue.ErrLeaseLost) {
			t.Errorf("error %v", res.Err)
		}
		if err := s.WaitFor(within(t), func(c smtpsim.Counters) bool { return c.Open == 0 }); err != nil {
			t.Error(err)
		}
		if c := s.Counters(); c.Messages != 0 || p.Stats().Open != 0 {
			t.Errorf("counters %+v, stats %+v", c, p.Stats())
		}
	}
}

func TestUnsafeContentIsNotSent(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\nb\r\n", "a\rb\r\n", "a\x00b\r\n", "a\r", "x\r\n.\r.\r\nMAIL FROM:<>\r\n", "a\r\n.\n"} {
		s := sim(t, smtpsim.Options{})
		p := pool(t, outbound.Options{})
		res := p.Deliver(within(t), target(s), messageOf(bad, "b@rcpt.test"))
		if r := res.Recipients[0]; !isErr(res.Err, outbound.ErrContent) || r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageBody {
			t.Errorf("%q: %v, %+v", bad, res.Err, r)
		}
		if c := s.Counters(); c.Messages != 0 {
			t.Errorf("%q was sent", bad)
		}
	}
}

func TestLargeContentArrives(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{})
	p := pool(t, outbound.Options{})
	body := strings.Repeat(".a line that begins with a dot\r\n..\r\n", 60_000) + "no end of line"
	res := p.Deliver(within(t), target(s), messageOf(body, "b@rcpt.test"))
	if res.Recipients[0].Outcome != outbound.Accepted {
		t.Fatalf("result %+v", res)
	}
	if got := s.Messages()[0].Raw; !bytes.Equal(got, []byte(body+"\r\n")) {
		t.Errorf("%d octets came, %d were sent", len(got), len(body)+2)
	}
	clean(t, s)
}

func TestEveryCombinationOfRefusedRecipients(t *testing.T) {
	t.Parallel()
	for _, pipelining := range []bool{true, false} {
		s := sim(t, smtpsim.Options{Capabilities: smtpsim.Capabilities{NoPipelining: !pipelining}, Rules: []smtpsim.Rule{
			{Stage: smtpsim.Rcpt, RcptDomain: "temp.test", Do: smtpsim.Do(smtpsim.Reply(451, "4.2.1", "later"))},
			{Stage: smtpsim.Rcpt, RcptDomain: "perm.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "unknown"))},
		}})
		p := pool(t, outbound.Options{})
		res := p.Deliver(within(t), target(s), message("a@temp.test", "b@ok.test", "c@perm.test"))
		if got := fmt.Sprint(outcomes(res)); got != "[temporary accepted permanent]" {
			t.Errorf("outcomes %v", got)
		}
		// Nobody is accepted: a peer that pipelines says 354 or refuses DATA, and
		// the connection is good for the next message all the same.
		res = p.Deliver(within(t), target(s), message("a@temp.test", "c@perm.test"))
		if got := fmt.Sprint(outcomes(res)); got != "[temporary permanent]" || !res.Reused {
			t.Errorf("outcomes %v, reused %v", got, res.Reused)
		}
		res = p.Deliver(within(t), target(s), message("b@ok.test"))
		if got := fmt.Sprint(outcomes(res)); got != "[accepted]" || !res.Reused {
			t.Errorf("outcomes %v, reused %v", got, res.Reused)
		}
		if c := s.Counters(); c.Connections != 1 || c.Messages != 2 {
			t.Errorf("counters %+v", c)
		}
		clean(t, s)
	}
}

func isErr(err, target error) bool { return errors.Is(err, target) }
