package logstore

import (
	"slices"

	"postrider/queue"
)

// A flow is what one account has waiting in one lane with one priority, in
// order of due time. It lies in the index; in memory is a window on its head.
//
// What holds between any two calls: the window has exactly those waiting
// recipients of the flow that sort below bound, and with complete there are no
// others. A flow that is not in memory has nothing waiting. Reading on starts
// at bound, so that what was deleted before it is never looked at again.
type flow struct {
	key      flowKey
	lane     *lane
	class    *class
	window   []item
	bound    item
	complete bool

	where flowPlace
	index int // in its heap
	slot  int // in lane.flows
}

// flowPlace is the structure that holds a flow.
type flowPlace uint8

const (
	flowLoose  flowPlace = iota // in none
	flowFuture                  // schedule.future
	flowReady                   // class.ready
	flowParked                  // its lane is parked
)

const (
	// windowMax is how much of a flow is kept at most, windowLoad what is read
	// at once: a lease's worth at least.
	windowMax  = 256
	windowLoad = 128
	// windowLow replaces windowMax when all windows together have windowsMax
	// items, 24 octets each.
	windowLow  = 8
	windowsMax = 1 << 18
)

// head returns when the flow is due first, or a time before that if the window
// must be loaded to know.
func (f *flow) head() int64 {
	if len(f.window) > 0 {
		return f.window[0].due
	}
	return f.bound.due
}

func (f *flow) empty() bool { return f.complete && len(f.window) == 0 }

// insert adds it, which may be there already, and returns by how much the
// window grew.
func (f *flow) insert(it item, limit int) int {
	if !f.complete && it.compare(f.bound) >= 0 {
		return 0
	}
	i, found := slices.BinarySearchFunc(f.window, it, item.compare)
	if found {
		return 0
	}
	f.window = slices.Insert(f.window, i, it)
	grown := 1
	if len(f.window) > limit {
		keep := limit / 2
		grown -= len(f.window) - keep
		f.bound, f.complete = f.window[keep], false
		f.window = slices.Clone(f.window[:keep])
	}
	return grown
}

// remove takes it out, if it is in the window, and returns by how much that
// shrank.
func (f *flow) remove(it item) int {
	i, found := slices.BinarySearchFunc(f.window, it, item.compare)
	if !found {
		return 0
	}
	if i == 0 {
		f.window = f.window[1:]
	} else {
		f.window = slices.Delete(f.window, i, i+1)
	}
	if len(f.window) == 0 {
		f.window = nil
	}
	return 1
}

// lane is the flows that use the same next hops.
type lane struct {
	name   queue.Lane
	flows  []*flow
	ready  int // how many of them are in a ready heap
	cursor int // where looking for the next flow of this lane starts

	parked bool
	until  int64 // parked until then
	wake   int64 // when it must be looked at again: not before until
	index  int   // in schedule.parked; -1 if it is not there
}

// class is what one account has waiting with one priority.
type class struct {
	account  *account
	priority queue.Priority
	virtual  uint64
	ready    heap[*flow]
}

// account is a party to fairness.
type account struct {
	name    string
	virtual uint64 // start tag of its next lease
	served  uint64 // virtual time of its classes
	classes map[queue.Priority]*class
	flows   int
	ready   int // flows that are ready
	index   int // in schedule.active; -1 if it is not there
}

// weight is how much a priority gets, relative to the others.
func weight(p queue.Priority) uint64 {
	switch p {
	case queue.PriorityHigh:
		return 16
	case queue.PriorityLow:
		return 1
	}
	return 4
}

// weightScale is divisible by every weight.
const weightScale = 16

func newClass(a *account, p queue.Priority) *class {
	c := &class{account: a, priority: p}
	c.ready.less = func(a, b *flow) bool { return a.head() < b.head() }
	c.ready.moved = func(f *flow, i int) { f.index = i }
	return c
}
