package storetest

import (
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

// leaseSoon is lease where the first call may find no more than that a lease
// ended for which an action is pending.
func (e *env) leaseSoon(limit int) []queue.Lease {
	e.Helper()
	if ls := e.lease(limit); len(ls) > 0 {
		return ls
	}
	return e.lease(limit)
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
		Addr: netip.MustParseAddrPort("198.51.100.4:25"), TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", TLSPeer: "verified", TLSPolicy: "dane", Local: netip.MustParseAddr("192.0.2.25"),
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
