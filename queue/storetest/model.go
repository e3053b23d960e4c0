package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"postrider/queue"
)

func modelTests() []test {
	var ts []test
	for seed := range uint64(5) {
		ts = append(ts, test{fmt.Sprintf("random operations agree with the model, seed %d", seed), func(e *env) { modelRun(e, seed) }})
	}
	return ts
}

// truth is yes, no, or what the contract leaves open.
type truth int8

const (
	no truth = iota
	yes
	open
)

// model is the contract in memory.
type model struct {
	*env
	rng    *rand.Rand
	step   string // for messages
	all    map[queue.RecipientID]*fate
	ids    []queue.RecipientID // in order of making, for the sake of repeatable choices
	msgs   map[queue.MessageID]queue.Message
	leases []*grant
	parked map[queue.Lane]time.Time
	keys   map[string]queue.MessageID
	due    time.Time // of the last ActionReschedule
	tail   queue.Position
	log    map[queue.MessageID][]queue.EventKind // as the tail saw it
}

// fate is what the model knows of one recipient.
type fate struct {
	id       queue.RecipientID
	state    queue.State // as if it were not leased
	lane     queue.Lane
	due      time.Time
	loose    bool // due is at the latest then
	attempts int
	pending  queue.Action
	delayed  bool
	class    queue.Class
	doubt    truth
	marked   bool
	kinds    []queue.EventKind
	holder   *grant
	unsure   bool // whether holder holds it still
	token    queue.Token
}

type grant struct {
	queue.Lease
	ends time.Time
}

func newModel(e *env, seed uint64) *model {
	return &model{
		env: e, rng: rand.New(rand.NewPCG(seed, 11)),
		all: map[queue.RecipientID]*fate{}, msgs: map[queue.MessageID]queue.Message{}, parked: map[queue.Lane]time.Time{},
		keys: map[string]queue.MessageID{}, log: map[queue.MessageID][]queue.EventKind{},
	}
}

// check is want with the step that led here.
func (m *model) check(cond bool, format string, args ...any) {
	m.Helper()
	if !cond {
		m.Fatalf("%s at %v: %s", m.step, m.now.Sub(epoch), fmt.Sprintf(format, args...))
	}
}

func (m *model) of(id queue.MessageID) (fs []*fate) {
	for i := 0; ; i++ {
		f := m.all[id.Recipient(i)]
		if f == nil {
			return fs
		}
		fs = append(fs, f)
	}
}

// active reports whether it must show as leased.
func (m *model) active(f *fate) truth {
	switch {
	case f.holder == nil:
		return no
	case f.unsure || !m.now.Before(f.holder.ends):
		return open
	}
	return yes
}

// holds reports whether a settlement by g must be taken.
func (m *model) holds(g *grant, f *fate) truth {
	switch {
	case f.holder != g || f.state.Final():
		return no
	case f.unsure || f.pending != queue.ActionNone && !m.now.Before(g.ends):
		return open
	}
	return yes
}

// act is what an operator's action makes of what waits.
func (m *model) act(f *fate, a queue.Action) {
	switch a {
	case queue.ActionHold:
		f.state = queue.StateHeld
	case queue.ActionCancel:
		f.state = queue.StateCancelled
	case queue.ActionExpire:
		f.state = queue.StateExpired
	case queue.ActionRelease, queue.ActionRetry:
		f.state = queue.StateDeferred
		if f.attempts == 0 {
			f.state = queue.StateQueued
		}
		if f.due.After(m.now) || a == queue.ActionRelease {
			f.due = m.now
		}
		f.loose = true
	case queue.ActionReschedule:
		f.state, f.loose = queue.StateQueued, true
		if m.due.After(m.now) {
			f.state, f.due, f.loose = queue.StateScheduled, m.due, false
		} else if f.due.After(m.now) {
			f.due = m.now
		}
	}
	f.kinds = append(f.kinds, actionKind(a))
	f.pending = queue.ActionNone
}

func actionKind(a queue.Action) queue.EventKind {
	switch a {
	case queue.ActionRelease:
		return queue.EventReleased
	case queue.ActionReschedule:
		return queue.EventScheduled
	}
	return pendingEnds()[a]
}

