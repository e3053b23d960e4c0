package logstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

// t0 is when every test begins.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.Dir == "" {
		o.Dir = "/data"
	}
	if o.MinFree == 0 {
		o.MinFree = -1
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = -1
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 1 << 20
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// mail describes a message for a test.
type mail struct {
	account string
	lane    queue.Lane
	rcpts   int
	due     time.Time
	state   queue.State
	prio    queue.Priority
	body    string
	now     time.Time
	lease   *queue.LeaseRequest
	idem    queue.Idempotency
}

func (m mail) request(t testing.TB, s *Store) queue.EnqueueRequest {
	def := func(v, d time.Time) time.Time {
		if v.IsZero() {
			return d
		}
		return v
	}
	m.now = def(m.now, t0)
	m.due = def(m.due, m.now)
	if m.account == "" {
		m.account = "shop"
	}
	if m.lane == "" {
		m.lane = "example.org"
	}
	if m.state == 0 {
		m.state = queue.StateQueued
	}
	if m.prio == 0 {
		m.prio = queue.PriorityNormal
	}
	r := queue.EnqueueRequest{
		Message: queue.Message{
			ID: queue.NewMessageID(), Account: m.account, Priority: m.prio,
			Envelope:   queue.Envelope{ReversePath: queue.Address{Local: "from", Domain: "shop.example"}},
			AcceptedAt: m.now, ExpiresAt: m.now.Add(72 * time.Hour),
			Content: queue.ContentRef{Size: int64(len(m.body))},
		},
		Now: m.now, Lease: m.lease, Idempotency: m.idem,
	}
	for i := range max(m.rcpts, 1) {
		r.Recipients = append(r.Recipients, queue.Recipient{
			ID: r.Message.ID.Recipient(i), Address: queue.Address{Local: fmt.Sprintf("to%d", i), Domain: string(m.lane)},
			State: m.state, Lane: m.lane, Due: m.due, UpdatedAt: m.now,
		})
	}
	if s != nil && m.body != "" {
		r.Content = write(t, s, m.body)
	}
	return r
}

func write(t testing.TB, s *Store, body string) queue.ContentWriter {
	t.Helper()
	w, err := s.CreateContent(context.Background())
	if err == nil {
		_, err = io.WriteString(w, body)
	}
	if err != nil {
		t.Fatalf("write content: %v", err)
	}
	return w
}

func enqueue(t testing.TB, s *Store, m mail) queue.Enqueued {
	t.Helper()
	out, err := s.Enqueue(context.Background(), m.request(t, s))
	if err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	return out
}

func request(now time.Time, n int) queue.LeaseRequest {
	return queue.LeaseRequest{Now: now, Holder: "node", TTL: time.Minute, Max: n}
}

func leaseAll(t testing.TB, s *Store, r queue.LeaseRequest) []queue.Lease {
	t.Helper()
	ls, err := s.Lease(context.Background(), r)
	if err != nil {
		t.Fatalf("lease: %v", err)
	}
	return ls
}

func leaseOne(t testing.TB, s *Store, now time.Time) queue.Lease {
	t.Helper()
	ls := leaseAll(t, s, request(now, 1))
	if len(ls) != 1 {
		t.Fatalf("got %d leases, want 1", len(ls))
	}
	return ls[0]
}

func settleAs(l queue.Lease, st queue.State, at time.Time) []queue.Settlement {
	var ss []queue.Settlement
	for _, r := range l.Recipients {
		s := queue.Settlement{
			Recipient: r.ID, Outcome: st,
			Attempt: &queue.Attempt{Start: at, Took: time.Second, Site: "mx", Stage: queue.StageDot, Reply: queue.Reply{Code: 250, Text: "ok"}},
		}
		if st == queue.StateDeferred {
			s.Due = at.Add(5 * time.Minute)
			s.Class = queue.ClassGreylist
		}
		ss = append(ss, s)
	}
	return ss
}

func settle(t testing.TB, s *Store, l queue.Lease, st queue.State, at time.Time) {
	t.Helper()
	if err := s.Settle(context.Background(), l, settleAs(l, st, at)); err != nil {
		t.Fatalf("settle: %v", err)
	}
}

func message(t testing.TB, s *Store, id queue.MessageID) queue.Entry {
	t.Helper()
	e, err := s.Message(context.Background(), id)
	if err != nil {
		t.Fatalf("message: %v", err)
	}
	return e
}

func readContent(t testing.TB, s *Store, ref queue.ContentRef) []byte {
	t.Helper()
	c, err := s.OpenContent(context.Background(), ref)
	if err != nil {
		t.Fatalf("open content: %v", err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read content: %v", err)
	}
	return b
}

func TestLifeOfAMessage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	s := openTest(t, Options{FS: fs})
	id := enqueue(t, s, mail{rcpts: 3, body: "hello"}).ID
	l := leaseOne(t, s, t0)
	if len(l.Recipients) != 3 || l.Message.ID != id || l.Recipients[0].State != queue.StateActive {
		t.Fatalf("lease is %+v", l)
	}
	if got := readContent(t, s, l.Message.Content); string(got) != "hello" {
		t.Fatalf("content is %q", got)
	}
	if err := s.Mark(ctx, l, []queue.RecipientID{l.Recipients[0].ID}); err != nil {
		t.Fatal(err)
	}
	ss := settleAs(l, queue.StateDelivered, t0)
	ss[1].Outcome, ss[1].Due = queue.StateDeferred, t0.Add(time.Hour)
	ss[2].Outcome = queue.StateBounced
	if err := s.Settle(ctx, l, ss); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(ctx, l, ss); !errors.Is(err, queue.ErrLeaseLost) {
		t.Fatalf("second settle: %v", err)
	}
	check := func(s *Store) {
		t.Helper()
		e := message(t, s, id)
		for i, want := range []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateBounced} {
			if r := e.Recipients[i]; r.State != want || r.Attempts != 1 || r.InDoubt || r.Last == nil {
				t.Errorf("recipient %d is %+v, want %s", i, r, want)
			}
		}
		counts, err := s.Counts(ctx)
		if err != nil || counts[queue.StateDelivered].Recipients != 1 || counts[queue.StateDeferred] != (queue.Count{Recipients: 1, Oldest: t0}) || counts[queue.StateActive].Recipients != 0 {
			t.Errorf("counts are %v, %v", counts, err)
		}
		h, err := s.History(ctx, id)
		if err != nil || len(h) != 4 || h[0].Kind != queue.EventQueued || h[2].Kind != queue.EventDeferred {
			t.Errorf("history is %+v, %v", h, err)
		}
		all, _, err := s.ReadEvents(ctx, "", 100)
		if err != nil || len(all) != 4 {
			t.Fatalf("events are %+v, %v", all, err)
		}
		for i := range all {
			if all[i].ID != h[i].ID || all[i].Position != h[i].Position || all[i].Account != h[i].Account {
				t.Errorf("event %d is %+v in the log and %+v in the history", i, all[i], h[i])
			}
			rest, _, err := s.ReadEvents(ctx, all[i].Position, 1)
			if err != nil || i+1 < len(all) && (len(rest) != 1 || rest[0].ID != all[i+1].ID) || i+1 == len(all) && len(rest) != 0 {
				t.Errorf("after event %d comes %+v, %v", i, rest, err)
			}
		}
		if due, ok, err := s.NextDue(ctx, t0); err != nil || !ok || !due.Equal(t0.Add(time.Hour)) {
			t.Errorf("next due is %v %v %v", due, ok, err)
		}
		if ls := leaseAll(t, s, request(t0.Add(time.Minute), 5)); len(ls) != 0 {
			t.Errorf("leased too early: %+v", ls)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Message(ctx, id); !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("closed store: %v", err)
	}
	s = openTest(t, Options{FS: fs})
	check(s)
	if l := leaseOne(t, s, t0.Add(time.Hour)); len(l.Recipients) != 1 || l.Recipients[0].ID != id.Recipient(1) {
		t.Fatalf("lease is %+v", l)
	}
}

func TestContentOfAnySize(t *testing.T) {
	t.Parallel()
	s := openTest(t, Options{InlineLimit: 1000})
	for _, size := range []int{1, 999, 1000, 1001, 2000, 12345} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		enqueue(t, s, mail{body: body})
		l := leaseOne(t, s, t0)
		got := readContent(t, s, l.Message.Content)
		if sha256.Sum256(got) != sha256.Sum256([]byte(body)) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
		c, err := s.OpenContent(context.Background(), l.Message.Content)
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 700)
		n, err := c.ReadAt(part, int64(size/2))
		if want := body[size/2:]; !bytes.Equal(part[:n], []byte(want)[:min(len(want), 700)]) || (err == io.EOF) != (n < 700) {
			t.Errorf("range of %d: %d bytes, %v", size, n, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
