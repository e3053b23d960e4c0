package alert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
)

// stale is how old an event is that is no news any more, as when the log is read
// from its beginning.
const stale = time.Hour

// look takes note of what one event says.
func (w *Watch) look(ctx context.Context, e *queue.Event) error {
	if w.o.Now().Sub(e.At) >= stale {
		return nil
	}
	switch e.Kind {
	case queue.EventDelivered, queue.EventRelayed:
		w.endings = append(w.endings, e)
		return nil
	case queue.EventDeferred, queue.EventBounced, queue.EventExpired:
	default:
		return nil
	}
	refused := e.Kind != queue.EventExpired && e.Attempt != nil && w.o.Alerts(e.Class)
	ended := e.Kind != queue.EventDeferred
	if !refused && !ended {
		return nil
	}
	m, err := w.sent(ctx, e.Message)
	if m == nil || err != nil {
		return err
	}
	if ended {
		w.endings = append(w.endings, e)
	}
	if refused {
		w.refused(e, m)
	}
	return nil
}

// sent returns a message that was really sent for somebody: nil if it was
// sandboxed, is one of the relay's own, or is gone.
func (w *Watch) sent(ctx context.Context, id queue.MessageID) (*queue.Message, error) {
	if m, known := w.facts[id]; known {
		return m, nil
	}
	entry, err := w.o.Store.Message(ctx, id)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	var m *queue.Message
	if err == nil && !entry.Message.Sandbox && entry.Message.Source.Kind != internal {
		msg := entry.Message // without the recipients, who may be many
		m = &msg
	}
	w.facts[id] = m
	return m, nil
}

// internal is the Source.Kind of the relay's own mail.
const internal = "internal"

// refused adds a recipient to the cause that keeps its mail back.
func (w *Watch) refused(e *queue.Event, msg *queue.Message) {
	c := causeOf(e, msg)
	m := w.matterOf(c, e.At)
	if m == nil {
		return
	}
	m.concern(e.Recipient)
	since, n, more := m.Alert.Since, m.Alert.Recipients, m.Alert.More
	m.Alert = refusal(c, e, msg)
	m.Alert.Since, m.Alert.Recipients, m.Alert.More = since, n, more
	m.happen(e.At)
}

// matterOf returns what is known of a cause, a new matter if that is nothing; nil
// if there are too many.
func (w *Watch) matterOf(c Cause, at time.Time) *matter {
	id := c.ID()
	m := w.matters[id]
	if m == nil && len(w.matters) >= maxMatters {
		if now := w.o.Now(); now.Sub(w.fullAt) >= w.o.Every {
			w.fullAt = now
			w.o.Logger.Warn("alerts are left out: there are too many causes", "cause", c.title())
		}
		return nil
	}
	if m == nil {
		m = &matter{Alert: Alert{Cause: c, Since: at}, Born: at, First: at, dirty: true}
		w.matters[id] = m
	}
	return m
}
