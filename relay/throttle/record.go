package throttle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// record is what nodes tell each other of a site, and keep over restarts. Times
// are in microseconds since 1970, 0 for never.
type record struct {
	Until    int64 `json:"u,omitempty"` // the end of the last pause
	Paused   int64 `json:"b,omitempty"` // its beginning
	Lifted   int64 `json:"f,omitempty"` // pauses that began before are over
	Level    int   `json:"l,omitempty"` // pauses in a row
	Answered int64 `json:"a,omitempty"` // when an answer ended wariness

	Slowed    int64   `json:"s,omitempty"`
	High      float64 `json:"h,omitempty"`
	Low       float64 `json:"w,omitempty"`
	HighConns float64 `json:"hc,omitempty"`
	LowConns  float64 `json:"wc,omitempty"`
	Progress  float64 `json:"p,omitempty"`

	// When a connection had enough, and after how many messages.
	Ended int64 `json:"e,omitempty"`
	Took  int   `json:"t,omitempty"`

	// A node that gets no connection says so, for others to leave it some.
	Hungry     int64  `json:"g,omitempty"`
	HungryNode string `json:"n,omitempty"`
}

// join is what follows from two records of a site. The order does not matter,
// nor does it to hear one twice. The longer pause counts, unless it was lifted or
// an answer came after both; the later refusal counts, and the lower of the rates.
func (r record) join(o record) record {
	lifted := max(r.Lifted, o.Lifted)
	r.Lifted, o.Lifted = lifted, lifted
	switch r.comparePause(o) {
	case -1:
		r.Until, r.Paused, r.Level = o.Until, o.Paused, o.Level
	case 0:
		r.Level = max(r.Level, o.Level)
	}
	if r.Answered = max(r.Answered, o.Answered); r.Answered > 0 && r.Answered >= r.Until {
		r.Level = 0
	}
	if o.Hungry > r.Hungry || o.Hungry == r.Hungry && o.HungryNode > r.HungryNode {
		r.Hungry, r.HungryNode = o.Hungry, o.HungryNode
	}
	switch {
	case o.Ended > r.Ended:
		r.Ended, r.Took = o.Ended, o.Took
	case o.Ended == r.Ended:
		r.Took = min(r.Took, o.Took)
	}
	late, early := r, o
	if o.Slowed > r.Slowed {
		late, early = o, r
	}
	switch {
	case late.Slowed == early.Slowed:
		late.High, late.Low = min(late.High, early.High), min(late.Low, early.Low)
		late.HighConns, late.LowConns = min(late.HighConns, early.HighConns), min(late.LowConns, early.LowConns)
		late.Progress = max(late.Progress, early.Progress)
	case early.Slowed > 0 && late.Slowed-early.Slowed < forgetSlow.Microseconds():
		late.Low = min(late.Low, max(along(early.Low, early.High, early.Progress), floorRate))
	}
	r.Slowed, r.High, r.Low, r.HighConns, r.LowConns, r.Progress = late.Slowed, late.High, late.Low, late.HighConns, late.LowConns, late.Progress
	return r
}

// void reports that the pause was lifted.
func (r record) void() bool { return r.Lifted > 0 && r.Paused <= r.Lifted }

