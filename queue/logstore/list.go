package logstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/rules"
)

// listLook bounds how many messages one List looks at.
const listLook = 2000

// List returns entries, newest message first.
func (s *Store) List(ctx context.Context, q queue.Filter, c queue.Cursor, limit int) ([]queue.Entry, queue.Cursor, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	f, err := rules.Compile(&q)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	below, err := parseCursor(c)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	if limit <= 0 {
		return nil, "", fmt.Errorf("list: a limit of %d: %w", limit, queue.ErrFilter)
	}
	out, next, err := s.list(ctx, f, below, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	return out, next, nil
}

func parseCursor(c queue.Cursor) (below *queue.MessageID, err error) {
	if c == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(string(c))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("cursor %.40q: %w", c, queue.ErrFilter)
	}
	id := queue.MessageID(b)
	return &id, nil
}

func (s *Store) list(ctx context.Context, f *rules.Filter, below *queue.MessageID, limit int) (out []queue.Entry, c queue.Cursor, err error) {
	s.mu.Lock()
	skewMin, skewMax := time.Duration(s.meta.skewMin), time.Duration(s.meta.skewMax)
	s.mu.Unlock()
	below = earlier(below, f.Until, skewMin)
	walk, err := s.walk(f, below)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, walk.close()) }()
	for looked := 0; ; looked++ {
		id, ok := walk.next()
		if !ok || !f.Since.IsZero() && skewMax < maxSkew && id.Time().Add(skewMax+time.Millisecond).Before(f.Since) {
			return out, "", nil // the rest is older
		}
		// The cursor names the last message that was looked at.
		if len(out) == limit || looked == listLook {
			return out, c, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		c = queue.Cursor(hex.EncodeToString(id[:]))
		e, err := s.entry(s.db, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if !f.Message(&e.Message) {
			continue
		}
		e.Recipients = slices.DeleteFunc(e.Recipients, func(r queue.Recipient) bool { return !f.Recipient(&r, r.State) })
		if len(e.Recipients) > 0 {
			out = append(out, e)
		}
	}
}

// maxSkew is from when on ids and times are taken to have nothing in common.
const maxSkew = 50 * 365 * 24 * time.Hour

// earlier returns the lower of two bounds of ids: below, if there is one, and
// the one that follows from the time before which messages were accepted.
func earlier(below *queue.MessageID, until time.Time, skewMin time.Duration) *queue.MessageID {
	if until.IsZero() || skewMin <= -maxSkew {
		return below
	}
	ms := until.Add(-skewMin + time.Millisecond).UnixMilli()
	if ms < 0 || ms >= 1<<48 {
		return below
	}
	var id queue.MessageID
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16)
	if below != nil && compareMessages(*below, id) < 0 {
		return below
	}
	return &id
}

// walk is a way through the ids of messages, newest first.
type walk struct {
	ids   []queue.MessageID // known ones, newest first
	iters []*pebble.Iterator
	skip  int // octets of the key before the id
	last  queue.MessageID
	begun bool
}

// walk takes the narrowest way through what the filter may select.
func (s *Store) walk(f *rules.Filter, below *queue.MessageID) (*walk, error) {
	w := &walk{}
	switch {
	case len(f.Recipients) > 0:
		for _, r := range f.Recipients {
			w.ids = append(w.ids, r.Message())
		}
	case len(f.Messages) > 0:
		w.ids = slices.Clone(f.Messages)
	case len(f.States) == 1 && f.States[0] == queue.StateActive:
		s.mu.Lock()
		for id, h := range s.held {
			if h.isActive() {
				w.ids = append(w.ids, id.Message())
			}
		}
		s.mu.Unlock()
	default:
		return w, s.walkIndex(w, f, below)
	}
	slices.SortFunc(w.ids, func(a, b queue.MessageID) int {
		return compareIDs(queue.RecipientID(b), queue.RecipientID(a))
	})
	w.ids = slices.Compact(w.ids)
	if below != nil {
		w.ids = slices.DeleteFunc(w.ids, func(id queue.MessageID) bool {
			return compareIDs(queue.RecipientID(id), queue.RecipientID(*below)) >= 0
		})
	}
	return w, nil
}

// walkIndex goes through the states that are asked for, if they are in the
// index of states; else through all messages.
func (s *Store) walkIndex(w *walk, f *rules.Filter, below *queue.MessageID) error {
	prefixes := [][]byte{{keyMessage}}
	w.skip = 1
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, func(st queue.State) bool { return !listed(st) }) {
		prefixes, w.skip = nil, 2
		for _, st := range f.States {
			if st == queue.StateActive { // stored as what they were
				for _, st := range rules.Concerns(queue.ActionHold) {
					prefixes = append(prefixes, []byte{keyState, byte(st)})
				}
				continue
			}
			prefixes = append(prefixes, []byte{keyState, byte(st)})
		}
	}
	for _, p := range prefixes {
		upper := after(p)
		if below != nil {
			upper = append(slices.Clone(p), below[:]...)
		}
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: upper})
		if err != nil {
			return errors.Join(unavailable("read index", err), w.close())
		}
		it.Last()
		w.iters = append(w.iters, it)
	}
	return nil
}

// next returns the newest message not yet returned.
func (w *walk) next() (id queue.MessageID, ok bool) {
	if len(w.iters) == 0 {
		if len(w.ids) == 0 {
			return id, false
		}
		id, w.ids = w.ids[0], w.ids[1:]
		return id, true
	}
	for _, it := range w.iters {
		for it.Valid() && w.begun && w.at(it) == w.last {
			it.Prev()
		}
		if it.Valid() && (!ok || compareIDs(queue.RecipientID(w.at(it)), queue.RecipientID(id)) > 0) {
			id, ok = w.at(it), true
		}
	}
	w.last, w.begun = id, true
	return id, ok
}

func (w *walk) at(it *pebble.Iterator) queue.MessageID {
	return queue.RecipientID(it.Key()[w.skip : w.skip+16]).Message()
}

func (w *walk) close() error {
	var errs []error
	for _, it := range w.iters {
		errs = append(errs, it.Close())
	}
	return errors.Join(errs...)
}
