package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/mx"
	"postrider/mx/dnssim"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/bounce"
	"postrider/relay/delivery"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

const zone = `
$ORIGIN test.
$TTL 600
@        SOA ns.test. hostmaster.test. 1 3600 600 86400 5
a        MX 10 mx.a
mx.a     A 8.8.4.1
b        MX 10 mx.b
mx.b     A 8.8.4.2
also-b   MX 10 mx.b
two      MX 10 mx.a
         MX 20 mx.b
dead     MX 10 mx.dead
mx.dead  A 8.8.4.9
null     MX 0 .
`

// Addresses of the zone.
const (
	addrA    = "8.8.4.1"
	addrB    = "8.8.4.2"
	addrDead = "8.8.4.9" // nothing is there
)

// clock is real time and what the test adds.
type clock struct {
	mu    sync.Mutex
	added time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.added)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added += d
}

// world is a relay's delivery between a store and a simulated internet.
type world struct {
	t     testing.TB
	clock *clock
	fs    vfs.FS
	store queue.Store
	dns   *dnssim.Server
	mx    *mx.Resolver
	pool  *outbound.Pool
	log   *lines
	hops  map[string]*smtpsim.Server // by address

	dialer func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) // nil: to hops

	options delivery.Options
	sends   outbound.Options
	d       *delivery.Dispatcher
}

