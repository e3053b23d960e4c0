package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// openContents knows the streams that are being written, so that neither their
// pieces are taken for orphans nor the log is removed under them.
type openContents struct {
	mu   sync.Mutex
	open map[*contentWriter]struct{}
}

func (o *openContents) add(w *contentWriter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[*contentWriter]struct{})
	}
	o.open[w] = struct{}{}
}

func (o *openContents) remove(w *contentWriter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, w)
}

// firsts returns where the open contents begin. A content whose first piece is
// on its way into the log has no place yet: busy.
func (o *openContents) firsts() (at map[commitlog.Position]bool, busy bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at = make(map[commitlog.Position]bool)
	for w := range o.open {
		if w.first == 0 {
			busy = true
		} else {
			at[w.first] = true
		}
	}
	return at, busy
}

// contentWriter holds a content in memory until it is larger than a piece; then
// its pieces go to the log as they fill.
type contentWriter struct {
	s     *Store
	buf   []byte
	at    []commitlog.Position
	size  int64
	err   error
	ended bool
	first commitlog.Position // guarded by openContents.mu
}

// CreateContent starts a content.
func (s *Store) CreateContent(ctx context.Context) (queue.ContentWriter, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.full.Load() && s.log.Space().Low {
		return nil, fmt.Errorf("create content: %w", queue.ErrFull)
	}
	return &contentWriter{s: s}, nil
}

func (w *contentWriter) Write(p []byte) (int, error) {
	if w.err == nil && w.ended {
		w.err = errors.New("write content: it has been ended")
	}
	written := 0
	limit := w.s.opts.InlineLimit
	for w.err == nil && len(p) > 0 {
		if len(w.buf) == limit {
			if w.err = w.flush(); w.err != nil {
				break
			}
		}
		n := min(len(p), limit-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		w.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, w.err
}

// flush writes the buffer as a piece. That it is durable is waited for with the
// message.
func (w *contentWriter) flush() error {
	ctx := context.Background() // a write has no context, and takes no longer than the disk
	if err := w.s.enter(ctx); err != nil {
		return err
	}
	defer w.s.leave()
	b := &commitlog.Batch{NoSync: true, Records: []commitlog.Record{{Type: recordChunk, Payload: w.buf}}}
	if len(w.at) == 0 {
		w.s.writers.add(w)
		b.Records[0].Type = recordFirstChunk
	}
	if err := w.s.append(ctx, b); err != nil {
		return fmt.Errorf("write content: %w", err)
	}
	at := b.Records[0].Position
	if len(w.at) == 0 {
		w.s.writers.mu.Lock()
		w.first = at
		w.s.writers.mu.Unlock()
	}
	w.at = append(w.at, at)
	w.buf = make([]byte, 0, w.s.opts.InlineLimit) // the log may still hold the old one
	return nil
}

// Abort gives the content up: its pieces are orphans from now on.
func (w *contentWriter) Abort() { w.end() }

func (w *contentWriter) end() {
	if !w.ended {
		w.ended, w.buf = true, nil
		w.s.writers.remove(w)
	}
}

// finish returns where the content lies, or the body to be written with the
// message.
func (w *contentWriter) finish() (p place, inline []byte, err error) {
	switch {
	case w.ended:
		return p, nil, errors.New("the content has been ended already")
	case w.err != nil:
		return p, nil, w.err
	}
	p = place{exists: true, size: w.size, piece: max(w.size, 1)}
	if len(w.at) == 0 {
		return p, w.buf, nil
	}
	if len(w.buf) > 0 {
		if err := w.flush(); err != nil {
			return p, nil, err
		}
	}
	p.piece, p.at = int64(w.s.opts.InlineLimit), w.at
	return p, nil, nil
}

// OpenContent opens the content of an accepted message.
func (s *Store) OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var id queue.MessageID
	if len(ref.Key) != len(id) {
		return nil, fmt.Errorf("open content: %w", queue.ErrNotFound)
	}
	copy(id[:], ref.Key)
	for try := 0; ; try++ {
		m, err := s.readMessage(s.db, id)
		if err != nil {
			return nil, fmt.Errorf("open content of %s: %w", id, err)
		}
		if !m.content.exists {
			return nil, fmt.Errorf("open content of %s: %w", id, queue.ErrNotFound)
		}
		c, err := s.openPlace(m.content)
		// It may have been copied forward between the two steps.
		if errors.Is(err, commitlog.ErrRemoved) && try < 3 {
			continue
		}
		if err != nil {
			return nil, unavailable("open content of "+id.String(), err)
		}
		return c, nil
	}
}

func (s *Store) openPlace(p place) (*content, error) {
	c := &content{s: s, place: p}
	for _, at := range p.at {
		unpin, err := s.log.Pin(at)
		if err != nil {
			c.unpin()
			return nil, err
		}
		c.pins = append(c.pins, unpin)
	}
	return c, nil
}

// content reads the pieces of a place. The segments that they lie in stay as
// long as it is open.
type content struct {
	s     *Store
	place place
	pins  []func()

	mu     sync.Mutex
	closed bool
	offset int64
	buf    []byte // what was read ahead, from ahead on
	ahead  int64
}

func (c *content) Size() int64 { return c.place.size }

// readAhead is how much Read takes from the log at once: the unit in which the
// log checks what it reads.
const readAhead = 64 << 10

func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if c.offset < c.ahead || c.offset >= c.ahead+int64(len(c.buf)) {
		if c.closed {
			return 0, errClosedContent
		}
		if c.offset >= c.place.size {
			return 0, io.EOF
		}
		if c.buf == nil {
			c.buf = make([]byte, min(readAhead, c.place.size))
		}
		n, err := c.readAt(c.buf[:min(int64(cap(c.buf)), c.place.size-c.offset)], c.offset)
		c.buf, c.ahead = c.buf[:n], c.offset
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.offset-c.ahead:])
	c.offset += int64(n)
	return n, nil
}

