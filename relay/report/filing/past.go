package filing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

// window is about how many messages are filed between two readings of the list.
const window = 10_000

// past files messages that are in the store, whether or not the log still has
// events of them: all of a store that was never filed, or those of an account.
//
// The store lists the newest first, but entries are numbered as they are added,
// and mail programs take the highest number for the newest mail. So the list is
// read twice: once to cut it into windows by time, and then window by window from
// the oldest, each turned round. That needs memory for one window. What is filed
// already is passed over, so that nothing is lost by an interruption.
type past struct {
	filter   queue.Filter
	surveyed bool
	cursor   queue.Cursor
	read     int         // messages of the window so far
	cuts     []time.Time // the last one is the earliest; windows begin there, and before the last one
	list     []named     // of the window that is being read or filed, newest first
	filing   bool        // list is complete
	filed    int
}

func newPast(f queue.Filter) *past { return &past{filter: f} }

// catchUp does a step.
func (f *Filer) catchUp(ctx context.Context) (more bool, err error) {
	p := f.reading.past
	switch {
	case !p.surveyed:
		err = p.survey(ctx, f.o.Store)
	case !p.filing:
		err = p.fill(ctx, f.o.Store)
	default:
		return f.fileWindow(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("list messages for folders: %w", err)
	}
	return true, nil
}

// survey reads a page of the whole list, to find out where windows begin.
func (p *past) survey(ctx context.Context, s Store) error {
	entries, next, err := s.List(ctx, p.filter, p.cursor, batch)
	if err != nil {
		return err
	}
	for i := range entries {
		m := &entries[i].Message
		if p.read >= window && (len(p.cuts) == 0 || m.AcceptedAt.Before(p.cuts[len(p.cuts)-1])) {
			p.cuts = append(p.cuts, m.AcceptedAt)
			p.read = 0
		}
		p.read++
	}
	p.cursor = next
	p.surveyed = next == ""
	return nil
}

// fill reads a page of the oldest window that is left.
func (p *past) fill(ctx context.Context, s Store) error {
	f := p.filter
	if n := len(p.cuts); n > 0 {
		f.Until = p.cuts[n-1]
	}
	f.Since = p.filter.Since
	entries, next, err := s.List(ctx, f, p.cursor, batch)
	if err != nil {
		return err
	}
	for i := range entries {
		m := &entries[i].Message
		p.list = append(p.list, named{m.ID, m.Account})
	}
	p.cursor = next
	p.filing = next == ""
	return nil
}

// fileWindow files some messages of the window, the oldest first.
func (f *Filer) fileWindow(ctx context.Context) (more bool, err error) {
	p := f.reading.past
	n := min(len(p.list), batch)
	todo := slices.Clone(p.list[len(p.list)-n:])
	slices.Reverse(todo)
	// Who is too young to be shown has an event that is read afterwards.
	if _, again, err := f.file(ctx, todo); again || err != nil {
		return again, err
	}
	p.list = p.list[:len(p.list)-n]
	p.filed += n
	if len(p.list) > 0 {
		return true, nil
	}
	if len(p.cuts) > 0 {
		last := len(p.cuts) - 1
		p.filter.Since, p.cuts = p.cuts[last], p.cuts[:last]
		p.filing, p.list = false, nil
		return true, nil
	}
	if p.filed > 0 {
		f.o.Logger.Info("messages of before are filed", "messages", p.filed)
	}
	f.reading.past = nil
	return true, nil
}
