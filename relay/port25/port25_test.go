package port25

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A world has three domains whose mail servers are at 127.0.0.2 to .4, all at one
// port where nobody listens before serve.
type world struct {
	*Watch
	t       *testing.T
	dns     *dnssim.Server
	port    uint16
	now     *clock
	log     *bytes.Buffer
	changes chan Finding
}

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{t: t, now: &clock{now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}, changes: make(chan Finding, 16)}
	var zone strings.Builder
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(&zone, "big%d.test. MX 10 mx.big%d.test.\nbig%d.test. MX 5 gone.big%d.test.\nmx.big%d.test. A 127.0.0.%d\n", i, i, i, i, i, i+1)
	}
	dns, err := dnssim.New(dnssim.Options{Zones: []string{"test. SOA ns.test. hostmaster.test. 1 1 1 1 60\n" + zone.String()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	resolver, err := mx.New(mx.Options{Servers: []string{dns.Addr()}, AllowPrivate: true, OwnAddrs: []netip.Addr{}, MinNegativeTTL: time.Nanosecond, Timeouts: []time.Duration{200 * time.Millisecond}, FailureTTL: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resolver.Close(); _ = dns.Close() })
	w.dns = dns
	// A port that is free on all of these addresses, most likely: it was on one.
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	w.port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	l.Close()
	o.Resolver, o.Port, o.AllowPrivate, o.Now = resolver, w.port, true, w.now.Now
	o.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	o.Changed = func(f Finding) { w.changes <- f }
	w.Watch = New(o)
	return w
}

func domains() []string { return []string{"big1.test", "big2.test", "big3.test"} }

// serve makes the mail server of domain i say something to everybody.
func (w *world) serve(i int, greeting string) (stop func()) {
	w.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%d", i+1, w.port))
	if err != nil {
		w.t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, greeting)
				_, _ = io.Copy(io.Discard, c) // until the other end goes
			})
		}
	})
	stop = sync.OnceFunc(func() { l.Close(); conns.Wait() })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) want(when string, s State) {
	w.t.Helper()
	if f := w.Finding(); f.State != s || w.Blocked() != (s == Blocked) {
		w.t.Errorf("%s: %s (%s), want %s", when, f.State, f.Detail(), s)
	}
}

func (w *world) fail(n, hosts int) {
	for i := range n {
		h := i % hosts
		w.Observe(fmt.Sprintf("mx%d.host%d.example", i, h), netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(h), 1}), w.port), syscall.ETIMEDOUT)
	}
}

func (w *world) succeed(host string) {
	w.Observe(host, netip.AddrPortFrom(netip.MustParseAddr("127.2.0.1"), w.port), nil)
}

func TestNobodyReachedTwiceIsABlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Domains: domains()})
	w.want("before anything was tried", Unknown)
	if again := w.round(t.Context()); again != againAfter {
		t.Errorf("looks again after %s", again)
	}
	w.want("once", Unknown)
	if again := w.round(t.Context()); again != whenBlocked {
		t.Errorf("looks again after %s", again)
	}
	w.want("twice", Blocked)
	w.round(t.Context())
	f := w.Finding()
	if len(f.Tries) != 3 || f.Tries[0].Host != "mx.big1.test" || f.Advice() == "" || !strings.Contains(f.Detail(), "mx.big2.test [127.0.0.3]") {
		t.Errorf("%+v", f)
	}
	if n := strings.Count(w.log.String(), "blocked"); n != 1 || !strings.Contains(w.log.String(), "POSTRIDER_SMARTHOST") {
		t.Errorf("logged %d times: %s", n, w.log)
	}

	w.serve(2, "220 mx.big2.test ESMTP\r\n")
	if again := w.round(t.Context()); again != 0 {
		t.Errorf("looks again after %s", again)
	}
	w.want("one answers", Open)
	if got := <-w.changes; got.State != Blocked {
		t.Errorf("told %+v", got)
	}
	if got := <-w.changes; got.State != Open || len(w.changes) != 0 || !strings.Contains(got.Detail(), "mx.big2.test answered") {
		t.Errorf("told %+v", got)
	}
}

func TestAnyMailServerWillDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		greeting string
		want     State
	}{
		"a welcome":              {"220-mx ESMTP\r\n220 go on\r\n", Open},
		"a refusal":              {"554 5.7.1 not you\r\n", Open},
		"silence":                {"", Blocked},
		"half a line":            {"220 m", Blocked},
		"a web server":           {"HTTP/1.1 400 Bad Request\r\n\r\n", Blocked},
		"a line without an end":  {strings.Repeat("2", 5000), Blocked},
		"something short":        {"ok\n", Blocked},
		"a provider's interview": {"999 pay us\r\n", Blocked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{Domains: domains(), GreetTime: 50 * time.Millisecond})
			for i := 1; i <= 3; i++ {
				w.serve(i, c.greeting)
			}
			w.round(t.Context())
			w.round(t.Context())
			w.want("after two rounds", c.want)
		})
	}
}

func TestWithoutTheDNSNothingIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Domains: append(domains(), "none.test")})
	if err := w.dns.Set("*", "", dnssim.Behavior{Drop: true}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again := w.round(t.Context()); again != whenUnsure {
			t.Errorf("looks again after %s", again)
		}
	}
	w.want("no answers", Unknown)
	// One domain that fails is not enough either.
	one := newWorld(t, Options{Domains: []string{"big1.test", "none.test", "nowhere.test"}})
	one.round(t.Context())
	one.round(t.Context())
	one.want("one of three", Unknown)
	alone := newWorld(t, Options{Domains: []string{"big1.test"}})
	alone.round(t.Context())
	alone.round(t.Context())
	alone.want("one of one", Blocked)
}

