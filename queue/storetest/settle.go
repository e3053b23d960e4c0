package storetest

import (
	"fmt"
	"reflect"
	"time"

	"postrider/queue"
)

func settleTests() []test {
	ts := []test{
		{"each recipient has its own outcome, with one event each", settleEach},
		{"a settlement without an attempt counts none", settleNoAttempt},
		{"a lane may change with the settlement", settleLane},
		{"a delay notice is noted once it is asked for", settleDelayed},
		{"a notice of success is asked for by the event", settleSuccessNotice},
		{"what operators want happens instead of a deferral", settlePending},
		{"success is not undone by what operators want", settlePendingSuccess},
		{"what operators want happens when a lease is released or expires", settlePendingEnd},
		{"what operators want happens after a restart", settlePendingRestart},
		{"the recipients of a lease may be settled one by one", settleOneByOne},
		{"a thousand recipients are settled lease by lease", settleThousand},
		{"an outcome that is none is refused", settleBadOutcome},
		{"a settlement of nobody changes nothing", settleNobody},
	}
	for _, o := range []queue.State{
		queue.StateDelivered, queue.StateRelayed, queue.StateBounced, queue.StateExpired, queue.StateCancelled,
		queue.StateSuppressed, queue.StateDeferred, queue.StateHeld,
	} {
		ts = append(ts, test{"an outcome may be " + o.String(), func(e *env) { settleOutcome(e, o) }})
	}
	return ts
}

// kindOf is the event of an outcome.
func kindOf(o queue.State) queue.EventKind { return queue.EventKind(o.String()) }

func canonicalAttempt(a *queue.Attempt) queue.Attempt {
	if a == nil {
		return queue.Attempt{}
	}
	c := *a
	c.Start = c.Start.UTC()
	return c
}

func settleOutcome(e *env, o queue.State) {
	id := e.put(mail{account: "blog"})
	l := e.one()
	at := e.attempt(1)
	due := e.now.Add(time.Hour)
	e.ok(e.s.Settle(e.ctx, l, []queue.Settlement{{
		Recipient: id.Recipient(0), Outcome: o, Due: due, Attempt: at, Class: queue.ClassRcptFull, Reason: "because",
	}}))
	trouble := o != queue.StateDelivered && o != queue.StateRelayed
	for _, step := range []string{"at once", "after a restart"} {
		r := e.rcpt(id.Recipient(0))
		e.want(r.State == o && r.Attempts == 1 && r.Pending == queue.ActionNone && r.Events == 1 && !r.UpdatedAt.IsZero(), "%s: %+v", step, r)
		e.want(reflect.DeepEqual(canonicalAttempt(r.Last), *at), "%s: last attempt is\n%+v, want\n%+v", step, r.Last, at)
		e.want(!trouble || r.Class == queue.ClassRcptFull, "%s: class is %q", step, r.Class)
		v := e.kinds(id, queue.EventQueued, kindOf(o))[1]
		e.want(v.Recipient == id.Recipient(0) && v.Message == id && v.Account == "blog" && v.Address == r.Address && v.Reason == "because", "%s: event is %+v", step, v)
		e.want(reflect.DeepEqual(canonicalAttempt(v.Attempt), *at), "%s: event's attempt is %+v", step, v.Attempt)
		e.want(!trouble || v.Class == queue.ClassRcptFull, "%s: event's class is %q", step, v.Class)
		e.want(v.ID == queue.NewEventID(v.At, v.Recipient, 0) && !v.At.IsZero(), "%s: event's id is %s", step, v.ID)
		e.want(o != queue.StateDeferred || v.Due.Equal(due) && r.Due.Equal(due), "%s: due %v, event's %v", step, r.Due, v.Due)
		e.want(e.total()[o] == 1 && len(e.total()) == 1, "%s: counts are %v", step, e.total())
		if step == "at once" {
			e.reopen()
		}
	}
	e.none()
	e.now = due
	e.want(len(e.lease(9)) == map[queue.State]int{queue.StateDeferred: 1}[o], "leased again after %s", o)
}

