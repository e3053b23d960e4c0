package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

func enqueueTests() []test {
	return []test{
		{"what went in comes out", enqueueRoundTrip},
		{"what is said about a message is kept, and leased with it", enqueueLabels},
		{"one and a thousand recipients", enqueueSizes},
		{"a request outside the limits is refused and leaves nothing", enqueueLimits},
		{"a message id is taken once", enqueueTwice},
		{"recipients may start final, held or scheduled", enqueueStates},
		{"a message may be final at once", enqueueAllFinal},
		{"leases come with the enqueue when asked for", enqueueLeases},
		{"leases come with the enqueue only for free lanes", enqueueLeaseBehindOthers},
		{"leases come with the enqueue only for what is due in the lane asked for", enqueueLeaseNotDue},
		{"never more leases come with the enqueue than asked for", enqueueLeaseMax},
	}
}

func canonical(v queue.Entry) queue.Entry {
	v.Message.AcceptedAt, v.Message.ExpiresAt = v.Message.AcceptedAt.UTC(), v.Message.ExpiresAt.UTC()
	v.Message.Content.Key = nil
	rs := make([]queue.Recipient, len(v.Recipients))
	for i, r := range v.Recipients {
		r.Due, r.UpdatedAt = r.Due.UTC(), time.Time{}
		if r.Last != nil {
			last := *r.Last
			last.Start = last.Start.UTC()
			r.Last = &last
		}
		rs[i] = r
	}
	v.Recipients = rs
	return v
}

func enqueueRoundTrip(e *env) {
	r, err := e.request(mail{to: []rcpt{
		{addr: `"two words"@Example.ORG`, lane: "route:1"},
		{addr: "grün@münchen.example"},
		{addr: "later@example.org", state: queue.StateScheduled, due: e.now.Add(time.Hour)},
	}, body: []byte("A: b\r\n\r\nbody")})
	e.ok(err)
	out, err := e.s.Enqueue(e.ctx, r)
	e.ok(err)
	e.want(out.ID == r.Message.ID && !out.Duplicate && len(out.Leases) == 0, "enqueued: %+v", out)
	for _, step := range []string{"at once", "after a restart"} {
		got := e.entry(out.ID)
		e.want(len(got.Message.Content.Key) > 0, "%s: the content has no key", step)
		for _, rc := range got.Recipients {
			e.want(rc.UpdatedAt.Equal(e.now), "%s: updated at %v", step, rc.UpdatedAt)
		}
		want := queue.Entry{Message: r.Message, Recipients: r.Recipients}
		if a, b := canonical(got), canonical(want); !reflect.DeepEqual(a, b) {
			e.Fatalf("%s:\n got %+v\nwant %+v", step, a, b)
		}
		e.want(string(e.read(out.ID)) == "A: b\r\n\r\nbody", "%s: content differs", step)
		vs := e.kinds(out.ID, queue.EventQueued)
		v := vs[0]
		e.want(v.Message == out.ID && v.Account == "shop" && v.Recipients == 3 && v.Recipient.IsZero() && v.At.Equal(e.now), "%s: event is %+v", step, v)
		e.reopen()
	}
	_, err = e.s.Message(e.ctx, e.nextID())
	e.is(err, queue.ErrNotFound)
}

