package intake

import (
	"sync"
	"time"
)

// surge notices when an account suddenly sends far more than usual: its usual
// hour is the mean of its past hours, where newer ones weigh more. It is kept
// in memory: a restart begins to learn anew, from the floor.
type surge struct {
	factor int // 0: off

	mu       sync.Mutex
	accounts map[string]*habit
}

type habit struct {
	hour  int64   // hours since 1970 of count
	count int     // messages in this hour
	usual float64 // messages in an hour
	told  int64   // the hour in which it was logged
}

const (
	// surgeFloor messages an hour are never a surge, whatever is usual.
	surgeFloor = 500
	// habitWeight is the share of the newest hour in the usual one.
	habitWeight = 0.2
	// maxHabits bounds the memory; beyond it, idle accounts are forgotten.
	maxHabits = 10000
)

func newSurge(factor int) *surge {
	return &surge{factor: factor, accounts: map[string]*habit{}}
}

// admit counts a message. hold says that the account is over its limit or far
// over its usual hour; first that this has just begun. limit 0 is none.
func (s *surge) admit(account string, now time.Time, limit int) (hold, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.habit(account, now)
	h.count++
	over := limit > 0 && h.count > limit
	if s.factor > 0 {
		over = over || float64(h.count) > max(surgeFloor, float64(s.factor)*h.usual)
	}
	return over, over && h.tell()
}

// tell is for an account that is held for another reason; first is as in admit.
func (s *surge) tell(account string, now time.Time) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.habit(account, now).tell()
}

func (h *habit) tell() (first bool) {
	first = h.told != h.hour
	h.told = h.hour
	return first
}

func (s *surge) habit(account string, now time.Time) *habit {
	hour := now.Unix() / 3600
	h, ok := s.accounts[account]
	if !ok {
		if len(s.accounts) >= maxHabits {
			s.forgetIdle(hour)
		}
		h = &habit{hour: hour}
		s.accounts[account] = h
	}
	for ; h.hour < hour; h.hour++ {
		if h.count == 0 && h.usual < 1 {
			h.hour, h.usual = hour, 0
			break
		}
		h.usual += habitWeight * (float64(h.count) - h.usual)
		h.count = 0
	}
	return h
}

func (s *surge) forgetIdle(hour int64) {
	for name, h := range s.accounts {
		if h.hour < hour {
			delete(s.accounts, name)
		}
	}
}
