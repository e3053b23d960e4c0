package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// chunkSize is what a chunk holds: with what Redis adds it fills a size class
// of its allocator.
const chunkSize = 262_000

// Where a content lies.
const (
	inlineKind = 1 // with its message
	chunkKind  = 2 // in chunks of chunkSize
	fileKind   = 3 // in Options.ContentDir
)

// contentRef says where a content lies: kind, size, and, but for inline ones,
// group and id.
type contentRef struct {
	kind  byte
	size  int64
	group int
	id    [contentIDLen]byte
}

const contentIDLen = 12

func (c *contentRef) encode() string {
	b := binary.AppendUvarint([]byte{c.kind}, uint64(c.size))
	if c.kind != inlineKind {
		b = binary.AppendUvarint(b, uint64(c.group))
		b = append(b, c.id[:]...)
	}
	return string(b)
}

func decodeRef(s string) (c contentRef, ok bool) {
	if s == "" {
		return c, false
	}
	b := []byte(s)
	c.kind, b = b[0], b[1:]
	size, n := binary.Uvarint(b)
	if n <= 0 {
		return c, false
	}
	c.size, b = int64(size), b[n:]
	if c.kind == inlineKind {
		return c, len(b) == 0
	}
	group, n := binary.Uvarint(b)
	if n <= 0 || len(b) != n+contentIDLen || c.kind != chunkKind && c.kind != fileKind {
		return c, false
	}
	c.group = int(group)
	copy(c.id[:], b[n:])
	return c, true
}

// contentKey is what others get to name a content by: the reference, and the
// message that has it.
func contentKey(ref string, part int, id queue.MessageID) []byte {
	b := append(make([]byte, 0, len(ref)+16), ref...)
	b = binary.BigEndian.AppendUint16(b, uint16(part))
	return append(b, id[:14]...)
}

func splitKey(key []byte) (ref string, part int, id queue.MessageID, ok bool) {
	n := len(key) - 16
	if n < 0 {
		return "", 0, id, false
	}
	copy(id[:], key[n+2:])
	return string(key[:n]), int(binary.BigEndian.Uint16(key[n:])), id, true
}

// contentWriter holds up to a chunk in memory; what is larger goes out in chunks
// as they fill, or to a file.
type contentWriter struct {
	s      *Store
	buf    []byte
	ref    contentRef
	chunks int
	file   *contentFile
	staged bool // somebody must unstage it
	err    error
	ended  bool
}

// CreateContent starts a content.
func (s *Store) CreateContent(ctx context.Context) (queue.ContentWriter, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return &contentWriter{s: s}, nil
}

func (s *Store) writer(c queue.ContentWriter) (*contentWriter, error) {
	if c == nil {
		return nil, nil
	}
	w, ok := c.(*contentWriter)
	if !ok || w.s != s {
		c.Abort()
		return nil, errors.New("the content is of another store")
	}
	return w, nil
}

