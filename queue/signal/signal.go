// Package signal tells any number of listeners that something happened, without
// waiting for any of them: each hears at least once after the last time.
package signal

import (
	"slices"
	"sync"
)

// Signal is a set of listeners. The zero value has none. Its methods are safe
// for concurrent use.
type Signal struct {
	mu   sync.Mutex
	list []chan struct{}
}

// Listen returns a channel that holds one signal and is never closed; stop gives
// it back, and nothing is sent to it any more.
func (s *Signal) Listen() (c <-chan struct{}, stop func()) {
	mine := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, mine)
	return mine, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = slices.DeleteFunc(s.list, func(x chan struct{}) bool { return x == mine })
	}
}

// Send signals all listeners; one that has not heard the last signal yet hears
// one for both.
func (s *Signal) Send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.list {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
