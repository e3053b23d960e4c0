package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/relay/smtpsim"
)

// perform runs relaybench with args and returns its standard output.
func perform(t *testing.T, ctx context.Context, args ...string) ([]byte, error) {
	t.Helper()
	var human, out bytes.Buffer
	err := run(ctx, args, output{human: &human, json: &out})
	t.Logf("relaybench %s\n%s", strings.Join(args, " "), human.String())
	return out.Bytes(), err
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func decode[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// forwarder is a relay that is as bad as a test wants it: it passes each
// accepted message on to the sink as often as copies says, from the same
// callback in which it accepts it.
type forwarder struct {
	*smtpsim.Server
	sink   string
	copies func(n int64) int
	body   func([]byte) []byte
}

func startForwarder(t *testing.T, sink string, o smtpsim.Options, copies func(n int64) int) *forwarder {
	t.Helper()
	f := &forwarder{sink: sink, copies: copies, body: func(b []byte) []byte { return b }}
	o.OnMessage = func(m *smtpsim.Message) {
		for _, p := range m.Rcpts {
			n, ok := recipientNumber(p.Address)
			if !ok {
				t.Errorf("recipient %q", p.Address)
			}
			for range copies(n) {
				if err := f.pass(m, p.Address); err != nil {
					t.Errorf("pass on: %v", err)
				}
			}
		}
	}
	var err error
	if f.Server, err = smtpsim.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *forwarder) pass(m *smtpsim.Message, to string) error {
	l := loadFlags{Timeout: 20 * time.Second}
	w, err := l.connect(context.Background(), f.sink)
	if err != nil {
		return err
	}
	defer w.quit()
	for _, step := range []struct {
		code int
		line string
	}{{250, "MAIL FROM:<" + m.From.Address + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if err := w.must(step.code, step.line); err != nil {
			return err
		}
	}
	stuffed := bytes.ReplaceAll(append([]byte("Received: by forwarder\r\n"), f.body(m.Raw)...), []byte("\r\n."), []byte("\r\n.."))
	return w.mustAs("content", 250, string(stuffed)+".")
}

// freeAddr is an address nobody listens on. It is on a loopback address of
// its own, so that no connection made meanwhile takes the port.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(200), rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestRunThroughAGoodRelay(t *testing.T) {
	t.Parallel()
	sink := freeAddr(t)
	f := startForwarder(t, sink, smtpsim.Options{TLS: smtpsim.StartTLS, Users: map[string]string{"u": "p:w"}, RequireAuth: true, RequireTLS: true},
		func(int64) int { return 1 })
	for _, mode := range [][]string{nil, {"--pipeline"}, {"--phpmailer"}, {"--reuse=0", "--pipeline"}} {
		args := append([]string{"run", "--listen", sink, "--relay", f.Addr(), "--tls=starttls", "--auth=u:p:w", "--messages=40", "--recipients=3",
			"--sessions=4", "--to-domain=a.test,b.test", "--linger=0s", "--json"}, mode...)
		out, err := perform(t, within(t), args...)
		if err != nil {
			t.Fatal(err)
		}
		r := decode[runReport](t, out)
		if r.Source.Accepted != 40 || r.Source.AckedRecipients != 120 || r.Sink.Recipients != 120 || r.Lost+r.Duplicates+r.Unacknowledged != 0 {
			t.Errorf("%v: %+v", mode, r)
		}
		if r.Sink.Corrupt != 0 || r.Sink.Violations != 0 || r.Sink.EndToEnd.Max <= 0 || r.Source.SubmissionLatency.P50 <= 0 || r.DeliveredPerSecond <= 0 {
			t.Errorf("%v: %+v", mode, r)
		}
	}
	for _, v := range f.Violations() {
		t.Errorf("the source sent %v", v)
	}
}

func TestRunFindsLossDuplicatesAndCorruption(t *testing.T) {
	t.Parallel()
	sink := freeAddr(t)
	f := startForwarder(t, sink, smtpsim.Options{}, func(n int64) int {
		switch {
		case n%10 == 3:
			return 0
		case n%10 == 7:
			return 3
		}
		return 1
	})
	f.body = func(b []byte) []byte { return bytes.Replace(b, []byte("brown fox"), []byte("brown fix"), 1) }
	out, err := perform(t, within(t), "run", "--listen", sink, "--relay", f.Addr(), "--messages=50", "--first=100", "--wait=300ms", "--json")
	if !errors.Is(err, errLost) {
		t.Errorf("error %v", err)
	}
	r := decode[runReport](t, out)
	if r.Lost != 5 || fmt.Sprint(r.LostFirst) != "[103 113 123 133 143]" || r.Duplicates != 10 || r.Sink.Recipients != 45 || r.Sink.Corrupt != 55 {
		t.Errorf("%+v", r)
	}
}

func TestAmbiguousMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	// The sink itself loses a reply and drops a connection: directly in front
	// of it, the first is unknown to the source, the second is sent again.
	a := newArrivals(1, 20, nil)
	k, err := startSink(sinkFlags{Listen: "127.0.0.1:0"}, a)
	if err != nil {
		t.Fatal(err)
	}
	defer k.srv.Close()
	k.srv.SetRules(
		smtpsim.Rule{Stage: smtpsim.Dot, Rcpt: "r4@sink.test", Times: 1, Do: smtpsim.Do(smtpsim.LoseReply())},
		smtpsim.Rule{Stage: smtpsim.Rcpt, Rcpt: "r5@sink.test", Times: 1, Do: smtpsim.Do(smtpsim.Drop())},
		smtpsim.Rule{Stage: smtpsim.Dot, Rcpt: "r6@sink.test", Times: 2, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "later"))},
		smtpsim.Rule{Stage: smtpsim.Mail, AfterMessages: 1, Times: 1, Do: smtpsim.Do(smtpsim.Reply(421, "4.3.2", "closing"))},
		smtpsim.Rule{Stage: smtpsim.Dot, Rcpt: "r7@sink.test", Do: smtpsim.Do(smtpsim.Reply(554, "5.3.0", "never"))},
		smtpsim.Rule{Stage: smtpsim.Rcpt, Rcpt: "r8@sink.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "unknown"))},
		smtpsim.Rule{Stage: smtpsim.Rcpt, Rcpt: "r9@sink.test", Times: 1, Do: smtpsim.Do(smtpsim.Reply(450, "4.2.0", "greylisted"))},
	)
	for _, pipeline := range []bool{false, true} {
		a := newArrivals(1, 20, nil)
		k.now.Store(a)
		l := loadFlags{Sessions: 2, Messages: 20, Recipients: 1, Size: 1000, From: "a@from.test", ToDomain: []string{"sink.test"}, First: 1,
			Deadline: 20 * time.Second, Timeout: 20 * time.Second, Pipeline: pipeline}
		r, err := around(within(t), k, a, l, k.srv.Addr(), nil, 20*time.Second, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := sourceReport{Accepted: 17, Refused: 2, Unknown: 1}
		if pipeline { // the rules with Times are used up
			want = sourceReport{Accepted: 18, Refused: 2}
		}
		if s := r.Source; s.Accepted != want.Accepted || s.Refused != want.Refused || s.Unknown != want.Unknown || s.Unsent != 0 {
			t.Errorf("pipeline %v: source %+v", pipeline, s)
		}
		if r.Lost != 0 || r.Duplicates != 0 || r.Unacknowledged != want.Unknown || r.Sink.Recipients != 18 {
			t.Errorf("pipeline %v: %+v", pipeline, r)
		}
	}
}

func TestSourceSurvivesARestartOfTheRelay(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	acked := filepath.Join(t.TempDir(), "acked")
	var out []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if out, err = perform(t, within(t), "source", "--relay", addr, "--messages=300", "--sessions=3", "--reuse=0", "--acked", acked, "--rate=2000", "--json"); err != nil {
			t.Error(err)
		}
	})
	taken := newTally(nil)
	take := func(m *smtpsim.Message) {
		n, _ := recipientNumber(m.Rcpts[0].Address)
		taken.add(n)
	}
	for left := range 3 {
		s, err := smtpsim.Start(smtpsim.Options{Addr: addr, OnMessage: take, Keep: smtpsim.KeepCounters})
		if err != nil {
			t.Fatal(err)
		}
		if left < 2 {
			if _, err := s.Wait(within(t), 50); err != nil {
				t.Fatal(err)
			}
			s.Close()
			continue
		}
		wg.Wait()
		s.Close()
	}
	got, err := tallyOf(acked)
	if err != nil {
		t.Fatal(err)
	}
	r := reconcile(got, taken)
	n, _ := got.counts()
	said := decode[sourceReport](t, out)
	if r.Lost != 0 || r.Duplicates != 0 || n != said.AckedRecipients || n+said.Unknown != 300 || r.Unacknowledged > said.Unknown || said.FailedConnections == 0 {
		t.Errorf("acknowledged %d, %+v, %+v", n, r, said)
	}
}

func TestSourceEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	out, err := perform(t, within(t), "source", "--relay", freeAddr(t), "--messages=3", "--deadline=100ms", "--json")
	if err != nil {
		t.Fatal(err)
	}
	if r := decode[sourceReport](t, out); r.Unsent != 3 || r.FailedConnections == 0 {
		t.Errorf("%+v", r)
	}
}

func TestSinkEndsWhenAllIsIn(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	received := filepath.Join(t.TempDir(), "received")
	acked := filepath.Join(t.TempDir(), "acked")
	for name, args := range map[string][]string{"expect": {"--expect=30"}, "idle": {"--idle=3s"}} {
		var out []byte
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			if out, err = perform(t, within(t), append([]string{"sink", "--listen", addr, "--received", received, "--fault=dot:tempfail=20%"}, args...)...); err != nil {
				t.Error(err)
			}
		})
		if _, err := perform(t, within(t), "source", "--relay", addr, "--messages=30", "--acked", acked); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if r := decode[sinkReport](t, out); r.Recipients != 30 || r.Duplicates != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if _, err := perform(t, within(t), "report", "--acked", acked, "--received", received); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReportReconcilesFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out, err := perform(t, within(t), "report", "--json", "--acked", file("a", "1\n2\n3\n64\n200\n"), "--received", file("r", "3\n1\n3\n3\n9\n64\n"))
	if !errors.Is(err, errLost) {
		t.Errorf("error %v", err)
	}
	if r := decode[reconciliation](t, out); r.Lost != 2 || fmt.Sprint(r.LostFirst) != "[2 200]" || r.Duplicates != 2 || r.Unacknowledged != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := readTally(strings.NewReader("1\nx\n")); err == nil {
		t.Error("a file with a line that is no number was read")
	}
}