func settleEach(e *env) {
	id := e.put(mail{to: many(5, "a")})
	l := e.one()
	outcomes := []queue.State{queue.StateBounced, queue.StateDelivered, queue.StateHeld, queue.StateDeferred, queue.StateRelayed}
	ss := e.settlements(l, 0, e.now.Add(time.Minute))
	for i := range ss {
		ss[i].Outcome = outcomes[i]
	}
	// In any order.
	ss[0], ss[3] = ss[3], ss[0]
	e.ok(e.s.Settle(e.ctx, l, ss))
	e.states(id, outcomes...)
	hs, err := e.s.History(e.ctx, id)
	e.ok(err)
	e.want(len(hs) == 6 && hs[0].Kind == queue.EventQueued, "%d events", len(hs))
	seen := map[queue.RecipientID]queue.EventKind{}
	for _, v := range hs[1:] {
		seen[v.Recipient] = v.Kind
	}
	for i, o := range outcomes {
		e.want(seen[id.Recipient(i)] == kindOf(o), "event of %d is %s", i, seen[id.Recipient(i)])
	}
	want := map[queue.State]int64{}
	for _, o := range outcomes {
		want[o] = 1
	}
	e.want(reflect.DeepEqual(e.total(), want), "counts are %v", e.total())
}

func settleNoAttempt(e *env) {
	id := e.put(mail{})
	e.ok(e.outcome(e.one(), queue.StateDeferred, e.now))
	l := e.one()
	e.ok(e.s.Settle(e.ctx, l, []queue.Settlement{{Recipient: id.Recipient(0), Outcome: queue.StateDeferred, Due: e.now.Add(time.Minute), Class: queue.ClassDNSTemp, Reason: "no route"}}))
	r := e.rcpt(id.Recipient(0))
	e.want(r.Attempts == 1 && r.Last != nil && r.Last.Number == 1, "recipient is %+v", r)
	v := e.kinds(id, queue.EventQueued, queue.EventDeferred, queue.EventDeferred)[2]
	e.want(v.Attempt == nil && v.Class == queue.ClassDNSTemp && v.Reason == "no route", "event is %+v", v)
	e.none()
	e.pass(time.Minute)
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	r = e.rcpt(id.Recipient(0))
	e.want(r.Attempts == 2 && r.Last.Number == 2, "recipient is %+v", r)
}

func settleLane(e *env) {
	id := e.put(mail{to: lanes("old", "old")})
	l := e.one()
	ss := e.settlements(l, queue.StateDeferred, e.now)
	ss[0].Lane = "new"
	e.ok(e.s.Settle(e.ctx, l, ss))
	e.want(e.rcpt(id.Recipient(0)).Lane == "new" && e.rcpt(id.Recipient(1)).Lane == "old", "lanes are %+v", e.entry(id).Recipients)
	e.park("old", time.Hour)
	l = e.one()
	e.want(l.Lane == "new" && len(l.Recipients) == 1 && l.Recipients[0].ID == id.Recipient(0), "leased %+v", l)
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.park("old", 0)
	e.park("new", time.Hour)
	l = e.one()
	e.want(l.Lane == "old" && len(l.Recipients) == 1, "leased %+v", l)
	e.reopen()
	e.want(len(e.lease(9)) == 2, "two lanes after a restart")
}

func settleDelayed(e *env) {
	id := e.put(mail{})
	for i, asks := range []bool{false, true, false} {
		l := e.one()
		e.want(l.Recipients[0].Delayed == (i > 1), "attempt %d: delayed is %v", i, l.Recipients[0].Delayed)
		ss := e.settlements(l, queue.StateDeferred, e.now)
		ss[0].Delayed = asks
		e.ok(e.s.Settle(e.ctx, l, ss))
		hs, err := e.s.History(e.ctx, id)
		e.ok(err)
		e.want(hs[len(hs)-1].Delayed == asks, "attempt %d: event is %+v", i, hs[len(hs)-1])
		e.want(e.rcpt(id.Recipient(0)).Delayed == (i > 0), "attempt %d: delayed is not noted", i)
	}
	e.reopen()
	e.want(e.one().Recipients[0].Delayed, "forgotten by a restart")
}

