package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// window is how much is read at once when all of it is wanted.
const window = 256 << 10

// badRecord says why the bytes at a cursor are no record.
type badRecord struct{ reason string }

func (e badRecord) Error() string { return e.reason }

// cursor reads the records of one segment one after the other. It holds one
// window, or one record if that is larger.
type cursor struct {
	seg   *segment
	file  vfs.File
	off   int64 // of the next record
	limit int64 // end of what may be read
	ahead int64 // how much to read at once
	buf   []byte
	start int64 // file offset of buf[0]
}

// item is one record as a cursor sees it.
type item struct {
	Entry
	more   bool
	synced Position // what was durable when the record was written
}

// bytes returns n bytes from off on, good until the next call.
func (c *cursor) bytes(off, n int64) ([]byte, error) {
	if off+n > c.limit {
		return nil, badRecord{"record is cut short"}
	}
	if off < c.start || off+n > c.start+int64(len(c.buf)) {
		want := min(max(n, c.ahead), c.limit-off)
		if int64(cap(c.buf)) < want {
			c.buf = make([]byte, want)
		}
		c.buf, c.start = c.buf[:want], off
		got, err := c.file.ReadAt(c.buf, off)
		c.buf = c.buf[:got]
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read log segment %s: %w", c.seg.path, err)
		}
		if int64(got) < n {
			return nil, badRecord{"file is shorter than its records"}
		}
	}
	i := off - c.start
	return c.buf[i : i+n], nil
}

// head returns the verified header at off and the bytes of header and sums.
func (c *cursor) head(off int64) (header, []byte, error) {
	b, err := c.bytes(off, headerSize)
	if err != nil {
		return header{}, nil, err
	}
	h, ok := parseHeader(b)
	if !ok {
		return h, nil, badRecord{"no record here"}
	}
	if b, err = c.bytes(off, h.headSize()); err != nil {
		return h, nil, err
	}
	if !h.verifyHead(c.seg.salt, c.seg.first+Position(off), b) {
		return h, nil, badRecord{"checksum of a record header does not match"}
	}
	return h, b, nil
}

// next returns the record at the cursor and moves on. A badRecord leaves the
// cursor where it was. The payload is good until the next call.
func (c *cursor) next() (item, error) {
	h, _, err := c.head(c.off)
	if err != nil {
		return item{}, err
	}
	b, err := c.bytes(c.off, h.frameSize())
	if err != nil {
		return item{}, err
	}
	head, payload := b[:h.headSize()], b[h.headSize():h.headSize()+int64(h.length)]
	if !verifyBlocks(head, 0, payload) {
		return item{}, badRecord{"checksum of a record does not match"}
	}
	pos := c.seg.first + Position(c.off)
	c.off += h.frameSize()
	return item{
		Entry: Entry{
			Position: pos,
			Next:     c.seg.first + Position(c.off),
			Type:     h.typ,
			Payload:  payload[:len(payload):len(payload)],
		},
		more:   h.more,
		synced: pos - Position(h.unsynced),
	}, nil
}

// corrupt turns a badRecord at off into the error for the operator; other
// errors stay what they are.
func (s *segment) corrupt(off int64, err error) error {
	var bad badRecord
	if !errors.As(err, &bad) {
		return err
	}
	return &CorruptError{
		Path: s.path, Segment: s.first, Offset: off,
		Position: s.first + Position(off), Reason: bad.reason,
	}
}
