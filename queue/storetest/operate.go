package storetest

import (
	"fmt"
	"time"

	"postrider/queue"
)

func operateTests() []test {
	return []test{
		{"hold keeps back until release", operateHold},
		{"retry makes due now, at once", operateRetry},
		{"cancel and expire end what waits", operateEnd},
		{"what is final stays as it is", operateFinal},
		{"a dry run counts and changes nothing", operateDryRun},
		{"the last word about an active recipient counts", operatePendingTwice},
		{"events say who and why", operateEvents},
		{"a large selection is done whole", operateLarge},
		{"reschedule moves what was never tried, and nothing else", rescheduleMoves},
		{"what is rescheduled is due when that says", rescheduleDue},
		{"reschedule gives a message another end", rescheduleEnd},
		{"a large selection is rescheduled whole, each once", rescheduleMany},
		{"events say to when something was rescheduled", rescheduleEvents},
		{"a cancelled recipient cannot be settled any more", operateBeforeTakeover},
	}
}

// scene has one message with a recipient in each state that waits, one active
// and one delivered.
func (e *env) scene() (id queue.MessageID, l queue.Lease) {
	e.Helper()
	id = e.put(mail{to: []rcpt{
		{lane: "active"}, {lane: "done"}, {lane: "deferred"}, {lane: "queued"},
		{lane: "held", state: queue.StateHeld}, {lane: "scheduled", state: queue.StateScheduled, due: e.now.Add(5 * time.Hour)},
	}})
	for _, x := range e.lease(9) {
		switch x.Lane {
		case "active":
			l = x
		case "done":
			e.ok(e.outcome(x, queue.StateDelivered, time.Time{}))
		case "deferred":
			e.ok(e.outcome(x, queue.StateDeferred, e.now.Add(3*time.Hour)))
		default:
			e.ok(e.s.Release(e.ctx, x, e.now, nil))
		}
	}
	e.states(id, queue.StateActive, queue.StateDelivered, queue.StateDeferred, queue.StateQueued, queue.StateHeld, queue.StateScheduled)
	return id, l
}

func (e *env) pending(id queue.MessageID, want queue.Action) {
	e.Helper()
	r := e.rcpt(id.Recipient(0))
	e.want(r.State == queue.StateActive && r.Pending == want, "recipient is %+v", r)
}

func operateHold(e *env) {
	id, l := e.scene()
	a := e.act(queue.ActionHold, id)
	e.want(a == queue.Applied{Matched: 4, Changed: 3, Pending: 1}, "applied %+v", a)
	held := queue.StateHeld
	e.states(id, queue.StateActive, queue.StateDelivered, held, held, held, held)
	e.pending(id, queue.ActionHold)
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	e.pass(100 * time.Hour)
	e.none()
	e.reopen()
	e.none()
	e.want(e.total()[held] == 5, "counts are %v", e.total())
	a = e.act(queue.ActionRelease, id)
	e.want(a == queue.Applied{Matched: 5, Changed: 5}, "applied %+v", a)
	for i, r := range e.entry(id).Recipients {
		want := queue.StateQueued
		if r.Attempts > 0 {
			want = queue.StateDeferred
		}
		e.want(i == 1 || r.State == want && !r.Due.After(e.now), "recipient is %+v", r)
	}
	e.want(len(e.lease(9)) == 5, "all are due")
	e.want(e.act(queue.ActionRelease, id).Matched == 0, "release concerns what is held only")
}

func operateRetry(e *env) {
	id, l := e.scene()
	a := e.act(queue.ActionRetry, id)
	e.want(a.Pending == 1 && a.Matched == a.Changed+a.Pending && a.Changed >= 2, "applied %+v", a)
	e.pending(id, queue.ActionRetry)
	rs := e.entry(id).Recipients
	e.want(rs[4].State == queue.StateHeld, "retry released what is held")
	for _, i := range []int{2, 3, 5} {
		e.want(!rs[i].Due.After(e.now), "due %v", rs[i].Due)
	}
	e.want(rs[2].Attempts == 1 && rs[2].Last != nil, "retry forgot the attempt: %+v", rs[2])
	ls := e.lease(9)
	e.want(len(ls) == 3, "%d leases, want deferred, queued and scheduled", len(ls))
	for _, l := range ls {
		e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	}
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.pass(10 * time.Hour) // their old times come
	e.none()
}

func operateEnd(e *env) {
	for a, want := range map[queue.Action]queue.State{queue.ActionCancel: queue.StateCancelled, queue.ActionExpire: queue.StateExpired} {
		id, l := e.scene()
		got := e.act(a, id)
		e.want(got == queue.Applied{Matched: 5, Changed: 4, Pending: 1}, "%s: applied %+v", a, got)
		e.states(id, queue.StateActive, queue.StateDelivered, want, want, want, want)
		e.pending(id, a)
		e.ok(e.outcome(l, queue.StateDeferred, e.now))
		e.states(id, want, queue.StateDelivered, want, want, want, want)
		e.pass(100 * time.Hour)
		e.none()
		e.want(e.act(queue.ActionRetry, id).Matched == 0, "%s: what is final was retried", a)
	}
	e.reopen()
	e.none()
	_, ok := e.nextDue()
	e.want(!ok, "something waits")
}

