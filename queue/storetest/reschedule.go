package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"postrider/queue"
)

func (e *env) reschedule(id queue.MessageID, due, end time.Time) queue.Applied {
	e.Helper()
	return e.apply(queue.Operation{
		Action: queue.ActionReschedule, Filter: queue.Filter{Messages: []queue.MessageID{id}}, Due: due, ExpiresAt: end, Actor: "op", Reason: "why",
	})
}

func rescheduleMoves(e *env) {
	for _, in := range []time.Duration{2 * time.Hour, 9 * time.Hour, 0, -time.Hour} {
		id, l := e.scene()
		before := e.entry(id)
		at := e.now.Add(in)
		dry := e.apply(queue.Operation{Action: queue.ActionReschedule, Filter: queue.Filter{Messages: []queue.MessageID{id}}, Due: at, ExpiresAt: at, DryRun: true})
		e.want(dry == queue.Applied{Matched: 2, Changed: 2}, "dry: %+v", dry)
		e.want(reflect.DeepEqual(archived(e.entry(id)), archived(before)), "a dry run changed something")
		a := e.reschedule(id, at, time.Time{})
		e.want(a == dry, "in %v: applied %+v", in, a)
		moved := queue.StateScheduled
		if in <= 0 {
			moved = queue.StateQueued
		}
		e.states(id, queue.StateActive, queue.StateDelivered, queue.StateDeferred, moved, queue.StateHeld, moved)
		for _, step := range []string{"at once", "after a restart"} {
			after := e.entry(id)
			for i, r := range after.Recipients {
				switch was := before.Recipients[i]; {
				case i == 0: // active, and then settled
				case i != 3 && i != 5:
					e.want(r.Due.Equal(was.Due) && r.Events == was.Events && r.Pending == queue.ActionNone, "%s, in %v: recipient %d is %+v", step, in, i, r)
				case in > 0:
					e.want(r.Due.Equal(at) && r.UpdatedAt.Equal(e.now) && r.Attempts == 0, "%s, in %v: recipient %d is %+v", step, in, i, r)
				default:
					e.want(!r.Due.After(e.now) && r.Attempts == 0, "%s, in %v: recipient %d is %+v", step, in, i, r)
				}
			}
			e.want(after.Message.ExpiresAt.Equal(before.Message.ExpiresAt), "its end has moved to %v", after.Message.ExpiresAt)
			if step == "at once" {
				e.recount()
				e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
				e.reopen()
			}
		}
		e.act(queue.ActionCancel, id)
	}
	_, err := e.s.Apply(e.ctx, queue.Operation{Action: queue.ActionReschedule, Now: e.now})
	e.want(err != nil, "it was rescheduled to no time at all")
}

func rescheduleDue(e *env) {
	id := e.put(mail{to: []rcpt{{lane: "a"}, {lane: "b", state: queue.StateScheduled, due: e.now.Add(5 * time.Hour)}}})
	// Later, for the one; earlier, for the other.
	e.reschedule(id, e.now.Add(time.Hour), time.Time{})
	e.none()
	e.dueAt(e.now.Add(time.Hour))
	e.pass(59 * time.Minute)
	// Later again: the old time comes and is nobody's.
	e.reschedule(id, e.now.Add(2*time.Hour), time.Time{})
	e.pass(90 * time.Minute)
	e.none()
	e.dueAt(e.now.Add(30 * time.Minute))
	e.pass(30 * time.Minute)
	ls := e.lease(9)
	e.want(len(ls) == 2, "%d leases, want 2", len(ls))
	// Given back untried it may be moved still, tried it may not.
	e.ok(e.s.Release(e.ctx, ls[0], e.now, nil))
	e.ok(e.outcome(ls[1], queue.StateDeferred, e.now.Add(10*time.Hour)))
	e.want(e.reschedule(id, e.now.Add(time.Hour), time.Time{}) == queue.Applied{Matched: 1, Changed: 1}, "what was given back, and what was tried")
	e.none()
	c, stop := e.s.Wake()
	defer stop()
	for received(c) {
	}
	e.want(e.reschedule(id, e.now, time.Time{}) == queue.Applied{Matched: 1, Changed: 1}, "at once")
	e.signalled(c, "rescheduling to now")
	l := e.one()
	e.want(l.Lane == ls[0].Lane, "leased is lane %s, want %s", l.Lane, ls[0].Lane)
	e.ok(e.outcome(l, queue.StateDelivered, time.Time{}))
	e.pass(20 * time.Hour)
	l = e.one()
	e.want(l.Lane == ls[1].Lane, "leased is lane %s, want %s", l.Lane, ls[1].Lane)
}

