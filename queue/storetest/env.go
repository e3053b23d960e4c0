package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
)

// env is one store under test with a clock that only the test moves.
type env struct {
	*testing.T
	h   Harness
	s   queue.Store
	ctx context.Context
	now time.Time
	seq *atomic.Uint64
}

// epoch is when every test begins.
var epoch = time.Date(2030, 5, 17, 9, 0, 0, 0, time.UTC)

const ttl = 2 * time.Minute

func newEnv(t *testing.T, h Harness) *env {
	e := &env{T: t, h: h, s: h.Open(t), ctx: t.Context(), now: epoch, seq: new(atomic.Uint64)}
	t.Cleanup(func() {
		if err := e.s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// onStore is e for a store that somebody else opened and closes.
func onStore(t *testing.T, s queue.Store) *env {
	return &env{T: t, s: s, ctx: context.Background(), now: epoch, seq: new(atomic.Uint64)}
}

// scaled returns n times the scale, at least 1.
func (e *env) scaled(n int) int { return max(int(float64(n)*e.h.Scale), 1) }

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// is demands an error.
func (e *env) is(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("error is %v, want %v", err, want)
	}
}

func (e *env) want(cond bool, format string, args ...any) {
	e.Helper()
	if !cond {
		e.Fatalf(format, args...)
	}
}

func (e *env) pass(d time.Duration) { e.now = e.now.Add(d) }

func (e *env) reopen() { e.Helper(); e.s = e.h.Reopen(e.T, e.s) }

// nextID counts message ids up, in the order of their time.
func (e *env) nextID() queue.MessageID {
	var id queue.MessageID
	binary.BigEndian.PutUint64(id[:8], uint64(e.now.UnixMilli())<<16)
	n := e.seq.Add(1)
	id[6], id[7] = 0x70|byte(n>>32)&0x0f, byte(n>>24)
	id[8], id[9], id[10], id[11] = 0x80, byte(n>>16), byte(n>>8), byte(n)
	return id
}

// rcpt is a recipient to be: the zero values mean queued and due now.
type rcpt struct {
	addr  string
	lane  queue.Lane
	state queue.State
	due   time.Time
}

// mail is a message to be.
type mail struct {
	account  string
	sender   string
	priority queue.Priority
	to       []rcpt
	body     []byte
	idem     queue.Idempotency
	lease    *queue.LeaseRequest
}

func lanes(names ...queue.Lane) []rcpt {
	rs := make([]rcpt, len(names))
	for i, n := range names {
		rs[i].lane = n
	}
	return rs
}

func many(n int, lane queue.Lane) []rcpt {
	rs := make([]rcpt, n)
	for i := range rs {
		rs[i].lane = lane
	}
	return rs
}

// request builds what m asks for, its content written.
func (e *env) request(m mail) (queue.EnqueueRequest, error) {
	id := e.nextID()
	if m.account == "" {
		m.account = "shop"
	}
	if m.sender == "" {
		m.sender = "sender@Shop.Example"
	}
	if m.priority == 0 {
		m.priority = queue.PriorityNormal
	}
	if m.body == nil {
		m.body = []byte("Subject: hello\r\n\r\nWorld\r\n")
	}
	if len(m.to) == 0 {
		m.to = many(1, "")
	}
	from, err := queue.ParseAddress(m.sender)
	if err != nil {
		return queue.EnqueueRequest{}, err
	}
	r := queue.EnqueueRequest{
		Message: queue.Message{
			ID: id, Account: m.account, Priority: m.priority,
			Envelope:   queue.Envelope{ReversePath: from, EnvID: "env", Ret: queue.RetFull, SMTPUTF8: true, EightBit: true},
			Header:     queue.Header{From: from, Subject: "Grüße", MessageID: "x@y"},
			Source:     queue.Source{Kind: "smtp", Remote: netip.MustParseAddr("192.0.2.7"), Peer: "client", Auth: "PLAIN", TLS: "TLS1.3"},
			AcceptedAt: e.now, ExpiresAt: e.now.Add(72 * time.Hour),
			Content: queue.ContentRef{Size: int64(len(m.body)), HeaderSize: int64(bytes.Index(m.body, []byte("\r\n\r\n")) + 4)},
		},
		Idempotency: m.idem, Now: e.now, Lease: m.lease,
	}
	for i, to := range m.to {
		if to.addr == "" {
			to.addr = fmt.Sprintf("user%d@Example.ORG", i)
		}
		addr, err := queue.ParseAddress(to.addr)
		if err != nil {
			return queue.EnqueueRequest{}, err
		}
		if to.lane == "" {
			to.lane = "example.org"
		}
		if to.state == 0 {
			to.state = queue.StateQueued
		}
		if to.due.IsZero() {
			to.due = e.now
		}
		rc := queue.Recipient{
			ID: id.Recipient(i), Address: addr, ORCPT: "rfc822;" + to.addr, Notify: queue.NotifyFailure | queue.NotifyDelay,
			State: to.state, Lane: to.lane, Due: to.due,
		}
		if to.state.Final() {
			rc.Class = queue.ClassRcptSyntax
		}
		r.Recipients = append(r.Recipients, rc)
	}
	r.Content, err = e.s.CreateContent(e.ctx)
	if err != nil {
		return r, err
	}
	if _, err := r.Content.Write(m.body); err != nil {
		r.Content.Abort()
		return r, err
	}
	return r, nil
}

func (e *env) try(m mail) (queue.Enqueued, error) {
	r, err := e.request(m)
	if err != nil {
		return queue.Enqueued{}, err
	}
	return e.s.Enqueue(e.ctx, r)
}

func (e *env) put(m mail) queue.MessageID {
	e.Helper()
	out, err := e.try(m)
	e.ok(err)
	return out.ID
}

func (e *env) ask(limit int) *queue.LeaseRequest {
	return &queue.LeaseRequest{Now: e.now, Holder: "node1", TTL: ttl, Max: limit}
}

func (e *env) lease(limit int) []queue.Lease {
	e.Helper()
	ls, err := e.s.Lease(e.ctx, *e.ask(limit))
	e.ok(err)
	return ls
}

// one demands exactly one lease.
func (e *env) one() queue.Lease {
	e.Helper()
	ls := e.lease(10)
	e.want(len(ls) == 1, "%d leases, want 1", len(ls))
	return ls[0]
}

func (e *env) none() {
	e.Helper()
	ls := e.lease(10)
	e.want(len(ls) == 0, "%d leases, want none: %v", len(ls), ls)
}

// outcome settles all recipients of a lease alike, with an attempt.
func (e *env) outcome(l queue.Lease, o queue.State, due time.Time) error {
	return e.s.Settle(e.ctx, l, e.settlements(l, o, due))
}

func (e *env) settlements(l queue.Lease, o queue.State, due time.Time) []queue.Settlement {
	var ss []queue.Settlement
	for _, r := range l.Recipients {
		s := queue.Settlement{Recipient: r.ID, Outcome: o, Due: due, Attempt: e.attempt(r.Attempts + 1)}
		if o != queue.StateDelivered && o != queue.StateRelayed {
			s.Class = queue.ClassGreylist
		}
		ss = append(ss, s)
	}
	return ss
}

func (e *env) attempt(number int) *queue.Attempt {
	return &queue.Attempt{
		Number: number, Start: e.now, Took: 250 * time.Millisecond, Site: "site", Host: "mx.example.org",
		Addr: netip.MustParseAddrPort("198.51.100.4:25"), TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSPeer: "verified",
		Stage: queue.StageDot, Reply: queue.Reply{Code: 451, Enhanced: queue.Enhanced{4, 7, 1}, Text: "later\nplease", Command: "."},
		Error: "what went wrong", Reports: true,
	}
}

func (e *env) entry(id queue.MessageID) queue.Entry {
	e.Helper()
	v, err := e.s.Message(e.ctx, id)
	e.ok(err)
	return v
}

func (e *env) rcpt(id queue.RecipientID) queue.Recipient {
	e.Helper()
	v := e.entry(id.Message())
	e.want(id.Index() < len(v.Recipients), "%s has %d recipients", id.Message(), len(v.Recipients))
	return v.Recipients[id.Index()]
}

// states demands the states of a message's recipients.
func (e *env) states(id queue.MessageID, want ...queue.State) {
	e.Helper()
	var got []queue.State
	for _, r := range e.entry(id).Recipients {
		got = append(got, r.State)
	}
	e.want(fmt.Sprint(got) == fmt.Sprint(want), "states are %v, want %v", got, want)
}

// kinds demands the kinds of a message's events, oldest first.
func (e *env) kinds(id queue.MessageID, want ...queue.EventKind) []queue.Event {
	e.Helper()
	hs, err := e.s.History(e.ctx, id)
	e.ok(err)
	var got []queue.EventKind
	for _, v := range hs {
		got = append(got, v.Kind)
	}
	e.want(fmt.Sprint(got) == fmt.Sprint(want), "events are %v, want %v", got, want)
	return hs
}

func (e *env) apply(op queue.Operation) queue.Applied {
	e.Helper()
	op.Now = e.now
	a, err := e.s.Apply(e.ctx, op)
	e.ok(err)
	return a
}

// act does an action to messages.
func (e *env) act(a queue.Action, ids ...queue.MessageID) queue.Applied {
	e.Helper()
	return e.apply(queue.Operation{Action: a, Filter: queue.Filter{Messages: ids}, Actor: "op", Reason: "why"})
}

// events reads all events after a position.
func (e *env) events(p queue.Position) ([]queue.Event, queue.Position) {
	e.Helper()
	var all []queue.Event
	for idle := 0; idle < 2; { // a step may pass over what is no event
		vs, next, err := e.s.ReadEvents(e.ctx, p, 64)
		e.ok(err)
		if len(vs) == 0 && next == p {
			idle++
		} else {
			idle = 0
		}
		all, p = append(all, vs...), next
	}
	return all, p
}

// read returns a message's content.
func (e *env) read(id queue.MessageID) []byte {
	e.Helper()
	c, err := e.s.OpenContent(e.ctx, e.entry(id).Message.Content)
	e.ok(err)
	defer c.Close()
	b, err := io.ReadAll(c)
	e.ok(err)
	e.want(c.Size() == int64(len(b)), "size says %d, %d were read", c.Size(), len(b))
	return b
}

// received reports whether a signal waits, and takes it.
func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// signalled waits for a signal, which may come a moment after the call.
func (e *env) signalled(c <-chan struct{}, what string) {
	e.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		e.Fatalf("no signal after %s", what)
	}
}

// total is the recipients by state, without empty ones.
func (e *env) total() map[queue.State]int64 {
	e.Helper()
	cs, err := e.s.Counts(e.ctx)
	e.ok(err)
	out := map[queue.State]int64{}
	for s, c := range cs {
		if c.Recipients != 0 {
			out[s] = c.Recipients
		}
	}
	return out
}
