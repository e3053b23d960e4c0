package mx_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

// internet is the zone most tests live in. Its addresses are public ones.
const internet = `
$ORIGIN test.
$TTL 600
@            SOA ns.test. hostmaster.test. 1 3600 600 86400 120
plain        MX 10 mx1.plain
mx1.plain    A 8.8.4.1
two          MX 20 b.two
two          MX 10 a.two
a.two        A 8.8.4.2
b.two        A 8.8.4.3
equal        MX 10 a.equal
equal        MX 10 b.equal
equal        MX 10 c.equal
equal        MX 20 d.equal
a.equal      A 8.8.5.1
b.equal      A 8.8.5.2
c.equal      A 8.8.5.3
d.equal      A 8.8.5.4
null         MX 0 .
nulls        MX 0 .
nulls        MX 10 mx1.plain
local        MX 0 localhost.
badtarget    MX 10 8.8.8.8.
badtarget    MX 20 mx1.plain
onlybad      MX 10 8.8.8.8.
implicit     A 8.8.6.1
empty        TXT "no mail here"
dual         MX 10 mx.dual
mx.dual      A 8.8.7.1
mx.dual      A 8.8.7.2
mx.dual      AAAA 2a00:1450:4001::1
mx.dual      AAAA 2a00:1450:4001::2
six          MX 10 mx.six
mx.six       AAAA 2a00:1450:4001::6
alias        CNAME plain
longalias    CNAME l1
l1           CNAME l2
l2           CNAME l3
l3           CNAME plain
mxalias      MX 10 alias-host
alias-host   CNAME mx1.plain
loop1        CNAME loop2
loop2        CNAME loop1
mxloop       MX 10 loop1
dangling     CNAME nothing
gone         MX 10 nowhere1
gone         MX 20 nowhere2
halfgone     MX 10 nowhere1
halfgone     MX 20 mx1.plain
private      MX 10 mx.private
mx.private   A 10.1.2.3
mx.private   A 127.0.0.1
mixed        MX 10 mx.mixed
mx.mixed     A 192.168.1.1
mx.mixed     A 8.8.8.1
mine         MX 10 mx.mine
mx.mine      A 8.8.9.9
backup       MX 10 a.two
backup       MX 20 mx.mine
backup       MX 20 b.two
backup       MX 30 mx1.plain
backupgone   MX 10 nowhere1
backupgone   MX 20 mx.mine
mineimplicit A 8.8.9.9
many         MX 10 a.many
many         MX 20 b.many
many         MX 30 c.many
a.many       A 8.9.0.1
a.many       A 8.9.0.2
a.many       A 8.9.0.3
a.many       A 8.9.0.4
a.many       A 8.9.0.5
b.many       A 8.9.1.1
b.many       A 8.9.1.2
b.many       A 8.9.1.3
c.many       A 8.9.2.1
xn--bcher-kva MX 10 mx1.plain
`

var ownAddr = netip.MustParseAddr("8.8.9.9")

type world struct {
	t     *testing.T
	sim   *dnssim.Server
	r     *mx.Resolver
	clock *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func startSim(t testing.TB, zones ...string) *dnssim.Server {
	t.Helper()
	sim, err := dnssim.New(dnssim.Options{Zones: zones})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Errorf("close DNS server: %v", err)
		}
	})
	return sim
}

func newResolver(t testing.TB, o mx.Options) *mx.Resolver {
	t.Helper()
	r, err := mx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close resolver: %v", err)
		}
	})
	return r
}

// newWorld starts the simulated internet and a resolver that asks it.
func newWorld(t *testing.T, change ...func(*mx.Options)) *world {
	t.Helper()
	w := &world{t: t, sim: startSim(t, internet), clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	o := mx.Options{
		Servers:  []string{w.sim.Addr()},
		Timeouts: []time.Duration{300 * time.Millisecond},
		OwnAddrs: []netip.Addr{ownAddr},
		Now:      w.clock.Now,
	}
	for _, c := range change {
		c(&o)
	}
	w.r = newResolver(t, o)
	return w
}

func (w *world) set(name, qtype string, b dnssim.Behavior) {
	w.t.Helper()
	if err := w.sim.Set(name, qtype, b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) plan(domain string) mx.Plan {
	w.t.Helper()
	p, err := w.r.Plan(ctx(w.t), domain)
	if err != nil {
		w.t.Fatalf("Plan(%q): %v", domain, err)
	}
	return p
}

func (w *world) fails(domain string) *mx.Error {
	w.t.Helper()
	p, err := w.r.Plan(ctx(w.t), domain)
	return wantError(w.t, p, err)
}

func wantError(t testing.TB, got any, err error) *mx.Error {
	t.Helper()
	var e *mx.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %+v, %v; want an *mx.Error", got, err)
	}
	return e
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return c
}

func hostNames(p mx.Plan) []string {
	var names []string
	for _, h := range p.Hosts {
		names = append(names, h.Name)
	}
	return names
}
