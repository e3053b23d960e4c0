package feedback_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/suppression"
	"postrider/relay/feedback"
)

// world is two nodes over one store, with a clock.
type world struct {
	t      *testing.T
	stores [2]queue.Store
	lists  [2]*suppression.Book
	now    time.Time
	log    *slog.Logger
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
	w := &world{
		t: t, stores: [2]queue.Store{one, two}, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC),
		log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for i, s := range w.stores {
		w.lists[i] = suppression.New(suppression.Options{Store: s, Now: w.clock})
	}
	return w
}

func (w *world) clock() time.Time { return w.now }

// after is a table such as relay/bounce has.
func after(c queue.Class) (times int, within time.Duration) {
	const day = 24 * time.Hour
	switch c {
	case queue.ClassRcptUnknown, queue.ClassRcptDisabled, queue.ClassRcptMoved, queue.ClassDomainBad:
		return 1, 0
	case queue.ClassRcptFull:
		return 3, 14 * day
	case queue.ClassPolicyRecipient:
		return 3, 90 * day
	}
	return 0, 0
}

const (
	expire     = 180 * 24 * time.Hour
	expireSoft = 90 * 24 * time.Hour
)

func (w *world) reader(node int, change ...func(*feedback.Options)) *feedback.Reader {
	o := feedback.Options{
		Store: w.stores[node], List: w.lists[node], Holder: []string{"one", "two"}[node], After: after,
		Expire: expire, ExpireSoft: expireSoft, Now: w.clock, Logger: w.log,
	}
	for _, c := range change {
		c(&o)
	}
	return feedback.New(o)
}

// read reads all there is.
func (w *world) read(r *feedback.Reader) {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = r.Round(w.t.Context()); err != nil {
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

// outcome is what becomes of a message's recipients.
type outcome struct {
	to      string
	account string // empty: shop
	state   queue.State
	class   queue.Class
	reply   string
	kind    string // of the source; empty: smtp
	sandbox bool
}

// send takes a message in, and settles it at once.
func (w *world) send(o outcome) queue.MessageID {
	w.t.Helper()
	s, ctx := w.stores[0], w.t.Context()
	if o.account == "" {
		o.account = "shop"
	}
	if o.kind == "" {
		o.kind = "smtp"
	}
	m := queue.Message{
		ID: queue.NewMessageID(), Account: o.account, Sandbox: o.sandbox, Source: queue.Source{Kind: o.kind}, Priority: queue.PriorityNormal,
		Envelope:   queue.Envelope{ReversePath: address(w.t, "shop@example.com")},
		AcceptedAt: w.now, ExpiresAt: w.now.Add(72 * time.Hour), Content: queue.ContentRef{Size: 4, HeaderSize: 2},
	}
	to := address(w.t, o.to)
	c, err := s.CreateContent(ctx)
	if err == nil {
		_, err = c.Write([]byte("\r\nx\n"))
	}
	if err == nil {
		_, err = s.Enqueue(ctx, queue.EnqueueRequest{
			Message: m, Content: c, Now: w.now,
			Recipients: []queue.Recipient{{ID: m.ID.Recipient(0), Address: to, State: queue.StateQueued, Lane: queue.Lane(to.Domain), Due: w.now, UpdatedAt: w.now}},
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if o.state != 0 {
		w.settle(m.ID, o)
	}
	return m.ID
}

func (w *world) settle(id queue.MessageID, o outcome) {
	w.t.Helper()
	s, ctx := w.stores[0], w.t.Context()
	leases, err := s.Lease(ctx, queue.LeaseRequest{Now: w.now, Holder: "one", TTL: time.Minute, Max: 10})
	if err != nil || len(leases) != 1 || leases[0].Message.ID != id {
		w.t.Fatalf("leased %d, %v", len(leases), err)
	}
	a := &queue.Attempt{Number: 1, Start: w.now, Site: "example.org", Host: "mx.example.org", Stage: queue.StageRcpt}
	code, text, _ := strings.Cut(o.reply, " ")
	switch code {
	case "250", "550":
		a.Reply = queue.Reply{Code: map[string]int{"250": 250, "550": 550}[code], Text: text, Command: "RCPT"}
	default:
		a.Host, a.Stage, a.Error = "", queue.StageRoute, o.reply
	}
	err = s.Settle(ctx, leases[0], []queue.Settlement{{
		Recipient: id.Recipient(0), Outcome: o.state, Class: o.class, Attempt: a, Due: w.now.Add(time.Hour),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// listed returns the entry of an address, or none.
func (w *world) listed(account, addr string) (suppression.Entry, bool) {
	w.t.Helper()
	es, _, err := w.lists[1].List(w.t.Context(), account, suppression.Filter{Address: address(w.t, addr)}, "", 10)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(es) == 0 {
		return suppression.Entry{}, false
	}
	return es[0], true
}
