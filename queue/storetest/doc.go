// Package storetest is the conformance suite of queue.Store: every engine passes
// Run, and what Run does not check an engine need not promise.
//
// It speaks only the contract. All times are virtual, all ids are counted, so
// that a failure comes again with the same seed. What an engine can only show
// with help from outside, such as a power cut, is a capability of its Harness;
// tests that need one which is nil do not run.
package storetest

import (
	"testing"

	"postrider/queue"
)

// Harness is how the suite gets at stores of one engine.
type Harness struct {
	// Open returns a fresh, empty store. Whoever opens it also cleans up; the
	// suite closes every store that it still has when a test ends.
	Open func(t *testing.T) queue.Store
	// Reopen closes the store in good order and opens it again.
	Reopen func(t *testing.T, s queue.Store) queue.Store

	// Kill, if not nil, ends the store as the death of its process would, and
	// opens it again: what was handed to the operating system is still there.
	Kill func(t *testing.T, s queue.Store) queue.Store
	// Crash, if not nil, cuts the power and opens the store again: what was
	// not synced may be gone.
	Crash func(t *testing.T, s queue.Store) queue.Store
	// CrashPoints, if not nil, does a trial for n = 1, 2, 3 …: it opens a fresh
	// store, calls Before, cuts the power at the n-th step to the disk of
	// During (that step and all later ones fail), and calls After with every
	// state that the disk may be in after that. It ends with the first n that
	// During does not reach, for which After is called too.
	CrashPoints func(t *testing.T, trial func() Trial)
	// Full, if not nil, takes the room that the store has for mail away, until
	// the returned function gives it back.
	Full func(t *testing.T, s queue.Store) (room func())

	// Archive says that the stores are a queue.Archive too.
	Archive bool

	// Partitions is how many queues the engine spreads a store over; zero means
	// 1. With more, what is promised of order, and of lanes in which nothing
	// else is due, holds within each of them.
	Partitions int

	// Scale multiplies how much the slow tests do; zero means 1, or 0.3 with
	// -short.
	Scale float64
}

// Trial is one crash: a new one for each, with a memory of its own.
type Trial struct {
	Before func(t *testing.T, s queue.Store) // the power is on
	During func(s queue.Store)               // it may fail anywhere: notes what was acknowledged
	After  func(t *testing.T, s queue.Store) // compares; called once for each state of the disk
}

// Run runs the suite, some tests in parallel.
func Run(t *testing.T, h Harness) {
	if h.Scale == 0 {
		h.Scale = 1
		if testing.Short() {
			h.Scale = 0.3
		}
	}
	for _, g := range groups(h) {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newEnv(t, h))
				})
			}
		})
	}
}

type group struct {
	name  string
	tests []test
}

// test is a case, named by a sentence.
type test struct {
	name string
	run  func(e *env)
}

func groups(h Harness) []group {
	all := []group{
		{"enqueue", enqueueTests()},
		{"idempotency", idempotencyTests()},
		{"content", contentTests()},
		{"lease", leaseTests()},
		{"order", orderTests()},
		{"fence", fenceTests(h)},
		{"lanes", laneTests()},
		{"settle", settleTests()},
		{"operate", operateTests()},
		{"filter", filterTests()},
		{"list", listTests()},
		{"events", eventTests(h)},
		{"registry", registryTests(h)},
		{"shared", sharedTests()},
		{"folders", folderTests(h)},
		{"sweep", sweepTests()},
		{"close", closeTests()},
		{"model", modelTests()},
		{"stress", stressTests()},
	}
	if h.Archive {
		all = append(all, group{"archive", archiveTests()})
	}
	if h.Full != nil {
		all = append(all, group{"full", fullTests()})
	}
	if h.CrashPoints != nil {
		all = append(all, group{"crash", crashTests(h)})
	}
	return all
}
