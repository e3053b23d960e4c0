package folders

import (
	"cmp"
	"context"
	"sync"
	"time"

	"postrider/queue"
)

// pollEvery is how often the store is asked for changes by others.
const pollEvery = time.Second

// poller asks for the heads of watched accounts while there are any.
type poller struct {
	watched map[*shelf]int // guarded by Book.mu
	cancel  context.CancelFunc
	done    chan struct{}
}

// Watch returns a channel that holds a signal after the account has changed: at
// once if this Book changed it, else within a second. It may signal without
// cause. The channel is never closed; stop must be called once.
func (b *Book) Watch(account string) (c <-chan struct{}, stop func()) {
	s := b.cache.hold(account)
	c, unlisten := s.changed.Listen()
	b.mu.Lock()
	if b.poller == nil {
		b.poller = b.startPoller()
	}
	b.poller.watched[s]++
	b.mu.Unlock()
	return c, sync.OnceFunc(func() {
		unlisten()
		if p := b.unwatch(s); p != nil {
			p.cancel()
			<-p.done
		}
		b.cache.release(s)
	})
}

// unwatch returns the poller if it has nothing more to do.
func (b *Book) unwatch(s *shelf) *poller {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.poller
	if p.watched[s]--; p.watched[s] == 0 {
		delete(p.watched, s)
	}
	if len(p.watched) > 0 {
		return nil
	}
	b.poller = nil
	return p
}

// startPoller starts what the last stop ends, and waits for.
func (b *Book) startPoller() *poller {
	ctx, cancel := context.WithCancel(context.Background())
	p := &poller{watched: map[*shelf]int{}, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		b.poll(ctx, p)
	}()
	return p
}

func (b *Book) poll(ctx context.Context, p *poller) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := b.pollOnce(ctx, b.watched(p))
		if err != nil && !failing && ctx.Err() == nil {
			b.o.Logger.Warn("cannot ask for changes of folders", "err", err)
		}
		failing = err != nil
	}
}

func (b *Book) watched(p *poller) []*shelf {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*shelf, 0, len(p.watched))
	for s := range p.watched {
		all = append(all, s)
	}
	return all
}

func (b *Book) pollOnce(ctx context.Context, all []*shelf) (first error) {
	for _, s := range all {
		asked := b.o.Now()
		_, turn := s.state()
		head, err := b.o.Store.FolderHead(ctx, s.account)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		if s.saw(head, asked, turn) {
			s.changed.Send()
		}
	}
	return first
}

// saw notes a head that was asked for at that turn, and reports whether it is
// news.
func (s *shelf) saw(head queue.FolderHead, asked time.Time, turn int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != turn || s.head == head {
		if s.turn == turn && asked.After(s.asked) {
			s.asked = asked
		}
		return false
	}
	s.head = head
	return true
}