func TestDeliveryThatGetsThroughMeanwhileProvesMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Domains: domains()})
	for range 3 {
		w.succeed("mx.other.example")
		w.round(t.Context())
	}
	w.want("while mail goes out", Unknown)
}

func TestFailingDeliveriesAskForARound(t *testing.T) {
	t.Parallel()
	asked := func(w *world) bool {
		select {
		case <-w.wake:
			return true
		default:
			return false
		}
	}
	for name, c := range map[string]struct {
		do   func(*world)
		want bool
	}{
		"to unrelated hosts":       {func(w *world) { w.fail(5, 3) }, true},
		"few":                      {func(w *world) { w.fail(4, 4) }, false},
		"to hosts of two owners":   {func(w *world) { w.fail(50, 2) }, false},
		"one got through":          {func(w *world) { w.fail(4, 4); w.succeed("mx.a.example"); w.fail(4, 4) }, false},
		"over a long time":         {func(w *world) { w.fail(2, 2); w.now.pass(window + 1); w.fail(3, 2) }, false},
		"to another port":          {func(w *world) { w.port++; w.fail(9, 9); w.port-- }, false},
		"broken off by us":         {func(w *world) { w.failWith(context.Canceled) }, false},
		"for want of a route here": {func(w *world) { w.failWith(fmt.Errorf("dial: %w", syscall.ENETUNREACH)) }, false},
		"refused":                  {func(w *world) { w.failWith(errors.New("connection refused")) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{Domains: domains()})
			c.do(w)
			if got := asked(w); got != c.want {
				t.Errorf("asked: %v", got)
			}
			w.want("by deliveries alone", Unknown)
			w.fail(50, 10)
			if asked(w) && c.want {
				t.Error("asked again within a minute")
			}
			w.now.pass(roundsApart)
			if w.fail(5, 3); !asked(w) {
				t.Error("not asked later")
			}
		})
	}
}

func (w *world) failWith(err error) {
	for i := range 9 {
		w.Observe(fmt.Sprintf("mx.host%d.example", i), netip.AddrPortFrom(netip.MustParseAddr("127.1.0.1"), w.port), err)
	}
}

func TestConnectionsToTwoUnrelatedHostsOpenIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Domains: domains()})
	w.round(t.Context())
	w.round(t.Context())
	w.want("to begin with", Blocked)
	w.succeed("mx1.a.example")
	w.succeed("mx2.a.example")
	w.want("one owner's hosts", Blocked)
	select {
	case <-w.wake: // but it is worth looking
	default:
		t.Error("no round was asked for")
	}
	w.succeed("mx.b.example")
	w.want("two owners'", Open)
}

func TestWithNobodyToAskDeliveriesDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.fail(11, 6)
	w.want("not yet", Unknown)
	w.fail(12, 6)
	w.want("nobody for long", Blocked)
	w.now.pass(blindFor)
	w.want("it is time to try again", Unknown)
	w.fail(11, 6)
	w.want("not yet again", Unknown)
	w.fail(1, 1)
	w.want("still nobody", Blocked)
	w.succeed("mx.a.example")
	w.want("somebody", Open)
}

func TestEachSourceAddressHasItsOwnState(t *testing.T) {
	t.Parallel()
	good, bad := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1") // not ours: nothing leaves from it
	w := newWorld(t, Options{Domains: domains(), Sources: []netip.Addr{good, bad}})
	w.serve(1, "220 mx\r\n")
	w.round(t.Context())
	w.round(t.Context())
	all := w.Findings()
	if all[0].State != Open || all[0].Source != good || all[1].State != Unknown || all[1].Source != bad {
		t.Errorf("%+v", all)
	}
	if w.Blocked() || w.BlockedFrom(bad) || w.BlockedFrom(good) || w.BlockedFrom(netip.MustParseAddr("127.0.0.9")) {
		t.Error("blocked")
	}
	w.mu.Lock()
	w.turn(w.lines[1], Blocked, w.now.Now())
	w.mu.Unlock()
	if w.Blocked() || !w.BlockedFrom(bad) || w.BlockedFrom(good) || w.Finding().Source != bad {
		t.Error("one of two is not told apart")
	}
}

func TestItLooksInTheBackgroundUntilItIsDrained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Domains: domains()})
	w.serve(1, "220 mx\r\n")
	w.serve(2, "") // is being read from when the end comes
	w.Start(t.Context())
	w.fail(5, 3) // or the first round comes by itself
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Drain(ctx); err != nil {
		t.Errorf("never started: %v", err)
	}

	w = newWorld(t, Options{Domains: domains()})
	w.serve(1, "220 mx\r\n")
	w.Start(t.Context())
	w.fail(5, 3)
	if f := <-w.changes; f.State != Open {
		t.Errorf("%+v", f)
	}
	if err := w.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestOneOwnersHostsAreRelated(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8:1:2::3")
	for host, want := range map[string]string{
		"MX1.Mail.example.co.uk.": "example.co.uk", "alt1.gmail-smtp-in.l.google.com": "google.com", "": "192.0.2.0/24", "192.0.2.77": "192.0.2.0/24", "com": "192.0.2.0/24",
	} {
		if got := unrelated(host, v4); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	if got := unrelated("", v6); got != "2001:db8:1::/48" {
		t.Error(got)
	}
}