func (w *contentWriter) Write(p []byte) (int, error) {
	if w.err == nil && w.ended {
		w.err = errors.New("write content: it has been ended")
	}
	written := 0
	for w.err == nil && len(p) > 0 {
		if len(w.buf) == chunkSize {
			if w.err = w.flush(context.Background(), ""); w.err != nil { // a write has no context, and is bounded by Timeout
				break
			}
		}
		n := min(len(p), chunkSize-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		w.ref.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, w.err
}

// flush writes what is in memory as a chunk, and notes the owner if there is
// one already.
func (w *contentWriter) flush(ctx context.Context, owner string) error {
	s := w.s
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if !w.staged {
		_, _ = rand.Read(w.ref.id[:]) // never fails
		w.ref.kind = chunkKind
		w.ref.group = spread(string(w.ref.id[:]), len(s.parts))
		if s.o.ContentDir != "" {
			w.ref.kind = fileKind
		}
		w.staged = true
	}
	chunk := any("")
	number := any("")
	if w.ref.kind == chunkKind {
		if len(w.buf) > 0 {
			number, chunk = w.chunks, w.buf
			w.chunks++
		}
	}
	c := &call{script: scripts.stage, key: s.keys.contents(w.ref.group), args: []any{string(w.ref.id[:]), number, chunk, owner}, durable: owner != "", repeat: func([]any) {}}
	if _, err := s.sv.run(ctx, s.o.Timeout, c); err != nil {
		return fmt.Errorf("write content: %w", err)
	}
	if c.unsafe {
		return fmt.Errorf("write content: %w: %w", queue.ErrUnavailable, errNoReplica)
	}
	if w.ref.kind == fileKind {
		if err := w.toFile(); err != nil {
			return err
		}
	}
	w.buf = w.buf[:0]
	return nil
}

// owner is the message that is about to name a content, or has given it up.
func owner(what byte, id queue.MessageID, part int) string {
	return string(what) + string(contentKey("", part, id))
}

const (
	ownerNew  = 'n'
	ownerDead = 'd'
)

// finish makes the content durable, but for one that goes with its message.
func (w *contentWriter) finish(ctx context.Context, id queue.MessageID, part int) (ref, inline string, err error) {
	if w.err != nil {
		return "", "", w.err
	}
	if w.ended {
		return "", "", errors.New("the content has been ended")
	}
	if !w.staged && len(w.buf) <= w.s.o.InlineLimit {
		w.ref.kind = inlineKind
		return w.ref.encode(), string(w.buf), nil
	}
	if err := w.flush(ctx, owner(ownerNew, id, part)); err != nil {
		return "", "", err
	}
	if w.file != nil {
		if err := w.file.finish(); err != nil {
			return "", "", err
		}
	}
	return w.ref.encode(), "", nil
}

// named notes that a message has the content now. Whoever swept it away
// meanwhile took it off the list.
func (w *contentWriter) named(ctx context.Context) error {
	w.ended = true
	if !w.staged {
		return nil
	}
	v, err := w.s.sv.run(ctx, w.s.o.Timeout, &call{script: scripts.unstage, key: w.s.keys.contents(w.ref.group), args: []any{string(w.ref.id[:]), 0}, once: true})
	if err == nil && v != int64(1) {
		return fmt.Errorf("its content was swept away: %w", queue.ErrUnavailable)
	}
	return nil // who sweeps will find that it is named
}

// abandon leaves the content to those who sweep: a message may have it.
func (w *contentWriter) abandon() { w.ended = true }

// Abort gives the content up.
func (w *contentWriter) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.buf = nil
	if w.file != nil {
		w.file.abort()
	}
	if !w.staged {
		return
	}
	s := w.s
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return // it is swept
	}
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.o.Timeout)
		defer cancel()
		_, _ = s.sv.run(ctx, s.o.Timeout, &call{script: scripts.unstage, key: s.keys.contents(w.ref.group), args: []any{string(w.ref.id[:]), 1}, once: true})
	})
}

// OpenContent opens the content of an accepted message.
func (s *Store) OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	c, err := s.openContent(ctx, ref.Key)
	if err != nil {
		return nil, fmt.Errorf("open content: %w", err)
	}
	return c, nil
}

func (s *Store) openContent(ctx context.Context, key []byte) (queue.Content, error) {
	text, n, id, ok := splitKey(key)
	ref, ok2 := decodeRef(text)
	if !ok || !ok2 || n >= len(s.parts) {
		return nil, queue.ErrNotFound
	}
	part := s.parts[n]
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.HGet(ctx, part+"m"+shortID(id), "b")
		if ref.kind == inlineKind {
			p.Get(ctx, part+"b"+shortID(id))
		}
	})
	if err != nil {
		return nil, err
	}
	if cmds[0].(*redis.StringCmd).Val() != text {
		return nil, queue.ErrNotFound
	}
	c := &content{s: s, ref: ref, chunk: -1}
	switch ref.kind {
	case inlineKind:
		b, err := cmds[1].(*redis.StringCmd).Bytes()
		if int64(len(b)) != ref.size {
			return nil, fmt.Errorf("%d of %d octets are there: %w", len(b), ref.size, errors.Join(queue.ErrUnavailable, err))
		}
		c.data, c.chunk = b, 0
	case fileKind:
		if c.file, err = s.openFile(ref); err != nil {
			return nil, err
		}
	default:
		s.readers.add(ref.id)
	}
	return c, nil
}

