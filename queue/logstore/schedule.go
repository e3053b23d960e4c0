package logstore

import (
	"math"
	"slices"

	"postrider/queue"
)

// schedule decides what is leased next. It knows the heads of the flows and
// which lanes are parked, and has no timers: callers say what time it is.
//
// Accounts are served by start-time fair queueing over all lanes: the one with
// the smallest virtual time is next, and its time grows by the recipients it
// was given; one that becomes busy starts at the time of the last one served.
// Within an account the priorities share in the same way, by weight. Within a
// priority the flow that is due first is next.
//
// All its methods are called with Store.mu held.
type schedule struct {
	flows    map[flowKey]*flow
	lanes    map[queue.Lane]*lane
	accounts map[string]*account
	future   heap[*flow]
	active   heap[*account]
	parked   heap[*lane]
	virtual  uint64 // of the last account served
	windows  int    // items in all windows

	// load reads more of a flow: what waits from f.bound on.
	load func(f *flow) error
}

func newSchedule(load func(*flow) error) *schedule {
	s := &schedule{
		flows:    make(map[flowKey]*flow),
		lanes:    make(map[queue.Lane]*lane),
		accounts: make(map[string]*account),
		load:     load,
	}
	s.future.less = func(a, b *flow) bool { return a.head() < b.head() }
	s.future.moved = func(f *flow, i int) { f.index = i }
	s.active.less = func(a, b *account) bool { return a.virtual < b.virtual }
	s.active.moved = func(a *account, i int) { a.index = i }
	s.parked.less = func(a, b *lane) bool { return a.wake < b.wake }
	s.parked.moved = func(l *lane, i int) { l.index = i }
	return s
}

// flow returns the flow of that name, which it makes as an empty one.
func (s *schedule) flow(key flowKey) *flow {
	if f := s.flows[key]; f != nil {
		return f
	}
	l := s.lane(key.lane)
	a := s.accounts[key.account]
	if a == nil {
		s.forgetIdle()
		a = &account{name: key.account, index: -1, classes: make(map[queue.Priority]*class, 1)}
		s.accounts[key.account] = a
	}
	c := a.classes[key.priority]
	if c == nil {
		c = newClass(a, key.priority)
		a.classes[key.priority] = c
	}
	f := &flow{key: key, lane: l, class: c, complete: true, slot: len(l.flows)}
	l.flows = append(l.flows, f)
	a.flows++
	s.flows[key] = f
	return f
}

func (s *schedule) lane(name queue.Lane) *lane {
	l := s.lanes[name]
	if l == nil {
		l = &lane{name: name, index: -1}
		s.lanes[name] = l
	}
	return l
}

// forgetIdle drops accounts that have nothing waiting and whose last service
// no longer matters, once there are many.
func (s *schedule) forgetIdle() {
	if n := len(s.accounts); n < 64 || n&(n-1) != 0 {
		return
	}
	for name, a := range s.accounts {
		if a.flows == 0 && a.virtual <= s.virtual {
			delete(s.accounts, name)
		}
	}
}

// limit is how large a window may be.
func (s *schedule) limit() int {
	if s.windows > windowsMax {
		return windowLow
	}
	return windowMax
}

// insert adds a waiting recipient.
func (s *schedule) insert(key flowKey, it item) {
	f := s.flow(key)
	s.windows += f.insert(it, s.limit())
	s.place(f)
}

// remove takes a recipient out that no longer waits.
func (s *schedule) remove(key flowKey, it item) {
	if f := s.flows[key]; f != nil {
		s.windows -= f.remove(it)
		s.place(f)
	}
}

// place puts a flow whose head may have changed where it belongs.
func (s *schedule) place(f *flow) {
	switch {
	case f.empty():
		s.unlink(f)
		s.drop(f)
	case f.lane.parked:
		if f.where != flowParked {
			s.unlink(f)
			f.where = flowParked
		}
		s.wakeParked(f.lane, f.head())
	case f.where == flowReady:
		f.class.ready.fix(f.index)
	case f.where == flowFuture:
		s.future.fix(f.index)
	default:
		s.unlink(f)
		f.where = flowFuture
		s.future.push(f)
	}
}

// unlink takes a flow out of its heap.
func (s *schedule) unlink(f *flow) {
	switch f.where {
	case flowFuture:
		s.future.remove(f.index)
	case flowReady:
		f.class.ready.remove(f.index)
		f.lane.ready--
		a := f.class.account
		if a.ready--; a.ready == 0 {
			s.active.remove(a.index)
		}
	}
	f.where = flowLoose
}

// ready moves a flow whose time has come to its account.
func (s *schedule) ready(f *flow) {
	s.unlink(f)
	c, a := f.class, f.class.account
	if a.ready == 0 {
		a.virtual = max(a.virtual, s.virtual)
		s.active.push(a)
	}
	if c.ready.len() == 0 {
		c.virtual = max(c.virtual, a.served)
	}
	a.ready++
	f.lane.ready++
	f.where = flowReady
	c.ready.push(f)
}

// drop forgets an empty flow and what only it kept.
func (s *schedule) drop(f *flow) {
	l, a := f.lane, f.class.account
	last := len(l.flows) - 1
	l.flows[f.slot] = l.flows[last]
	l.flows[f.slot].slot = f.slot
	l.flows[last] = nil
	l.flows = l.flows[:last]
	delete(s.flows, f.key)
	a.flows--
	if a.flows == 0 && a.virtual <= s.virtual {
		delete(s.accounts, a.name)
	}
	if last > 0 {
		return
	}
	if l.index >= 0 {
		s.parked.remove(l.index)
	}
	if !l.parked {
		delete(s.lanes, l.name)
	}
}

