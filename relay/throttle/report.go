package throttle

import (
	"context"
	"time"
)

// Result is what an attempt says about its site.
type Result uint8

// The results.
const (
	Neutral Result = iota // nothing: it was cut off, or the trouble was ours
	Reached               // the site answered, whatever it said
	Failed                // no connection, or none that lasted to an answer
	Slowed                // the site says that it gets too much, or distrusts us
)

// Report is what became of a message under a permit.
type Report struct {
	Result Result
	// Rest is for how long nothing is to go to the site: it asked for that, or
	// what it said asks for it. 0: not said.
	Rest time.Duration
	// Connection is how many messages a connection took before the site ended it,
	// 0 if it ended none; Enough says that the site named their number as the
	// reason.
	Connection int
	Enough     bool
}

// Report tells what became of the permit's message, and returns until when the
// site is paused now; a time not after now if it is not.
func (s *Sites) Report(_ context.Context, p Permit, r Report, now time.Time) (until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := p.grant
	if g == nil {
		return time.Time{}
	}
	st := g.site
	st.used, g.unsaid = now, false
	if st.warmth.hear(r.Connection, r.Enough, st.rule.MessagesPerConnection, now) {
		s.changed(st)
	}
	stale := g.pauses != st.epoch || now.Before(st.until)
	switch r.Result {
	case Reached:
		s.accepted(st, g, stale, now)
	case Slowed:
		s.slowed(st, g, stale, &r, now)
	case Failed:
		if !stale {
			if st.failures++; st.wary || st.failures >= s.o.Failures {
				s.pause(st, now, now.Add(s.nextPause(st)))
			}
		}
	}
	if end := now.Add(r.Rest); r.Rest > 0 && end.After(st.until) && (!stale || end.Sub(st.until) > r.Rest/4) {
		s.pause(st, now, end)
	}
	return st.until
}

func (s *Sites) accepted(st *site, g *grant, stale bool, now time.Time) {
	st.pace.seen.count(now)
	if g.slows == st.pace.epoch && st.pace.accepted(now, st.rule.Rate.perSecond(), s.together(now)) {
		s.changed(st)
	}
	if stale {
		return
	}
	if st.wary {
		st.answered = now
		s.changed(st)
	}
	st.failures, st.level, st.wary = 0, 0, false
}

// slowed takes note that the site gets too much, once in each round of what is on
// its way. Where that does not help, or a probe was refused, the site is paused.
func (s *Sites) slowed(st *site, g *grant, stale bool, r *Report, now time.Time) {
	if !stale {
		st.failures = 0
	}
	if g.slows != st.pace.epoch {
		st.pace.round++
		return
	}
	s.backOff(st, now)
	if !stale && (st.wary || st.pace.refusals >= deaf) {
		r.Rest = max(r.Rest, s.nextPause(st))
	}
}

func (s *Sites) backOff(st *site, now time.Time) {
	before := st.pace.connections(st.conns)
	// What others send is not seen here: it is taken for as much on each node.
	st.pace.refused(now, st.rule.Rate.perSecond(), st.out, before, s.together(now))
	st.shrink(before)
	s.changed(st)
}

// together is how many nodes share the limits at the moment.
func (s *Sites) together(now time.Time) int {
	if !s.joined(now) {
		return 1
	}
	return max(s.common.nodes, 1)
}

// nextPause is for how long a site in trouble is paused; each is longer than the
// one before it.
func (s *Sites) nextPause(st *site) time.Duration {
	st.level++
	return s.o.Pauses[min(st.level, len(s.o.Pauses))-1]
}

// Pause lets nothing through to the site until the given time.
func (s *Sites) Pause(_ context.Context, key string, now, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[key]
	if st == nil {
		st = s.add(key, now)
	}
	st.used = now
	if until.After(st.until) {
		s.pause(st, now, until)
	}
}

func (s *Sites) pause(st *site, now, until time.Time) {
	st.pause(now, until)
	s.changed(st)
}

func (st *site) pause(from, until time.Time) {
	st.paused, st.until, st.wary, st.failures = from, until, true, 0
	st.epoch++
}

// Lift ends the pause of a site, since what led to it was mended: the next
// message is the probe. It reports whether there was one here. Other nodes hear of
// it as they hear of a pause.
func (s *Sites) Lift(_ context.Context, key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[key]
	if st == nil || !now.Before(st.until) {
		return false
	}
	st.lift(now)
	s.changed(st)
	return true
}

// lift ends the pauses that began until then.
func (st *site) lift(at time.Time) {
	st.lifted = at
	if !st.paused.After(at) && st.until.After(at) {
		st.until, st.level = at, 0
		st.epoch++
	}
}
