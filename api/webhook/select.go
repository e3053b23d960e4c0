package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

// item is an event of the log that an endpoint is to be told of.
type item struct {
	message
	at       time.Time
	position queue.Position
	done     bool // told, while one before it was not
}

// pick returns those of the events that the endpoint wants.
func (w *worker) pick(ctx context.Context, f *feed.Filter, events []queue.Event) ([]*item, error) {
	wanted := events
	if !w.e.AllAttempts {
		var err error
		if wanted, err = w.thin(ctx, f, events); err != nil {
			return nil, err
		}
	}
	found, err := w.s.o.Messages.Select(ctx, f, wanted)
	if err != nil {
		return nil, err
	}
	items := make([]*item, len(found))
	for i := range found {
		v := &found[i].Event
		body, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode event %s: %w", v.ID, err)
		}
		items[i] = &item{message: message{id: v.ID, kind: string(v.Type), body: body}, at: v.Timestamp, position: found[i].Position}
	}
	return items, nil
}

// thin leaves out deferrals that say nothing new.
func (w *worker) thin(ctx context.Context, f *feed.Filter, events []queue.Event) ([]queue.Event, error) {
	out := make([]queue.Event, 0, len(events))
	past := map[queue.MessageID][]queue.Event{}
	for i := range events {
		e := &events[i]
		if !f.Early(e) {
			continue
		}
		if e.Kind == queue.EventDeferred && (e.Attempt == nil || e.Attempt.Number > 1) {
			ok, err := w.notable(ctx, past, e)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		out = append(out, *e)
	}
	return out, nil
}

// marks are how long after the first deferral of a recipient the next one is
// worth telling.
var marks = [...]time.Duration{time.Hour, 4 * time.Hour, 24 * time.Hour}

// notable reports whether a deferral is the recipient's first, or the first after
// one of the marks, by the history of its message.
func (w *worker) notable(ctx context.Context, past map[queue.MessageID][]queue.Event, e *queue.Event) (bool, error) {
	history, ok := past[e.Message]
	if !ok {
		all, err := w.s.o.Store.History(ctx, e.Message)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return false, fmt.Errorf("read the history of message %s: %w", e.Message, err)
		}
		for _, v := range all {
			if v.Kind == queue.EventDeferred {
				history = append(history, v)
			}
		}
		past[e.Message] = history
	}
	var first, last time.Time
	for i := range history {
		v := &history[i]
		if v.Recipient != e.Recipient {
			continue
		}
		if v.ID == e.ID {
			break
		}
		if last = v.At; first.IsZero() {
			first = v.At
		}
	}
	if first.IsZero() {
		return true, nil
	}
	for _, m := range marks {
		if at := first.Add(m); last.Before(at) && !e.At.Before(at) {
			return true, nil
		}
	}
	return false, nil
}