func settleSuccessNotice(e *env) {
	for _, o := range []queue.State{queue.StateDelivered, queue.StateRelayed} {
		id := e.put(mail{to: many(2, "a")})
		l := e.one()
		ss := e.settlements(l, o, time.Time{})
		ss[0].Delayed = true
		e.ok(e.s.Settle(e.ctx, l, ss))
		for _, v := range e.kinds(id, queue.EventQueued, kindOf(o), kindOf(o))[1:] {
			e.want(v.Delayed == (v.Recipient == id.Recipient(0)), "event is %+v", v)
		}
		for _, r := range e.entry(id).Recipients {
			e.want(!r.Delayed, "a notice of success is noted as one of delay: %+v", r)
		}
	}
}

// pendingEnds is what becomes of an active recipient whose attempt failed.
func pendingEnds() map[queue.Action]queue.EventKind {
	return map[queue.Action]queue.EventKind{
		queue.ActionHold: queue.EventHeld, queue.ActionCancel: queue.EventCancelled,
		queue.ActionExpire: queue.EventExpired, queue.ActionRetry: queue.EventRetried,
	}
}

func (e *env) pendingDone(id queue.MessageID, a queue.Action) {
	e.Helper()
	r := e.rcpt(id.Recipient(0))
	want := map[queue.Action][]queue.State{
		queue.ActionHold: {queue.StateHeld}, queue.ActionCancel: {queue.StateCancelled}, queue.ActionExpire: {queue.StateExpired},
		queue.ActionRetry: {queue.StateQueued, queue.StateDeferred},
	}[a]
	e.want((r.State == want[0] || r.State == want[len(want)-1]) && r.Pending == queue.ActionNone, "%s: recipient is %+v", a, r)
	hs, err := e.s.History(e.ctx, id)
	e.ok(err)
	v := hs[len(hs)-1]
	e.want(v.Kind == pendingEnds()[a] && v.Actor == "op" && v.Reason == "why" && v.Recipient == r.ID, "%s: event is %+v", a, v)
	e.want(int(r.Events) == len(hs)-1, "%s: %d events, %d counted", a, len(hs)-1, r.Events)
}

func settlePending(e *env) {
	for a := range pendingEnds() {
		id := e.put(mail{})
		l := e.one()
		got := e.act(a, id)
		e.want(got == queue.Applied{Matched: 1, Pending: 1}, "%s: applied %+v", a, got)
		r := e.rcpt(id.Recipient(0))
		e.want(r.State == queue.StateActive && r.Pending == a, "%s: recipient is %+v", a, r)
		e.none()
		e.ok(e.outcome(l, queue.StateDeferred, e.now.Add(time.Hour)))
		e.pendingDone(id, a)
		r = e.rcpt(id.Recipient(0))
		e.want(r.Attempts == 1 && r.Last != nil, "%s: the attempt is not counted: %+v", a, r)
		if a == queue.ActionRetry {
			e.pass(time.Second)
			e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
		}
		e.none()
	}
}

func settlePendingSuccess(e *env) {
	for a := range pendingEnds() {
		for _, o := range []queue.State{queue.StateDelivered, queue.StateBounced} {
			id := e.put(mail{})
			l := e.one()
			e.act(a, id)
			e.ok(e.outcome(l, o, time.Time{}))
			e.states(id, o)
			e.want(e.rcpt(id.Recipient(0)).Pending == queue.ActionNone, "%s is still pending", a)
			e.kinds(id, queue.EventQueued, kindOf(o))
		}
	}
	e.none()
}

