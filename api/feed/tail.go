package feed

import (
	"context"
	"sync"

	"postrider/queue"
)

const (
	// batchSize is how many events are read at once, by all who share a Tail.
	batchSize = 250
	// tailBatches is how many batches are remembered.
	tailBatches = 16
)

// Tail reads the log for many readers: what one has read from a position is given
// to others who stand there too, as those do that keep up with the log. Its
// methods are safe for concurrent use.
type Tail struct {
	log queue.Events

	mu      sync.Mutex
	batches map[queue.Position]*tailBatch
	order   []queue.Position // the oldest first
}

type tailBatch struct {
	ready  chan struct{} // closed when the rest is there
	events []queue.Event
	next   queue.Position
	err    error
}

// NewTail returns a Tail of a log.
func NewTail(log queue.Events) *Tail {
	return &Tail{log: log, batches: make(map[queue.Position]*tailBatch)}
}

// Read is ReadEvents of the log, with a limit that all share. The events are not
// to be changed.
func (t *Tail) Read(ctx context.Context, after queue.Position) ([]queue.Event, queue.Position, error) {
	b, mine := t.join(after)
	if mine {
		b.events, b.next, b.err = t.log.ReadEvents(ctx, after, batchSize)
		close(b.ready)
		// What stands behind a position stays there; that nothing does, or
		// trouble, is true for now only.
		if len(b.events) == 0 || b.err != nil {
			t.forget(after, b)
		}
		return b.events, b.next, b.err
	}
	select {
	case <-b.ready:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	// Trouble may be the other reader's own, and what has come since it looked
	// was told to us before: we are not told again.
	if b.err != nil || len(b.events) == 0 {
		return t.log.ReadEvents(ctx, after, batchSize)
	}
	return b.events, b.next, nil
}

func (t *Tail) join(after queue.Position) (b *tailBatch, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.batches[after]; b != nil {
		return b, false
	}
	b = &tailBatch{ready: make(chan struct{})}
	t.batches[after] = b
	t.order = append(t.order, after)
	if len(t.order) > tailBatches {
		delete(t.batches, t.order[0])
		t.order = t.order[1:]
	}
	return b, true
}

func (t *Tail) forget(after queue.Position, b *tailBatch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.batches[after] != b {
		return
	}
	delete(t.batches, after)
	for i, p := range t.order {
		if p == after {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			return
		}
	}
}
