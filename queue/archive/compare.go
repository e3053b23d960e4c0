package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"postrider/queue"
)

// tallyOf reads all of a source.
func tallyOf(ctx context.Context, src Source, progress func(*tally)) (*tally, error) {
	t := newTally()
	err := walk(ctx, src, "", func(ctx context.Context, p page) error {
		for i := range p.items {
			if isCheckpoint(&p.items[i].item) {
				continue
			}
			d, err := p.items[i].digest(ctx, src)
			if err != nil {
				return err
			}
			if _, err := t.add(&p.items[i].item, d); err != nil {
				return err
			}
		}
		progress(t)
		return nil
	})
	return t, err
}

// compare reads both sides, at the same time, and demands that they are the
// same.
func (c *copying) compare(ctx context.Context, there Source) error {
	theirs, err := c.tallies(ctx, there)
	if err != nil {
		return err
	}
	a, b := c.mine.summary(), theirs.summary()
	if a.Digest != b.Digest || !maps.Equal(a.States, b.States) {
		return c.firstDifference(ctx, there, theirs)
	}
	counts, err := there.Counts(ctx)
	if err != nil {
		return err
	}
	for _, st := range queue.States() {
		if counts[st].Recipients != b.States[st] {
			return fmt.Errorf("%w: it counts %d %s recipients and has %d", ErrDiffers, counts[st].Recipients, st, b.States[st])
		}
	}
	return nil
}

// tallies reads the target, and the source unless that was done.
func (c *copying) tallies(ctx context.Context, there Source) (*tally, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mineErr error
	var mineDone atomic.Int64
	sides := int64(1)
	if c.mine == nil {
		sides = 2
		wg.Go(func() {
			c.mine, mineErr = tallyOf(ctx, c.from, func(t *tally) { mineDone.Store(t.of.Recipients + t.of.Events) })
			if mineErr != nil {
				cancel()
			}
		})
	}
	total := c.total + c.at.Events
	theirs, err := tallyOf(ctx, there, func(t *tally) {
		c.o.Progress(Progress{PhaseComparing, mineDone.Load() + t.of.Recipients + t.of.Events, sides * total, t.of.Bytes})
	})
	if err != nil {
		cancel()
	}
	wg.Wait()
	if mineErr != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = mineErr
	}
	if mineErr != nil {
		c.mine = nil
	}
	return theirs, err
}

// firstDifference looks at a part in which the sides differ, once more, and
// names what does.
func (c *copying) firstDifference(ctx context.Context, there Source, theirs *tally) error {
	part, ok := c.mine.differs(theirs)
	if !ok {
		return ErrDiffers
	}
	have, _, err := digests(ctx, there, part)
	if err != nil {
		return err
	}
	want, names, err := digests(ctx, c.from, part)
	if err != nil {
		return err
	}
	for _, n := range names {
		switch d, there := have[n]; {
		case !there:
			return fmt.Errorf("%w: %s is missing", ErrDiffers, n)
		case d != want[n]:
			return fmt.Errorf("%w: %s is not the same", ErrDiffers, n)
		}
		delete(have, n)
	}
	for n := range have {
		return fmt.Errorf("%w: %s is there, and is not in the source", ErrDiffers, n)
	}
	return ErrDiffers
}

// digests are those of a part, by name, and the names in order.
func digests(ctx context.Context, src Source, part int) (all map[string][sha256.Size]byte, names []string, err error) {
	all = map[string][sha256.Size]byte{}
	t := newTally()
	err = walk(ctx, src, "", func(ctx context.Context, p page) error {
		for i := range p.items {
			f := &p.items[i]
			mine := bucket(&f.item) == part
			if isCheckpoint(&f.item) || !mine && f.item.Event == nil {
				continue
			}
			d, err := f.digest(ctx, src)
			if err != nil {
				return err
			}
			sum, err := t.add(&f.item, d)
			if err != nil {
				return err
			}
			if mine {
				n := name(&f.item)
				all[n] = sum
				names = append(names, n)
			}
		}
		return nil
	})
	return all, names, err
}