// advance brings the flows and lanes whose time has come forward.
func (s *schedule) advance(now int64) {
	for s.parked.len() > 0 && s.parked.top().wake <= now {
		s.unpark(s.parked.top())
	}
	for s.future.len() > 0 && s.future.top().head() <= now {
		s.ready(s.future.top())
	}
}

// next returns the flow to be served, with a loaded window whose head is due,
// or nil if there is none.
func (s *schedule) next(name queue.Lane, now int64) (*flow, error) {
	s.advance(now)
	for {
		var f *flow
		if name != "" {
			f = s.nextOfLane(name, now)
		} else {
			f = s.nextOfAll()
		}
		if f == nil {
			return nil, nil
		}
		if err := s.fill(f); err != nil {
			return nil, err
		}
		if !f.empty() && f.head() <= now {
			return f, nil
		}
		// The window told more than was known: sort it in again.
		if f.where == flowReady {
			s.unlink(f)
		}
		s.place(f)
	}
}

func (s *schedule) nextOfAll() *flow {
	if s.active.len() == 0 {
		return nil
	}
	var best *class
	for _, c := range s.active.top().classes {
		if c.ready.len() > 0 && (best == nil || c.virtual < best.virtual ||
			c.virtual == best.virtual && c.priority < best.priority) {
			best = c
		}
	}
	return best.ready.top()
}

// laneLook bounds how many flows of a lane are looked at for one lease.
const laneLook = 64

// nextOfLane serves a warm connection, also if its lane is parked. Of some
// flows that are due it takes the one of the account that is behind most.
func (s *schedule) nextOfLane(name queue.Lane, now int64) *flow {
	l := s.lanes[name]
	if l == nil || len(l.flows) == 0 {
		return nil
	}
	var best *flow
	looked := 0
	for n := range l.flows {
		i := (l.cursor + n) % len(l.flows)
		f := l.flows[i]
		if f.head() > now {
			continue
		}
		if best == nil || fairer(f, best) {
			best = f
		}
		if looked++; looked == laneLook {
			l.cursor = (i + 1) % len(l.flows)
			break
		}
	}
	return best
}

func fairer(a, b *flow) bool {
	switch x, y := a.class, b.class; {
	case x.account.virtual != y.account.virtual:
		return x.account.virtual < y.account.virtual
	case x.virtual != y.virtual:
		return x.virtual < y.virtual
	default:
		return a.head() < b.head()
	}
}

// fill loads the window if it is empty, or if the message at its head may go on
// behind it.
func (s *schedule) fill(f *flow) error {
	for !f.complete {
		n := len(f.window)
		if n >= queue.MaxLeaseRecipients ||
			n > 0 && f.window[0].id.Message() != f.window[n-1].id.Message() {
			return nil
		}
		if err := s.load(f); err != nil {
			return err
		}
		s.windows += len(f.window) - n
	}
	return nil
}

// take removes up to MaxLeaseRecipients due recipients of the message at the
// head of the flow and charges them to its account.
func (s *schedule) take(f *flow, now int64) []item {
	m := f.window[0].id.Message()
	fits := func(it item) bool { return it.due <= now && it.id.Message() == m }
	n := 1
	for n < len(f.window) && n < queue.MaxLeaseRecipients && fits(f.window[n]) {
		n++
	}
	taken := slices.Clone(f.window[:n])
	f.window = f.window[n:]
	// The same message may be due again behind others.
	if len(taken) < queue.MaxLeaseRecipients && slices.ContainsFunc(f.window, fits) {
		f.window = slices.DeleteFunc(f.window, func(it item) bool {
			take := len(taken) < queue.MaxLeaseRecipients && fits(it)
			if take {
				taken = append(taken, it)
			}
			return take
		})
	}
	slices.SortFunc(taken, func(a, b item) int { return compareIDs(a.id, b.id) })
	s.windows -= len(taken)
	s.charge(f.class, len(taken))
	s.place(f)
	return taken
}

// chargeDirect charges what was leased with its enqueue.
func (s *schedule) chargeDirect(key flowKey, n int) {
	f := s.flow(key)
	s.charge(f.class, n)
	s.place(f)
}

// charge notes that an account was given n recipients.
func (s *schedule) charge(c *class, n int) {
	a := c.account
	s.virtual = max(s.virtual, a.virtual)
	a.virtual = max(a.virtual, s.virtual) + uint64(n)
	a.served = max(a.served, c.virtual)
	c.virtual = a.served + uint64(n)*weightScale/weight(c.priority)
	if a.index >= 0 {
		s.active.fix(a.index)
	}
}

// nextDue returns when something may be due in a lane that is not parked then.
func (s *schedule) nextDue(now int64) (due int64, ok bool, err error) {
	f, err := s.next("", now)
	if f != nil || err != nil {
		return now, true, err
	}
	due = math.MaxInt64
	if s.future.len() > 0 {
		due, ok = s.future.top().head(), true
	}
	if s.parked.len() > 0 {
		due, ok = min(due, s.parked.top().wake), true
	}
	return due, ok, nil
}
