package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"postrider/queue"
)

// Errors of Copy. Callers ask with errors.Is.
var (
	// ErrNotEmpty: the target holds other mail.
	ErrNotEmpty = errors.New("the target holds mail already")
	// ErrOther: the target holds an unfinished copy of another source.
	ErrOther = errors.New("the target holds an unfinished copy of something else")
	// ErrChanged: the source is not what it was when the copy began.
	ErrChanged = errors.New("the source has changed since this copy was begun")
	// ErrUnfinished: the source is a copy that was not finished itself.
	ErrUnfinished = errors.New("the source is an unfinished copy itself")
	// ErrDiffers: what was written is not what was read.
	ErrDiffers = errors.New("the copy differs")
)

// Options are for Copy.
type Options struct {
	From     string           // names the source, without secrets
	Progress func(Progress)   // called by the goroutine that called Copy; nil: nobody looks
	Now      func() time.Time // nil: time.Now
}

// Phase is a part of a copy.
type Phase string

// The phases, in order.
const (
	PhaseChecking  Phase = "checking" // that a file is whole
	PhaseMessages  Phase = "messages"
	PhaseEvents    Phase = "events"
	PhaseComparing Phase = "comparing"
)

// Progress is how far a phase has come.
type Progress struct {
	Phase Phase
	Done  int64 // recipients or events
	Total int64 // by what the store counts
	Bytes int64 // of contents
}

const (
	// keepEvery is how often a checkpoint is kept.
	keepEvery = 3 * time.Second
	// importBytes is how much content one Import has, at most, but for a single
	// large one.
	importBytes = 16 << 20
)

// Copy moves everything from one side to the other, and compares. It may be
// called again after any error: it goes on from the last checkpoint, if neither
// side was changed by others. When ctx ends, a checkpoint is kept first.
func Copy(ctx context.Context, from Source, to Target, o Options) (Summary, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	c := &copying{from: from, to: to, o: o}
	if err := c.run(ctx); err != nil {
		return Summary{}, fmt.Errorf("copy the queue: %w", err)
	}
	return c.mine.summary(), nil
}

// copying is one call of Copy.
type copying struct {
	from Source
	to   Target
	o    Options

	at     Checkpoint
	total  int64 // recipients
	keptAt time.Time
	mine   *tally // of the source
}

func (c *copying) run(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	if !c.at.Done {
		c.keptAt = c.o.Now()
		if err := walk(ctx, c.from, c.at.Cursor, c.page); err != nil {
			// Also when ctx has ended.
			return errors.Join(err, c.to.BreakOff(context.WithoutCancel(ctx), c.at))
		}
		c.at.Done = true
		if err := c.to.Keep(ctx, c.at, true); err != nil {
			return err
		}
	}
	there, err := c.to.Complete(ctx)
	if err != nil {
		return err
	}
	if err := c.compare(ctx, there); err != nil {
		return err
	}
	return c.to.Finish(ctx)
}

// begin finds out where to begin, or refuses.
func (c *copying) begin(ctx context.Context) error {
	if r, ok := c.from.(queue.Registry); ok {
		if _, unfinished, err := Unfinished(ctx, r); err != nil {
			return err
		} else if unfinished {
			return ErrUnfinished
		}
	}
	counts, err := c.from.Counts(ctx)
	if err != nil {
		return err
	}
	c.at = Checkpoint{From: c.o.From, Counts: map[queue.State]int64{}}
	for st, n := range counts {
		if n.Recipients != 0 {
			c.at.Counts[st] = n.Recipients
			c.total += n.Recipients
		}
	}
	begun, err := c.to.Begun(ctx)
	if err != nil {
		return err
	}
	switch {
	case begun == nil:
		if empty, err := c.to.Empty(ctx); err != nil {
			return err
		} else if !empty {
			return ErrNotEmpty
		}
	case begun.From != c.o.From:
		return fmt.Errorf("%w: %s", ErrOther, begun.From)
	case !maps.Equal(begun.Counts, c.at.Counts):
		return ErrChanged
	default:
		c.at = *begun
	}
	if f, ok := c.from.(*Reader); ok {
		if err := f.Check(ctx, c.o.Progress); err != nil {
			return err
		}
		c.mine = f.whole
	}
	if begun == nil {
		return c.to.Keep(ctx, c.at, true)
	}
	return nil
}

// page copies some items.
func (c *copying) page(ctx context.Context, p page) error {
	at := c.at
	var items []queue.Item
	size := int64(0)
	defer func() { abort(items) }() // those that no Import was given
	flush := func() error {
		some := items
		items, size = nil, 0
		if len(some) == 0 {
			return nil
		}
		return c.to.Import(ctx, some)
	}
	for i := range p.items {
		f := &p.items[i]
		if isCheckpoint(&f.item) {
			return ErrUnfinished
		}
		if size+f.size > importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		it, err := c.item(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", name(&f.item), err)
		}
		items = append(items, it)
		size += f.size
		at.count(f)
	}
	if err := flush(); err != nil {
		return err
	}
	at.Cursor = p.next
	c.at = at
	c.report()
	if p.next == "" {
		return nil // it is kept as done
	}
	now := c.o.Now()
	durable := now.Sub(c.keptAt) >= keepEvery
	if durable {
		c.keptAt = now
	}
	return c.to.Keep(ctx, c.at, durable)
}

// abort ends contents.
func abort(items []queue.Item) {
	for i := range items {
		if m := items[i].Message; m != nil && m.Content != nil {
			m.Content.Abort()
		}
	}
}

// item returns an item as the target takes it.
func (c *copying) item(ctx context.Context, f *fetched) (queue.Item, error) {
	if f.item.Message == nil {
		return f.item, nil
	}
	m := &queue.ArchivedMessage{Entry: f.item.Message.Entry}
	if f.hasContent() {
		w, err := c.to.CreateContent(ctx)
		if err != nil {
			return queue.Item{}, err
		}
		if err := f.writeTo(ctx, c.from, w); err != nil {
			w.Abort()
			return queue.Item{}, fmt.Errorf("copy its content: %w", err)
		}
		m.Content = w
	}
	return queue.Item{Message: m}, nil
}

func (c *Checkpoint) count(f *fetched) {
	switch {
	case f.item.Event != nil:
		c.Events++
	case f.item.Message != nil:
		rs := f.item.Message.Entry.Recipients
		c.Recipients += int64(len(rs))
		c.Bytes += f.size
		c.Expected++
		for i := range rs {
			c.Expected += int64(rs[i].Events)
		}
	}
}

func (c *copying) report() {
	p := Progress{PhaseMessages, c.at.Recipients, c.total, c.at.Bytes}
	if c.at.Events > 0 {
		p.Phase, p.Done, p.Total = PhaseEvents, c.at.Events, c.at.Expected
	}
	c.o.Progress(p)
}
