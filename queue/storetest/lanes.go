package storetest

import (
	"fmt"
	"time"

	"postrider/queue"
)

func laneTests() []test {
	return []test{
		{"a parked lane is not granted", parkHides},
		{"a parked lane does not block others", parkDoesNotBlock},
		{"a lane is parked until its time, or until it is unparked", parkEnds},
		{"a restart unparks all", parkRestart},
		{"next due is when work may be found", nextDueTimes},
		{"next due knows parked lanes", nextDueParked},
		{"next due knows the end of leases", nextDueLeases},
		{"whatever may make work due earlier wakes", wakeSignals},
		{"a wake channel holds one signal, until it is given back", wakeOnce},
	}
}

func (e *env) park(lane queue.Lane, d time.Duration) {
	e.Helper()
	e.ok(e.s.Park(e.ctx, lane, e.now, e.now.Add(d)))
}

func parkHides(e *env) {
	e.park("a", time.Minute) // also before anything is in it
	id := e.put(mail{to: lanes("a", "b")})
	l := e.one()
	e.want(l.Lane == "b", "granted is lane %s", l.Lane)
	e.states(id, queue.StateQueued, queue.StateActive)
	e.none()
	// What is leased when its lane is parked goes on, and waits then.
	e.park("b", time.Minute)
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	e.none()
	e.put(mail{to: lanes("b")})
	e.none()
}

func parkDoesNotBlock(e *env) {
	e.fill("shop", queue.PriorityHigh, 500, func(int) queue.Lane { return "stalled" })
	e.fill("shop", queue.PriorityHigh, 900, func(i int) queue.Lane { return queue.Lane(fmt.Sprint("stalled", i)) })
	e.park("stalled", time.Hour)
	for i := range 900 {
		e.park(queue.Lane(fmt.Sprint("stalled", i)), time.Hour)
	}
	e.pass(time.Second)
	id := e.put(mail{priority: queue.PriorityLow, to: lanes("free")})
	other := e.put(mail{account: "blog", to: lanes("free")})
	ls := e.lease(10)
	e.want(len(ls) == 2, "%d leases, want the two that are free", len(ls))
	for _, l := range ls {
		e.want(l.Message.ID == id || l.Message.ID == other, "leased %+v", l)
	}
	e.pass(time.Hour)
	e.want(len(e.lease(2000)) == 1400+2, "all is due again, and the expired ones")
}

func parkEnds(e *env) {
	e.put(mail{to: lanes("a")})
	e.put(mail{to: lanes("b")})
	e.park("a", time.Minute)
	e.park("b", time.Hour)
	e.none()
	e.pass(time.Minute + time.Millisecond)
	l := e.one()
	e.want(l.Lane == "a", "lane %s", l.Lane)
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.park("b", 0)
	l = e.one()
	e.want(l.Lane == "b", "unparked lane is %s", l.Lane)
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	// The last word counts, longer or shorter.
	e.put(mail{to: lanes("c")})
	e.park("c", time.Minute)
	e.park("c", time.Hour)
	e.pass(2 * time.Minute)
	e.none()
	e.park("c", time.Second)
	e.pass(2 * time.Second)
	e.one()
}

func parkRestart(e *env) {
	e.put(mail{to: lanes("a")})
	e.park("a", time.Hour)
	e.none()
	e.reopen()
	e.one()
}

func (e *env) nextDue() (time.Time, bool) {
	e.Helper()
	due, ok, err := e.s.NextDue(e.ctx, e.now)
	e.ok(err)
	return due, ok
}

// dueAt demands that NextDue says exactly this.
func (e *env) dueAt(want time.Time) {
	e.Helper()
	due, ok := e.nextDue()
	e.want(ok && (due.Equal(want) || !want.After(e.now) && !due.After(e.now)), "next due is %v, %v, want %v", due, ok, want)
}