// newWorld makes everything but starts no dispatcher yet.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, fs: vfs.NewMem(), log: &lines{}, hops: map[string]*smtpsim.Server{}}
	w.openStore()
	t.Cleanup(func() { _ = w.store.Close() })
	var err error
	if w.dns, err = dnssim.New(dnssim.Options{Zones: []string{zone}}); err != nil {
		t.Fatal(err)
	}
	if err := w.dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.dns.Close() })
	if w.mx, err = mx.New(mx.Options{Servers: []string{w.dns.Addr()}, OwnAddrs: []netip.Addr{}, Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.mx.Close() })
	classifier, err := bounce.New(bounce.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.options = delivery.Options{
		Router: w.mx, Classifier: classifier, Hostname: "relay.test", Recheck: 10 * time.Millisecond,
		Now: w.clock.Now, Rand: func() float64 { return 0.5 }, Workers: 16,
		Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	return w
}

func (w *world) openStore() {
	w.t.Helper()
	s, err := logstore.Open(context.Background(), logstore.Options{
		Dir: "/data", FS: w.fs, MinFree: -1, ReserveBytes: -1, SegmentSize: 4 << 20,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

// hop puts a mail server at an address.
func (w *world) hop(addr string, o smtpsim.Options) *smtpsim.Server {
	w.t.Helper()
	s, err := smtpsim.Start(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	w.hops[addr] = s
	return s
}

func (w *world) dial(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	s := w.hops[to.Addr().String()]
	if s == nil {
		return nil, fmt.Errorf("dial %s: connection refused", to)
	}
	return s.Dial(ctx, "", "")
}

// start starts the dispatcher, with a new pool.
func (w *world) start() {
	w.t.Helper()
	w.prepare()
	w.d.Start(w.t.Context())
	w.t.Cleanup(func() { w.drain(10 * time.Second) })
}

func (w *world) prepare() {
	if w.dialer == nil {
		w.dialer = w.dial
	}
	w.sends.Dial = w.dialer
	w.pool = outbound.New(w.sends)
	w.options.Store, w.options.Sender = w.store, w.pool
	w.d = delivery.New(w.options)
}

func (w *world) drain(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return w.d.Drain(ctx)
}

// mail is a message to queue.
type mail struct {
	from    string
	to      []string
	account string
	life    time.Duration
	body    string
	age     time.Duration
	lane    queue.Lane
	handoff bool
	strict  bool // RequireTLS

	priority queue.Priority // 0: normal
}

// queue accepts a message to each of the addresses.
func (w *world) queue(to ...string) queue.MessageID {
	w.t.Helper()
	return w.accept(mail{to: to})
}

func (w *world) accept(m mail) queue.MessageID {
	w.t.Helper()
	now := w.clock.Now().Add(-m.age)
	if m.life == 0 {
		m.life = 72 * time.Hour
	}
	if m.priority == 0 {
		m.priority = queue.PriorityNormal
	}
	if m.account == "" {
		m.account = "shop"
	}
	if m.from == "" {
		m.from = "shop@sender.test"
	}
	if m.body == "" {
		m.body = "From: shop@sender.test\r\nSubject: hello\r\n\r\nbody\r\n"
	}
	cw, err := w.store.CreateContent(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(cw, m.body); err != nil {
		w.t.Fatal(err)
	}
	from := address(w.t, m.from)
	id := queue.NewMessageID()
	req := queue.EnqueueRequest{
		Message: queue.Message{
			ID: id, Account: m.account, Envelope: queue.Envelope{ReversePath: from, RequireTLS: m.strict},
			Header: queue.Header{From: from}, Priority: m.priority, AcceptedAt: now, ExpiresAt: now.Add(m.life),
			Content: queue.ContentRef{Size: int64(len(m.body)), HeaderSize: int64(strings.Index(m.body, "\r\n\r\n") + 4)},
		},
		Content: cw, Now: w.clock.Now(),
	}
	for i, to := range m.to {
		a := address(w.t, to)
		lane := m.lane
		if lane == "" {
			lane = queue.Lane(a.Domain)
		}
		req.Recipients = append(req.Recipients, queue.Recipient{ID: id.Recipient(i), Address: a, State: queue.StateQueued, Lane: lane, Due: now})
	}
	take := func([]queue.Lease) {}
	if m.handoff {
		r, t, ok := w.d.Reserve()
		for end := time.Now().Add(10 * time.Second); !ok; r, t, ok = w.d.Reserve() {
			if time.Now().After(end) {
				w.t.Fatal("no worker is free")
			}
			runtime.Gosched() // the last one is about to be
		}
		req.Lease, take = &r, t
	}
	done, err := w.store.Enqueue(context.Background(), req)
	take(done.Leases)
	if err != nil {
		w.t.Fatal(err)
	}
	if m.handoff && len(done.Leases) == 0 {
		w.t.Fatal("nothing was handed off")
	}
	return id
}

func address(t testing.TB, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// until waits until ok holds for the message.
func (w *world) until(id queue.MessageID, what string, ok func(rs []queue.Recipient) bool) []queue.Recipient {
	w.t.Helper()
	changes, stop := w.store.Notify()
	defer stop()
	released, done := w.store.Wake() // a release makes no event
	defer done()
	deadline := time.After(20 * time.Second)
	for {
		e, err := w.store.Message(context.Background(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if ok(e.Recipients) {
			return e.Recipients
		}
		select {
		case <-changes:
		case <-released:
		case <-deadline:
			for _, r := range e.Recipients {
				w.t.Errorf("%s: %s attempts %d class %q due +%v last %+v", r.Address, r.State, r.Attempts, r.Class, r.Due.Sub(w.clock.Now()), r.Last)
			}
			w.t.Fatalf("message was not %s in time\n%s", what, w.log)
		}
	}
}

// all waits until every recipient is in a state.
func (w *world) all(id queue.MessageID, state queue.State) []queue.Recipient {
	w.t.Helper()
	return w.until(id, state.String(), func(rs []queue.Recipient) bool {
		for _, r := range rs {
			if r.State != state {
				return false
			}
		}
		return true
	})
}

// tried waits until the only recipient has had so many attempts, and is no
// longer active.
func (w *world) tried(id queue.MessageID, n int) queue.Recipient {
	w.t.Helper()
	return w.until(id, fmt.Sprintf("tried %d times", n), func(rs []queue.Recipient) bool {
		return rs[0].Attempts >= n && rs[0].State != queue.StateActive
	})[0]
}

// logged waits until the log has a text so often.
func (w *world) logged(part string, n int) {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		more := w.log.next()
		if strings.Count(w.log.String(), part) >= n {
			break
		}
		select {
		case <-more:
		case <-deadline:
			w.t.Fatalf("%q is not in the log %d times:\n%s", part, n, w.log)
		}
	}
	if got := strings.Count(w.log.String(), part); got > n {
		w.t.Errorf("%q is in the log %d times, want %d:\n%s", part, got, n, w.log)
	}
}

// lines collects the log.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed with the next line
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.buf.Write(p)
}

func (l *lines) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return l.more
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