func enqueueLabels(e *env) {
	one := func(change func(m *queue.Message)) mail { return mail{facts: change, to: lanes("a", "b")} }
	for what, in := range map[string]mail{
		"everything":     one(labelled),
		"RequireTLS":     one(func(m *queue.Message) { m.Envelope.RequireTLS = true }),
		"REQUIRETLS":     one(func(m *queue.Message) { m.Envelope.RequireTLS, m.Envelope.StrictTLS = true, true }),
		"a sandbox":      one(func(m *queue.Message) { m.Sandbox = true }),
		"a credential":   one(func(m *queue.Message) { m.Credential = "key_1" }),
		"for later":      one(func(m *queue.Message) { m.NotBefore = m.AcceptedAt.Add(time.Hour) }),
		"a stream":       one(func(m *queue.Message) { m.Labels.Stream = "s" }),
		"a list":         one(func(m *queue.Message) { m.Labels.List = "l" }),
		"a tag":          one(func(m *queue.Message) { m.Labels.Tags = []string{"t"} }),
		"a pair":         one(func(m *queue.Message) { m.Labels.Metadata = map[string]string{"k": "v"} }),
		"a pair of none": one(func(m *queue.Message) { m.Labels.Metadata = map[string]string{"k": ""} }),
		"nothing":        one(nil),
	} {
		in.lease = e.ask(1)
		r, err := e.request(in)
		e.ok(err)
		want := canonical(queue.Entry{Message: r.Message}).Message
		out, err := e.s.Enqueue(e.ctx, r)
		e.want(err == nil && len(out.Leases) == 1, "%s: %d leases, %v", what, len(out.Leases), err)
		is := func(where string, m queue.Message) {
			e.Helper()
			got := canonical(queue.Entry{Message: m}).Message
			e.want(reflect.DeepEqual(got, want), "%s, %s:\n got %+v\nwant %+v", what, where, got, want)
		}
		is("read", e.entry(out.ID).Message)
		is("leased with the enqueue", out.Leases[0].Message)
		l := e.one()
		is("leased", l.Message)
		for _, l := range []queue.Lease{l, out.Leases[0]} {
			e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
		}
		e.reopen()
		is("after a restart", e.entry(out.ID).Message)
		past, err := e.s.History(e.ctx, out.ID)
		e.ok(err)
		e.want(past[0].Kind == queue.EventQueued && past[0].Due.Equal(want.NotBefore), "%s: the first event is %s, due %s", what, past[0].Kind, past[0].Due)
	}
}

func enqueueSizes(e *env) {
	for _, n := range []int{1, 2, queue.MaxRecipients} {
		id := e.put(mail{to: many(n, "big.example")})
		got := e.entry(id)
		e.want(len(got.Recipients) == n, "%d recipients, want %d", len(got.Recipients), n)
		for i, r := range got.Recipients {
			e.want(r.ID == id.Recipient(i), "recipient %d is %s", i, r.ID)
		}
		e.kinds(id, queue.EventQueued)
	}
	e.want(e.total()[queue.StateQueued] == queue.MaxRecipients+3, "counts: %v", e.total())
}

func enqueueLimits(e *env) {
	broken := map[string]func(r *queue.EnqueueRequest){
		"no recipients":          func(r *queue.EnqueueRequest) { r.Recipients = nil },
		"1001 recipients":        func(r *queue.EnqueueRequest) { r.Recipients = append(r.Recipients, r.Recipients[0]) },
		"ids out of order":       func(r *queue.EnqueueRequest) { r.Recipients[0].ID = r.Message.ID.Recipient(7) },
		"an active recipient":    func(r *queue.EnqueueRequest) { r.Recipients[3].State = queue.StateActive },
		"a recipient of no lane": func(r *queue.EnqueueRequest) { r.Recipients[3].Lane = "" },
		"a tag twice":            func(r *queue.EnqueueRequest) { r.Message.Labels.Tags = []string{"a", "b", "a"} },
		"an empty tag":           func(r *queue.EnqueueRequest) { r.Message.Labels.Tags = []string{""} },
	}
	for what, breaks := range broken {
		r, err := e.request(mail{to: many(queue.MaxRecipients, "")})
		e.ok(err)
		breaks(&r)
		_, err = e.s.Enqueue(e.ctx, r)
		e.want(err != nil, "%s was accepted", what)
		_, err = e.s.Message(e.ctx, r.Message.ID)
		e.is(err, queue.ErrNotFound)
	}
	vs, _ := e.events("")
	e.want(len(vs) == 0 && len(e.total()) == 0, "left: %v, %v", vs, e.total())
}

