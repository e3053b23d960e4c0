package mx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

// eventually waits for what a background goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	sim := startSim(t, `
$TTL 600
rec.test. MX 10 MX.Rec.test.
rec.test. MX 0 .
rec.test. TXT "v=spf1 " "-all"
mx.rec.test. A 8.8.1.1
mx.rec.test. AAAA 2a00::1
www.rec.test. CNAME mx.rec.test.
`)
	if err := sim.Load("in-addr.arpa", "1.1.8.8 600 PTR mx.rec.test."); err != nil {
		t.Fatal(err)
	}
	r := newResolver(t, mx.Options{Servers: []string{sim.Addr()}})
	m, err := r.MX(ctx(t), "rec.test")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(m.Values, func(a, b mx.Record) int { return int(a.Preference) - int(b.Preference) })
	if want := []mx.Record{{Host: "."}, {Host: "mx.rec.test", Preference: 10}}; !slices.Equal(m.Values, want) {
		t.Errorf("MX = %v; want %v", m.Values, want)
	}
	if m.TTL <= 590*time.Second || m.TTL > 600*time.Second {
		t.Errorf("TTL = %v; want about 600 s", m.TTL)
	}
	txt, err := r.TXT(ctx(t), "rec.test")
	if err != nil || !slices.Equal(txt.Values, []string{"v=spf1 -all"}) {
		t.Errorf("TXT = %v, %v", txt.Values, err)
	}
	ptr, err := r.PTR(ctx(t), netip.MustParseAddr("::ffff:8.8.1.1"))
	if err != nil || !slices.Equal(ptr.Values, []string{"mx.rec.test"}) {
		t.Errorf("PTR = %v, %v", ptr.Values, err)
	}
	addrs, err := r.Addrs(ctx(t), "www.rec.test")
	if err != nil || len(addrs.Values) != 2 || !addrs.Values[0].Is4() || addrs.Name != "mx.rec.test" {
		t.Errorf("Addrs = %+v, %v", addrs, err)
	}
	none, err := r.MX(ctx(t), "mx.rec.test")
	if e := wantError(t, none, err); e.Kind != mx.KindNoData {
		t.Errorf("MX of a host: %v", e)
	}
	bad, err := r.TXT(ctx(t), strings.Repeat("a", 64)+".test")
	if e := wantError(t, bad, err); e.Kind != mx.KindSyntax {
		t.Errorf("label too long: %v", e)
	}
}

func TestOneFamilyInTroubleIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("mx.dual.test", "AAAA", dnssim.Behavior{Rcode: "SERVFAIL"})
	a, err := w.r.Addrs(ctx(t), "mx.dual.test")
	if err != nil || len(a.Values) != 2 {
		t.Errorf("Addrs = %v, %v; want the two IPv4 addresses", a.Values, err)
	}
	w.set("mx1.plain.test", "AAAA", dnssim.Behavior{Rcode: "NXDOMAIN"})
	w.set("mx1.plain.test", "A", dnssim.Behavior{Rcode: "SERVFAIL"})
	a, err = w.r.Addrs(ctx(t), "mx1.plain.test")
	if e := wantError(t, a, err); !e.Temporary {
		t.Errorf("one family failing and the other absent: %v; want temporary", e)
	}
}

func TestCacheLifetimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, record string
		set          dnssim.Behavior
		kept         time.Duration
	}{
		{"as the record says", "x 600 TXT y", dnssim.Behavior{}, 600 * time.Second},
		{"not less than 30 s", "x 1 TXT y", dnssim.Behavior{}, 30 * time.Second},
		{"not more than an hour", "x 86400 TXT y", dnssim.Behavior{}, time.Hour},
		{"absence as the SOA says", "x 600 A 8.8.8.8", dnssim.Behavior{}, 120 * time.Second},
		{"failure", "x 600 TXT y", dnssim.Behavior{Rcode: "SERVFAIL"}, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.sim.Load("ttl.example", "@ 600 SOA ns h 1 2 3 4 120\n"+c.record); err != nil {
				t.Fatal(err)
			}
			w.set("x.ttl.example", "TXT", c.set)
			asked := func() int {
				_, _ = w.r.TXT(ctx(t), "x.ttl.example")
				return w.sim.Count("x.ttl.example", "TXT")
			}
			if n := asked(); n != 1 {
				t.Fatalf("asked %d times; want 1", n)
			}
			w.clock.advance(c.kept - time.Second)
			if n := asked(); n != 1 {
				t.Errorf("asked again after %v", c.kept-time.Second)
			}
			w.clock.advance(time.Second)
			if n := asked(); n != 2 {
				t.Errorf("still cached after %v", c.kept)
			}
		})
	}
}

func TestNegativeLifetimeIsClamped(t *testing.T) {
	t.Parallel()
	for minimum, kept := range map[int]time.Duration{1: 10 * time.Second, 86400: 5 * time.Minute} {
		w := newWorld(t)
		if err := w.sim.Load("neg.example", fmt.Sprintf("@ 86400 SOA ns h 1 2 3 4 %d", minimum)); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {kept - time.Second, 1}, {time.Second, 2}} {
			w.clock.advance(step.wait)
			if e := w.fails("x.neg.example"); e.Kind != mx.KindNXDomain {
				t.Fatal(e)
			}
			if n := w.sim.Count("x.neg.example", "MX"); n != step.want {
				t.Errorf("minimum %d: asked %d times; want %d", minimum, n, step.want)
			}
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	sim := startSim(t, "*.many.test. 600 A 8.8.8.8")
	r := newResolver(t, mx.Options{Servers: []string{sim.Addr()}, CacheEntries: 10, OwnAddrs: []netip.Addr{}})
	for i := range 50 {
		if _, err := r.Plan(ctx(t), fmt.Sprintf("d%d.many.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Stats(); s.Answers != 10 || s.PlansKept != 10 {
		t.Errorf("%d answers and %d plans kept; want 10 and 10", s.Answers, s.PlansKept)
	}
	sim.ResetCounts()
	if _, err := r.Plan(ctx(t), "d49.many.test"); err != nil || sim.Count("*", "") != 0 {
		t.Errorf("the newest was forgotten (%v)", err)
	}
}

func TestSingleFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Delay: 50 * time.Millisecond})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.r.Plan(ctx(t), "plain.test"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if mxs, as := w.sim.Count("plain.test", "MX"), w.sim.Count("mx1.plain.test", "A"); mxs != 1 || as != 1 {
		t.Errorf("asked %d times for MX and %d for A; want 1 and 1", mxs, as)
	}
}

func TestLookupOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Delay: 50 * time.Millisecond})
	c, cancel := context.WithCancel(t.Context())
	cancel()
	_, first := w.r.MX(c, "plain.test")
	_, second := w.r.MX(ctx(t), "plain.test")
	if first == nil || second != nil || w.sim.Count("plain.test", "MX") != 1 {
		t.Errorf("first: %v, second: %v, asked %d times", first, second, w.sim.Count("plain.test", "MX"))
	}
}

func TestHotPlanIsRenewedAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	use := func(times int) {
		for range times {
			w.plan("plain.test")
		}
	}
	use(5)
	w.clock.advance(500 * time.Second) // past four fifths of 600 s
	use(1)
	eventually(t, "renewal of MX and A", func() bool {
		return w.sim.Count("plain.test", "MX") == 2 && w.sim.Count("mx1.plain.test", "A") == 2
	})
	w.set("plain.test", "", dnssim.Behavior{Drop: true})
	w.clock.advance(200 * time.Second) // the first would have expired
	use(1)
}

func TestFailedRenewalKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.plan("plain.test")
	}
	w.set("plain.test", "MX", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.clock.advance(500 * time.Second)
	w.plan("plain.test")
	eventually(t, "an attempt to renew", func() bool { return w.sim.Count("plain.test", "MX") > 1 })
	w.clock.advance(50 * time.Second)
	w.plan("plain.test")
	w.clock.advance(51 * time.Second)
	if e := w.fails("plain.test"); !e.Temporary {
		t.Errorf("after expiry: %v", e)
	}
}

func TestFailedRenewalIsNotRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.plan("plain.test")
	}
	w.set("plain.test", "MX", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.clock.advance(500 * time.Second)
	for attempt := 2; attempt <= 4; attempt++ {
		for range 100 {
			w.plan("plain.test")
		}
		eventually(t, "an attempt to renew", func() bool { return w.sim.Count("plain.test", "MX") >= attempt })
		for range 100 {
			w.plan("plain.test")
		}
		w.clock.advance(10 * time.Second)
	}
	if err := w.r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := w.sim.Count("plain.test", "MX"); n != 4 {
		t.Errorf("asked %d times; want 4: one for each 10 s", n)
	}
}

func TestColdNamesAreNotRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan("plain.test")
	w.clock.advance(500 * time.Second)
	w.plan("plain.test")
	if err := w.r.Close(); err != nil { // waits for whatever was started
		t.Fatal(err)
	}
	if n := w.sim.Count("plain.test", "MX"); n != 1 {
		t.Errorf("asked %d times; want 1", n)
	}
}

func TestHotAnswerIsRenewedAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		if _, err := w.r.TXT(ctx(t), "empty.test"); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.advance(500 * time.Second)
	_, _ = w.r.TXT(ctx(t), "empty.test")
	eventually(t, "renewal", func() bool { return w.sim.Count("empty.test", "TXT") == 2 })
}

func TestTCPWhenTruncated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Truncate: true})
	w.plan("plain.test")
	if w.sim.CountTCP("plain.test", "MX") != 1 || w.sim.Count("plain.test", "MX") != 2 {
		t.Errorf("asked %d times, %d over TCP; want 2 and 1", w.sim.Count("plain.test", "MX"), w.sim.CountTCP("plain.test", "MX"))
	}
	var big strings.Builder
	for i := range 40 {
		fmt.Fprintf(&big, "big %s TXT %q\n", "600", strings.Repeat("x", 100)+fmt.Sprint(i))
	}
	if err := w.sim.Load("large.example", big.String()); err != nil {
		t.Fatal(err)
	}
	txt, err := w.r.TXT(ctx(t), "big.large.example")
	if err != nil || len(txt.Values) != 40 {
		t.Errorf("%d records, %v; want 40 over TCP", len(txt.Values), err)
	}
}

func TestServersWithoutEDNS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("*", "", dnssim.Behavior{RefuseEDNS: true})
	w.plan("plain.test")
}

func TestForgedRepliesArePassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("plain.test", "MX", dnssim.Behavior{Forge: true})
	if n := len(w.plan("plain.test").Hosts); n != 1 {
		t.Errorf("%d hosts", n)
	}
}

func TestServersThatDoNotFollowCNAMEs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("*", "", dnssim.Behavior{Unfollowed: true})
	if got := hostNames(w.plan("longalias.test")); !slices.Equal(got, []string{"mx1.plain.test"}) {
		t.Errorf("hosts = %v", got)
	}
	if e := w.fails("loop1.test"); e.Kind != mx.KindCNAME {
		t.Errorf("loop: %v", e)
	}
}

func TestFailOver(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]dnssim.Behavior{
		"drops":    {Drop: true},
		"SERVFAIL": {Rcode: "SERVFAIL"},
		"REFUSED":  {Rcode: "REFUSED"},
		"lame":     {Lame: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := startSim(t)
			if err := broken.Set("*", "", b); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, func(o *mx.Options) {
				o.Servers = []string{broken.Addr(), o.Servers[0]}
				o.Timeouts = []time.Duration{100 * time.Millisecond}
			})
			w.plan("plain.test")
			if broken.Count("*", "") == 0 {
				t.Error("the first server was not asked")
			}
			broken.ResetCounts()
			w.plan("two.test")
			if name == "drops" && broken.Count("*", "") != 0 {
				t.Error("a server that does not answer was asked first again")
			}
			w.clock.advance(time.Minute)
			w.plan("equal.test")
			if broken.Count("*", "") == 0 {
				t.Error("the first server was not tried again after a while")
			}
		})
	}
}

func TestDeadServerPort(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := pc.LocalAddr().String()
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *mx.Options) { o.Servers = []string{dead, o.Servers[0]} })
	w.plan("plain.test")
}

func TestLostPacketIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) {
		o.Timeouts = []time.Duration{50 * time.Millisecond, 2 * time.Second}
	})
	w.set("plain.test", "MX", dnssim.Behavior{Drop: true, Times: 1})
	w.plan("plain.test")
	if n := w.sim.Count("plain.test", "MX"); n != 2 {
		t.Errorf("asked %d times; want 2", n)
	}
}

func TestServfailIsNotRepeatedToTheSameServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) {
		o.Timeouts = []time.Duration{time.Second, time.Second, time.Second}
	})
	w.set("plain.test", "MX", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.fails("plain.test")
	if n := w.sim.Count("plain.test", "MX"); n != 1 {
		t.Errorf("asked %d times; want 1", n)
	}
}

func TestLookupTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) {
		o.LookupTimeout = 50 * time.Millisecond
		o.Timeouts = []time.Duration{time.Minute}
	})
	w.set("plain.test", "MX", dnssim.Behavior{Drop: true})
	if e := w.fails("plain.test"); e.Kind != mx.KindTrouble || !e.Temporary {
		t.Errorf("got %v", e)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.Timeouts = []time.Duration{time.Minute} })
	w.set("plain.test", "MX", dnssim.Behavior{Drop: true})
	failed := make(chan error, 1)
	go func() {
		_, err := w.r.Plan(ctx(t), "plain.test")
		failed <- err
	}()
	eventually(t, "the question", func() bool { return w.sim.Count("plain.test", "MX") == 1 })
	if err := w.r.Close(); err != nil {
		t.Fatal(err)
	}
	e := wantError(t, nil, <-failed)
	if !e.Temporary || !errors.Is(e, mx.ErrClosed) {
		t.Errorf("waiting caller got %v", e)
	}
	if e := w.fails("two.test"); !e.Temporary || !errors.Is(e, mx.ErrClosed) {
		t.Errorf("after Close: %v", e)
	}
}
