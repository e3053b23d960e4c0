package commitlog

import (
	"context"
	"fmt"
	"io"
	"sync"
)

const (
	// firstRead is what ReadAt reads before it knows the record's length.
	firstRead = 8 << 10
	// headRead is the same where only the header is wanted.
	headRead = 512
)

// Info describes a record without its payload.
type Info struct {
	Position, Next Position
	Type           byte
	Size           int64 // bytes of payload
}

// at returns a cursor on the record at pos in a referenced segment, and what
// gives the reference back.
func (l *Log) at(pos Position) (cursor, func(), error) {
	durable := l.End()
	if pos >= durable {
		return cursor{}, nil, fmt.Errorf("%w: %s", ErrBeyondEnd, pos)
	}
	s, end, sealed, err := l.segs.acquire(pos)
	if err != nil {
		return cursor{}, nil, err
	}
	off := int64(pos - s.first)
	if off == 0 {
		off = segmentHeaderSize // the end of the segment before is this one's first record
	}
	if off < segmentHeaderSize {
		l.segs.release(s)
		return cursor{}, nil, s.corrupt(off, badRecord{"no record here"})
	}
	limit := durable
	if sealed && end < durable {
		limit = end
	}
	c := cursor{seg: s, file: s.file, off: off, limit: int64(limit - s.first)}
	return c, func() { l.segs.release(s) }, nil
}

// ReadAt returns the record at pos. The payload is checked; it lies in buf if
// that is large enough and belongs to the caller. It returns ErrBeyondEnd,
// ErrRemoved, or a *CorruptError when no whole record starts at pos. Safe for
// concurrent use with everything.
func (l *Log) ReadAt(pos Position, buf []byte) (Entry, error) {
	c, release, err := l.at(pos)
	if err != nil {
		return Entry{}, err
	}
	defer release()
	c.buf, c.ahead = buf[:0], max(int64(cap(buf)), firstRead)
	off := c.off
	it, err := c.next()
	if err != nil {
		return Entry{}, c.seg.corrupt(off, err)
	}
	return it.Entry, nil
}

// Info returns type, size and place of the record at pos without reading its
// payload. Errors are those of ReadAt.
func (l *Log) Info(pos Position) (Info, error) {
	c, release, err := l.at(pos)
	if err != nil {
		return Info{}, err
	}
	defer release()
	c.ahead = headRead
	h, _, err := c.head(c.off)
	if err != nil {
		return Info{}, c.seg.corrupt(c.off, err)
	}
	return Info{
		Position: c.seg.first + Position(c.off),
		Next:     c.seg.first + Position(c.off+h.frameSize()),
		Type:     h.typ,
		Size:     int64(h.length),
	}, nil
}

// blockPool lends out block buffers for range reads.
type blockPool struct{ p sync.Pool }

func (bp *blockPool) get() *[]byte {
	if b, ok := bp.p.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, blockSize)
	return &b
}

// ReadRange fills dst with the payload of the record at pos from offset off on,
// like io.ReaderAt: fewer bytes than len(dst) come with io.EOF. It reads and
// checks only the 64 KiB blocks that the range touches. Other errors are those
// of ReadAt. Safe for concurrent use with everything.
func (l *Log) ReadRange(pos Position, off int64, dst []byte) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read range of record %s: negative offset %d", pos, off)
	}
	c, release, err := l.at(pos)
	if err != nil {
		return 0, err
	}
	defer release()
	c.ahead = headRead
	h, head, err := c.head(c.off)
	if err != nil {
		return 0, c.seg.corrupt(c.off, err)
	}
	size := int64(h.length)
	if c.off+h.frameSize() > c.limit {
		return 0, c.seg.corrupt(c.off, badRecord{"record is cut short"})
	}
	buf := l.blocks.get()
	defer l.blocks.p.Put(buf)
	n := 0
	for n < len(dst) && off < size {
		block := off / blockSize
		from := block * blockSize
		data := (*buf)[:min(blockSize, size-from)]
		if got, err := c.file.ReadAt(data, c.off+h.headSize()+from); got < len(data) {
			if err == io.EOF {
				err = badRecord{"file is shorter than its records"}
			}
			return n, c.seg.corrupt(c.off, err)
		}
		if !verifyBlocks(head, block, data) {
			return n, c.seg.corrupt(c.off, badRecord{"checksum of a record does not match"})
		}
		m := copy(dst[n:], data[off-from:])
		n, off = n+m, off+int64(m)
	}
	if n < len(dst) {
		return n, io.EOF
	}
	return n, nil
}