func enqueueTwice(e *env) {
	r, err := e.request(mail{})
	e.ok(err)
	_, err = e.s.Enqueue(e.ctx, r)
	e.ok(err)
	again, err := e.request(mail{to: many(2, ""), body: []byte("other")})
	e.ok(err)
	again.Message.ID = r.Message.ID
	for i := range again.Recipients {
		again.Recipients[i].ID = r.Message.ID.Recipient(i)
	}
	_, err = e.s.Enqueue(e.ctx, again)
	e.is(err, queue.ErrExists)
	e.states(r.Message.ID, queue.StateQueued)
	e.kinds(r.Message.ID, queue.EventQueued)
	e.want(string(e.read(r.Message.ID)) != "other", "the content was replaced")
}

func enqueueStates(e *env) {
	id := e.put(mail{to: []rcpt{
		{lane: "a", state: queue.StateBounced}, {lane: "a", state: queue.StateSuppressed}, {lane: "a", state: queue.StateHeld},
		{lane: "a", state: queue.StateScheduled, due: e.now.Add(time.Hour)}, {lane: "a"},
	}})
	e.states(id, queue.StateBounced, queue.StateSuppressed, queue.StateHeld, queue.StateScheduled, queue.StateQueued)
	vs := e.kinds(id, queue.EventQueued, queue.EventBounced, queue.EventSuppressed)
	e.want(vs[0].Recipients == 5, "queued event counts %d", vs[0].Recipients)
	e.want(vs[1].Recipient == id.Recipient(0) && vs[1].Class == queue.ClassRcptSyntax && vs[1].Address.Local == "user0", "bounced event: %+v", vs[1])
	e.want(vs[2].Recipient == id.Recipient(1), "suppressed event: %+v", vs[2])
	l := e.one()
	e.want(len(l.Recipients) == 1 && l.Recipients[0].ID == id.Recipient(4), "leased: %+v", l.Recipients)
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.none()
	e.pass(time.Hour - time.Millisecond)
	e.none()
	e.pass(time.Millisecond)
	l = e.one()
	e.want(len(l.Recipients) == 1 && l.Recipients[0].ID == id.Recipient(3), "leased when scheduled: %+v", l.Recipients)
}

func enqueueAllFinal(e *env) {
	id := e.put(mail{to: []rcpt{{state: queue.StateBounced}}, lease: e.ask(4)})
	e.states(id, queue.StateBounced)
	e.kinds(id, queue.EventQueued, queue.EventBounced)
	e.none()
	_, ok, err := e.s.NextDue(e.ctx, e.now)
	e.want(!ok && err == nil, "something is due: %v", err)
	e.want(e.act(queue.ActionRetry, id).Matched == 0, "what is final was retried")
}

func enqueueLeases(e *env) {
	out, err := e.try(mail{to: lanes("a", "b", "a", "c"), lease: e.ask(10)})
	e.ok(err)
	e.want(len(out.Leases) == 3, "%d leases, want one for each lane", len(out.Leases))
	for _, l := range out.Leases {
		e.checkLease(l)
	}
	e.states(out.ID, queue.StateActive, queue.StateActive, queue.StateActive, queue.StateActive)
	e.none()
	for _, l := range out.Leases {
		e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	}
	e.want(e.total()[queue.StateDelivered] == 4, "counts: %v", e.total())

	// The client is gone, the lease ends: it is there for others.
	out, err = e.try(mail{lease: e.ask(1)})
	e.ok(err)
	e.pass(ttl + time.Second)
	l := e.one()
	e.want(l.Message.ID == out.ID && l.Token > out.Leases[0].Token, "takeover of %v by %v", out.Leases, l)
}

