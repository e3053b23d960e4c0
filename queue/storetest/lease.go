package storetest

import (
	"reflect"
	"time"

	"postrider/queue"
)

func leaseTests() []test {
	return []test{
		{"it carries what an attempt needs", leaseWhole},
		{"at most a hundred recipients of one message in one lane", leaseShape},
		{"recipients are in order of index, however they became due", leaseIndexOrder},
		{"no more than asked for", leaseMax},
		{"what is leased is not leased again until it ends", leaseExclusive},
		{"one lane may be asked for", leaseLane},
		{"deferred recipients come back when they are due", leaseDeferred},
		{"released recipients are as before", leaseRelease},
		{"a part may be released", leaseReleasePart},
		{"an extended lease lives on, a lost one is named", leaseExtend},
		{"a graceful close ends leases", leaseEndsWithClose},
	}
}

func leaseWhole(e *env) {
	id := e.put(mail{account: "blog", to: lanes("a")})
	before := e.entry(id)
	l := e.one()
	e.checkLease(l)
	e.want(l.Lane == "a", "lane is %s", l.Lane)
	e.want(reflect.DeepEqual(canonical(queue.Entry{Message: l.Message}), canonical(queue.Entry{Message: before.Message})), "message is %+v", l.Message)
	c, err := e.s.OpenContent(e.ctx, l.Message.Content)
	e.ok(err)
	e.ok(c.Close())
	want := canonical(before).Recipients
	want[0].State = queue.StateActive
	e.want(reflect.DeepEqual(canonical(queue.Entry{Recipients: l.Recipients}).Recipients, want), "recipients are %+v", l.Recipients)
	e.states(id, queue.StateActive)
	e.want(e.total()[queue.StateActive] == 1, "counts: %v", e.total())
	e.kinds(id, queue.EventQueued) // a lease is no event
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	again := e.one()
	r := again.Recipients[0]
	e.want(again.Token > l.Token && r.Attempts == 1 && r.Class == queue.ClassGreylist, "second lease is %+v", again)
	e.want(r.Last != nil && reflect.DeepEqual(r.Last.Reply, e.attempt(1).Reply), "last attempt is %+v", r.Last)
}

func leaseShape(e *env) {
	var to []rcpt
	for range 210 {
		to = append(to, rcpt{lane: "even"}, rcpt{lane: "odd"})
	}
	id := e.put(mail{to: to})
	ls := e.lease(50)
	e.want(len(ls) == 6, "%d leases of 2 × 210 recipients, want 6", len(ls))
	seen := map[queue.RecipientID]bool{}
	for _, l := range ls {
		e.checkLease(l)
		for _, r := range l.Recipients {
			e.want(!seen[r.ID], "%s is leased twice", r.ID)
			seen[r.ID] = true
		}
	}
	e.want(len(seen) == 420, "%d recipients were leased", len(seen))
	e.put(mail{to: lanes("odd")})
	l := e.one()
	e.want(l.Message.ID != id, "messages are mixed")
}

func leaseIndexOrder(e *env) {
	var to []rcpt
	for i := range 9 {
		to = append(to, rcpt{lane: "a", state: queue.StateScheduled, due: e.now.Add(time.Duration(i*4%9) * time.Second)})
	}
	e.put(mail{to: to})
	e.pass(time.Minute)
	l := e.one()
	e.checkLease(l)
	e.want(len(l.Recipients) == 9, "%d recipients were leased", len(l.Recipients))
}

func leaseMax(e *env) {
	for range 7 {
		e.put(mail{to: lanes("a", "b")})
	}
	e.want(len(e.lease(0)) == 0, "Max 0 grants something")
	got := 0
	for _, n := range []int{1, 2, 3, 100} {
		ls := e.lease(n)
		e.want(len(ls) == min(n, 14-got), "%d leases, asked for %d, %d are left", len(ls), n, 14-got)
		got += len(ls)
	}
	e.none()
}

func leaseExclusive(e *env) {
	id := e.put(mail{})
	first := e.one()
	e.pass(ttl - time.Second)
	e.none()
	e.states(id, queue.StateActive)
	e.pass(2 * time.Second)
	second := e.one()
	e.want(second.Token > first.Token, "token %d after %d", second.Token, first.Token)
	e.want(second.Recipients[0].Attempts == 0, "an expired lease counts as an attempt")
	e.want(second.Expires.Equal(e.now.Add(ttl)), "expires %v", second.Expires)
	e.kinds(id, queue.EventQueued)
}

func leaseLane(e *env) {
	for range 3 {
		e.put(mail{to: lanes("a", "b")})
	}
	q := e.ask(10)
	for lane, n := range map[queue.Lane]int{"a": 3, "c": 0} {
		q.Lane = lane
		ls, err := e.s.Lease(e.ctx, *q)
		e.want(err == nil && len(ls) == n, "lane %s: %d leases, %v", lane, len(ls), err)
		for _, l := range ls {
			e.want(l.Lane == lane, "lane %s, asked for %s", l.Lane, lane)
		}
	}
	e.want(len(e.lease(10)) == 3, "the other lane must be left")
}

