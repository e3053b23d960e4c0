package filing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
)

// batch is how many events are read and how many messages looked at together.
const batch = 500

// reading is where a Filer stands in the event log. It is forgotten when another
// node may have gone on with it.
type reading struct {
	ready bool
	at    queue.Position // read up to here
	kept  queue.Position // as acknowledged
	young young
	past  *past // not nil: messages are filed that no event is read for
}

// named is a message to look at.
type named struct {
	id      queue.MessageID
	account string
}

// Round reads one batch of events and files what they call for, or does a step of
// filing what was there before. more says that there is more to do at once. It
// returns queue.ErrClaimed while another node files.
func (f *Filer) Round(ctx context.Context) (more bool, err error) {
	if err := f.begin(ctx); err != nil {
		return false, err
	}
	if !f.reading.ready {
		if err := f.resume(ctx); err != nil {
			return false, err
		}
	}
	if f.reading.past != nil {
		return f.catchUp(ctx)
	}
	return f.follow(ctx)
}

// resume finds out where the last Filer of any node left off. Where none ever was,
// all messages are looked at before the events: the log need not go back as far
// as the messages do.
func (f *Filer) resume(ctx context.Context) error {
	at, err := f.o.Store.Acknowledged(ctx, readerName)
	if err == nil && at == "" {
		// From here on the log is kept for us.
		err = f.o.Store.Acknowledge(ctx, readerName, "")
	}
	if err != nil {
		return fmt.Errorf("read position of folders: %w", err)
	}
	f.reading = reading{ready: true, at: at, kept: at}
	if at == "" {
		f.reading.past = newPast(queue.Filter{})
	}
	return nil
}

// follow reads on in the log.
func (f *Filer) follow(ctx context.Context) (more bool, err error) {
	r := &f.reading
	now := f.o.Now()
	todo := r.young.grown(now, batch)
	var events []queue.Event
	next := r.at
	if !r.young.full() {
		events, next, err = f.o.Store.ReadEvents(ctx, r.at, batch)
	}
	if errors.Is(err, queue.ErrPosition) {
		f.o.Logger.Warn("folders start over: their position is no longer kept")
		f.reading = reading{ready: true, kept: r.kept, past: newPast(queue.Filter{})}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	todo, queued := f.sortOut(events, todo, now)
	later, again, err := f.file(ctx, todo)
	if again || err != nil {
		return again, err
	}
	for _, n := range todo {
		if due, wait := later[n.id]; wait {
			queued = append(queued, waiting{named: n, due: due})
		} else {
			r.young.remove(n.id)
		}
	}
	r.young.add(r.at, queued)
	r.at = next
	if err := f.keepPosition(ctx); err != nil {
		return false, err
	}
	return len(events) == batch || len(todo) >= batch, nil
}

// sortOut adds the messages of events to those that are to be looked at, each
// once. Those that have only been accepted, and just now, are not looked at yet:
// most are gone before they would be shown.
func (f *Filer) sortOut(events []queue.Event, todo []named, now time.Time) (_ []named, queued []waiting) {
	at := make(map[queue.MessageID]int, len(events)+len(todo)) // place in todo
	for i, n := range todo {
		at[n.id] = i
	}
	fresh := map[queue.MessageID]int{} // place in queued
	for i := range events {
		v := &events[i]
		if _, known := at[v.Message]; known {
			continue
		}
		n := named{v.Message, v.Account}
		if due := v.At.Add(f.o.QueuedAfter); v.Kind == queue.EventQueued && due.After(now) {
			if _, known := fresh[n.id]; !known {
				fresh[n.id] = len(queued)
				queued = append(queued, waiting{n, due})
			}
			continue
		}
		at[n.id] = len(todo)
		todo = append(todo, n)
	}
	kept := queued[:0]
	for _, w := range queued {
		if _, looked := at[w.id]; !looked {
			kept = append(kept, w)
		}
	}
	return todo, kept
}

// keepPosition acknowledges what was read, but for what has to be looked at again.
func (f *Filer) keepPosition(ctx context.Context) error {
	p := f.reading.young.from(f.reading.at)
	if p == f.reading.kept {
		return nil
	}
	if err := f.keep(ctx); err != nil {
		return err
	}
	if err := f.o.Store.Acknowledge(ctx, readerName, p); err != nil {
		return fmt.Errorf("keep position of folders: %w", err)
	}
	f.reading.kept = p
	return nil
}
