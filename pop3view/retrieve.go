package pop3view

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
)

// retr sends a message.
func (n *session) retr(ctx context.Context, arg string) error {
	ns, ok := numbers(arg, 1, 1)
	if !ok {
		n.fault("syntax: RETR number")
		return nil
	}
	m, ok := n.find(ns[0])
	if !ok {
		return nil
	}
	err := n.send(ctx, m, everything{})
	if err == nil {
		n.s.stats.retrieved.Add(1)
	}
	return n.sent(err)
}

// top sends a message's header, and so many lines of its body.
func (n *session) top(ctx context.Context, arg string) error {
	ns, ok := numbers(arg, 2, 2)
	if !ok {
		n.fault("syntax: TOP number lines")
		return nil
	}
	m, ok := n.find(ns[0])
	if !ok {
		return nil
	}
	return n.sent(n.send(ctx, m, &header{lines: ns[1]}))
}

// notBegun is why a message could not be sent, before an octet of it was.
type notBegun struct{ error }

func (e notBegun) Unwrap() error { return e.error }

// sent answers for what did not even begin. If a message breaks off, so does the
// connection: only that tells the client that it does not have it all.
func (n *session) sent(err error) error {
	var not notBegun
	switch {
	case !errors.As(err, &not):
		return err
	case errors.Is(err, queue.ErrNotFound):
		n.no("[SYS/TEMP] this message has been removed meanwhile, log in again")
	default:
		n.trouble("read the message", err)
	}
	return nil
}

// reach decides how much of a message is sent: the first octets of p, and
// whether that is the end.
type reach interface {
	take(p []byte) (count int, done bool)
}

// send streams a message, a piece at a time.
func (n *session) send(ctx context.Context, m message, r reach) error {
	src, err := n.openMessage(ctx, m)
	if err != nil {
		return notBegun{err}
	}
	defer src.close()
	n.ok(fmt.Sprintf("%d octets", m.size))
	out := stuffer{w: n.wire, lineStart: true}
	piece := n.s.pieces.Get().(*[pieceSize]byte)
	defer n.s.pieces.Put(piece)
	for off, done := int64(0), false; !done && off < m.size; {
		p := piece[:min(int64(len(piece)), m.size-off)]
		if err := src.read(ctx, p, off); err != nil {
			n.s.stats.troubles.Add(1)
			n.s.quiet.warn("pop3 message broke off", "peer", n.remote.String(), "account", n.box.account, "error", err)
			return err
		}
		off += int64(len(p))
		var count int
		count, done = r.take(p)
		if err := src.lend(func() error { return out.write(p[:count]) }); err != nil {
			return err
		}
	}
	return out.end()
}

// source is an entry that can be closed and opened again.
type source struct {
	book  *folders.Book
	entry *folders.Entry
	open  *folders.Source
	slow  bool
}

// openMessage finds the entry, and makes sure that its content is there.
func (n *session) openMessage(ctx context.Context, m message) (*source, error) {
	entries, err := n.s.o.Book.Entries(ctx, n.box.account, []folders.UID{m.uid})
	if err != nil {
		return nil, fmt.Errorf("read entry: %w", err)
	}
	if len(entries) != 1 || entries[0] == nil {
		return nil, fmt.Errorf("entry %d: %w", m.uid, queue.ErrNotFound)
	}
	// The octets under a UID never change, but the UIDs may begin anew.
	v, err := n.s.o.Book.View(ctx, n.box.account)
	if err != nil {
		return nil, fmt.Errorf("view folders: %w", err)
	}
	if v.UIDValidity != n.box.validity {
		return nil, fmt.Errorf("entry %d of before: %w", m.uid, queue.ErrNotFound)
	}
	e := entries[0]
	if e.Size() != m.size {
		return nil, fmt.Errorf("entry %d has %d octets where %d were listed", m.uid, e.Size(), m.size)
	}
	src := &source{book: n.s.o.Book, entry: e}
	if len(e.Content.Key) > 0 && e.Content.Size > 0 {
		if err := src.read(ctx, make([]byte, 1), int64(len(e.Front))); err != nil {
			src.close()
			return nil, err
		}
	}
	return src, nil
}

// read fills p from off on.
func (s *source) read(ctx context.Context, p []byte, off int64) error {
	if s.open == nil {
		src, err := s.book.Open(ctx, s.entry)
		if err != nil {
			return fmt.Errorf("open entry: %w", err)
		}
		s.open = src
	}
	if n, err := s.open.ReadAt(p, off); n < len(p) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read entry: %w", err)
	}
	return nil
}

// slow is how long a client may take for a piece while the content stays open.
const slow = time.Second

// lend sends a piece. The store keeps what is open from being removed: with a
// client that was slow once, it is closed before each piece.
func (s *source) lend(send func() error) error {
	if s.slow {
		s.close()
	}
	start := time.Now()
	err := send()
	s.slow = s.slow || time.Since(start) > slow
	return err
}

func (s *source) close() {
	if s.open != nil {
		_ = s.open.Close()
		s.open = nil
	}
}