func operateFinal(e *env) {
	id := e.put(mail{to: []rcpt{{lane: "a"}, {lane: "b"}, {lane: "c"}, {state: queue.StateSuppressed}}})
	for i, l := range e.lease(9) {
		e.ok(e.outcome(l, []queue.State{queue.StateDelivered, queue.StateBounced, queue.StateRelayed}[i], time.Time{}))
	}
	before := e.snapshot(id)
	for a := queue.ActionHold; a <= queue.ActionExpire; a++ {
		e.want(e.act(a, id) == queue.Applied{}, "%s concerned what is final", a)
		e.want(e.snapshot(id) == before, "%s changed what is final", a)
	}
}

func operateDryRun(e *env) {
	id, _ := e.scene()
	before := e.snapshot(id)
	c, stop := e.s.Notify()
	defer stop()
	for received(c) {
	}
	want := map[queue.Action]queue.Applied{
		queue.ActionHold: {Matched: 4, Changed: 3, Pending: 1}, queue.ActionCancel: {Matched: 5, Changed: 4, Pending: 1},
		queue.ActionExpire: {Matched: 5, Changed: 4, Pending: 1}, queue.ActionRelease: {Matched: 1, Changed: 1},
	}
	for a, w := range want {
		got := e.apply(queue.Operation{Action: a, Filter: queue.Filter{Messages: []queue.MessageID{id}}, DryRun: true})
		e.want(got == w, "dry %s: %+v, want %+v", a, got, w)
		e.want(e.snapshot(id) == before, "dry %s changed something", a)
		got = e.apply(queue.Operation{Action: a, DryRun: true})
		e.want(got == w, "dry %s of everything: %+v, want %+v", a, got, w)
	}
	e.want(!received(c), "a dry run made events")
	ls := e.lease(9)
	e.want(len(ls) == 1 && ls[0].Lane == "queued", "leases %v", ls)
}

func operatePendingTwice(e *env) {
	id := e.put(mail{})
	l := e.one()
	for _, a := range []queue.Action{queue.ActionHold, queue.ActionRetry, queue.ActionCancel} {
		got := e.act(a, id)
		e.want(got.Pending == 1 && got.Changed == 0, "%s: %+v", a, got)
		e.pending(id, a)
	}
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	e.states(id, queue.StateCancelled)
	e.kinds(id, queue.EventQueued, queue.EventCancelled)
}

func operateEvents(e *env) {
	id := e.put(mail{account: "blog", to: []rcpt{{state: queue.StateScheduled, due: e.now.Add(time.Hour)}}})
	for _, a := range []queue.Action{queue.ActionRetry, queue.ActionHold, queue.ActionRelease, queue.ActionCancel} {
		e.pass(time.Minute)
		got := e.apply(queue.Operation{Action: a, Filter: queue.Filter{Account: "blog"}, Actor: "key/" + a.String(), Reason: "since " + a.String()})
		e.want(got == queue.Applied{Matched: 1, Changed: 1}, "%s: %+v", a, got)
	}
	vs := e.kinds(id, queue.EventQueued, queue.EventRetried, queue.EventHeld, queue.EventReleased, queue.EventCancelled)
	for i, name := range []string{"retry", "hold", "release", "cancel"} {
		v := vs[i+1]
		at := epoch.Add(time.Duration(i+1) * time.Minute)
		e.want(v.Actor == "key/"+name && v.Reason == "since "+name && v.At.Equal(at), "event is %+v", v)
		e.want(v.Recipient == id.Recipient(0) && v.Account == "blog" && v.Address.Local == "user0" && v.Attempt == nil, "event is %+v", v)
		e.want(v.ID == queue.NewEventID(v.At, v.Recipient, uint32(i)), "event's id is %s", v.ID)
		if name == "retry" || name == "release" {
			e.want(v.Due.Equal(at), "event is %+v", v)
		}
	}
	r := e.rcpt(id.Recipient(0))
	e.want(r.Events == 4 && r.UpdatedAt.Equal(e.now), "recipient is %+v", r)
}

func operateLarge(e *env) {
	n := e.scaled(3000)
	e.fill("shop", queue.PriorityNormal, n, func(i int) queue.Lane { return queue.Lane(fmt.Sprint("lane", i)) })
	leased := e.lease(50)
	e.want(len(leased) == 50, "%d leases", len(leased))
	op := queue.Operation{Action: queue.ActionHold, Filter: queue.Filter{Account: "shop"}}
	e.want(e.apply(op) == queue.Applied{Matched: n, Changed: n - 50, Pending: 50}, "hold")
	e.none()
	for _, l := range leased {
		e.ok(e.s.Release(e.ctx, l, e.now, nil))
	}
	e.none()
	e.want(e.total()[queue.StateHeld] == int64(n), "counts are %v", e.total())
	op.Action = queue.ActionRelease
	e.want(e.apply(op) == queue.Applied{Matched: n, Changed: n}, "release")
	e.want(len(e.lease(n+1)) == n, "not all were leased")
	vs, _ := e.events("")
	per := map[queue.RecipientID]int{}
	for _, v := range vs {
		if v.Kind != queue.EventQueued {
			per[v.Recipient]++
		}
	}
	for id, got := range per {
		e.want(got == 2, "%s has %d events", id, got)
	}
	e.want(len(per) == n, "%d recipients have events", len(per))
}

func operateBeforeTakeover(e *env) {
	id := e.put(mail{})
	l := e.one()
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.act(queue.ActionCancel, id)
	e.is(e.outcome(l, queue.StateDelivered, time.Time{}), queue.ErrLeaseLost)
	e.states(id, queue.StateCancelled)
}