// checkLease demands what is true of every lease granted now.
func (e *env) checkLease(l queue.Lease) {
	e.Helper()
	e.want(l.Holder == "node1" && l.Expires.Equal(e.now.Add(ttl)) && l.Token != 0 && l.Lane != "", "lease is %+v", l)
	e.want(len(l.Recipients) > 0 && len(l.Recipients) <= queue.MaxLeaseRecipients, "lease has %d recipients", len(l.Recipients))
	e.want(l.Message.Account != "" && !l.Message.ExpiresAt.IsZero() && len(l.Message.Content.Key) > 0, "message is %+v", l.Message)
	for i, r := range l.Recipients {
		e.want(r.ID.Message() == l.Message.ID && r.Lane == l.Lane && r.State == queue.StateActive, "recipient is %+v", r)
		e.want(i == 0 || r.ID.Index() > l.Recipients[i-1].ID.Index(), "recipients are out of order")
	}
}

func enqueueLeaseBehindOthers(e *env) {
	e.put(mail{to: lanes("busy")})
	e.put(mail{to: []rcpt{{lane: "later", state: queue.StateScheduled, due: e.now.Add(time.Hour)}}})
	e.ok(e.s.Park(e.ctx, "parked", e.now, e.now.Add(time.Hour)))
	out, err := e.try(mail{to: lanes("busy", "parked", "free", "later"), lease: e.ask(10)})
	e.ok(err)
	var got []queue.Lane
	for _, l := range out.Leases {
		got = append(got, l.Lane)
	}
	e.want(!slices.Contains(got, "parked"), "leased are %v, also the parked lane", got)
	if e.h.Partitions > 1 && slices.Contains(got, "busy") {
		return // the other one waits elsewhere
	}
	e.want(len(got) == 2 && (got[0] == "free") != (got[0] == "later"), "leased are %v, want free and later", got)
	e.states(out.ID, queue.StateQueued, queue.StateQueued, queue.StateActive, queue.StateActive)
	e.want(len(e.lease(10)) == 2, "the two in the busy lane must be granted now")
}

func enqueueLeaseNotDue(e *env) {
	q := e.ask(10)
	q.Lane = "a"
	out, err := e.try(mail{to: []rcpt{
		{lane: "a"}, {lane: "b"}, {lane: "a", state: queue.StateHeld}, {lane: "a", state: queue.StateBounced},
		{lane: "a", state: queue.StateScheduled, due: e.now.Add(time.Minute)},
	}, lease: q})
	e.ok(err)
	e.want(len(out.Leases) == 1 && len(out.Leases[0].Recipients) == 1 && out.Leases[0].Recipients[0].ID == out.ID.Recipient(0), "leases: %+v", out.Leases)
	e.states(out.ID, queue.StateActive, queue.StateQueued, queue.StateHeld, queue.StateBounced, queue.StateScheduled)
}

func enqueueLeaseMax(e *env) {
	out, err := e.try(mail{to: many(250, "a"), lease: e.ask(2)})
	e.ok(err)
	e.want(len(out.Leases) == 2 && len(out.Leases[0].Recipients) == 100 && len(out.Leases[1].Recipients) == 100, "%d leases", len(out.Leases))
	l := e.one()
	e.want(len(l.Recipients) == 50, "the rest is %d", len(l.Recipients))
	e.want(e.total()[queue.StateActive] == 250, "counts: %v", e.total())
	out, err = e.try(mail{to: lanes("x", "y"), lease: e.ask(0)})
	e.ok(err)
	e.want(len(out.Leases) == 0 && len(e.lease(5)) == 2, "Max 0 grants nothing")
}

func idempotencyTests() []test {
	return []test{
		{"a known key returns the first id and stores nothing", idempotencyRepeat},
		{"a known key with another fingerprint is a conflict", idempotencyConflict},
		{"a key ends with its time", idempotencyEnd},
		{"a key belongs to an account", idempotencyScope},
		{"a hundred at once make one message", idempotencyRace},
		{"a key survives a restart", idempotencyRestart},
	}
}

func (e *env) key(k string, print byte) queue.Idempotency {
	return queue.Idempotency{Key: k, Fingerprint: [32]byte{print}, ExpiresAt: e.now.Add(time.Hour)}
}

