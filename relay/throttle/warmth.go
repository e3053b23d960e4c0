package throttle

import "time"

// warmth is how many messages a connection to a site may be used for: what the
// site was seen to take, and the more the longer it has not said so again.
type warmth struct {
	ended time.Time // when a connection last had enough; zero: none ever had
	took  int       // messages that it had taken
	// last is how many the last connection had taken that ended without a word:
	// twice the same number in a row is no accident.
	last int
}

const (
	// warmerEach is after how long a connection may be used for more again, by a
	// warmerPart of what the site was seen to take.
	warmerEach = time.Hour
	warmerPart = 4
	// mostWarm is the ceiling where no rule says one.
	mostWarm = 1000
)

// limit is how many messages a connection may have; 0: not known.
func (w *warmth) limit(ceiling int, now time.Time) int {
	if w.ended.IsZero() {
		return ceiling
	}
	if ceiling <= 0 {
		ceiling = mostWarm
	}
	step := (w.took + warmerPart - 1) / warmerPart
	steps := int(max(min(now.Sub(w.ended)/warmerEach, mostWarm), 0))
	return min(w.took+step*steps, ceiling)
}

// over reports that the ceiling is reached again.
func (w *warmth) over(ceiling int, now time.Time) bool {
	if ceiling <= 0 {
		ceiling = mostWarm
	}
	return !w.ended.IsZero() && w.limit(ceiling, now) >= ceiling
}

// hear takes note of a connection that ended after so many messages, and reports
// whether that tells something new. said: the site named the reason.
func (w *warmth) hear(messages int, said bool, ceiling int, now time.Time) bool {
	if messages <= 0 {
		return false
	}
	again := said || w.last == messages
	w.last = messages
	if said {
		w.last = 0
	}
	if !again || ceiling > 0 && messages >= ceiling || messages >= mostWarm {
		return false
	}
	w.ended, w.took = now, messages
	return true
}
