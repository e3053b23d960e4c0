package archive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"postrider/queue"
)

// readBytes ends a page of an Export.
const readBytes = 8 << 20

// Reader is a file as a Source.
type Reader struct {
	path  string
	r     io.ReaderAt
	size  int64
	close func() error
	first int64 // offset of the first frame
	end   int64 // of the frame of the end
	of    Summary
	from  header
	whole *tally // once it was checked
}

var _ Source = (*Reader)(nil)

// Open opens a complete file. What is in it is checked as it is read.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("read archive %s: it is not a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := newReader(path, f, info.Size())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.close = f.Close
	return r, nil
}

func newReader(path string, f io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{path: path, r: f, size: size, close: func() error { return nil }}
	if err := r.open(); err != nil {
		return nil, r.wrap(err)
	}
	return r, nil
}

func (r *Reader) wrap(err error) error {
	return fmt.Errorf("read archive %s: %w", r.path, err)
}

func (r *Reader) open() (err error) {
	if r.first, err = checkMagic(r.r); err != nil {
		return err
	}
	if r.end, err = readFooter(r.r, r.size); err != nil {
		return err
	}
	fs := frames{r: r.r, end: r.size - footerSize}
	typ, payload, next, err := fs.read(r.end)
	if err != nil {
		return err
	}
	if typ != frameEnd || next != fs.end || json.Unmarshal(payload, &r.of) != nil {
		return damage{r.end, "its end makes no sense"}
	}
	typ, payload, _, err = fs.read(r.first)
	if err == nil && (typ != frameHeader || json.Unmarshal(payload, &r.from) != nil) {
		err = damage{r.first, "its header makes no sense"}
	}
	return err
}

// Close lets go of the file.
func (r *Reader) Close() error { return r.close() }

// Summary is what the file says that it holds.
func (r *Reader) Summary() Summary { return r.of }

// Check reads all of the file and compares it with what its end says. Copy does
// it first, unless it was done.
func (r *Reader) Check(ctx context.Context, progress func(Progress)) error {
	if r.whole != nil {
		return nil
	}
	total := int64(0)
	for _, n := range r.of.States {
		total += n
	}
	t, err := tallyOf(ctx, r, func(t *tally) {
		progress(Progress{PhaseChecking, t.of.Recipients, total, t.of.Bytes})
	})
	if err != nil {
		return err
	}
	if t.summary().Digest != r.of.Digest {
		return r.wrap(damage{r.end, "it does not hold what its end says"})
	}
	r.whole = t
	return nil
}

// Counts returns the recipients by state.
func (r *Reader) Counts(context.Context) (map[queue.State]queue.Count, error) {
	counts := map[queue.State]queue.Count{}
	for st, n := range r.of.States {
		counts[st] = queue.Count{Recipients: n}
	}
	return counts, nil
}

// Export returns up to limit items; the cursor is the offset of a frame.
func (r *Reader) Export(ctx context.Context, c queue.Cursor, limit int) (items []queue.Item, next queue.Cursor, err error) {
	off := r.first
	if c != "" {
		if off, err = strconv.ParseInt(string(c), 10, 64); err != nil || off < r.first || off > r.end {
			return nil, "", fmt.Errorf("cursor %.40q: %w", c, queue.ErrFilter)
		}
	}
	fs := frames{r: r.r, end: r.end}
	for size := int64(0); off < r.end && len(items) < limit && size < readBytes; {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		typ, n, err := fs.head(off)
		if err != nil {
			return nil, "", r.wrap(err)
		}
		if typ != frameItem { // contents are checked when they are read
			off += frameHead + n
			continue
		}
		it, after, err := r.item(&fs, off)
		if err != nil {
			return nil, "", r.wrap(err)
		}
		items = append(items, it)
		size += n
		off = after
	}
	if off >= r.end {
		return items, "", nil
	}
	return items, queue.Cursor(strconv.FormatInt(off, 10)), nil
}

func (r *Reader) item(fs *frames, off int64) (queue.Item, int64, error) {
	_, payload, next, err := fs.read(off)
	if err != nil {
		return queue.Item{}, 0, err
	}
	it, place, err := decodeItem(payload)
	if err != nil {
		return queue.Item{}, 0, damage{off, err.Error()}
	}
	if place != nil {
		it.Message.Entry.Message.Content.Key = place.key()
	}
	return it, next, nil
}

func (c wireContent) key() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.At))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Tail))
	return binary.BigEndian.AppendUint64(b, uint64(c.Size))
}

func contentOfKey(key []byte) (c wireContent, ok bool) {
	if len(key) != 24 {
		return c, false
	}
	c.At = int64(binary.BigEndian.Uint64(key))
	c.Tail = int64(binary.BigEndian.Uint64(key[8:]))
	c.Size = int64(binary.BigEndian.Uint64(key[16:]))
	return c, c.At >= 0 && c.Tail >= 0 && c.Size >= 0
}

// OpenContent opens the content of a message of an Export.
func (r *Reader) OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	place, ok := contentOfKey(ref.Key)
	if !ok {
		return nil, fmt.Errorf("open content: %w", queue.ErrNotFound)
	}
	c := &contentReader{frames: frames{r: r.r, end: r.end}, place: place, wrap: r.wrap}
	c.SectionReader = io.NewSectionReader(readerAt(c.readAt), 0, place.Size)
	return c, nil
}

// readerAt is a function as an io.ReaderAt.
type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// contentReader reads the pieces of a content.
type contentReader struct {
	*io.SectionReader
	place wireContent
	wrap  func(error) error

	mu     sync.Mutex
	frames frames
	piece  []byte // that was read last, of the window of frames
	at     int64  // its place in the file; 0: none was read
}

// Close does nothing: the file belongs to the Reader.
func (c *contentReader) Close() error { return nil }

func (c *contentReader) readAt(p []byte, off int64) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) && off < c.place.Size {
		if err := c.load(off); err != nil {
			return n, c.wrap(err)
		}
		m := copy(p[n:], c.piece[off%pieceSize:])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load reads the piece that has the octet at off.
func (c *contentReader) load(off int64) error {
	i := off / pieceSize
	at, size := c.place.At+i*(frameHead+pieceSize), int64(pieceSize)
	if rest := c.place.Size - i*pieceSize; rest <= pieceSize { // it is the last
		at, size = c.place.Tail, rest
	}
	if at <= 0 {
		return damage{at, "a piece of a content has no place"}
	}
	if c.at == at && int64(len(c.piece)) == size {
		return nil
	}
	c.at = 0
	typ, payload, _, err := c.frames.read(at)
	if err != nil {
		return err
	}
	if typ != framePiece || int64(len(payload)) != size {
		return damage{at, "a piece of a content is not where it should be"}
	}
	c.piece, c.at = payload, at
	return nil
}

// digest reads all of a content.
func (c *contentReader) digest(place wireContent) (*contentDigest, error) {
	c.place, c.at = place, 0
	h := sha256.New()
	for off := int64(0); off < place.Size; off += int64(len(c.piece)) {
		if err := c.load(off); err != nil {
			return nil, err
		}
		h.Write(c.piece)
	}
	return &contentDigest{[sha256.Size]byte(h.Sum(nil)), place.Size}, nil
}
