package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/api/feed"
	"postrider/queue"
)

const (
	replayBatch = 200 // events
	// replaySlack is how much later than its time an event may stand in the log.
	replaySlack = time.Hour
)

// again goes on with a replay, if one was asked for: a batch of the log, from the
// replay's own cursor.
func (w *worker) again(ctx context.Context) (more bool, err error) {
	if !w.replaySeen {
		if w.replay, w.replayRec, err = w.s.o.Book.replay(w.s.work, w.e.ID); err != nil {
			return false, err
		}
		w.replaySeen = true
	}
	p := &w.replay
	switch {
	case w.replayRec.Version == 0 || !p.FinishedAt.IsZero():
		return false, nil
	case p.OnlyFailed:
		return true, w.reviveFailed()
	}
	events, next, err := w.pastEvents()
	if err != nil {
		return false, err
	}
	over := len(events) == 0 || events[0].At.After(p.Until.Add(replaySlack))
	if !over {
		if whole, err := w.tellAgain(ctx, events); err != nil || !whole {
			return false, err
		}
	}
	p.Cursor = next
	return !over, w.keepReplay(over)
}

// pastEvents reads on from the replay's cursor; none are left if it returns none.
func (w *worker) pastEvents() (events []queue.Event, next queue.Position, err error) {
	at := w.replay.Cursor
	for {
		events, next, err = w.s.o.Store.ReadEvents(w.s.work, at, replayBatch)
		switch {
		case errors.Is(err, queue.ErrPosition) && at != "":
			at = ""
		case err != nil:
			return nil, "", fmt.Errorf("read events to replay: %w", err)
		case len(events) > 0 || next == at:
			return events, next, nil
		default:
			at = next // what was passed over is no event
		}
	}
}

// covers reports whether a replay asks for events of that time and type.
func (p *Replay) covers(at time.Time, t feed.Type) bool {
	return !at.Before(p.Since) && at.Before(p.Until) && (len(p.Types) == 0 || slices.Contains(p.Types, t))
}

// tellAgain tells of events once more. It is not whole when the endpoint fails:
// then it is told of all of them again.
func (w *worker) tellAgain(ctx context.Context, events []queue.Event) (whole bool, err error) {
	events = slices.DeleteFunc(events, func(e queue.Event) bool { return !w.replay.covers(e.At, feed.TypeOf(&e)) })
	items, err := w.pick(w.s.work, w.e.filter(), events)
	if err != nil {
		return false, err
	}
	sent, failed := 0, 0
	for batch := range slices.Chunk(items, w.batch()) {
		js := make([]*job, len(batch))
		for i, it := range batch {
			js[i] = &job{m: &it.message, attempt: 1, item: it, replay: true}
		}
		if err := w.deliver(ctx, js); err != nil {
			return false, err
		}
		for _, j := range js {
			if j.d == nil || !j.d.OK && w.lot.waiting() >= w.s.o.MaxParked {
				return false, w.judge()
			}
			if sent++; j.d.OK {
				continue
			}
			failed++
			if err := w.park(j); err != nil {
				return false, err
			}
		}
		if err := w.judge(); err != nil || w.st.Open || w.ended {
			return false, err
		}
	}
	w.replay.Sent += sent
	w.replay.Failed += failed
	return true, nil
}

// reviveFailed lets events that were given up wait for another try.
func (w *worker) reviveFailed() error {
	now := w.s.o.Now()
	for _, p := range w.lot.all {
		if !p.GivenUp || !w.replay.covers(p.At, feed.Type(p.Type)) {
			continue
		}
		p.GivenUp, p.Attempts, p.First, p.Next = false, 0, now, now
		if err := p.keep(w.s.work, w.s.o.Store); err != nil {
			return err
		}
		w.replay.Sent++
	}
	return w.keepReplay(true)
}

func (w *worker) keepReplay(over bool) (err error) {
	if err := w.keep(); err != nil {
		return err
	}
	if over {
		w.replay.FinishedAt = w.s.o.Now().UTC()
	}
	if w.replayRec.Value, err = json.Marshal(w.replay); err != nil {
		return fmt.Errorf("encode a replay: %w", err)
	}
	if w.replayRec.Version, err = w.s.o.Store.PutRecord(w.s.work, w.replayRec); err != nil {
		return fmt.Errorf("keep the replay of webhook %s: %w", w.e.ID, err)
	}
	return nil
}