func nextDueTimes(e *env) {
	_, ok := e.nextDue()
	e.want(!ok, "nothing waits")
	e.put(mail{to: []rcpt{{state: queue.StateHeld}, {state: queue.StateBounced}}})
	_, ok = e.nextDue()
	e.want(!ok, "what is held or final does not wait for a time")
	at := e.now.Add(3 * time.Hour)
	e.put(mail{to: []rcpt{{lane: "a", state: queue.StateScheduled, due: at}}})
	e.dueAt(at)
	sooner := e.put(mail{to: []rcpt{{lane: "b", state: queue.StateScheduled, due: at.Add(-time.Hour)}}})
	e.dueAt(at.Add(-time.Hour))
	e.reopen()
	e.dueAt(at.Add(-time.Hour))
	e.act(queue.ActionCancel, sooner)
	due, ok := e.nextDue()
	e.want(ok && !due.After(at), "next due is %v", due) // may be early once, not late
	e.now = due
	e.none()
	e.dueAt(at)
	e.put(mail{})
	e.dueAt(e.now)
	e.ok(e.outcome(e.one(), queue.StateDeferred, e.now.Add(time.Hour)))
	e.dueAt(e.now.Add(time.Hour))
}

func nextDueParked(e *env) {
	e.put(mail{to: lanes("a")})
	e.park("a", time.Minute)
	e.dueAt(e.now.Add(time.Minute))
	later := e.now.Add(2 * time.Hour)
	e.put(mail{to: []rcpt{{lane: "b", state: queue.StateScheduled, due: later}}})
	e.park("a", 3*time.Hour)
	e.dueAt(later)
	e.park("a", 0)
	e.dueAt(e.now)
	// Due while parked, and not due yet when the parking ends.
	e.one()
	e.put(mail{to: []rcpt{{lane: "c", state: queue.StateScheduled, due: e.now.Add(time.Minute)}}})
	e.park("c", time.Second)
	due, ok := e.nextDue()
	e.want(ok && due.After(e.now) && !due.After(e.now.Add(time.Minute)), "next due is %v, %v", due, ok)
}

func nextDueLeases(e *env) {
	e.put(mail{})
	l := e.one()
	due, ok := e.nextDue()
	e.want(ok && due.After(e.now) && !due.After(l.Expires), "next due is %v, %v, but a lease ends %v", due, ok, l.Expires)
	e.now = l.Expires.Add(time.Millisecond)
	e.dueAt(e.now)
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	_, ok = e.nextDue()
	e.want(!ok, "nothing waits")
}

func wakeSignals(e *env) {
	c, stop := e.s.Wake()
	defer stop()
	clear := func() {
		for received(c) {
		}
	}
	id := e.put(mail{})
	e.signalled(c, "enqueue")
	l := e.one()
	clear()
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.signalled(c, "release")
	l = e.one()
	clear()
	e.ok(e.outcome(l, queue.StateDeferred, e.now.Add(time.Hour)))
	e.signalled(c, "a deferral, which is the first that is due")
	clear()
	e.act(queue.ActionRetry, id)
	e.signalled(c, "retry")
	e.act(queue.ActionHold, id)
	clear()
	e.act(queue.ActionRelease, id)
	e.signalled(c, "release of what was held")
	e.park(l.Lane, time.Hour)
	clear()
	e.park(l.Lane, 0)
	e.signalled(c, "unparking")
	l = e.one()
	e.act(queue.ActionRetry, id)
	clear()
	e.ok(e.outcome(l, queue.StateDeferred, e.now.Add(time.Hour)))
	e.signalled(c, "a settlement with a retry pending")
	clear()
	out, err := e.try(mail{to: lanes("p", "q"), lease: e.ask(1)})
	e.ok(err)
	e.want(len(out.Leases) == 1, "%d leases", len(out.Leases))
	e.signalled(c, "an enqueue of which one lane was left")
}

func wakeOnce(e *env) {
	c1, stop1 := e.s.Wake()
	c2, stop2 := e.s.Wake()
	for range 5 {
		e.put(mail{})
	}
	e.signalled(c1, "enqueue")
	e.signalled(c2, "enqueue")
	stop1()
	for received(c1) {
	}
	for received(c2) {
	}
	e.put(mail{})
	e.signalled(c2, "enqueue")
	select {
	case _, open := <-c1:
		e.want(open, "a wake channel was closed")
		e.Fatal("a channel that was given back got a signal")
	default:
	}
	stop2()
	e.reopen()
	select {
	case _, open := <-c2:
		e.want(open, "a wake channel was closed with the store")
	default:
	}
}