func rescheduleEnd(e *env) {
	at := e.now.Add(time.Hour)
	id := e.put(mail{facts: labelled, to: []rcpt{{lane: "a", state: queue.StateScheduled, due: at}, {lane: "b", state: queue.StateHeld}}})
	other := e.put(mail{to: []rcpt{{lane: "c", state: queue.StateScheduled, due: at}}})
	want := canonical(e.entry(id)).Message
	want.ExpiresAt = e.now.Add(300 * time.Hour)
	a := e.reschedule(id, time.Time{}, want.ExpiresAt)
	e.want(a == queue.Applied{Matched: 1, Changed: 1}, "applied %+v", a)
	for range 2 {
		e.states(id, queue.StateScheduled, queue.StateHeld)
		got := canonical(e.entry(id)).Message
		e.want(reflect.DeepEqual(got, want), "message is\n%+v, want\n%+v", got, want)
		e.want(e.rcpt(id.Recipient(0)).Due.Equal(at), "it is due %v", e.rcpt(id.Recipient(0)).Due)
		e.want(e.entry(other).Message.ExpiresAt.Equal(e.now.Add(72*time.Hour)), "another message was changed")
		e.reopen()
	}
	vs := e.kinds(id, queue.EventQueued, queue.EventScheduled)
	e.want(vs[1].Due.Equal(at) && vs[1].Recipient == id.Recipient(0), "event is %+v", vs[1])
	// Both at once.
	want.ExpiresAt = e.now.Add(400 * time.Hour)
	e.reschedule(id, e.now, want.ExpiresAt)
	l := e.one()
	got := canonical(queue.Entry{Message: l.Message}).Message
	e.want(reflect.DeepEqual(got, want), "leased is\n%+v, want\n%+v", got, want)
	// Where nobody waits for a first attempt the message stays as it is.
	e.want(e.reschedule(id, time.Time{}, e.now) == queue.Applied{}, "what is active was rescheduled")
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	e.want(e.reschedule(id, time.Time{}, e.now) == queue.Applied{}, "what was tried was rescheduled")
	e.want(e.entry(id).Message.ExpiresAt.Equal(want.ExpiresAt), "it ends %v", e.entry(id).Message.ExpiresAt)
	// A content is where it was.
	e.want(len(e.read(id)) > 0, "the content is gone")
	e.recount()
}

// rescheduleMany has selections of more than one step, by each way to select.
func rescheduleMany(e *env) {
	n := e.scaled(1500)
	e.fill("shop", queue.PriorityNormal, n, func(i int) queue.Lane { return queue.Lane(fmt.Sprint("lane", i%3)) })
	big := e.put(mail{account: "shop", to: many(queue.MaxRecipients, "lane1")})
	n += queue.MaxRecipients
	end := e.now.Add(500 * time.Hour)
	for i, f := range []queue.Filter{{Account: "shop"}, {States: []queue.State{queue.StateQueued, queue.StateScheduled}}, {}} {
		e.pass(time.Minute)
		due := e.now.Add(time.Duration(3-i) * time.Hour)
		op := queue.Operation{Action: queue.ActionReschedule, Filter: f, Due: due, ExpiresAt: end}
		e.want(e.apply(op) == queue.Applied{Matched: n, Changed: n}, "%+v", f)
		e.want(e.total()[queue.StateScheduled] == int64(n), "counts are %v", e.total())
	}
	e.pass(time.Minute)
	lane := queue.Operation{Action: queue.ActionReschedule, Filter: queue.Filter{Lane: "lane1"}, Due: e.now.Add(9 * time.Hour)}
	in := e.apply(lane)
	e.want(in.Changed > queue.MaxRecipients && in.Changed < n && in.Matched == in.Changed, "%+v", in)
	for _, r := range e.entry(big).Recipients {
		e.want(r.Events == 4 && r.Due.Equal(lane.Due), "recipient is %+v", r)
	}
	e.want(e.entry(big).Message.ExpiresAt.Equal(end), "it ends %v", e.entry(big).Message.ExpiresAt)
	e.pass(time.Hour)
	got := 0
	for _, l := range e.lease(n) {
		got += len(l.Recipients)
	}
	e.want(got == n-in.Changed, "%d recipients are due, want %d", got, n-in.Changed)
	e.recount()
}