func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read content: negative offset")
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, errClosedContent
	}
	return c.readAt(p, off)
}

// errClosedContent is a mistake of the caller.
var errClosedContent = errors.New("read content: it is closed")

func (c *content) readAt(p []byte, off int64) (int, error) {
	if err := c.s.enter(context.Background()); err != nil {
		return 0, err
	}
	defer c.s.leave()
	n := 0
	for len(p) > 0 && off < c.place.size {
		i := int(off / c.place.piece)
		from := off - int64(i)*c.place.piece
		want := min(int64(len(p)), c.place.length(i)-from)
		got, err := c.s.log.ReadRange(c.place.at[i], from, p[:want])
		n, off, p = n+got, off+int64(got), p[got:]
		if err != nil && (err != io.EOF || got == 0) {
			return n, unavailable("read content", err)
		}
	}
	if len(p) > 0 {
		return n, io.EOF
	}
	return n, nil
}

func (c *content) unpin() {
	for _, unpin := range c.pins {
		unpin()
	}
	c.pins = nil
}

// Close lets go of the content. It may be called more than once.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.buf = true, nil
		c.unpin()
	}
	return nil
}

// RemoveContent forgets the content of a message whose recipients are final.
func (s *Store) RemoveContent(ctx context.Context, id queue.MessageID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	l := s.messages.of(hashID(id))
	l.Lock()
	defer l.Unlock()
	m, err := s.readMessage(s.db, id)
	if err != nil {
		return fmt.Errorf("remove content of %s: %w", id, err)
	}
	rs, err := s.readRecipients(s.db, m)
	if err != nil {
		return fmt.Errorf("remove content of %s: %w", id, err)
	}
	for i := range rs {
		if !rs[i].State.Final() {
			return fmt.Errorf("remove content of %s: its recipient %s is %s still", id, rs[i].ID, rs[i].State)
		}
	}
	if !m.content.exists {
		return nil
	}
	var x edits
	x.removeContent(m)
	return s.commit(ctx, recordIndex, x.encode(), nil)
}

// removeContent forgets where the content of m lies.
func (x *edits) removeContent(m *storedMessage) {
	for _, at := range m.content.at {
		x.drop(positionKey(nil, keyPiece, at))
	}
	x.live -= m.content.size
	m.content = place{}
	x.put(messageKey(nil, m.message.ID), m.encode(nil))
}
