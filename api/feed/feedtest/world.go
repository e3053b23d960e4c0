// Package feedtest makes stores with some history, for tests of what reads the
// event log.
package feedtest

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// Clock is a clock that tests move, with timers. It is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
}

// NewClock returns a clock that stands at some time.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), timers: make(map[chan time.Time]time.Time)}
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves the clock on, and lets the timers fire whose time has come.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t, at := range c.timers {
		if !at.After(c.now) {
			t <- c.now
			delete(c.timers, t)
		}
	}
}

// After returns a channel that receives when the clock has passed d, and stop,
// which gives it back.
func (c *Clock) After(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := make(chan time.Time, 1)
	c.timers[t] = c.now.Add(d)
	return t, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

// World is a store in memory and its clock. Its methods are safe for concurrent
// use, and fail the test if they cannot do what they are for.
type World struct {
	*Clock
	T     testing.TB
	Store queue.Store
	// Ordered says that two readings of the log have the same order; without it,
	// only the events of one message have.
	Ordered bool
}

// New returns a World with an empty embedded store, which is closed when the test
// ends.
func New(t testing.TB) *World {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, s, true)
}

// NewRedis returns a World with an empty store of three partitions on a Redis
// server of its own.
func NewRedis(t testing.TB) *World {
	t.Helper()
	on := redistest.StartServer(t)
	s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{on.Addr()}, Partitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, s, false)
}

func newWorld(t testing.TB, s queue.Store, ordered bool) *World {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &World{Clock: NewClock(), T: t, Store: s, Ordered: ordered}
}

// OnBoth runs a test with each engine.
func OnBoth(t *testing.T, test func(t *testing.T, w *World)) {
	t.Helper()
	t.Parallel()
	t.Run("logstore", func(t *testing.T) {
		t.Parallel()
		test(t, New(t))
	})
	t.Run("redisstore", func(t *testing.T) {
		t.Parallel()
		test(t, NewRedis(t))
	})
}

// Mail is a message to be. Only To is required.
type Mail struct {
	Account    string // empty: "shop"
	Credential string
	Labels     queue.Labels
	Sandbox    bool
	From       string // empty: "shop@example.com"
	State      queue.State
	To         []string
}

// Put enqueues a message.
func (w *World) Put(m Mail) queue.MessageID {
	w.T.Helper()
	ctx := context.WithoutCancel(w.T.Context())
	c, err := w.Store.CreateContent(ctx)
	if err != nil {
		w.T.Fatal(err)
	}
	const text = "Subject: Hello\r\n\r\nbody\r\n"
	if _, err := c.Write([]byte(text)); err != nil {
		w.T.Fatal(err)
	}
	if m.Account == "" {
		m.Account = "shop"
	}
	if m.From == "" {
		m.From = "shop@example.com"
	}
	if m.State == 0 {
		m.State = queue.StateQueued
	}
	from, now, id := w.address(m.From), w.Now(), queue.NewMessageID()
	r := queue.EnqueueRequest{Now: now, Content: c, Message: queue.Message{
		ID: id, Account: m.Account, Credential: m.Credential, Labels: m.Labels, Sandbox: m.Sandbox,
		Envelope: queue.Envelope{ReversePath: from},
		Header:   queue.Header{From: from, Subject: "Hello", MessageID: id.String() + "@example.com"},
		Priority: queue.PriorityNormal, AcceptedAt: now, ExpiresAt: now.Add(72 * time.Hour),
		Content: queue.ContentRef{Size: int64(len(text)), HeaderSize: int64(strings.Index(text, "\r\n\r\n") + 4)},
	}}
	for i, to := range m.To {
		a := w.address(to)
		rc := queue.Recipient{ID: id.Recipient(i), Address: a, State: m.State, Lane: queue.Lane(a.Domain), Due: now}
		if m.State.Final() {
			rc.Class = queue.ClassRcptSyntax
		}
		r.Recipients = append(r.Recipients, rc)
	}
	if _, err := w.Store.Enqueue(ctx, r); err != nil {
		w.T.Fatal(err)
	}
	return id
}

func (w *World) address(s string) queue.Address {
	a, err := queue.ParseAddress(s)
	if err != nil {
		w.T.Fatal(err)
	}
	return a
}

// Settle leases what is due and lets all of it come to the outcome; a deferred
// recipient is due a minute later. It returns how many recipients that were.
func (w *World) Settle(outcome queue.State, class queue.Class, reply queue.Reply) (n int) {
	w.T.Helper()
	ctx, now := context.WithoutCancel(w.T.Context()), w.Now()
	ls, err := w.Store.Lease(ctx, queue.LeaseRequest{Now: now, Holder: "test", TTL: time.Minute, Max: 1000})
	if err != nil {
		w.T.Fatal(err)
	}
	for _, l := range ls {
		var ss []queue.Settlement
		for _, rc := range l.Recipients {
			ss = append(ss, queue.Settlement{Recipient: rc.ID, Outcome: outcome, Class: class, Due: now.Add(time.Minute), Attempt: &queue.Attempt{
				Start: now, Took: 20 * time.Millisecond, Site: "mx.example.net", Host: "mx.example.net",
				Addr: netip.MustParseAddrPort("192.0.2.1:25"), TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSPeer: "unverified: other name",
				Stage: queue.StageRcpt, Reply: reply,
			}})
		}
		if err := w.Store.Settle(ctx, l, ss); err != nil {
			w.T.Fatal(err)
		}
		n += len(ss)
	}
	return n
}

// Log returns all events of the store.
func (w *World) Log() (all []queue.Event) {
	w.T.Helper()
	for at := queue.Position(""); ; {
		es, next, err := w.Store.ReadEvents(context.WithoutCancel(w.T.Context()), at, 1000)
		if err != nil {
			w.T.Fatal(err)
		}
		if len(es) == 0 && next == at {
			return all
		}
		all, at = append(all, es...), next
	}
}