func rescheduleEvents(e *env) {
	id := e.put(mail{account: "blog", to: lanes("a", "b")})
	e.pass(time.Minute)
	due := e.now.Add(time.Hour)
	e.reschedule(id, due, time.Time{})
	vs := e.kinds(id, queue.EventQueued, queue.EventScheduled, queue.EventScheduled)
	seen := map[queue.RecipientID]bool{}
	for _, v := range vs[1:] {
		seen[v.Recipient] = true
		e.want(v.Actor == "op" && v.Reason == "why" && v.At.Equal(e.now) && v.Due.Equal(due) && v.Account == "blog" && v.Attempt == nil, "event is %+v", v)
		e.want(v.ID == queue.NewEventID(v.At, v.Recipient, 0), "event's id is %s", v.ID)
	}
	e.want(len(seen) == 2, "events are of %v", seen)
	e.pass(time.Minute)
	e.reschedule(id, e.now.Add(-time.Hour), time.Time{})
	for _, v := range e.kinds(id, queue.EventQueued, queue.EventScheduled, queue.EventScheduled, queue.EventScheduled, queue.EventScheduled)[3:] {
		e.want(v.Due.Equal(e.now) && v.At.Equal(e.now), "event is %+v", v)
	}
	e.agree([]queue.MessageID{id})
	e.reopen()
	e.agree([]queue.MessageID{id})
}

// crashReschedule accepts a message with labels and reschedules it and others,
// with another end: of each message all or nothing.
func crashReschedule() Trial {
	var ids []queue.MessageID
	var labels queue.MessageID // zero: not acknowledged
	var changed int
	due, end := epoch.Add(time.Hour), epoch.Add(500*time.Hour)
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for range 2 {
				ids = append(ids, e.put(mail{to: many(3, "a")}))
			}
		},
		During: func(s queue.Store) {
			e := onStore(nil, s)
			e.seq.Store(10)
			out, err := e.try(mail{facts: labelled, to: many(3, "b")})
			if err != nil {
				return
			}
			labels = out.ID
			a, _ := s.Apply(e.ctx, queue.Operation{Action: queue.ActionReschedule, Now: epoch, Due: due, ExpiresAt: end})
			changed = a.Changed
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			vs, err := e.list(queue.Filter{}, 10)
			e.ok(err)
			moved, there, all := 0, false, []queue.MessageID{}
			for _, v := range vs {
				id := v.Message.ID
				all = append(all, id)
				if id != ids[0] && id != ids[1] {
					there = true
					e.want(v.Message.Sandbox && v.Message.Labels.Metadata["order"] == "12", "message is %+v", v.Message)
				}
				is := v.Message.ExpiresAt.Equal(end)
				for _, r := range v.Recipients {
					e.want((r.State == queue.StateScheduled && r.Due.Equal(due) && r.Events == 1) == is, "of a message that ends %v: %+v", v.Message.ExpiresAt, r)
					if is {
						moved++
					}
				}
			}
			e.want(there || labels.IsZero(), "an acknowledged message is lost")
			e.want(moved >= changed, "%d were changed, %d are", changed, moved)
			e.agree(all)
			e.recount()
		},
	}
}
