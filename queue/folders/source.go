package folders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"postrider/queue"
)

// Source is the octets of an entry. It is safe for concurrent use.
type Source struct {
	entry *Entry
	open  func() (queue.Content, error)

	mu      sync.Mutex
	content queue.Content // once it was needed
	closed  bool
}

// Open returns the octets of an entry. Its content is opened by the first read
// that touches it, for which ctx must last; the read returns queue.ErrNotFound if
// the content was removed.
func (b *Book) Open(ctx context.Context, e *Entry) (*Source, error) {
	return &Source{entry: e, open: func() (queue.Content, error) { return b.o.Contents.OpenContent(ctx, e.Content) }}, nil
}

// Size returns Entry.Size.
func (s *Source) Size() int64 { return s.entry.Size() }

// ReadAt reads from what lies in front, the content and what lies behind, as if
// it were one.
func (s *Source) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read entry: negative offset")
	}
	for _, part := range s.parts() {
		if off >= part.size {
			off -= part.size
			continue
		}
		want := p[n:min(int64(len(p)), int64(n)+part.size-off)]
		got, err := part.read(want, off)
		n += got
		if err != nil {
			return n, fmt.Errorf("read entry of message %s: %w", s.entry.Message, err)
		}
		if n == len(p) {
			return n, nil
		}
		off = 0
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

type sourcePart struct {
	size int64
	read func(p []byte, off int64) (int, error)
}

func (s *Source) parts() [3]sourcePart {
	x := s.entry
	content := sourcePart{x.Size() - int64(len(x.Front)) - int64(len(x.Back)), s.readContent}
	return [...]sourcePart{inMemory(x.Front), content, inMemory(x.Back)}
}

func inMemory(b []byte) sourcePart {
	return sourcePart{int64(len(b)), func(p []byte, off int64) (int, error) { return copy(p, b[off:]), nil }}
}

// readContent fills p: a content that is shorter than its reference says is an
// error.
func (s *Source) readContent(p []byte, off int64) (int, error) {
	c, err := s.opened()
	if err != nil {
		return 0, err
	}
	n, err := c.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case err == nil, errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *Source) opened() (queue.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("entry was closed")
	}
	if s.content == nil {
		c, err := s.open()
		if err != nil {
			return nil, err
		}
		s.content = c
	}
	return s.content, nil
}

// Close gives back the content. No read may be under way.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.content == nil {
		return nil
	}
	err := s.content.Close()
	s.content = nil
	return err
}
