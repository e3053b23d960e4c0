package commitlog

import "time"

const (
	// maxGroup ends a group: more would only make the first one wait longer.
	maxGroup = 4 << 20
	// maxDirty bounds what NoSync appends leave to the next sync.
	maxDirty = 4 << 20
	// keepBuffer is the largest buffer kept while nothing happens.
	keepBuffer = 64 << 10
	// groups circulate: one is filled, one waits, one is applied.
	groups = 3
	// zeroAhead is how many zeros are written behind a small group.
	zeroAhead = 512 << 10
)

// place is where in a group's buffer a payload lies. The entries get their
// slices only when the buffer no longer moves.
type place struct{ start, end int }

// group is what one sync makes durable: the encoded records and who waits.
type group struct {
	buf     []byte
	entries []Entry
	places  []place // of the entries' payloads
	waiters []*Batch
}

func (g *group) reset() {
	g.buf, g.places = g.buf[:0], g.places[:0]
	clear(g.entries)
	g.entries = g.entries[:0]
	clear(g.waiters)
	g.waiters = g.waiters[:0]
}

// drop frees the buffer if it is larger than n.
func (g *group) drop(n int) {
	if cap(g.buf) > n {
		g.buf = nil
	}
}

// committer is the state of the one goroutine that writes.
type committer struct {
	l      *Log
	seg    *segment
	off    int64 // where the next write goes
	filled int64 // the file has data or zeros up to here
	space  space

	g       *group
	flushed int      // g.buf up to here is written
	marked  int      // g.entries up to here are written
	staged  []*Batch // encoded into g, not written yet

	dirty      int64 // bytes written and not synced
	dirtySince time.Time
}

// take waits for nothing: it swaps the queue for spare.
func (l *Log) take(spare []*Batch) (batches []*Batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batches, l.queue = l.queue, spare
	return batches, l.closed
}

// run writes group after group until the log is closed.
func (c *committer) run() {
	defer close(c.l.toApply)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []*Batch
	for {
		batches, closed := c.l.take(spare[:0])
		if len(batches) > 0 {
			c.commit(batches)
			clear(batches)
			spare = batches
			if c.pending() && time.Since(c.dirtySince) >= c.l.opts.MaxUnsynced {
				c.finish()
			}
			continue
		}
		spare = batches
		if closed {
			c.finish()
			c.l.segs.release(c.seg)
			return
		}
		wait := time.Second
		if c.pending() {
			wait = time.Until(c.dirtySince.Add(c.l.opts.MaxUnsynced))
		}
		timer.Reset(wait)
		select {
		case <-c.l.wake:
		case <-timer.C:
			if c.pending() {
				c.finish()
				continue
			}
			c.dropBuffers()
			<-c.l.wake
		}
	}
}

// pending reports whether written records wait for their sync or for Apply.
func (c *committer) pending() bool { return len(c.g.entries) > 0 }

// dropBuffers gives large buffers back when nothing has happened for a while.
func (c *committer) dropBuffers() {
	c.g.drop(keepBuffer)
	for range groups - 1 {
		select {
		case g := <-c.l.free:
			g.drop(keepBuffer)
			c.l.free <- g
		default:
			return
		}
	}
}

// commit brings the batches into the file in order and syncs if one of them
// waits for that.
func (c *committer) commit(batches []*Batch) {
	c.space.check()
	for _, b := range batches {
		if err := c.stage(b); err != nil {
			b.done <- err
			continue
		}
		if len(c.g.buf)-c.flushed >= maxGroup {
			c.flush()
			c.settle()
		}
	}
	c.flush()
	c.settle()
}

// settle ends the group when somebody waits for its sync, or much is unsynced.
func (c *committer) settle() {
	if len(c.g.waiters) > 0 || c.dirty >= maxDirty {
		c.finish()
	}
}

// pos is the position of the next record to be encoded.
func (c *committer) pos() Position {
	return c.seg.first + Position(c.off) + Position(len(c.g.buf)-c.flushed)
}

// stage encodes the batch into the group, after a roll if the segment is full.
// An error means that nothing of it is there.
func (c *committer) stage(b *Batch) error {
	if err := c.l.Err(); err != nil {
		return err
	}
	if c.space.low && ordinary(b) {
		return ErrNoSpace
	}
	used := int64(c.pos() - c.seg.first)
	full := used+b.size > c.l.opts.SegmentSize && b.size > 0
	if (full || b.control == controlRoll) && used > segmentHeaderSize {
		if err := c.roll(b.Critical); err != nil {
			return err
		}
	}
	c.encode(b)
	return nil
}

func (c *committer) encode(b *Batch) {
	durable, sums := c.l.End(), b.sums
	for i := range b.Records {
		r := &b.Records[i]
		pos := c.pos()
		size := len(r.Payload) + len(r.Body)
		n := blocks(int64(size))
		var start int
		c.g.buf, start = appendFrame(c.g.buf, c.seg.salt, pos, r, sums[:n], i+1 < len(b.Records), uint32(pos-durable))
		sums = sums[n:]
		r.Position = pos
		c.g.places = append(c.g.places, place{start, start + size})
		c.g.entries = append(c.g.entries, Entry{Position: pos, Next: c.pos(), Type: r.Type, Value: r.Value})
	}
	c.staged = append(c.staged, b)
}

// finish syncs what is written and hands the group to the applier.
func (c *committer) finish() {
	if c.dirty > 0 {
		err := c.l.Err()
		if err == nil {
			err = c.syncFile()
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
	if len(c.g.entries) == 0 && len(c.g.waiters) == 0 {
		c.g.reset()
		c.flushed, c.marked = 0, 0
		return
	}
	c.l.toApply <- c.g
	c.g = <-c.l.free
	c.flushed, c.marked = 0, 0
}

// fail puts the log into the failed state and answers all who wait. Records
// that were written without a successful sync are never applied: only the
// next Open can tell whether they are there.
func (c *committer) fail(cause error) {
	err := c.l.fail(cause)
	for _, b := range c.staged {
		b.done <- err
	}
	for _, b := range c.g.waiters {
		b.done <- err
	}
	c.forgetStaged()
	c.g.reset()
	c.flushed, c.marked, c.dirty = 0, 0, 0
}
