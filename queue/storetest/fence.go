package storetest

import (
	"fmt"
	"time"

	"postrider/queue"
)

func fenceTests(h Harness) []test {
	ts := []test{
		{"a zombie's settlement is refused and changes nothing", fenceZombieSettles},
		{"a zombie's retry is refused and leaves the heir its lease", fenceZombieRetries},
		{"a zombie can neither mark, extend nor release", fenceZombieElse},
		{"a settlement is taken once", fenceTwice},
		{"one lost recipient refuses the whole settlement", fenceWhole},
		{"an expired lease that nobody was granted may be settled", fenceLate},
		{"what was released is not held any more", fenceReleased},
		{"a retry of what is leased does not grant it again", fenceRetryActive},
		{"a retry of what a lost lease had keeps it in the queue once", fenceRetryExpired},
		{"tokens grow with every lease", fenceTokensGrow},
		{"a lease whose end was seen, but that nobody was granted, can be extended", fenceExtendEnded},
		{"a due time that came nearer and went away again counts as it is last", fenceDueMoves},
		{"a caller whose clock is behind takes nothing away from the others", fenceClockBehind},
		{"a mark ends with its settlement", markSettled},
		{"a mark stays if the attempt is in doubt", markInDoubt},
		{"a mark shows after a takeover", func(e *env) {
			markShows(e, func() { e.pass(ttl + time.Second) })
		}},
		{"a mark survives a restart", func(e *env) { markShows(e, e.reopen) }},
	}
	if h.Kill != nil {
		ts = append(ts, test{"a mark survives the death of the process", func(e *env) {
			markShows(e, func() { e.s = h.Kill(e.T, e.s); e.pass(ttl + time.Second) })
		}})
	}
	return ts
}

// snapshot is all that can be seen of a message.
func (e *env) snapshot(id queue.MessageID) string {
	e.Helper()
	hs, err := e.s.History(e.ctx, id)
	e.ok(err)
	v := canonical(e.entry(id))
	var last []queue.Attempt
	for i := range v.Recipients {
		last = append(last, canonicalAttempt(v.Recipients[i].Last))
		v.Recipients[i].Last = nil
	}
	return fmt.Sprintf("%+v %+v %d", v, last, len(hs))
}

// takeover returns a lease that was lost and the one that took its place.
func (e *env) takeover() (zombie, heir queue.Lease) {
	e.Helper()
	zombie = e.one()
	e.pass(ttl + time.Second)
	heir = e.one()
	e.want(heir.Message.ID == zombie.Message.ID, "other message")
	return zombie, heir
}

func fenceZombieSettles(e *env) {
	id := e.put(mail{to: many(3, "a")})
	zombie, heir := e.takeover()
	before := e.snapshot(id)
	for _, o := range []queue.State{queue.StateDelivered, queue.StateRelayed, queue.StateBounced, queue.StateExpired, queue.StateDeferred, queue.StateHeld} {
		e.is(e.outcome(zombie, o, e.now), queue.ErrLeaseLost)
		e.want(e.snapshot(id) == before, "%s by a zombie changed something", o)
	}
	e.none()
	e.ok(e.outcome(heir, queue.StateDelivered, time.Time{}))
	after := e.snapshot(id)
	e.is(e.outcome(zombie, queue.StateBounced, time.Time{}), queue.ErrLeaseLost)
	e.want(e.snapshot(id) == after, "a zombie changed what is final")
	d := queue.EventDelivered
	e.kinds(id, queue.EventQueued, d, d, d)
}

func fenceZombieRetries(e *env) {
	id := e.put(mail{})
	zombie, heir := e.takeover()
	e.is(e.outcome(zombie, queue.StateDeferred, e.now), queue.ErrLeaseLost)
	e.none() // or two would have it
	e.ok(e.outcome(heir, queue.StateDeferred, e.now.Add(time.Hour)))
	e.is(e.outcome(zombie, queue.StateDeferred, e.now), queue.ErrLeaseLost)
	e.none()
	e.pass(time.Hour)
	third := e.one()
	e.is(e.outcome(zombie, queue.StateDelivered, e.now), queue.ErrLeaseLost)
	e.is(e.outcome(heir, queue.StateDelivered, e.now), queue.ErrLeaseLost)
	e.ok(e.outcome(third, queue.StateDelivered, time.Time{}))
	e.kinds(id, queue.EventQueued, queue.EventDeferred, queue.EventDelivered)
	e.pass(time.Hour)
	e.none()
}

