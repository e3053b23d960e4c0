package commitlog

import (
	"fmt"
	"io"
	"slices"
	"time"
)

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

// flush writes what is staged and answers those who do not wait for the sync.
// Batches for which there is no space are refused; other errors fail the log.
func (c *committer) flush() {
	for len(c.staged) > 0 {
		n, err := c.write()
		if err == nil {
			break
		}
		if !isNoSpace(err) {
			c.fail(fmt.Errorf("write log segment %s: %w", c.seg.path, err))
			return
		}
		if err := c.undo(n); err != nil {
			c.fail(fmt.Errorf("take back a write without space in %s: %w", c.seg.path, err))
			return
		}
		c.makeRoom()
	}
	for _, b := range c.staged {
		if b.NoSync {
			b.done <- nil
		} else {
			c.g.waiters = append(c.g.waiters, b)
		}
	}
	c.forgetStaged()
}

func (c *committer) forgetStaged() {
	clear(c.staged)
	c.staged = c.staged[:0]
}

// write appends the staged bytes to the file.
func (c *committer) write() (int, error) {
	data := c.g.buf[c.flushed:]
	if len(data) == 0 {
		return 0, nil
	}
	n, err := c.seg.file.WriteAt(data, c.off)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return n, err
	}
	c.filled = max(c.filled, c.off+int64(n))
	if c.dirty == 0 {
		c.dirtySince = time.Now()
	}
	c.dirty += int64(n)
	c.off += int64(n)
	c.flushed, c.marked = len(c.g.buf), len(c.g.entries)
	return n, c.fillAhead(n)
}

// fillAhead writes zeros behind small groups at the end of the file, so that
// the next ones overwrite: their sync then needs no change of the file's size
// or extents, which costs a journal commit.
func (c *committer) fillAhead(written int) error {
	ahead := min(zeroAhead, c.l.opts.SegmentSize/16, c.l.opts.SegmentSize-c.off)
	if c.off < c.filled || int64(written) > ahead/8 || c.space.tight {
		return nil
	}
	err := writeZeros(c.seg.file, c.off, ahead)
	if isNoSpace(err) {
		c.space.tight = true // the records themselves are in
		return nil
	}
	c.filled = c.off + ahead
	return err
}

// undo removes the n bytes that a refused write left, durably, so that no part
// of a refused batch can come back after a crash.
func (c *committer) undo(n int) error {
	c.g.buf, c.g.entries, c.g.places = c.g.buf[:c.flushed], c.g.entries[:c.marked], c.g.places[:c.marked]
	if n <= 0 {
		return nil
	}
	if _, err := c.seg.file.WriteAt(make([]byte, n), c.off); err != nil {
		return err
	}
	c.filled = max(c.filled, c.off+int64(n))
	return c.syncFile()
}

// makeRoom chooses which of the staged batches get another try after the disk
// was full, and encodes them again.
func (c *committer) makeRoom() {
	retry := c.staged
	c.staged = nil
	c.space.tight = true
	if slices.ContainsFunc(retry, ordinary) {
		retry = refuse(retry, ordinary)
	} else if !c.space.release() {
		retry = refuse(retry, func(b *Batch) bool { return b.size > 0 })
	}
	for _, b := range retry {
		c.encode(b)
	}
}

func ordinary(b *Batch) bool { return !b.Critical && b.size > 0 }

// refuse answers the batches that match with ErrNoSpace and returns the others.
func refuse(batches []*Batch, match func(*Batch) bool) []*Batch {
	keep := batches[:0]
	for _, b := range batches {
		if match(b) {
			b.done <- ErrNoSpace
		} else {
			keep = append(keep, b)
		}
	}
	return keep
}

// syncFile makes the written bytes durable.
func (c *committer) syncFile() error {
	if err := c.seg.file.SyncData(); err != nil {
		return syncError{fmt.Errorf("sync log segment %s: %w", c.seg.path, err)}
	}
	c.dirty = 0
	if c.off > segmentHeaderSize {
		c.l.durable.Store(uint64(c.seg.first) + uint64(c.off))
	}
	return nil
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

// roll seals the active segment and begins the next one.
func (c *committer) roll(critical bool) error {
	c.flush()
	if err := c.l.Err(); err != nil {
		return err
	}
	if c.off <= segmentHeaderSize {
		return nil // all that was staged has been refused
	}
	if c.dirty > 0 {
		if err := c.syncFile(); err != nil {
			c.fail(err)
			return c.l.Err()
		}
	}
	end := c.seg.first + Position(c.off)
	next, err := c.createNext(end, critical)
	if err != nil {
		return err
	}
	c.seg.trim(c.off)
	c.l.segs.add(next)
	c.l.segs.seal(c.seg, end)
	c.seg, c.off, c.filled = next, segmentHeaderSize, segmentHeaderSize
	c.l.opts.Logger.Debug("log segment begun", "segment", next.first.String())
	return nil
}

// createNext makes the segment file for first. Without space it gives up the
// reserve for a critical batch, else it leaves no trace and the old segment
// stays the active one.
func (c *committer) createNext(first Position, critical bool) (*segment, error) {
	fs, dir := c.l.opts.FS, c.l.dir
	for {
		next, err := createSegment(fs, dir, first, c.seg.first, c.space.preallocate())
		if err == nil {
			return next, nil
		}
		if !isNoSpace(err) || isSyncError(err) {
			c.fail(err)
			return nil, c.l.Err()
		}
		// A file left under this name would end the old segment here.
		if err := removeIfThere(fs, fs.PathJoin(dir, segmentName(first))); err != nil {
			c.fail(err)
			return nil, c.l.Err()
		}
		if err := syncDir(fs, dir); err != nil {
			c.fail(err)
			return nil, c.l.Err()
		}
		if !critical || !c.space.release() {
			return nil, ErrNoSpace
		}
	}
}
