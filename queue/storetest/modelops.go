package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

// filter makes a random one, and says what it selects; shown is a recipient's
// state if it is not leased, or active.
func (m *model) filter() (queue.Filter, func(f *fate, shown queue.State) bool) {
	var q queue.Filter
	switch m.rng.IntN(6) {
	case 0:
		q.Account = fmt.Sprint("account", m.rng.IntN(3))
	case 1:
		q.Lane = m.someLane()
	case 2:
		q.States = []queue.State{queue.State(1 + m.rng.IntN(5)), queue.State(1 + m.rng.IntN(5))}
	case 3:
		q.Class = queue.ClassGreylist
	case 4:
		for range 3 {
			if len(m.ids) > 0 {
				q.Recipients = append(q.Recipients, m.ids[m.rng.IntN(len(m.ids))])
			}
		}
	default:
		for range 4 {
			if len(m.ids) > 0 {
				q.Messages = append(q.Messages, m.ids[m.rng.IntN(len(m.ids))].Message())
			}
		}
	}
	return q, func(f *fate, shown queue.State) bool {
		return (q.Account == "" || m.msgs[f.id.Message()].Account == q.Account) && (q.Lane == "" || f.lane == q.Lane) &&
			(q.Class == "" || f.class == q.Class) && (len(q.States) == 0 || slices.Contains(q.States, shown)) &&
			(len(q.Messages) == 0 || slices.Contains(q.Messages, f.id.Message())) &&
			(len(q.Recipients) == 0 || slices.Contains(q.Recipients, f.id))
	}
}

// concerned reports whether an action is for a state.
func concerned(a queue.Action, s queue.State) bool {
	switch a {
	case queue.ActionRelease:
		return s == queue.StateHeld
	case queue.ActionReschedule:
		return s == queue.StateQueued || s == queue.StateScheduled
	case queue.ActionHold, queue.ActionRetry:
		return s == queue.StateQueued || s == queue.StateDeferred || s == queue.StateScheduled || s == queue.StateActive
	}
	return !s.Final()
}

func (m *model) apply() {
	f, selects := m.filter()
	op := queue.Operation{Action: queue.Action(1 + m.rng.IntN(6)), Filter: f}
	if op.Action == queue.ActionReschedule {
		op.Due = m.now.Add(time.Duration(m.rng.IntN(600)-100) * time.Second)
		m.due = op.Due
	}
	m.operate(op, selects)
}

// retryNow is for everything, what is leased included.
func (m *model) retryNow() {
	m.operate(queue.Operation{Action: queue.ActionRetry}, func(*fate, queue.State) bool { return true })
}

// operate does an operation. What the contract leaves open, such as whether an
// expired lease still counts as one, is taken from the store and checked to be
// one of the ways it can be.
func (m *model) operate(op queue.Operation, selects func(f *fate, shown queue.State) bool) {
	op.Now, op.Actor = m.now, "op"
	var changes, pends, either []*fate
	for _, id := range m.ids {
		f := m.all[id]
		if f.pending != queue.ActionNone && m.active(f) == open {
			m.message(id.Message()) // it may have been done meanwhile
		}
		asIs := concerned(op.Action, f.state) && selects(f, f.state) && (op.Action != queue.ActionReschedule || f.attempts == 0)
		asActive := concerned(op.Action, queue.StateActive) && selects(f, queue.StateActive)
		dueAlready := op.Action == queue.ActionRetry && !f.due.After(m.now)
		switch leased := m.active(f); {
		case leased == yes && asActive:
			pends = append(pends, f)
		case leased == no && asIs && !dueAlready:
			changes = append(changes, f)
		case leased == no && asIs, leased == open && (asIs || asActive || f.pending != queue.ActionNone):
			either = append(either, f)
		}
	}
	if m.rng.IntN(4) == 0 {
		op.DryRun = true
	}
	got, err := m.s.Apply(m.ctx, op)
	m.check(err == nil, "%s: %v", op.Action, err)
	m.check(got.Matched == got.Changed+got.Pending, "%s: %+v", op.Action, got)
	m.check(got.Changed >= len(changes) && got.Pending >= len(pends) && got.Matched <= len(changes)+len(pends)+len(either),
		"%s of %+v: %+v, want %d changed, %d pending, %d either", op.Action, op.Filter, got, len(changes), len(pends), len(either))
	if op.DryRun {
		return
	}
	for _, f := range changes {
		m.act(f, op.Action)
	}
	for _, f := range pends {
		f.pending = op.Action
	}
	for _, f := range either {
		m.observe(f, op.Action)
	}
	for _, id := range m.ids {
		if id.Index() == 0 {
			m.message(id.Message())
		}
	}
}

// observe takes from the store what it did to a recipient that may have been
// selected.
func (m *model) observe(f *fate, a queue.Action) {
	r := m.rcpt(f.id)
	grew := int(r.Events) - len(f.kinds)
	if grew > 0 && f.pending != queue.ActionNone { // its lease ended, and that first
		m.act(f, f.pending)
		f.unsure = f.holder != nil
		grew--
	}
	switch {
	case grew > 0:
		m.check(grew == 1 && concerned(a, f.state), "%s of %s, which is %s, made %d events", a, f.id, f.state, grew)
		m.act(f, a)
		f.unsure = f.holder != nil
	case r.Pending != f.pending:
		m.check(r.Pending == a, "%s has pending %s after %s", f.id, r.Pending, a)
		f.pending = a
	}
}

// sweep forgets some of what is final.
func (m *model) sweep() {
	before, err := m.list(queue.Filter{}, 100)
	m.check(err == nil, "%v", err)
	m.readTail()
	border := m.now.Add(-time.Duration(m.rng.IntN(3600)) * time.Second)
	r := queue.Retention{Now: m.now, Sent: border, Bounced: border, Content: m.now.Add(-time.Hour)}
	m.sweepAll(r)
	for _, v := range before {
		final, last := true, time.Time{}
		for _, x := range v.Recipients {
			final = final && x.State.Final()
			if x.UpdatedAt.After(last) {
				last = x.UpdatedAt
			}
		}
		id := v.Message.ID
		_, err := m.s.Message(m.ctx, id)
		if !final || !last.Before(border) {
			m.check(err == nil, "%s is gone: %v", id, err)
			continue
		}
		m.check(errors.Is(err, queue.ErrNotFound), "%s is still there: %v", id, err)
		for _, f := range m.of(id) {
			delete(m.all, f.id)
			m.ids = slices.DeleteFunc(m.ids, func(x queue.RecipientID) bool { return x == f.id })
		}
		delete(m.msgs, id)
		delete(m.log, id)
		m.leases = slices.DeleteFunc(m.leases, func(g *grant) bool { return g.Message.ID == id })
	}
}
