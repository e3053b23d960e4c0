package storetest

import (
	"errors"
	"time"

	"postrider/queue"
)

func (m *model) settle() {
	g := m.some()
	if g == nil {
		return
	}
	var ss []queue.Settlement
	whole := yes
	for _, r := range g.Recipients {
		if m.rng.IntN(5) == 0 {
			continue
		}
		f := m.all[r.ID]
		if f == nil {
			return // swept
		}
		ss = append(ss, m.settlement(f))
		switch h := m.holds(g, f); {
		case h == no:
			whole = no
		case h == open && whole == yes:
			whole = open
		}
	}
	if len(ss) == 0 {
		return
	}
	err := m.s.Settle(m.ctx, g.Lease, ss)
	if errors.Is(err, queue.ErrLeaseLost) {
		m.check(whole != yes, "refused: %v", err)
	} else {
		m.check(err == nil, "%v", err)
		m.check(whole != no, "a lost lease was settled: %+v", ss)
		for _, s := range ss {
			m.settled(m.all[s.Recipient], s)
		}
	}
	m.message(g.Message.ID)
}

func (m *model) settlement(f *fate) queue.Settlement {
	s := queue.Settlement{Recipient: f.id, Outcome: queue.StateDeferred, Due: m.now.Add(time.Duration(m.rng.IntN(300)) * time.Second), Class: queue.ClassGreylist}
	if m.rng.IntN(5) > 0 {
		s.Attempt = m.attempt(f.attempts + 1)
		s.Attempt.InDoubt = m.rng.IntN(8) == 0
	}
	switch m.rng.IntN(9) {
	case 0, 1:
		s.Outcome, s.Class = queue.StateDelivered, ""
	case 2:
		s.Outcome, s.Class = queue.StateBounced, queue.ClassRcptUnknown
	case 3:
		if f.pending == queue.ActionNone {
			s.Outcome = queue.StateHeld
		}
	case 4:
		s.Lane = m.someLane()
	case 5:
		s.Delayed = true
	}
	return s
}

func (m *model) settled(f *fate, s queue.Settlement) {
	doubt := no
	if f.doubt != no {
		doubt = open // whether an older mark ends, too, is left to the engine
	}
	if s.Attempt != nil {
		f.attempts++
		if s.Attempt.InDoubt {
			doubt = yes
		}
	}
	f.doubt, f.marked, f.holder, f.unsure = doubt, false, nil, false
	if s.Class != "" {
		f.class = s.Class
	}
	if s.Lane != "" {
		f.lane = s.Lane
	}
	f.delayed = f.delayed || s.Delayed && s.Outcome == queue.StateDeferred
	if s.Outcome == queue.StateDeferred && f.pending != queue.ActionNone {
		f.due = s.Due
		m.act(f, f.pending)
		if s.Attempt != nil && f.loose { // now is when the attempt ended
			f.due = f.due.Add(s.Attempt.Took)
		}
		return
	}
	f.state, f.due, f.loose, f.pending = s.Outcome, s.Due, false, queue.ActionNone
	f.kinds = append(f.kinds, kindOf(s.Outcome))
}

func (m *model) release() {
	g := m.some()
	if g == nil || len(m.of(g.Message.ID)) == 0 {
		return
	}
	var rs []queue.RecipientID
	whole := yes
	touched := map[*fate]truth{}
	for _, r := range g.Recipients {
		f := m.all[r.ID]
		if m.rng.IntN(3) > 0 {
			rs = append(rs, r.ID)
		} else {
			continue
		}
		h := m.holds(g, f)
		touched[f] = h
		if h == no || h == open && whole == yes {
			whole = h
		}
	}
	if len(rs) == 0 { // all that are still held
		whole = yes
		for _, r := range g.Recipients {
			touched[m.all[r.ID]] = m.holds(g, m.all[r.ID])
		}
		rs = nil
	}
	err := m.s.Release(m.ctx, g.Lease, m.now, rs)
	if err != nil {
		m.is(err, queue.ErrLeaseLost)
		m.check(whole != yes || rs == nil && m.active(m.all[g.Recipients[0].ID]) != yes, "refused: %v", err)
	} else {
		m.check(whole != no, "a lost lease was released")
		for f, h := range touched {
			switch {
			case h == no:
			case h == open:
				f.unsure = true
			default:
				m.released(f)
			}
		}
	}
	m.message(g.Message.ID)
}

func (m *model) released(f *fate) {
	if f.marked {
		f.doubt, f.marked = open, false
	}
	f.holder = nil
	if f.pending != queue.ActionNone {
		m.act(f, f.pending)
	}
}

func (m *model) extend() {
	g := m.some()
	if g == nil {
		return
	}
	held, sure := 0, true
	for _, r := range g.Recipients {
		f := m.all[r.ID]
		if f == nil {
			return
		}
		if h := m.holds(g, f); h != no {
			held++
			sure = sure && h == yes
		} else if f.holder != nil {
			sure = false // a part was granted to another
		}
	}
	lost, err := m.s.Extend(m.ctx, m.now, ttl, g.Lease)
	m.check(err == nil && len(lost) <= 1, "%v, %v", lost, err)
	if len(lost) == 1 {
		m.check(held == 0 || !sure, "a lease that is held was lost")
		return
	}
	m.check(held > 0, "a lease of nothing was extended")
	g.ends = m.now.Add(ttl)
}

func (m *model) mark() {
	g := m.some()
	if g == nil {
		return
	}
	r := g.Recipients[m.rng.IntN(len(g.Recipients))]
	f := m.all[r.ID]
	if f == nil {
		return
	}
	holds, live := m.holds(g, f), m.now.Before(g.ends)
	err := m.s.Mark(m.ctx, g.Lease, []queue.RecipientID{r.ID})
	if errors.Is(err, queue.ErrLeaseLost) {
		m.check(holds != yes || !live, "refused: %v", err)
		return
	}
	m.check(err == nil && holds != no, "marked: %v", err)
	f.marked = true
	if holds == open {
		f.marked, f.doubt = false, open
	}
}
