package commitlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recover finds the end of the log in the last segment and makes everything up
// to there durable.
func (c *committer) recover(ctx context.Context) error {
	info, err := c.seg.file.Stat()
	if err != nil {
		return fmt.Errorf("stat log segment: %w", err)
	}
	from := c.l.opts.From
	if oldest := c.l.segs.live[0].first; from != 0 && from < oldest {
		return fmt.Errorf("%w: the index stands at %s, the oldest segment begins at %s; "+
			"remove the index to rebuild it from what is there", ErrRemoved, from, oldest)
	}
	t, err := c.seg.findEnd(ctx, from, info.Size())
	if err != nil {
		return err
	}
	if err := c.mend(t, info.Size()); err != nil {
		return fmt.Errorf("make the end of log segment %s durable: %w", c.seg.path, err)
	}
	c.off, c.filled = t.end, max(info.Size(), segmentHeaderSize)
	end := c.seg.first
	if t.end > segmentHeaderSize {
		end += Position(t.end)
	}
	c.l.durable.Store(uint64(end))
	return nil
}

// tail is what findEnd found, as offsets in the file.
type tail struct {
	end    int64 // after the last whole batch
	synced int64 // up to here the log is proven to have been durable
}

// findEnd reads the batches of the segment. What follows the last whole one is
// a torn write, unless a later record or the index, which stands at from, says
// that it was durable.
func (s *segment) findEnd(ctx context.Context, from Position, size int64) (tail, error) {
	t := tail{end: segmentHeaderSize, synced: segmentHeaderSize}
	if from > s.first {
		t.synced = max(t.synced, int64(from-s.first))
	}
	c := cursor{seg: s, file: s.file, off: t.end, limit: size, ahead: window}
	for {
		if err := ctx.Err(); err != nil {
			return t, err
		}
		off := c.off
		it, err := c.next()
		var bad badRecord
		if errors.As(err, &bad) {
			return t, c.classify(ctx, off, t, bad)
		}
		if err != nil {
			return t, err
		}
		if it.synced > s.first {
			t.synced = max(t.synced, int64(it.synced-s.first))
		}
		if !it.more {
			t.end = c.off
		}
	}
}

// classify tells a torn tail (nil) from corruption. The bad record lies at off.
// Blocks of an unsynced write reach the disk in any order, so valid records may
// follow a torn one; but a record that was written after a sync past the end of
// t says that all before was whole once.
func (c *cursor) classify(ctx context.Context, off int64, t tail, bad badRecord) error {
	bad.reason += ", though it was durable once"
	if t.synced > t.end {
		return c.seg.corrupt(off, bad)
	}
	for at := off + alignment; at+headerSize <= c.limit; at += alignment {
		b, err := c.bytes(at, headerSize)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(b[10:]) != frameMagic {
			if at%window == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		h, _, err := c.head(at)
		if errors.As(err, new(badRecord)) {
			continue
		}
		if err != nil {
			return err
		}
		if synced := c.seg.first + Position(at) - Position(h.unsynced); synced > c.seg.first+Position(t.end) {
			return c.seg.corrupt(off, bad)
		}
	}
	return nil
}

// mend zeroes the torn tail, so that none of it can ever be taken for a record,
// and writes what is valid but not proven durable once more: after a failed
// sync the kernel may hold pages as clean that never reached the disk.
func (c *committer) mend(t tail, size int64) error {
	buf := make([]byte, min(max(size-t.synced, 0), window))
	for off := t.synced; off < t.end; {
		b := buf[:min(int64(len(buf)), t.end-off)]
		if _, err := c.seg.file.ReadAt(b, off); err != nil {
			return err
		}
		if _, err := c.seg.file.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	cut, err := zeroTail(c.seg.file, t.end, size)
	if err != nil {
		return err
	}
	if cut > 0 {
		c.l.opts.Logger.Warn("log had a torn tail", "segment", c.seg.first.String(), "offset", t.end, "bytes", cut)
	}
	return c.seg.file.Sync()
}

// zeroTail overwrites what is not zero in [off, size) and returns how many
// bytes lie between off and the last of it.
func zeroTail(f vfs.File, off, size int64) (int64, error) {
	var cut int64
	start := off
	err := eachWindow(f, off, size, func(at int64, b []byte) error {
		n := lastNonZero(b)
		if n == 0 {
			return nil
		}
		cut = at + int64(n) - start
		clear(b[:n])
		_, err := f.WriteAt(b[:n], at)
		return err
	})
	return cut, err
}

func hasDataBehindHeader(f vfs.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("stat log segment: %w", err)
	}
	found := false
	err = eachWindow(f, segmentHeaderSize, info.Size(), func(_ int64, b []byte) error {
		found = found || lastNonZero(b) > 0
		return nil
	})
	return found, err
}

func eachWindow(f vfs.File, off, size int64, fn func(at int64, b []byte) error) error {
	if off >= size {
		return nil
	}
	buf := make([]byte, min(size-off, window))
	for off < size {
		b := buf[:min(int64(len(buf)), size-off)]
		n, err := f.ReadAt(b, off)
		if err != nil && (err != io.EOF || n == 0) {
			return fmt.Errorf("read log segment: %w", err)
		}
		if err := fn(off, b[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// lastNonZero returns the length of b without its trailing zeros.
func lastNonZero(b []byte) int {
	for len(b) >= 8 && binary.LittleEndian.Uint64(b[len(b)-8:]) == 0 {
		b = b[:len(b)-8]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b)
}

// replayBytes is about how much replay gathers for one call of Apply.
const replayBytes = 1 << 20

// replay hands everything from Options.From on to Apply, in whole batches.
func (l *Log) replay(ctx context.Context) error {
	from := max(l.opts.From, l.segs.live[0].first)
	l.applied.Store(uint64(from))
	if l.opts.Apply == nil {
		l.applied.Store(uint64(l.End()))
		return nil
	}
	var g group
	hand := func() error {
		if len(g.entries) == 0 {
			return nil
		}
		if err := l.applyGroup(&g); err != nil {
			return err
		}
		g.reset()
		return nil
	}
	_, err := l.scan(ctx, from, l.End(), func(it item) error {
		start := len(g.buf)
		g.buf = append(g.buf, it.Payload...)
		g.places = append(g.places, place{start, len(g.buf)})
		g.entries = append(g.entries, it.Entry)
		if !it.more && len(g.buf) >= replayBytes {
			return hand()
		}
		return nil
	})
	if err == nil {
		err = hand()
	}
	if err != nil {
		return fmt.Errorf("replay from %s: %w", from, err)
	}
	return nil
}