func idempotencyRepeat(e *env) {
	first := e.put(mail{idem: e.key("k", 1)})
	out, err := e.try(mail{idem: e.key("k", 1), to: many(3, ""), lease: e.ask(3), body: make([]byte, 1<<20)})
	e.ok(err)
	e.want(out.ID == first && out.Duplicate && len(out.Leases) == 0, "repeated: %+v", out)
	vs, _ := e.events("")
	e.want(len(vs) == 1 && e.total()[queue.StateQueued] == 1, "events %v, counts %v", vs, e.total())
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	out, err = e.try(mail{idem: e.key("k", 1)})
	e.want(err == nil && out.ID == first && out.Duplicate, "repeated after delivery: %+v, %v", out, err)
	e.none()
}

func idempotencyConflict(e *env) {
	first := e.put(mail{idem: e.key("k", 1)})
	_, err := e.try(mail{idem: e.key("k", 2)})
	e.is(err, queue.ErrIdempotencyConflict)
	e.want(len(e.lease(9)) == 1, "a conflict was stored")
	e.states(first, queue.StateActive)
}

func idempotencyEnd(e *env) {
	first := e.put(mail{idem: e.key("k", 1)})
	e.pass(time.Hour - time.Second)
	out, err := e.try(mail{idem: e.key("k", 1)})
	e.want(err == nil && out.ID == first, "a second before its end: %+v, %v", out, err)
	e.pass(2 * time.Second)
	out, err = e.try(mail{idem: e.key("k", 2)})
	e.want(err == nil && !out.Duplicate && out.ID != first, "after its end: %+v, %v", out, err)
	again, err := e.try(mail{idem: e.key("k", 2)})
	e.want(err == nil && again.Duplicate && again.ID == out.ID, "the new key: %+v, %v", again, err)
}

func idempotencyScope(e *env) {
	a := e.put(mail{account: "a", idem: e.key("k", 1)})
	b := e.put(mail{account: "b", idem: e.key("k", 2)})
	e.want(a != b && len(e.lease(9)) == 2, "two accounts share a key")
	ab := e.put(mail{account: "ab", idem: e.key("c", 1)})
	abc := e.put(mail{account: "a", idem: e.key("bc", 1)})
	e.want(ab != abc, "account and key run together")
	e.put(mail{})
	e.put(mail{})
	e.want(len(e.lease(9)) == 4, "no key is no key")
}

func idempotencyRace(e *env) {
	const n = 100
	rs := make([]queue.EnqueueRequest, n)
	for i := range rs {
		var err error
		rs[i], err = e.request(mail{idem: e.key("k", 1)})
		e.ok(err)
	}
	var wg sync.WaitGroup
	outs, errs := make([]queue.Enqueued, n), make([]error, n)
	for i := range n {
		wg.Go(func() { outs[i], errs[i] = e.s.Enqueue(e.ctx, rs[i]) })
	}
	wg.Wait()
	firsts := 0
	for i := range n {
		e.ok(errs[i])
		e.want(outs[i].ID == outs[0].ID, "two ids: %s and %s", outs[i].ID, outs[0].ID)
		if !outs[i].Duplicate {
			firsts++
		}
	}
	vs, _ := e.events("")
	e.want(firsts == 1 && len(vs) == 1 && e.total()[queue.StateQueued] == 1, "%d firsts, %d events, %v", firsts, len(vs), e.total())
}

func idempotencyRestart(e *env) {
	ids := map[string]queue.MessageID{}
	for i := range 20 {
		k := fmt.Sprint("key", i)
		ids[k] = e.put(mail{idem: e.key(k, 1)})
	}
	e.reopen()
	for k, id := range ids {
		out, err := e.try(mail{idem: e.key(k, 1)})
		e.want(err == nil && out.Duplicate && out.ID == id, "%s: %+v, %v", k, out, err)
		_, err = e.try(mail{idem: e.key(k, 9)})
		e.is(err, queue.ErrIdempotencyConflict)
	}
}