func leaseDeferred(e *env) {
	id := e.put(mail{})
	for n := 1; n <= 5; n++ {
		l := e.one()
		e.want(l.Recipients[0].Attempts == n-1, "attempts are %d before attempt %d", l.Recipients[0].Attempts, n)
		due := e.now.Add(time.Duration(n) * time.Hour)
		e.ok(e.outcome(l, queue.StateDeferred, due))
		r := e.rcpt(id.Recipient(0))
		e.want(r.State == queue.StateDeferred && r.Due.Equal(due) && r.Attempts == n && r.Last.Number == n, "after attempt %d: %+v", n, r)
		e.none()
		if n == 3 {
			e.reopen()
		}
		e.now = due.Add(-time.Millisecond)
		e.none()
		e.now = due
	}
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	d, k := queue.EventDeferred, queue.EventQueued
	e.kinds(id, k, d, d, d, d, d, queue.EventDelivered)
	e.pass(1000 * time.Hour)
	e.none()
}

func leaseRelease(e *env) {
	id := e.put(mail{to: []rcpt{{}, {}, {state: queue.StateScheduled, due: e.now.Add(time.Minute)}}})
	l := e.one()
	ss := e.settlements(l, queue.StateDeferred, e.now.Add(time.Minute))
	e.ok(e.s.Settle(e.ctx, l, ss[1:]))
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.pass(time.Minute)
	before := e.entry(id)
	for range 3 {
		ls := e.lease(10)
		n := 0
		for _, l := range ls {
			n += len(l.Recipients)
		}
		e.want(n == 3, "%d recipients were leased", n)
		e.states(id, queue.StateActive, queue.StateActive, queue.StateActive)
		for _, l := range ls {
			e.ok(e.s.Release(e.ctx, l, e.now, nil))
		}
		after := e.entry(id)
		for i, r := range after.Recipients {
			b := before.Recipients[i]
			e.want(r.State == b.State && r.Due.Equal(b.Due) && r.Attempts == b.Attempts && r.Events == b.Events && r.Lane == b.Lane && r.Class == b.Class, "released:\n got %+v\nwant %+v", r, b)
		}
	}
	e.kinds(id, queue.EventQueued, queue.EventDeferred)
	e.states(id, queue.StateQueued, queue.StateDeferred, queue.StateScheduled)
}

func leaseReleasePart(e *env) {
	id := e.put(mail{to: many(4, "a")})
	l := e.one()
	e.ok(e.s.Release(e.ctx, l, e.now, []queue.RecipientID{id.Recipient(1)}))
	e.states(id, queue.StateActive, queue.StateQueued, queue.StateActive, queue.StateActive)
	ss := e.settlements(l, queue.StateDelivered, time.Time{})
	e.is(e.s.Settle(e.ctx, l, ss), queue.ErrLeaseLost)
	e.ok(e.s.Settle(e.ctx, l, ss[:1]))
	e.is(e.s.Release(e.ctx, l, e.now, []queue.RecipientID{id.Recipient(0)}), queue.ErrLeaseLost)
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.states(id, queue.StateDelivered, queue.StateQueued, queue.StateQueued, queue.StateQueued)
	n := 0
	for _, l := range e.lease(10) {
		n += len(l.Recipients)
	}
	e.want(n == 3, "%d recipients were leased again", n)
}

func leaseExtend(e *env) {
	ids := []queue.MessageID{e.put(mail{}), e.put(mail{}), e.put(mail{})}
	ls := e.lease(3)
	e.pass(ttl - time.Second)
	lost, err := e.s.Extend(e.ctx, e.now, ttl, ls[0], ls[1])
	e.want(err == nil && len(lost) == 0, "lost %v, %v", lost, err)
	e.pass(2 * time.Second)
	again := e.one() // the third ended
	e.want(again.Message.ID == ls[2].Message.ID, "leased again: %s", again.Message.ID)
	e.ok(e.outcome(ls[0], queue.StateDelivered, time.Time{}))
	lost, err = e.s.Extend(e.ctx, e.now, ttl, ls...)
	e.want(err == nil && len(lost) == 2 && lost[0].Message.ID != ls[1].Message.ID && lost[1].Message.ID != ls[1].Message.ID, "lost %v, %v", lost, err)
	e.pass(ttl - time.Second)
	lost, err = e.s.Extend(e.ctx, e.now, ttl, ls[1])
	e.want(err == nil && len(lost) == 0, "lost %v, %v", lost, err)
	e.ok(e.outcome(ls[1], queue.StateDelivered, time.Time{}))
	done := 0
	for _, id := range ids {
		if e.rcpt(id.Recipient(0)).State == queue.StateDelivered {
			done++
		}
	}
	e.want(done == 2, "%d are delivered", done)
}

func leaseEndsWithClose(e *env) {
	id := e.put(mail{to: lanes("a", "b", "c")})
	old := e.lease(2)
	e.want(len(old) == 2, "%d leases", len(old))
	e.reopen()
	ls := e.lease(10)
	e.want(len(ls) == 3, "%d leases after a restart, want all 3", len(ls))
	for _, l := range ls {
		for _, o := range old {
			e.want(l.Lane != o.Lane || l.Token > o.Token, "token %d after %d", l.Token, o.Token)
		}
	}
	e.is(e.outcome(old[0], queue.StateBounced, time.Time{}), queue.ErrLeaseLost)
	e.states(id, queue.StateActive, queue.StateActive, queue.StateActive)
}
