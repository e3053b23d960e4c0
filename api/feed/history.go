package feed

import (
	"context"
	"fmt"
	"slices"

	"postrider/queue"
)

// readHistory reads what befell one message, which the store keeps by itself, so
// that the log need not be searched.
func (r *Reader) readHistory(ctx context.Context, q *Query, at cursor) (items []item, next cursor, more bool, err error) {
	events, err := r.history(ctx, q)
	if err != nil {
		return nil, at, false, err
	}
	for at.offset < uint64(len(events)) {
		if len(items) == q.Limit {
			return items, at, true, nil
		}
		e := events[at.offset : at.offset+1]
		found, err := r.o.Messages.Select(ctx, &q.Filter, e)
		if err != nil {
			return nil, at, false, err
		}
		at.offset++
		for _, s := range found {
			items = append(items, item{s.Event, at})
		}
	}
	return items, at, false, nil
}

// history returns the events of a message that is the account's.
func (r *Reader) history(ctx context.Context, q *Query) ([]queue.Event, error) {
	events, err := r.o.Store.History(ctx, q.Message)
	if err == nil && len(events) == 0 {
		err = queue.ErrNotFound
	}
	if err == nil && q.Account != "" && slices.ContainsFunc(events, func(e queue.Event) bool { return e.Account != q.Account }) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the events of a message: %w", err)
	}
	return events, nil
}
