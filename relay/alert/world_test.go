package alert_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/relay/alert"
	"postrider/relay/bounce"
	"postrider/relay/intake"
)

type anything struct{}

func (anything) Policy(context.Context, string, string) (intake.Policy, error) {
	return intake.Policy{}, nil
}

// world is two nodes over one store, with a clock.
type world struct {
	t      *testing.T
	stores [2]queue.Store
	doors  [2]*intake.Door
	now    time.Time
	log    lines
}

// lines is a log that can be read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return over(t, s, s)
}

func newRedisWorld(t *testing.T) *world {
	t.Helper()
	server := redistest.StartServer(t)
	var stores [2]queue.Store
	for i := range stores {
		s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{server.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		stores[i] = s
	}
	return over(t, stores[0], stores[1])
}

func over(t *testing.T, one, two queue.Store) *world {
	w := &world{t: t, stores: [2]queue.Store{one, two}, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}
	for i, s := range w.stores {
		w.doors[i] = intake.New(intake.Options{
			Store: s, Policies: anything{}, Hostname: "relay.example.com", Now: w.clock,
			Lane: func(_, _, domain string) queue.Lane { return queue.Lane(domain) },
		})
	}
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) watch(node int, change ...func(*alert.Options)) *alert.Watch {
	o := alert.Options{
		Store: w.stores[node], Holder: []string{"one", "two"}[node], Hostname: "relay.example.com", Alerts: bounce.Alerts,
		Submitter: w.doors[node], Account: "local", Address: address(w.t, "ops@example.com"),
		Now: w.clock, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	return alert.New(o)
}

// round reads and tells all there is.
func (w *world) round(a *alert.Watch) {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = a.Round(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func address(t testing.TB, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trouble is what becomes of a message.
type trouble struct {
	to      []string // nil: one
	from    string   // empty: shop@shop.example
	account string   // empty: shop
	state   queue.State
	class   queue.Class
	site    string // empty: outlook.com
	reply   string // empty: a refusal
	kind    string // of the source; empty: smtp
	sandbox bool
}

var our = netip.MustParseAddr("192.0.2.1")

// happen takes a message in and settles it at once.
func (w *world) happen(x trouble) queue.MessageID {
	w.t.Helper()
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&x.from, "shop@shop.example")
	or(&x.account, "shop")
	or(&x.site, "outlook.com")
	or(&x.kind, "smtp")
	or(&x.reply, "5.7.1 go away, see https://block.example/")
	if x.to == nil {
		x.to = []string{"bob@example.org"}
	}
	s, ctx := w.stores[0], w.t.Context()
	from := address(w.t, x.from)
	m := queue.Message{
		ID: queue.NewMessageID(), Account: x.account, Sandbox: x.sandbox, Source: queue.Source{Kind: x.kind}, Priority: queue.PriorityNormal,
		Envelope: queue.Envelope{ReversePath: from}, Header: queue.Header{From: from},
		AcceptedAt: w.now, ExpiresAt: w.now.Add(72 * time.Hour), Content: queue.ContentRef{Size: 4, HeaderSize: 2},
	}
	var rs []queue.Recipient
	for i, to := range x.to {
		rs = append(rs, queue.Recipient{ID: m.ID.Recipient(i), Address: address(w.t, to), State: queue.StateQueued, Lane: "lane", Due: w.now, UpdatedAt: w.now})
	}
	c, err := s.CreateContent(ctx)
	if err == nil {
		_, err = c.Write([]byte("\r\nx\n"))
	}
	var done queue.Enqueued
	if err == nil {
		lease := queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 10}
		done, err = s.Enqueue(ctx, queue.EnqueueRequest{Message: m, Content: c, Now: w.now, Recipients: rs, Lease: &lease})
	}
	if err != nil || len(done.Leases) != 1 {
		w.t.Fatalf("%d leases, %v", len(done.Leases), err)
	}
	w.settle(done.Leases[0], x)
	return m.ID
}

func (w *world) settle(l queue.Lease, x trouble) {
	w.t.Helper()
	var ss []queue.Settlement
	for _, r := range l.Recipients {
		a := &queue.Attempt{
			Number: 1, Start: w.now, Site: x.site, Host: "mx." + x.site, Local: our, Stage: queue.StageRcpt,
			Reply: queue.Reply{Code: 550, Text: x.reply, Command: "RCPT"},
		}
		if x.state == queue.StateDelivered {
			a.Reply = queue.Reply{Code: 250, Text: "ok"}
		}
		ss = append(ss, queue.Settlement{Recipient: r.ID, Outcome: x.state, Class: x.class, Attempt: a, Due: w.now.Add(30 * 24 * time.Hour)})
	}
	if err := w.stores[0].Settle(w.t.Context(), l, ss); err != nil {
		w.t.Fatal(err)
	}
}

// letter is an alert that was mailed.
type letter struct {
	entry   queue.Entry
	subject string
	header  mail.Header
	text    string
}

// letters are all alerts that were mailed, oldest first.
func (w *world) letters() (all []letter) {
	w.t.Helper()
	entries, _, err := w.stores[1].List(w.t.Context(), queue.Filter{Recipient: "ops@example.com"}, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := len(entries) - 1; i >= 0; i-- {
		c, err := w.stores[1].OpenContent(w.t.Context(), entries[i].Message.Content)
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := mail.ReadMessage(c)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			w.t.Fatal(err)
		}
		_ = c.Close()
		all = append(all, letter{entries[i], entries[i].Message.Header.Subject, m.Header, string(text)})
	}
	return all
}
