package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postrider/queue"
)

// modelRun does random operations on a store and on the model, and compares.
func modelRun(e *env, seed uint64) {
	m := newModel(e, seed)
	ops := []struct {
		name   string
		weight int
		do     func()
	}{
		{"enqueue", 14, m.enqueue}, {"lease", 16, m.leaseSome}, {"settle", 24, m.settle}, {"release", 4, m.release},
		{"extend", 4, m.extend}, {"mark", 6, m.mark}, {"apply", 12, m.apply}, {"retry now", 5, m.retryNow},
		{"park", 4, m.park}, {"tick", 10, m.tick}, {"sweep", 1, m.sweep}, {"restart", 1, m.restart}, {"everything", 2, m.everything},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	for i := range e.scaled(500) {
		n := m.rng.IntN(total)
		for _, op := range ops {
			if n -= op.weight; n < 0 {
				m.step = fmt.Sprintf("seed %d, step %d (%s)", seed, i, op.name)
				op.do()
				break
			}
		}
	}
	m.step = "at the end"
	m.everything()
}

func (m *model) someLane() queue.Lane { return queue.Lane(fmt.Sprint("lane", m.rng.IntN(4))) }

func (m *model) enqueue() {
	in := mail{account: fmt.Sprint("account", m.rng.IntN(3)), priority: queue.Priority(1 + m.rng.IntN(3))}
	for range 1 + m.rng.IntN(4) {
		r := rcpt{lane: m.someLane()}
		switch m.rng.IntN(8) {
		case 0:
			r.state = queue.StateHeld
		case 1:
			r.state, r.due = queue.StateScheduled, m.now.Add(time.Duration(m.rng.IntN(600))*time.Second)
		case 2:
			r.state = []queue.State{queue.StateBounced, queue.StateSuppressed}[m.rng.IntN(2)]
		}
		in.to = append(in.to, r)
	}
	key := ""
	if m.rng.IntN(3) == 0 {
		in.idem = queue.Idempotency{Key: fmt.Sprint("key", m.rng.IntN(20)), ExpiresAt: m.now.Add(10000 * time.Hour)}
		key = in.account + "/" + in.idem.Key
	}
	if m.rng.IntN(3) == 0 {
		in.lease = m.ask(m.rng.IntN(4))
	}
	r, err := m.request(in)
	m.check(err == nil, "%v", err)
	out, err := m.s.Enqueue(m.ctx, r)
	m.check(err == nil, "%v", err)
	if first, known := m.keys[key]; known && key != "" {
		m.check(out.Duplicate && out.ID == first && len(out.Leases) == 0, "%+v, want a duplicate of %s", out, first)
		return
	}
	m.check(!out.Duplicate && out.ID == r.Message.ID, "%+v", out)
	if key != "" {
		m.keys[key] = out.ID
	}
	busy := map[queue.Lane]bool{}
	for _, f := range m.all {
		if m.waits(f) && !f.due.After(m.now) && m.active(f) == no {
			busy[f.lane] = true
		}
	}
	m.msgs[out.ID] = r.Message
	for _, x := range r.Recipients {
		f := &fate{id: x.ID, state: x.State, lane: x.Lane, due: x.Due, class: x.Class}
		if x.State.Final() {
			f.kinds = []queue.EventKind{kindOf(x.State)}
		}
		m.all[x.ID] = f
		m.ids = append(m.ids, x.ID)
	}
	limit := 0
	if in.lease != nil {
		limit = in.lease.Max
	}
	m.check(len(out.Leases) <= limit, "%d leases, asked for %d", len(out.Leases), limit)
	for _, l := range out.Leases {
		m.check((!busy[l.Lane] || m.h.Partitions > 1) && l.Message.ID == out.ID, "leased in lane %s, where others wait", l.Lane)
		m.granted(l, false)
	}
	m.message(out.ID)
}

// granted takes a lease into the model if it is right.
func (m *model) granted(l queue.Lease, named bool) {
	m.Helper()
	m.checkLease(l)
	g := &grant{Lease: l, ends: l.Expires}
	until, parked := m.parked[l.Lane]
	m.check(named || !parked || !m.now.Before(until), "parked lane %s was granted", l.Lane)
	for _, r := range l.Recipients {
		f := m.all[r.ID]
		m.check(f != nil, "%s is leased, and unknown", r.ID)
		m.check(m.active(f) != yes, "%s is leased twice", r.ID)
		if f.pending != queue.ActionNone { // its old lease expired
			m.check(f.pending == queue.ActionRetry, "%s is leased, though %s is pending", r.ID, f.pending)
			m.act(f, f.pending)
		}
		m.check(m.waits(f) && (f.loose || !f.due.After(m.now)), "%s is leased, which is %s and due %v", r.ID, f.state, f.due)
		m.check(l.Token > f.token, "%s: token %d after %d", r.ID, l.Token, f.token)
		m.ended(f)
		m.facts(f, r)
		f.holder, f.token = g, l.Token
	}
	m.leases = append(m.leases, g)
	if len(m.leases) > 60 {
		m.leases = m.leases[1:]
	}
}

func (m *model) leaseSome() {
	q := m.ask(m.rng.IntN(6))
	if m.rng.IntN(4) == 0 {
		q.Lane = m.someLane()
		if m.now.Before(m.parked[q.Lane]) {
			return // whether a lane that is named and parked is served is the engine's own
		}
	}
	ls, err := m.s.Lease(m.ctx, *q)
	m.check(err == nil && len(ls) <= q.Max, "%d leases, asked for %d, %v", len(ls), q.Max, err)
	for _, l := range ls {
		m.check(q.Lane == "" || l.Lane == q.Lane, "lane %s, asked for %s", l.Lane, q.Lane)
		m.granted(l, q.Lane != "")
	}
	if len(ls) == q.Max {
		return
	}
	for _, id := range m.ids {
		f := m.all[id]
		left := m.waits(f) && !f.due.After(m.now) && f.pending == queue.ActionNone && !f.unsure && m.active(f) != yes &&
			!m.now.Before(m.parked[f.lane]) && (q.Lane == "" || q.Lane == f.lane)
		m.check(!left, "%s was not leased, though it is due %v", id, f)
	}
}

// some returns a lease, mostly a recent one, which may be lost.
func (m *model) some() *grant {
	if len(m.leases) == 0 {
		return nil
	}
	n := len(m.leases)
	if m.rng.IntN(3) > 0 {
		return m.leases[n-1-m.rng.IntN(min(n, 6))]
	}
	return m.leases[m.rng.IntN(n)]
}

func (m *model) park() {
	lane, until := m.someLane(), m.now.Add(time.Duration(m.rng.IntN(200)-60)*time.Second)
	m.check(m.s.Park(m.ctx, lane, m.now, until) == nil, "park")
	m.parked[lane] = until
}

func (m *model) tick() {
	switch m.rng.IntN(6) {
	case 0:
		m.pass(ttl + time.Millisecond)
	case 1:
		m.pass(10 * time.Minute)
	default:
		m.pass(time.Duration(1+m.rng.IntN(40_000)) * time.Millisecond)
	}
	due, ok, err := m.s.NextDue(m.ctx, m.now)
	m.check(err == nil, "%v", err)
	for _, id := range m.ids {
		f := m.all[id]
		if !m.waits(f) || f.pending != queue.ActionNone {
			continue
		}
		at := f.due
		if f.holder != nil && f.holder.ends.After(at) {
			at = f.holder.ends
		}
		if p := m.parked[f.lane]; p.After(at) {
			at = p
		}
		at = slices.MaxFunc([]time.Time{at, m.now}, time.Time.Compare)
		m.check(ok && !due.After(at), "next due is %v, %v, but %s is due at %v", due, ok, id, at)
	}
}

// restart ends the store in one of the ways that the harness has.
func (m *model) restart() {
	ways := []func(*testing.T, queue.Store) queue.Store{m.h.Reopen, m.h.Kill, m.h.Crash}
	i := m.rng.IntN(3)
	if ways[i] == nil {
		i = 0
	}
	m.step += fmt.Sprint(", way ", i)
	m.readTail()
	m.s = ways[i](m.T, m.s)
	if i > 0 {
		m.pass(ttl + time.Second) // leases of a dead process may have to expire
	}
	clear(m.parked)
	for _, f := range m.all {
		if f.holder == nil {
			continue
		}
		switch {
		case i == 2 && f.marked: // a mark need not survive a loss of power
			f.doubt, f.marked = open, false
			f.unsure = true
		case i > 0:
			f.unsure = true
		default:
			m.ended(f)
			if f.pending != queue.ActionNone {
				m.act(f, f.pending)
			}
		}
	}
	m.everything()
}
