package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"postrider/queue"
)

// endBatch is how many events End passes over at once.
const endBatch = 2000

// End returns a position behind all that happened before the call; what happens
// during it may be before or behind. The log has no word for its end, so that it
// is looked for from where a reader stands that keeps up with it, or from where
// this Reader saw it last.
func (r *Reader) End(ctx context.Context) (queue.Position, error) {
	now := r.o.Now()
	at, err := r.nearEnd(ctx)
	if err != nil {
		return "", err
	}
	for {
		events, next, err := r.o.Store.ReadEvents(ctx, at, endBatch)
		if errors.Is(err, queue.ErrPosition) && at != "" {
			at = "" // what stood there was too old
			continue
		}
		if err != nil {
			return "", fmt.Errorf("look for the end of the events: %w", err)
		}
		if len(events) > 0 && !slices.ContainsFunc(events, func(e queue.Event) bool { return !e.At.After(now) }) {
			return at, nil // all of these came in since
		}
		if len(events) == 0 && next == at {
			r.sawEnd(at)
			return at, nil
		}
		at = next
	}
}

func (r *Reader) nearEnd(ctx context.Context) (queue.Position, error) {
	for _, name := range r.o.Hints {
		p, err := r.o.Store.Acknowledged(ctx, name)
		if err != nil {
			return "", fmt.Errorf("look for the end of the events: %w", err)
		}
		if p != "" {
			return p, nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tail, nil
}

// sawEnd remembers an end of the log. It may be an older one than is known: then
// the next search takes a little longer.
func (r *Reader) sawEnd(p queue.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tail = p
}