func fenceZombieElse(e *env) {
	id := e.put(mail{to: many(2, "a")})
	zombie, heir := e.takeover()
	e.is(e.s.Mark(e.ctx, zombie, []queue.RecipientID{id.Recipient(0)}), queue.ErrLeaseLost)
	e.is(e.s.Release(e.ctx, zombie, e.now, []queue.RecipientID{id.Recipient(0)}), queue.ErrLeaseLost)
	_ = e.s.Release(e.ctx, zombie, e.now, nil) // nothing is still held
	lost, err := e.s.Extend(e.ctx, e.now, 10*ttl, zombie, heir)
	e.want(err == nil && len(lost) == 1 && lost[0].Token == zombie.Token, "lost: %v, %v", lost, err)
	e.none()
	e.ok(e.s.Mark(e.ctx, heir, []queue.RecipientID{id.Recipient(0), id.Recipient(1)}))
	e.ok(e.outcome(heir, queue.StateDelivered, time.Time{}))
	e.is(e.s.Mark(e.ctx, heir, []queue.RecipientID{id.Recipient(0)}), queue.ErrLeaseLost)
	for _, r := range e.entry(id).Recipients {
		e.want(!r.InDoubt, "a zombie's mark stuck to %+v", r)
	}
}

func fenceTwice(e *env) {
	id := e.put(mail{to: many(2, "a")})
	l := e.one()
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.is(e.outcome(l, queue.StateDelivered, time.Time{}), queue.ErrLeaseLost)
	e.is(e.outcome(l, queue.StateDeferred, e.now), queue.ErrLeaseLost)
	e.kinds(id, queue.EventQueued, queue.EventDelivered, queue.EventDelivered)
	// The same recipient twice in one settlement is no way to count it twice.
	id = e.put(mail{})
	l = e.one()
	s := e.settlements(l, queue.StateDelivered, time.Time{})[0]
	_ = e.s.Settle(e.ctx, l, []queue.Settlement{s, s})
	hs, err := e.s.History(e.ctx, id)
	e.want(err == nil && len(hs) <= 2, "events %v, %v", hs, err)
	e.want(e.rcpt(id.Recipient(0)).Attempts == len(hs)-1, "attempts and events differ: %+v", e.rcpt(id.Recipient(0)))
}

func fenceWhole(e *env) {
	id := e.put(mail{to: many(4, "a")})
	other := e.put(mail{to: lanes("b")})
	var l, o queue.Lease
	for _, x := range e.lease(9) {
		if x.Message.ID == id {
			l = x
		} else {
			o = x
		}
	}
	ss := e.settlements(l, queue.StateDelivered, time.Time{})
	e.ok(e.s.Settle(e.ctx, l, ss[2:3]))
	before := e.snapshot(id)
	e.is(e.s.Settle(e.ctx, l, ss), queue.ErrLeaseLost)
	e.want(e.snapshot(id) == before, "a refused settlement changed something")
	// Recipients of another message, or that do not exist, are not held either.
	foreign := append(e.settlements(o, queue.StateDelivered, time.Time{}), ss[0])
	e.want(e.s.Settle(e.ctx, l, foreign) != nil, "a foreign recipient was settled")
	unknown := ss[0]
	unknown.Recipient = id.Recipient(77)
	e.want(e.s.Settle(e.ctx, l, []queue.Settlement{ss[0], unknown}) != nil, "an unknown recipient was settled")
	e.want(e.snapshot(id) == before, "a refused settlement changed something")
	e.states(other, queue.StateActive)
	e.ok(e.s.Settle(e.ctx, l, []queue.Settlement{ss[0], ss[1], ss[3]}))
	e.states(id, queue.StateDelivered, queue.StateDelivered, queue.StateDelivered, queue.StateDelivered)
}

