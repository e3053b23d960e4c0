package folders

import (
	"container/list"
	"context"
	"sync"
	"time"

	"postrider/queue"
	"postrider/queue/signal"
)

// Bounds of what is kept of accounts that nobody uses at the moment.
const (
	maxIdle       = 256
	maxIdleOctets = 64 << 20
)

// cache keeps what is known of accounts: of those in use, and of the ones used
// last.
type cache struct {
	mu      sync.Mutex
	shelves map[string]*shelf
	idle    *list.List // of *shelf that nobody holds, the last used in front
	octets  int        // of the views of those
}

func newCache() cache { return cache{shelves: map[string]*shelf{}, idle: list.New()} }

// shelf is what is known of one account.
type shelf struct {
	account string
	changed signal.Signal
	editing lock // one editor of this node at a time
	loading lock // one reader of the index

	holders int           // guarded by cache.mu, as the next two
	place   *list.Element // in idle
	octets  int           // that it was counted with there

	mu    sync.Mutex
	view  *View            // the last one
	turn  int              // counts the views
	asked time.Time        // when the store was asked that it is current
	head  queue.FolderHead // the last that a poll, or the view, has seen
}

// hold returns what is known of an account and keeps it until release.
func (c *cache) hold(account string) *shelf {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shelves[account]
	if s == nil {
		s = &shelf{account: account, editing: newLock(), loading: newLock()}
		c.shelves[account] = s
	}
	if s.place != nil {
		c.unplace(s)
	}
	s.holders++
	return s
}

func (c *cache) release(s *shelf) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.holders--; s.holders > 0 {
		return
	}
	s.octets = 0
	if v, _ := s.state(); v != nil {
		s.octets = v.weight()
	}
	s.place = c.idle.PushFront(s)
	c.octets += s.octets
	for c.idle.Len() > maxIdle || c.octets > maxIdleOctets {
		oldest := c.idle.Back().Value.(*shelf)
		c.unplace(oldest)
		delete(c.shelves, oldest.account)
	}
}

func (c *cache) unplace(s *shelf) {
	c.idle.Remove(s.place)
	s.place = nil
	c.octets -= s.octets
}

func (s *shelf) state() (v *View, turn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.turn
}

// fresh returns the view if the store said within that time that it is current.
func (s *shelf) fresh(now time.Time, within time.Duration) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil || s.view.head != s.head {
		return nil
	}
	if age := now.Sub(s.asked); age < 0 || age >= within {
		return nil
	}
	return s.view
}

// confirm notes that the store was asked, and that the view was current.
func (s *shelf) confirm(v *View, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == v && asked.After(s.asked) {
		s.asked, s.head = asked, v.head
	}
}

// put keeps a view that was read since the turn, and returns it, or the one that
// was made meanwhile.
func (s *shelf) put(v *View, asked time.Time, turn int) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != turn && s.view != nil {
		return s.view
	}
	s.set(v, asked)
	return v
}

// committed keeps a view that was just committed, and tells who listens.
func (s *shelf) committed(v *View, asked time.Time) {
	s.mu.Lock()
	s.set(v, asked)
	s.mu.Unlock()
	s.changed.Send()
}

func (s *shelf) set(v *View, asked time.Time) {
	s.view, s.asked, s.head = v, asked, v.head
	s.turn++
}

func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.head = nil, queue.FolderHead{}
	s.turn++
}

// lock is a mutex that can be waited for with a context.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) lock(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l lock) unlock() { <-l }
