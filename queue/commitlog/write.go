package commitlog

import (
	"fmt"
	"io"
	"slices"
	"time"
)

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