func fenceLate(e *env) {
	id := e.put(mail{to: many(2, "a")})
	blocker := e.put(mail{to: lanes("b")})
	var l queue.Lease
	for _, x := range e.lease(9) {
		if x.Message.ID == id {
			l = x
		}
	}
	e.pass(ttl + time.Minute)
	q := e.ask(9)
	q.Lane = "b" // somebody leases, but not this
	ls, err := e.s.Lease(e.ctx, *q)
	e.want(err == nil && len(ls) == 1 && ls[0].Message.ID == blocker, "leased %v, %v", ls, err)
	ss := e.settlements(l, queue.StateDelivered, time.Time{})
	e.ok(e.s.Settle(e.ctx, l, ss[:1]))
	e.ok(e.s.Settle(e.ctx, l, e.settlements(l, queue.StateDeferred, e.now.Add(time.Hour))[1:]))
	e.states(id, queue.StateDelivered, queue.StateDeferred)
	e.none()
	e.kinds(id, queue.EventQueued, queue.EventDelivered, queue.EventDeferred)
	e.pass(time.Hour)
	e.want(len(e.lease(9)) == 2, "the deferred one and the blocker are due")
}

func fenceReleased(e *env) {
	id := e.put(mail{})
	l := e.one()
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.is(e.outcome(l, queue.StateDelivered, time.Time{}), queue.ErrLeaseLost)
	e.is(e.s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0)}), queue.ErrLeaseLost)
	e.states(id, queue.StateQueued)
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
}

func fenceRetryActive(e *env) {
	id := e.put(mail{})
	l := e.one()
	for range 2 {
		a := e.act(queue.ActionRetry, id)
		e.want(a.Pending == 1 && a.Changed == 0, "applied: %+v", a)
		e.none()
	}
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.none()
	e.kinds(id, queue.EventQueued, queue.EventDelivered)
}

func fenceRetryExpired(e *env) {
	id := e.put(mail{})
	e.ok(e.outcome(e.one(), queue.StateDeferred, e.now.Add(time.Hour)))
	e.pass(time.Hour)
	zombie := e.one()
	e.pass(ttl + time.Second)
	e.act(queue.ActionRetry, id)
	e.act(queue.ActionRetry, id)
	ls := e.leaseSoon(9)
	e.want(len(ls) == 1, "%d leases after a retry", len(ls))
	heir := ls[0]
	e.none()
	e.is(e.outcome(zombie, queue.StateDeferred, e.now), queue.ErrLeaseLost)
	e.none()
	e.act(queue.ActionRetry, id)
	e.none()
	e.ok(e.outcome(heir, queue.StateDeferred, e.now.Add(time.Hour))) // a retry is pending: due now
	e.pass(time.Second)
	last := e.one()
	e.none()
	e.ok(e.outcome(last, queue.StateDelivered, time.Time{}))
	e.pass(2 * time.Hour)
	e.none()
}

func fenceTokensGrow(e *env) {
	e.put(mail{})
	var last queue.Token
	for i := range 12 {
		l := e.one()
		e.want(l.Token > last, "token %d after %d", l.Token, last)
		last = l.Token
		switch i % 4 {
		case 0:
			e.ok(e.s.Release(e.ctx, l, e.now, nil))
		case 1:
			e.ok(e.outcome(l, queue.StateDeferred, e.now))
		case 2:
			e.pass(ttl + time.Second)
		case 3:
			e.reopen()
		}
	}
}