func TestCompareInterleaves(t *testing.T) {
	t.Parallel()
	sink := freeAddr(t)
	var mu sync.Mutex
	var order []string
	relay := func(name string, copies int) string {
		f := startForwarder(t, sink, smtpsim.Options{}, func(n int64) int {
			mu.Lock()
			defer mu.Unlock()
			if len(order) == 0 || order[len(order)-1] != name {
				order = append(order, name)
			}
			return copies
		})
		return name + "=" + f.Addr()
	}
	out, err := perform(t, within(t), "compare", "--listen", sink, "--relay", relay("a", 1), "--relay", relay("b", 2), "--direct",
		"--messages=10", "--rounds=3", "--linger=0s", "--json")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "ababab" {
		t.Errorf("order %s", got)
	}
	r := decode[[]contestant](t, out)
	if len(r) != 3 || r[0].Name != "direct" || len(r[1].Runs) != 3 || r[2].Duplicates != 30 || r[1].Duplicates != 0 || r[2].DeliveredRatio != 1 {
		t.Errorf("%+v", r)
	}
	if r[0].Lost+r[1].Lost+r[2].Lost != 0 || r[1].DeliveredPerSecond <= 0 || r[1].DeliveredRatio <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]struct {
		stage smtpsim.Stage
		share float64
	}{
		"dot:tempfail=1%":       {smtpsim.Dot, 0.01},
		"banner:421":            {smtpsim.Connect, 0},
		"rcpt:delay(200ms)=50%": {smtpsim.Rcpt, 0.5},
		"dot:losereply=0.5%":    {smtpsim.Dot, 0.005},
		"body:stall=100%":       {smtpsim.Body, 1},
	} {
		r, err := parseFault(spec)
		if err != nil || r.Stage != want.stage || r.Probability != want.share || len(r.Do) != 1 {
			t.Errorf("%s: %+v, %v", spec, r, err)
		}
	}
	for _, spec := range []string{"", "dot", "dot:", "dot:explode", "nowhere:drop", "dot:drop=1", "dot:drop=0%", "dot:drop=101%", "dot:drop=NaN%",
		"mail:losereply", "dot:delay(x)", "dot:delay(-1s)", "dot:delay("} {
		if r, err := parseFault(spec); err == nil {
			t.Errorf("%q was read as %+v", spec, r)
		}
	}
}

func FuzzFault(f *testing.F) {
	for _, seed := range []string{"dot:tempfail=1%", "rcpt:delay(1ms)=5%", "banner:421", "::=%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		r, err := parseFault(spec)
		if err == nil && (r.Probability < 0 || r.Probability > 1 || len(r.Do) == 0) {
			t.Errorf("%q is %+v", spec, r)
		}
	})
}

func FuzzInspect(f *testing.F) {
	c := newContent("a@b", 600)
	f.Add(c.appendTo(nil, 1, "r1@b", time.Unix(1, 0)))
	f.Add([]byte(stampHeader + ": 5\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, intact := inspect(raw)
		if !intact && !bytes.Contains(bytes.ToLower(raw), bytes.ToLower([]byte(digestHeader))) {
			t.Error("corrupt without a digest")
		}
	})
}

func FuzzRecipientNumber(f *testing.F) {
	f.Add("r42@sink.test")
	f.Add("R0@x")
	f.Add("r+1@x")
	f.Fuzz(func(t *testing.T, address string) {
		if n, ok := recipientNumber(address); ok && (n < 0 || n >= maxRecipient) {
			t.Errorf("%q is %d", address, n)
		}
	})
}

func TestLatencyQuantiles(t *testing.T) {
	t.Parallel()
	var l latency
	for ms := 1; ms <= 1000; ms++ {
		l.add(time.Duration(ms) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := l.quantile(q); got < want || got > want*102/100 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	for us := int64(0); us < 1<<20; us++ {
		if b := bucketOf(us); bucketTop(b) < us || b > 0 && bucketTop(b-1) >= us {
			t.Fatalf("%d is in bucket %d up to %d", us, b, bucketTop(b))
		}
	}
	l.add(300 * 24 * time.Hour)
	l.add(-time.Second)
}

func TestReceivedLogReportsWriteErrors(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	r.Close()
	tl := newTally(w)
	tl.add(1)
	if err := tl.flush(); err == nil {
		t.Error("no error from a closed pipe")
	}
}
