package imapview

import (
	"context"
	"sync"
)

// queues lets one search at a time look at an account's messages: the others of
// that account wait.
type queues struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	wanted int // by how many, the one that has it included
	free   chan struct{}
}

func newQueues() *queues { return &queues{of: map[string]*turn{}} }

// enter waits for an account's turn; leave gives it back.
func (q *queues) enter(ctx context.Context, account string) (leave func(), err error) {
	q.mu.Lock()
	t := q.of[account]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		q.of[account] = t
	}
	t.wanted++
	q.mu.Unlock()
	select {
	case <-t.free:
		return func() {
			t.free <- struct{}{}
			q.forget(account, t)
		}, nil
	case <-ctx.Done():
		q.forget(account, t)
		return nil, ctx.Err()
	}
}

func (q *queues) forget(account string, t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.wanted--; t.wanted == 0 {
		delete(q.of, account)
	}
}