// content is an open content. Of one in chunks it holds the chunk that was read
// last.
type content struct {
	s    *Store
	ref  contentRef
	file io.ReaderAt // nil: in Redis

	reading sync.Mutex
	at      int64 // of Read

	mu     sync.Mutex
	data   []byte
	chunk  int64 // which is in data; -1 for none
	closed bool
}

func (c *content) Size() int64 { return c.ref.size }

func (c *content) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.at >= c.ref.size {
		return 0, io.EOF
	}
	n, err := c.ReadAt(p[:min(int64(len(p)), c.ref.size-c.at)], c.at)
	c.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (c *content) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, errors.New("read content: negative offset")
	case c.file != nil:
		return c.file.ReadAt(p, off)
	}
	n := 0
	for n < len(p) && off+int64(n) < c.ref.size {
		m, err := c.readChunk(p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		n += m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readChunk reads from one chunk.
func (c *content) readChunk(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, errors.New("read content: it is closed")
	}
	k := int64(0)
	if c.ref.kind == chunkKind {
		k = off / chunkSize
	}
	if k != c.chunk {
		b, err := c.fetch(k)
		if err != nil {
			return 0, fmt.Errorf("read content: %w", err)
		}
		c.data, c.chunk = b, k
	}
	return copy(p, c.data[off-k*chunkSize:]), nil
}

func (c *content) fetch(k int64) ([]byte, error) {
	group := c.s.keys.contents(c.ref.group)
	ctx, cancel := context.WithTimeout(context.Background(), c.s.o.Patience) // a read has no context
	defer cancel()
	cmds, err := c.s.sv.ask(ctx, c.s.o.Patience, group, func(ctx context.Context, p redis.Pipeliner) {
		p.Get(ctx, fmt.Sprintf("%s%s.%d", group, c.ref.id[:], k))
	})
	if err != nil {
		return nil, err
	}
	b, err := cmds[0].(*redis.StringCmd).Bytes()
	if want := min(c.ref.size-k*chunkSize, chunkSize); int64(len(b)) != want {
		return nil, fmt.Errorf("chunk %d has %d of %d octets: %w", k, len(b), want, errors.Join(queue.ErrUnavailable, err))
	}
	return b, nil
}

func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed, c.data = true, nil
	if f, ok := c.file.(io.Closer); ok {
		return f.Close()
	}
	if c.ref.kind == chunkKind {
		c.s.readers.remove(c.ref.id)
	}
	return nil
}

// openReaders knows which contents in chunks this node reads.
type openReaders struct {
	mu   sync.Mutex
	open map[[contentIDLen]byte]int
}

func (o *openReaders) add(id [contentIDLen]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[[contentIDLen]byte]int)
	}
	o.open[id]++
}

func (o *openReaders) remove(id [contentIDLen]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[id]--; o.open[id] <= 0 {
		delete(o.open, id)
	}
}

func (o *openReaders) has(id [contentIDLen]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open[id] > 0
}

// RemoveContent forgets the content of a message that is final.
func (s *Store) RemoveContent(ctx context.Context, id queue.MessageID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.removeContent(ctx, id); err != nil {
		return fmt.Errorf("remove content of %s: %w", id, err)
	}
	return nil
}

func (s *Store) removeContent(ctx context.Context, id queue.MessageID) error {
	part, m, err := s.find(ctx, id)
	switch {
	case err != nil:
		return err
	case !m.final():
		return errors.New("some of its recipients are not final")
	case m.ref == "":
		return nil
	}
	if err := s.bury(ctx, part, &m); err != nil {
		return err
	}
	_, err = s.change(ctx, scripts.strip, part, []any{shortID(id), m.ref, s.touch()}, nil)
	return err
}

// bury notes that a message is about to give its content up, if that lies
// elsewhere: nothing leaks if we do not get any further.
func (s *Store) bury(ctx context.Context, part string, m *message) error {
	ref, ok := decodeRef(m.ref)
	if !ok || ref.kind == inlineKind {
		return nil
	}
	_, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.bury, key: s.keys.contents(ref.group),
		args: []any{string(ref.id[:]), owner(ownerDead, m.ID, s.partNumber(part))}})
	return err
}