func markSettled(e *env) {
	id := e.put(mail{to: many(2, "a")})
	l := e.one()
	e.ok(e.s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0), id.Recipient(1)}))
	ss := e.settlements(l, queue.StateDeferred, e.now)
	ss[1].Outcome = queue.StateDelivered
	e.ok(e.s.Settle(e.ctx, l, ss))
	for _, v := range e.kinds(id, queue.EventQueued, queue.EventDeferred, queue.EventDelivered) {
		e.want(!v.InDoubt, "event in doubt: %+v", v)
	}
	e.want(!e.one().Recipients[0].InDoubt, "in doubt after an answer was settled")
	e.reopen()
	for _, r := range e.entry(id).Recipients {
		e.want(!r.InDoubt, "in doubt after an answer was settled, after a restart: %+v", r)
	}
}

func markInDoubt(e *env) {
	id := e.put(mail{to: many(2, "a")})
	l := e.one()
	e.ok(e.s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0)}))
	ss := e.settlements(l, queue.StateDeferred, e.now)
	ss[0].Attempt.InDoubt = true
	e.ok(e.s.Settle(e.ctx, l, ss))
	for range 2 {
		rs := e.entry(id).Recipients
		e.want(rs[0].InDoubt && rs[0].Last.InDoubt && !rs[1].InDoubt, "recipients: %+v", rs)
		e.reopen()
	}
	l = e.one()
	e.want(l.Recipients[0].InDoubt && !l.Recipients[1].InDoubt, "leased: %+v", l.Recipients)
}

// markShows lets end end a lease that was marked.
func markShows(e *env, end func()) {
	id := e.put(mail{to: many(3, "a")})
	l := e.one()
	e.ok(e.s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0), id.Recipient(2)}))
	end()
	l = e.one()
	rs := l.Recipients
	e.want(len(rs) == 3 && rs[0].InDoubt && !rs[1].InDoubt && rs[2].InDoubt, "leased: %+v", rs)
	rs = e.entry(id).Recipients
	e.want(rs[0].InDoubt && !rs[1].InDoubt && rs[2].InDoubt, "recipients: %+v", rs)
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	for i, v := range e.kinds(id, queue.EventQueued, queue.EventDelivered, queue.EventDelivered, queue.EventDelivered)[1:] {
		want := v.Recipient != id.Recipient(1)
		e.want(v.InDoubt == want, "event %d: in doubt is %v: %+v", i, v.InDoubt, v)
	}
}

func fenceExtendEnded(e *env) {
	id := e.put(mail{to: many(2, "a")})
	l := e.one()
	e.pass(ttl + time.Second)
	r := e.ask(10)
	r.Lane = "other"
	ls, err := e.s.Lease(e.ctx, *r)
	e.ok(err)
	e.want(len(ls) == 0, "leased %v", ls)
	lost, err := e.s.Extend(e.ctx, e.now, ttl, l)
	e.ok(err)
	e.want(len(lost) == 0, "it is lost")
	e.states(id, queue.StateActive, queue.StateActive)
	e.none()
	e.pass(ttl - time.Second)
	e.none()
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
}

// fenceDueMoves moves times by no more than an engine may take for the same,
// wherever it draws its lines.
func fenceDueMoves(e *env) {
	for range 3 {
		id := e.put(mail{})
		for _, wait := range []time.Duration{10 * time.Second, 12 * time.Second, 11 * time.Second} {
			e.ok(e.outcome(e.one(), queue.StateDeferred, e.now.Add(wait)))
			e.act(queue.ActionRetry, id)
		}
		due := e.now.Add(13 * time.Second)
		e.ok(e.outcome(e.one(), queue.StateDeferred, due))
		for range 12 {
			e.pass(time.Second)
			e.none()
		}
		e.pass(time.Second)
		e.want(e.now.Equal(due), "it is %v", e.now)
		e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	}
}

func fenceClockBehind(e *env) {
	e.put(mail{to: []rcpt{{lane: "a", state: queue.StateScheduled, due: e.now.Add(3 * time.Second)}}})
	ahead := e.ask(10)
	ahead.Now, ahead.Lane = e.now.Add(5*time.Second), "other"
	for range 2 {
		ls, err := e.s.Lease(e.ctx, *ahead)
		e.ok(err)
		e.want(len(ls) == 0, "leased %v", ls)
		e.none()
	}
	e.pass(5 * time.Second)
	e.one()
}
