package logstore

import "postrider/queue"

// park keeps a lane from being leased until then.
func (s *schedule) park(name queue.Lane, now, until int64) {
	l := s.lane(name)
	if until <= now {
		s.unpark(l)
		return
	}
	s.forgetParked(now)
	l.parked, l.until = true, until
	if l.index >= 0 {
		s.parked.remove(l.index)
	}
	for _, f := range l.flows {
		s.place(f)
	}
}

func (s *schedule) unpark(l *lane) {
	l.parked = false
	if l.index >= 0 {
		s.parked.remove(l.index)
	}
	if len(l.flows) == 0 {
		delete(s.lanes, l.name)
	}
	for _, f := range l.flows {
		s.place(f)
	}
}

// forgetParked drops parked lanes without mail whose time is over, once there
// are many.
func (s *schedule) forgetParked(now int64) {
	if n := len(s.lanes); n < 64 || n&(n-1) != 0 {
		return
	}
	for name, l := range s.lanes {
		if l.parked && len(l.flows) == 0 && l.until <= now {
			delete(s.lanes, name)
		}
	}
}

// isParked reports whether a lane is parked at that time.
func (l *lane) isParked(now int64) bool { return l.parked && l.until > now }

// wakeParked sees that a parked lane is looked at when it has been parked long
// enough and something is due at that time.
func (s *schedule) wakeParked(l *lane, due int64) {
	wake := max(l.until, due)
	switch {
	case l.index < 0:
		l.wake = wake
		s.parked.push(l)
	case wake < l.wake:
		l.wake = wake
		s.parked.fix(l.index)
	}
}
