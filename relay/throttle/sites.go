package throttle

import (
	"context"
	"sync"
	"time"
)

// Options configure Sites. The zero value is usable.
type Options struct {
	// Connections is how many transactions a site may have at a time; 0: 10.
	Connections int
	// PerSite replaces it for some sites: 0 means Connections. It is called
	// with the lock held, so it must be quick. nil: none.
	PerSite func(site string) int
	// Failures in a row that pause a site; 0: 5.
	Failures int
	// Pauses are how long, the first time, the second and so on; the last one
	// repeats. nil: 1, 2, 4, 8, 16 and 30 minutes.
	Pauses []time.Duration
}

// Result is what an attempt says about its site.
type Result uint8

// The results.
const (
	Neutral Result = iota // nothing: it was cut off, or the trouble was ours
	Reached               // the site answered, whatever it said
	Failed                // no connection, or none that lasted to an answer
)

// Permit is the right to one transaction with a site. It is given back by
// Release, once. The zero Permit is none.
type Permit struct {
	Site        string
	Connections int // how many of the site may be out
	epoch       uint64
}

// Held reports whether p is a permit at all.
func (p Permit) Held() bool { return p.Connections > 0 }

// Sites keeps the limits. Its methods are safe for concurrent use.
type Sites struct {
	o Options

	mu    sync.Mutex
	sites map[string]*site
	sweep int // how many sites there may be before idle ones are forgotten
}

type site struct {
	out      int       // permits
	failures int       // in a row
	level    int       // pauses in a row
	wary     bool      // one at a time, until an answer
	until    time.Time // paused until then
	used     time.Time
	epoch    uint64 // counts pauses: what was let through before one says nothing after it
}

// forgetAfter is for how long a site without traffic keeps its record.
const forgetAfter = 2 * time.Hour

// New returns Sites without any.
func New(o Options) *Sites {
	if o.Connections <= 0 {
		o.Connections = 10
	}
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if len(o.Pauses) == 0 {
		for _, m := range []int{1, 2, 4, 8, 16, 30} {
			o.Pauses = append(o.Pauses, time.Duration(m)*time.Minute)
		}
	}
	return &Sites{o: o, sites: make(map[string]*site), sweep: 1024}
}

// Acquire takes a permit. If there is none, ok is false and until says when to
// ask again; the zero time means as soon as a permit of the site is released.
func (s *Sites) Acquire(_ context.Context, name string, now time.Time) (p Permit, until time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[name]
	if st == nil {
		st = s.add(name, now)
	}
	st.used = now
	if now.Before(st.until) {
		return Permit{}, st.until, false
	}
	limit := s.limit(name)
	room := limit
	if st.wary {
		room = 1
	}
	if st.out >= room {
		return Permit{}, time.Time{}, false
	}
	st.out++
	return Permit{Site: name, Connections: limit, epoch: st.epoch}, time.Time{}, true
}

func (s *Sites) limit(name string) int {
	if s.o.PerSite != nil {
		if n := s.o.PerSite(name); n > 0 {
			return n
		}
	}
	return s.o.Connections
}

// Report tells what the permit's transaction says about the site, and returns
// until when the site is paused now; a time not after now if it is not.
func (s *Sites) Report(_ context.Context, p Permit, r Result, now time.Time) (until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[p.Site]
	if st == nil {
		return time.Time{}
	}
	st.used = now
	if st.epoch != p.epoch || now.Before(st.until) {
		return st.until
	}
	switch r {
	case Reached:
		st.failures, st.level, st.wary = 0, 0, false
	case Failed:
		st.failures++
		if st.wary || st.failures >= s.o.Failures {
			st.pause(now.Add(s.o.Pauses[min(st.level, len(s.o.Pauses)-1)]))
			st.level++
		}
	}
	return st.until
}

// Pause lets nothing through to the site until the given time.
func (s *Sites) Pause(_ context.Context, name string, now, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[name]
	if st == nil {
		st = s.add(name, now)
	}
	st.used = now
	if until.After(st.until) {
		st.pause(until)
	}
}

func (st *site) pause(until time.Time) {
	st.until, st.wary, st.failures = until, true, 0
	st.epoch++
}

// Release gives a permit back.
func (s *Sites) Release(_ context.Context, p Permit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[p.Site]
	if st == nil || st.out == 0 {
		panic("throttle: a permit was released twice")
	}
	st.out--
	if st.idle() && st.failures == 0 {
		delete(s.sites, p.Site)
	}
}

func (st *site) idle() bool { return st.out == 0 && !st.wary }

func (s *Sites) add(name string, now time.Time) *site {
	if len(s.sites) >= s.sweep {
		for k, st := range s.sites {
			if st.out == 0 && now.Sub(st.used) > forgetAfter && now.After(st.until) {
				delete(s.sites, k)
			}
		}
		s.sweep = max(1024, 2*len(s.sites))
	}
	st := &site{used: now}
	s.sites[name] = st
	return st
}

// Stats counts sites.
type Stats struct {
	Permits int // out now
	Paused  int // sites that are
}

// Stats returns the counts as of now.
func (s *Sites) Stats(now time.Time) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n Stats
	for _, st := range s.sites {
		n.Permits += st.out
		if now.Before(st.until) {
			n.Paused++
		}
	}
	return n
}

// State is how a site is.
type State struct {
	Permits     int       // out now
	Connections int       // how many may be
	Failures    int       // in a row
	Until       time.Time // paused until then, if it is still to come
}

// State returns how a site is as of now; without traffic it is like a new one.
func (s *Sites) State(name string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := State{Connections: s.limit(name)}
	if st := s.sites[name]; st != nil {
		n.Permits, n.Failures, n.Until = st.out, st.failures, st.until
		if st.wary {
			n.Connections = 1
		}
	}
	return n
}