// comparePause orders the pauses of two records that agree on what was lifted.
func (r record) comparePause(o record) int {
	if r.void() != o.void() {
		if r.void() {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(r.Until, o.Until), cmp.Compare(r.Paused, o.Paused))
}

// news reports whether r tells more than o, which was joined into it.
func (r record) news(o record) bool {
	moved := r.Progress-o.Progress > atOnce
	r.Progress, o.Progress = 0, 0
	return r != o || moved
}

// over reports whether nobody need know r any more.
func (r record) over(now time.Time) bool {
	at := now.UnixMicro()
	trouble := r.Until > r.Answered && at-r.Until < forgetAfter.Microseconds()
	slow := max(r.Slowed, r.Ended) > 0 && at-max(r.Slowed, r.Ended) < forgetSlow.Microseconds()
	answered := r.Answered > 0 && at-r.Answered < forgetAfter.Microseconds()
	return !trouble && !slow && !answered && at-r.Hungry > hungryFor.Microseconds()
}

// sane reports whether a record can be ours: it was read from a store that others
// write to.
func (r record) sane() bool {
	for _, f := range []float64{r.High, r.Low, r.HighConns, r.LowConns, r.Progress} {
		if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 || f > 1e9 {
			return false
		}
	}
	if r.Slowed > 0 && (r.Low <= 0 || r.LowConns < 1 || r.High < r.Low || r.HighConns < r.LowConns || r.Progress > maxProgress) {
		return false
	}
	if r.Took < 0 || r.Took > mostWarm || (r.Ended > 0) != (r.Took > 0) {
		return false
	}
	return r.Ended >= 0 && r.Until >= 0 && r.Paused >= 0 && r.Lifted >= 0 && r.Answered >= 0 && r.Slowed >= 0 && r.Hungry >= 0 && r.Level >= 0 && len(r.HungryNode) <= 255
}

// shardValue is one value of the cache: the records of many sites.
type shardValue struct {
	Version int               `json:"v"`
	Sites   map[string]record `json:"sites"`
}

const recordVersion = 1

// maxShard is below the 64 KiB that a cache takes.
const maxShard = 60 << 10

// encodeShard writes records; where they are too many, the oldest are left out.
func encodeShard(m map[string]record) ([]byte, error) {
	b, err := json.Marshal(shardValue{recordVersion, m})
	if err != nil || len(b) <= maxShard {
		return b, err
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	latest := func(k string) int64 { return max(m[k].Until, m[k].Slowed, m[k].Answered, m[k].Ended) }
	slices.SortFunc(keys, func(a, b string) int { return int(min(max(latest(b)-latest(a), -1), 1)) })
	fewer := make(map[string]record)
	size := 0
	for _, k := range keys {
		one, err := json.Marshal(map[string]record{k: m[k]})
		if err != nil {
			return nil, err
		}
		if size += len(one); size > maxShard-64 {
			break
		}
		fewer[k] = m[k]
	}
	return json.Marshal(shardValue{recordVersion, fewer})
}

// decodeShard reads what encodeShard wrote; records that make no sense are left
// out.
func decodeShard(b []byte) (map[string]record, error) {
	var v shardValue
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("limits of sites: %w", err)
	}
	if v.Version != recordVersion {
		return nil, fmt.Errorf("limits of sites: version %d is not known", v.Version)
	}
	if v.Sites == nil {
		v.Sites = make(map[string]record)
	}
	for k, r := range v.Sites {
		if !r.sane() || k == "" {
			delete(v.Sites, k)
		}
	}
	return v.Sites, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// record is what this node knows of the site.
func (st *site) record() record {
	p := &st.pace
	return record{
		Until: micros(st.until), Paused: micros(st.paused), Lifted: micros(st.lifted), Level: st.level, Answered: micros(st.answered),
		Slowed: micros(p.slowed), High: p.high, Low: p.low, HighConns: p.highConns, LowConns: p.lowConns, Progress: p.progress,
		Ended: micros(st.warmth.ended), Took: st.warmth.took,
		Hungry: micros(st.share.hungry), HungryNode: st.share.hungryNode,
	}
}

// learn joins what others know into the site.
func (st *site) learn(r record, now time.Time) {
	if r.Slowed > 0 && now.UnixMicro()-r.Slowed > forgetSlow.Microseconds() {
		r.Slowed, r.High, r.Low, r.HighConns, r.LowConns, r.Progress = 0, 0, 0, 0, 0, 0
	}
	mine := st.record()
	all := mine.join(r)
	switch {
	case all.void():
		if !mine.void() {
			st.lift(timeOf(all.Lifted))
		}
	case all.Until > mine.Until || mine.void():
		st.pause(timeOf(all.Paused), timeOf(all.Until))
		st.level = all.Level
	}
	if all.Answered > mine.Answered {
		st.answered = timeOf(all.Answered)
		if !st.answered.Before(st.until) {
			st.wary, st.level, st.failures = false, 0, 0
		}
	}
	st.share.hungry, st.share.hungryNode = timeOf(all.Hungry), all.HungryNode
	st.warmth.ended, st.warmth.took = timeOf(all.Ended), all.Took
	st.learnPace(mine, all, now)
}

func (st *site) learnPace(mine, all record, now time.Time) {
	p := &st.pace
	if all.Slowed == mine.Slowed && all.Progress == mine.Progress && all.Low == mine.Low && all.High == mine.High &&
		all.LowConns == mine.LowConns && all.HighConns == mine.HighConns {
		return
	}
	before := p.connections(st.conns)
	if all.Slowed > mine.Slowed {
		// What is on its way here was sent before it: it says nothing more.
		p.epoch++
		p.took = false
		p.slowed = timeOf(all.Slowed)
		p.moved = now
		if !now.Before(p.heard) {
			p.heard = p.slowed.Add(oneRefusal)
		}
	}
	p.high, p.low, p.highConns, p.lowConns, p.progress = all.High, all.Low, all.HighConns, all.LowConns, all.Progress
	st.shrink(before)
}
