package queue

import "time"

// Schedule is the retry table: how long to wait after the first failed attempt,
// after the second, and so on; the last one repeats.
type Schedule []time.Duration

// jitterShare is the part of a delay by which it is moved at most, both ways,
// so that what failed together does not come back together.
const jitterShare = 0.15

// DefaultSchedule reaches 72 h in about 23 attempts. The first delay lets most
// greylisting pass; RFC 5321 §4.5.4.1 asks for 30 minutes at least, "except
// where the reason is known", and for two attempts in the first hour.
func DefaultSchedule() Schedule {
	return Schedule{
		5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute,
		80 * time.Minute, 160 * time.Minute, 4 * time.Hour,
	}
}

// After returns the delay after the given number of failed attempts, counted
// from 1. roll is a random number in [0, 1) that places it within ±15 %.
func (s Schedule) After(attempts int, roll float64) time.Duration {
	if len(s) == 0 {
		s = DefaultSchedule()
	}
	i := min(max(attempts, 1), len(s)) - 1
	return time.Duration(float64(s[i]) * (1 + jitterShare*(2*roll-1)))
}