// Scan calls fn for each record from the position from on, in log order, up to
// what was durable when Scan was called, and returns where to go on. It holds
// one record, or 256 KiB, in memory. An error of fn or of ctx ends it and is
// returned, with the position of the record that was not finished. It returns
// ErrRemoved if from lies before the oldest segment. Safe for concurrent use
// with everything.
func (l *Log) Scan(ctx context.Context, from Position, fn func(Entry) error) (Position, error) {
	return l.scan(ctx, from, l.End(), func(it item) error { return fn(it.Entry) })
}

// browseWindow is how much Browse reads at once.
const browseWindow = 64 << 10

// Browse is Scan for those who want some of the records: it steps over those of
// other types, without reading large ones, up to the position to. fn may end it
// by returning false; the position returned is then that of the record it was
// called with. The entry's payload is good until fn returns.
func (l *Log) Browse(ctx context.Context, from, to Position, want func(typ byte) bool, fn func(Entry) (more bool, err error)) (Position, error) {
	w := walk{ahead: browseWindow, want: want, fn: func(it item) (bool, error) { return fn(it.Entry) }}
	return l.walk(ctx, from, min(to, l.End()), w)
}

func (l *Log) scan(ctx context.Context, from, to Position, fn func(item) error) (Position, error) {
	return l.walk(ctx, from, to, walk{ahead: window, fn: func(it item) (bool, error) { return true, fn(it) }})
}

// walk is one way through the records of the log.
type walk struct {
	ahead int64               // how much to read at once
	want  func(typ byte) bool // nil: all
	fn    func(item) (more bool, err error)
}

func (l *Log) walk(ctx context.Context, from, to Position, w walk) (Position, error) {
	var buf []byte
	for from < to {
		c, release, err := l.at(from)
		if err != nil {
			return from, err
		}
		c.limit = min(c.limit, int64(to-c.seg.first))
		c.buf, c.ahead = buf[:0], w.ahead
		next, more, err := c.each(ctx, from, w)
		buf, from = c.buf, next
		release()
		if err != nil || !more {
			return from, err
		}
	}
	return from, nil
}

// each walks the records up to the limit and returns the next position.
func (c *cursor) each(ctx context.Context, from Position, w walk) (next Position, more bool, err error) {
	for c.off < c.limit {
		if err := ctx.Err(); err != nil {
			return from, false, err
		}
		off := c.off
		if w.want != nil {
			h, _, err := c.head(off)
			if err != nil {
				return from, false, c.seg.corrupt(off, err)
			}
			if !w.want(h.typ) {
				c.off += h.frameSize()
				from = c.seg.first + Position(c.off)
				continue
			}
		}
		it, err := c.next()
		if err != nil {
			return from, false, c.seg.corrupt(off, err)
		}
		if more, err := w.fn(it); err != nil || !more {
			return it.Position, false, err
		}
		from = it.Next
	}
	return max(from, c.seg.first+Position(c.limit)), true, nil
}

// Pin keeps the segment that holds pos readable until unpin is called, even
// when it is removed meanwhile. unpin may be called more than once.
func (l *Log) Pin(pos Position) (unpin func(), err error) {
	_, release, err := l.at(pos)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(release), nil
}
