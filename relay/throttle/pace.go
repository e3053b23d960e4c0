package throttle

import (
	"math"
	"time"
)

// How a site's limits move. A site that says that it gets too much is sent
// gentle times what it refused, and harsh times if it says so again at once.
// Recovery is counted in messages that it took, for each one that it refused, so
// that refusals stay a small part of them: it is fast at first, slow near the rate
// that was refused, which is reached after so many, careful just beyond, and then
// ever faster, for the site may have changed its mind.
const (
	gentle = 0.85
	harsh  = 0.5
	atOnce = 0.1 // of the recovery
	doubt  = 0.7 // what such a refusal takes at most from the rate that is aimed at
	spread = 0.3 // of the refused rate: how far beyond it the second recovery leads
	// A recovery takes recoveryEach messages for each one that a round of refusals
	// cost, so that about one in recoveryEach is refused; within these bounds.
	recoveryEach  = 100.0
	recoveryLeast = 100.0
	recoveryMost  = 250.0
	// recoveryTime is what recovery takes at rates so low that it would be longer.
	recoveryTime = time.Hour
	maxProgress  = 20
	// lowRate is one at which the gauge sees too little.
	lowRate = 0.5
	// floorRate is the least, in messages a second.
	floorRate = 1.0 / 60
	// forgetSlow is after how long without a refusal one is forgotten.
	forgetSlow = 72 * time.Hour
	// bindingTime is for how long after a limit of ours held something back what
	// the site takes tells of that limit.
	bindingTime = 10 * time.Second
	// oneRefusal is how long it takes until all nodes have slowed down for what one
	// was refused.
	oneRefusal = tick + writeEvery
	// deaf is how many refusals in a row, each of something sent after we slowed
	// down for the one before, show that slowing down does not help.
	deaf = 8
)

// pace is how fast a site may be sent to: learned, between floorRate and what the
// rule says.
type pace struct {
	slowed time.Time // last refusal that counted; zero: none is known
	// What was refused, and what was made of it: messages a second, and
	// transactions at a time.
	high, low           float64
	highConns, lowConns float64
	progress            float64 // from low (0) to high (1), and beyond
	took                bool    // the site took something since
	refusals            int     // that counted, since it last took something
	cost, round         float64 // messages refused in rounds before, and in the last one

	epoch uint64    // counts refusals: what was sent before one says nothing after it
	bound time.Time // when a limit of ours last held something back
	heard time.Time // when all nodes know of the refusal that began the last row of them
	moved time.Time // when progress was last counted
	next  time.Time // theoretical time of the next message
	seen  gauge
}

// along is the value after so much progress.
func along(low, high, progress float64) float64 {
	x := progress - 1
	if x < 0 {
		return high + (high-low)*x*x*x
	}
	return high + spread*high*x*x*x
}

// rate is in messages a second; +Inf: no limit.
func (p *pace) rate(ceiling float64) float64 {
	ceiling = ceilingOf(ceiling)
	if p.slowed.IsZero() {
		return ceiling
	}
	return min(max(along(p.low, p.high, p.progress), floorRate), ceiling)
}

// ceilingOf is a ceiling, of which 0 means none.
func ceilingOf(ceiling float64) float64 {
	if ceiling <= 0 {
		return math.Inf(1)
	}
	return ceiling
}

// connections are as many as may be out of ceiling.
func (p *pace) connections(ceiling int) int {
	if p.slowed.IsZero() {
		return ceiling
	}
	n := math.Round(along(p.lowConns, p.highConns, p.progress))
	return int(min(max(n, 1), float64(ceiling)))
}

// burst is how many messages may come at once: so many as make up for being late
// by a quarter of a second.
func burst(rate float64) float64 { return 1 + math.Floor(rate/4) }

// recovery is how many messages it takes to come back to what was refused.
func (p *pace) recovery() float64 {
	return min(max(recoveryEach*max(p.cost, p.round), recoveryLeast), recoveryMost)
}

// wait says when the next message may go; a time not after now: at once.
func (p *pace) wait(rate float64) time.Time {
	if math.IsInf(rate, 1) || p.next.IsZero() {
		return time.Time{}
	}
	return p.next.Add(-seconds((burst(rate) - 1) / rate))
}

// take counts a message that goes now (GCRA).
func (p *pace) take(rate float64, now time.Time) {
	if math.IsInf(rate, 1) {
		return
	}
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(seconds(1 / rate))
}