func settlePendingEnd(e *env) {
	for a := range pendingEnds() {
		for _, expires := range []bool{false, true} {
			id := e.put(mail{})
			l := e.one()
			e.act(a, id)
			if expires {
				e.pass(ttl + time.Second)
			} else {
				e.ok(e.s.Release(e.ctx, l, e.now, nil))
			}
			ls := e.leaseSoon(9)
			e.pendingDoneOrLeased(id, a, ls)
			for _, l := range ls {
				e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
			}
			e.none()
		}
	}
}

// pendingDoneOrLeased is pendingDone, but for a retry that was leased since.
func (e *env) pendingDoneOrLeased(id queue.MessageID, a queue.Action, ls []queue.Lease) {
	e.Helper()
	if a != queue.ActionRetry {
		e.want(len(ls) == 0, "%s was asked for, but it was leased", a)
		e.pendingDone(id, a)
		return
	}
	e.want(len(ls) == 1, "%d leases after a retry", len(ls))
	hs := e.kinds(id, queue.EventQueued, queue.EventRetried)
	e.want(hs[1].Actor == "op", "event is %+v", hs[1])
}

func settlePendingRestart(e *env) {
	for a := range pendingEnds() {
		id := e.put(mail{})
		e.one()
		e.act(a, id)
		e.reopen()
		ls := e.lease(9)
		e.pendingDoneOrLeased(id, a, ls)
		for _, l := range ls {
			e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
		}
	}
}

func settleOneByOne(e *env) {
	id := e.put(mail{to: many(10, "a")})
	l := e.one()
	for i, s := range e.settlements(l, queue.StateDelivered, time.Time{}) {
		e.ok(e.s.Settle(e.ctx, l, []queue.Settlement{s}))
		e.want(e.total()[queue.StateDelivered] == int64(i+1), "counts are %v", e.total())
		if i == 4 {
			lost, err := e.s.Extend(e.ctx, e.now, 2*ttl, l)
			e.want(err == nil && len(lost) == 0, "half settled is not lost: %v, %v", lost, err)
		}
	}
	e.want(len(e.total()) == 1, "counts are %v", e.total())
	hs, err := e.s.History(e.ctx, id)
	e.want(err == nil && len(hs) == 11, "%d events", len(hs))
	for i, v := range hs[1:] {
		e.want(v.Recipient == id.Recipient(i), "event %d is of %s", i, v.Recipient)
	}
}

func settleThousand(e *env) {
	id := e.put(mail{to: many(queue.MaxRecipients, "a")})
	for round := range 2 {
		ls := e.lease(50)
		e.want(len(ls) == 10, "round %d: %d leases", round, len(ls))
		for _, l := range ls {
			o := queue.StateDeferred
			if round == 1 {
				o = queue.StateDelivered
			}
			e.ok(e.outcome(l, o, e.now))
		}
	}
	e.want(fmt.Sprint(e.total()) == fmt.Sprint(map[queue.State]int64{queue.StateDelivered: 1000}), "counts are %v", e.total())
	hs, err := e.s.History(e.ctx, id)
	e.want(err == nil && len(hs) == 2001, "%d events, %v", len(hs), err)
}

func settleBadOutcome(e *env) {
	id := e.put(mail{})
	l := e.one()
	before := e.snapshot(id)
	for _, o := range []queue.State{0, queue.StateQueued, queue.StateActive, queue.StateScheduled, 99} {
		e.want(e.outcome(l, o, e.now) != nil, "%v was accepted", o)
		e.want(e.snapshot(id) == before, "%v changed something", o)
	}
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
}

func settleNobody(e *env) {
	id := e.put(mail{})
	l := e.one()
	before := e.snapshot(id)
	e.ok(e.s.Settle(e.ctx, l, nil))
	e.ok(e.s.Mark(e.ctx, l, nil))
	e.want(e.snapshot(id) == before, "it changed something")
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
}