// ended is the end of a lease without a settlement.
func (m *model) ended(f *fate) {
	if f.marked {
		f.doubt, f.marked = yes, false
	}
	f.holder, f.unsure = nil, false
}

// message compares a message with what the model says.
func (m *model) message(id queue.MessageID) {
	m.Helper()
	v, err := m.s.Message(m.ctx, id)
	m.check(err == nil, "%s: %v", id, err)
	fs := m.of(id)
	m.check(len(v.Recipients) == len(fs), "%s has %d recipients, want %d", id, len(v.Recipients), len(fs))
	for i, f := range fs {
		m.recipient(f, v.Recipients[i])
	}
}

func (m *model) recipient(f *fate, r queue.Recipient) {
	m.Helper()
	// What was pending is done some time after the lease expired.
	if f.pending != queue.ActionNone && m.active(f) == open && r.Pending == queue.ActionNone {
		if f.marked {
			f.doubt = yes
		}
		m.act(f, f.pending)
		f.unsure = true
	}
	shown := m.active(f)
	switch {
	case shown == yes:
		m.check(r.State == queue.StateActive, "%s is %s, want active", f.id, r.State)
	case shown == no || f.state.Final():
		m.check(r.State == f.state, "%s is %s, want %s", f.id, r.State, f.state)
	default:
		m.check(r.State == f.state || r.State == queue.StateActive, "%s is %s, want %s or active", f.id, r.State, f.state)
	}
	m.check(r.Pending == f.pending, "%s has pending %s, want %s", f.id, r.Pending, f.pending)
	m.facts(f, r)
	m.check(int(r.Events) == len(f.kinds), "%s counts %d events, want %v", f.id, r.Events, f.kinds)
}

// facts are what a lease shows, too.
func (m *model) facts(f *fate, r queue.Recipient) {
	m.Helper()
	m.check(r.Attempts == f.attempts && r.Lane == f.lane && r.Delayed == f.delayed && r.Class == f.class,
		"%s is %+v, want attempts %d, lane %s, delayed %v, class %q", f.id, r, f.attempts, f.lane, f.delayed, f.class)
	m.check((r.Last != nil) == (f.attempts > 0), "%s has last attempt %+v after %d", f.id, r.Last, f.attempts)
	if m.waits(f) {
		m.check(r.Due.Equal(f.due) || f.loose && !r.Due.After(f.due), "%s is due %v, want %v", f.id, r.Due, f.due)
	}
	if !f.marked && f.doubt != open {
		m.check(r.InDoubt == (f.doubt == yes), "%s in doubt is %v", f.id, r.InDoubt)
	}
}

func (m *model) waits(f *fate) bool {
	return f.state == queue.StateQueued || f.state == queue.StateDeferred || f.state == queue.StateScheduled
}

// everything compares all there is.
func (m *model) everything() {
	m.Helper()
	ids := slices.SortedFunc(maps.Keys(m.msgs), func(a, b queue.MessageID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		m.message(id)
	}
	entries, err := m.list(queue.Filter{}, 16)
	m.check(err == nil && len(entries) == len(ids), "%d are listed, want %d, %v", len(entries), len(ids), err)
	m.recount()
	m.readTail()
	for _, id := range ids {
		// Per recipient the order is known; over a message any that keeps it.
		want := map[queue.EventKind]int{queue.EventQueued: 1}
		for _, f := range m.of(id) {
			for _, k := range f.kinds {
				want[k]++
			}
		}
		got := map[queue.EventKind]int{}
		for _, k := range m.log[id] {
			got[k]++
		}
		m.check(maps.Equal(want, got), "%s: the log has %v, want %v", id, got, want)
		hs, err := m.s.History(m.ctx, id)
		m.check(err == nil, "%v", err)
		per := map[queue.RecipientID][]queue.EventKind{}
		for _, v := range hs {
			per[v.Recipient] = append(per[v.Recipient], v.Kind)
		}
		for _, f := range m.of(id) {
			m.check(slices.Equal(per[f.id], f.kinds), "%s: history is %v, want %v", f.id, per[f.id], f.kinds)
		}
	}
}

func (m *model) readTail() {
	m.Helper()
	var vs []queue.Event
	vs, m.tail = m.events(m.tail)
	for _, v := range vs {
		m.log[v.Message] = append(m.log[v.Message], v.Kind)
	}
}