// untake counts one off that did not go after all.
func (p *pace) untake(rate float64) {
	if !math.IsInf(rate, 1) {
		p.next = p.next.Add(-seconds(1 / rate))
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// accepted counts a message that the site took, and reports whether the limits
// have moved by a step worth telling others.
// It stands for as many as all nodes sent meanwhile: what is not seen here.
func (p *pace) accepted(now time.Time, ceiling float64, nodes int) (told bool) {
	p.took, p.refusals = true, 0
	if p.slowed.IsZero() {
		return false
	}
	if now.Sub(p.slowed) > forgetSlow {
		p.forget()
		return true
	}
	rate := max(along(p.low, p.high, p.progress), floorRate)
	if now.Sub(p.bound) > max(bindingTime, seconds(2/rate)) {
		p.moved = now
		return false
	}
	step := p.all(min(rate, ceilingOf(ceiling)), nodes, now) / p.recovery()
	if passed := now.Sub(p.moved); passed > 0 {
		step = max(step, min(passed, seconds(2/rate)).Seconds()/recoveryTime.Seconds())
	}
	before := p.progress
	p.progress, p.moved = min(p.progress+step, maxProgress), now
	return math.Floor(before/atOnce) != math.Floor(p.progress/atOnce)
}

// all is how many messages all nodes sent for each one of this node: the limit is
// for all of them, and holds them back.
func (p *pace) all(rate float64, nodes int, now time.Time) float64 {
	if seen := p.seen.rate(now); nodes > 1 && seen > 0 {
		return min(max(rate/seen, 1), float64(nodes))
	}
	return 1
}

func (p *pace) forget() {
	epoch, seen, next := p.epoch, p.seen, p.next
	*p = pace{epoch: epoch, seen: seen, next: next}
}

// refused slows down for a message that the site took ill, when out were out on
// this one of some nodes, of conns that might have been on all.
func (p *pace) refused(now time.Time, ceiling float64, out, conns, nodes int) {
	first := p.slowed.IsZero()
	seen := p.seen.rate(now) * float64(nodes)
	sent := p.lately(seen, ceiling)
	share, known := gentle, false
	switch {
	case first || p.progress >= atOnce && p.refusals == 0:
		p.cost, p.round = (p.cost+p.round)/2, 0
		p.heard = now.Add(oneRefusal)
	case nodes > 1 && now.Before(p.heard):
		known = true // what was refused is; the others are still about to slow down
	default:
		share = harsh
	}
	p.round++
	// While the site takes nothing at all what it refuses says nothing of how
	// much it would take.
	switch {
	case !first && !p.took, known:
	case first && seen == 0: // nothing is known: it may be as many as were on their way
		p.high = min(max(sent, float64(out*nodes)), ceilingOf(ceiling))
	case share == harsh:
		p.high = min(max(sent, seen, doubt*p.high), ceilingOf(ceiling))
	default:
		p.high = sent
	}
	p.low = max(share*sent, floorRate)
	p.high = max(p.high, p.low)
	p.fewer(first, share, min(max(out*nodes, 1), conns), conns)
	p.slowed, p.moved, p.progress, p.took = now, now, 0, false
	p.refusals++
	p.epoch++
	p.next = now.Add(seconds(burst(p.low) / p.low)) // and nothing at once
}

// lately is the rate at which messages went: the limit, unless less was seen to
// go. At low rates too little is seen. Where neither is known it is one a second.
func (p *pace) lately(seen, ceiling float64) float64 {
	rate := p.rate(ceiling)
	switch {
	case seen > 0 && (math.IsInf(rate, 1) || rate > lowRate && seen < 0.8*rate):
		return seen
	case math.IsInf(rate, 1):
		return 1
	}
	return rate
}

// fewer lowers how many may be out: at the first refusal, when no rate held
// them back, and later only if going slower alone did not help.
func (p *pace) fewer(first bool, share float64, used, conns int) {
	low := math.Ceil(share * float64(used))
	switch {
	case first:
		p.highConns, p.lowConns = float64(used), low
	case share == gentle:
		p.highConns, p.lowConns = float64(conns), float64(conns)
	case p.took:
		p.highConns, p.lowConns = float64(used), low
	default:
		p.highConns, p.lowConns = max(p.highConns, low), low
	}
}

// gauge measures how many messages a second a site took lately, in a window and
// the one before it.
type gauge struct {
	begun, last     time.Time
	current, before float64
	length          time.Duration // of the window before
}

const (
	gaugeLeast = 10 * time.Second // of a window with gaugeCount messages
	gaugeMost  = 30 * time.Second
	gaugeCount = 20
	gaugeQuick = 3 * time.Second // of one with gaugeMany
	gaugeMany  = 150
	gaugeGap   = 2 * time.Minute // after which it is a new beginning
)

func (g *gauge) count(now time.Time) {
	if now.Sub(g.last) > gaugeGap {
		*g = gauge{begun: now}
	}
	if passed := now.Sub(g.begun); passed >= gaugeMost || passed >= gaugeLeast && g.current >= gaugeCount || passed >= gaugeQuick && g.current >= gaugeMany {
		*g = gauge{begun: now, before: g.current, length: passed}
	}
	g.current++
	g.last = now
}

// rate returns messages a second; 0: not known.
func (g *gauge) rate(now time.Time) float64 {
	if g.begun.IsZero() || g.current+g.before < 2 {
		return 0
	}
	passed := now.Sub(g.begun) + g.length
	return (g.current + g.before) / max(passed, time.Second).Seconds()
}
