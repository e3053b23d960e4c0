package logstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

// laneCounts are how many recipients wait in each lane. They belong to the
// applier, and lie in the index as well, as of the position of its last batch:
// an older version, which does not know of them, leaves that behind.
type laneCounts struct {
	counts  map[queue.Lane]int64 // without those of which nothing waits
	changed map[queue.Lane]struct{}
	key     []byte
	value   []byte
}

func (c *laneCounts) add(lane queue.Lane, n int64) {
	if c.counts[lane] += n; c.counts[lane] == 0 {
		delete(c.counts, lane)
	}
	c.changed[lane] = struct{}{}
}

// write puts what has changed into a batch, with the position that it ends at.
func (c *laneCounts) write(b *pebble.Batch, next commitlog.Position) {
	for lane := range c.changed {
		c.key = nameKey(c.key, keyLane, string(lane))
		if n := c.counts[lane]; n == 0 {
			_ = b.Delete(c.key, nil) // it is in memory
		} else {
			c.value = laneValue(c.value, uint64(n))
			_ = b.Set(c.key, c.value, nil)
		}
	}
	clear(c.changed)
	c.value = laneValue(c.value, uint64(next))
	_ = b.Set([]byte{keyLane}, c.value, nil)
}

func laneValue(b []byte, n uint64) []byte {
	e := codec.Encoder{B: b[:0]}
	e.Version()
	e.Uint(n)
	return e.B
}

func readLaneValue(b []byte) (uint64, error) {
	d := codec.Decoder{B: b}
	d.Version()
	n := d.Uint()
	if err := d.Done(); err != nil {
		return 0, damaged("what waits in a lane", err)
	}
	return n, nil
}

// findLanes reads the counts if they are of the index's position; else it counts
// what waits.
func (s *Store) findLanes(next commitlog.Position) (laneCounts, error) {
	c := laneCounts{counts: map[queue.Lane]int64{}, changed: map[queue.Lane]struct{}{}}
	current := false
	err := each(s.db, []byte{keyLane}, []byte{keyLane + 1}, func(it *pebble.Iterator) (bool, error) {
		n, err := readLaneValue(it.Value())
		lane := queue.Lane(it.Key()[1:])
		if lane == "" {
			current = commitlog.Position(n) == next
			return current, err
		}
		c.counts[lane] = int64(n)
		return true, err
	})
	if err != nil || current {
		return c, err
	}
	return c, s.countLanes(&c, next)
}

func (s *Store) countLanes(c *laneCounts, next commitlog.Position) error {
	b := s.db.NewBatch()
	defer b.Close()
	clear(c.counts)
	_ = b.DeleteRange([]byte{keyLane}, []byte{keyLane + 1}, nil) // it is in memory
	err := each(s.db, []byte{keyDue}, []byte{keyDue + 1}, func(it *pebble.Iterator) (bool, error) {
		k, ok := readFlowKey(it.Key())
		if !ok {
			return false, damaged("a flow", codec.ErrCodec)
		}
		c.add(k.lane, 1)
		return true, nil
	})
	if err != nil {
		return err
	}
	c.write(b, next)
	if err := b.Commit(pebble.NoSync); err != nil {
		return unavailable("write index", err)
	}
	return nil
}

// Destinations returns lanes in which something waits.
func (s *Store) Destinations(ctx context.Context, after queue.Lane, limit int) ([]queue.Destination, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if limit <= 0 {
		return nil, fmt.Errorf("list destinations: a limit of %d: %w", limit, queue.ErrFilter)
	}
	var ds []queue.Destination
	lower := append(nameKey(nil, keyLane, string(after)), 0) // names have no NUL
	err := each(s.db, lower, []byte{keyLane + 1}, func(it *pebble.Iterator) (bool, error) {
		n, err := readLaneValue(it.Value())
		ds = append(ds, queue.Destination{Lane: queue.Lane(it.Key()[1:]), Waiting: int64(n)})
		return len(ds) < limit, err
	})
	if err != nil {
		return nil, fmt.Errorf("list destinations: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ds {
		if l := s.schedule.lanes[ds[i].Lane]; l != nil {
			ds[i].NextDue, ds[i].Parked = l.due(), l.parkedUntil()
		}
	}
	return ds, nil
}

// due is when something in the lane is due first, or a time before that if the
// window of its flow must be loaded to know; zero if nothing waits.
func (l *lane) due() time.Time {
	if len(l.flows) == 0 {
		return time.Time{}
	}
	first := slices.MinFunc(l.flows, func(a, b *flow) int { return cmp.Compare(a.head(), b.head()) })
	return fromNanos(first.head())
}

func (l *lane) parkedUntil() time.Time {
	if !l.parked {
		return time.Time{}
	}
	return fromNanos(l.until)
}
