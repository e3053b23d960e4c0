package logstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

var _ queue.Archive = (*Store)(nil)

// exportLook bounds what one Export reads, in recipients or records of the log.
const exportLook = 8192

// Export returns the items after a cursor. The cursor is the letter of a part
// and a place in it.
func (s *Store) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	if limit <= 0 {
		return nil, "", fmt.Errorf("export: a limit of %d: %w", limit, queue.ErrFilter)
	}
	// What was written without waiting is in the index after this.
	if err := s.append(ctx, &commitlog.Batch{Critical: true}); err != nil {
		return nil, "", fmt.Errorf("export: %w", err)
	}
	x := &export{s: s, limit: limit, there: map[queue.MessageID]bool{}}
	next, err := x.run(ctx, c)
	if err != nil {
		return nil, "", fmt.Errorf("export: %w", err)
	}
	return x.items, next, nil
}

// export is one call of Export.
type export struct {
	s      *Store
	limit  int
	items  []queue.Item
	looked int

	there map[queue.MessageID]bool // what isThere has answered
}

// exportPart reads on from a place, nil at its start, and returns where it
// stopped before its end.
type exportPart struct {
	letter byte
	read   func(x *export, ctx context.Context, place []byte) (next []byte, more bool, err error)
}

func exportParts() []exportPart {
	return []exportPart{
		{'r', (*export).records},
		{'m', (*export).messages},
		{'k', (*export).keys},
		{'h', (*export).forgotten},
		{'e', (*export).events},
	}
}

func (x *export) run(ctx context.Context, c queue.Cursor) (queue.Cursor, error) {
	parts := exportParts()
	var place []byte
	if c != "" {
		i := slices.IndexFunc(parts, func(p exportPart) bool { return p.letter == c[0] })
		var err error
		if place, err = hex.DecodeString(string(c[1:])); i < 0 || err != nil {
			return "", badCursor(c)
		}
		parts = parts[i:]
		if len(place) == 0 {
			place = nil
		}
	}
	for _, p := range parts {
		if x.full() {
			return queue.Cursor(p.letter), nil
		}
		next, more, err := p.read(x, ctx, place)
		if err != nil {
			return "", err
		}
		if more {
			return queue.Cursor(string(p.letter) + hex.EncodeToString(next)), nil
		}
		place = nil
	}
	return "", nil
}

func badCursor(c queue.Cursor) error { return fmt.Errorf("cursor %.60q: %w", c, queue.ErrFilter) }

// full reports whether the call has given, or read, what it may.
func (x *export) full() bool { return len(x.items) >= x.limit || x.looked >= exportLook }

func (x *export) add(it queue.Item) { x.items = append(x.items, it) }

// keyed walks the keys of a kind behind the one that was given last.
func (x *export) keyed(ctx context.Context, kind byte, place []byte, give func(it *pebble.Iterator) error) (next []byte, more bool, err error) {
	lower := []byte{kind}
	if place != nil {
		lower = append(slices.Clone(place), 0)
	}
	if lower[0] != kind {
		return nil, false, badCursor(queue.Cursor(place))
	}
	next = place
	err = each(x.s.db, lower, []byte{kind + 1}, func(it *pebble.Iterator) (bool, error) {
		if more = x.full(); more {
			return false, ctx.Err()
		}
		next = append(next[:0], it.Key()...)
		x.looked++
		return true, give(it)
	})
	return next, more, err
}

func (x *export) records(ctx context.Context, place []byte) ([]byte, bool, error) {
	return x.keyed(ctx, keyRecord, place, func(it *pebble.Iterator) error {
		kind, name, _ := strings.Cut(string(it.Key()[1:]), "\x00")
		r, err := decodeRecord(queue.RecordKind(kind), name, it.Value())
		x.add(queue.Item{Record: &r})
		return err
	})
}

// messages reads recipients as they are stored: a lease is nowhere but in
// memory.
func (x *export) messages(ctx context.Context, place []byte) (next []byte, more bool, err error) {
	rcpts, err := x.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyRecipient}, UpperBound: []byte{keyRecipient + 1}})
	if err != nil {
		return nil, false, unavailable("read index", err)
	}
	next, more, err = x.keyed(ctx, keyMessage, place, func(it *pebble.Iterator) error {
		m, err := decodeMessage(queue.MessageID(it.Key()[1:]), it.Value())
		if err != nil {
			return damaged("a message", err)
		}
		rs, err := nextRecipients(rcpts, m)
		x.looked += len(rs)
		x.add(queue.Item{Message: &queue.ArchivedMessage{Entry: queue.Entry{Message: m.message, Recipients: rs}}})
		return err
	})
	if cerr := rcpts.Close(); err == nil && cerr != nil {
		err = unavailable("read index", cerr)
	}
	return next, more, err
}

// nextRecipients is readRecipients for messages in order of their ids.
func nextRecipients(it *pebble.Iterator, m *storedMessage) ([]queue.Recipient, error) {
	rs := make([]queue.Recipient, m.recipients)
	var key [1 + 16]byte
	ok := it.SeekGE(recipientKey(key[:0], m.message.ID.Recipient(0)))
	for i := range rs {
		id := m.message.ID.Recipient(i)
		if !ok || !bytes.Equal(it.Key()[1:], id[:]) {
			return nil, damaged("recipient "+id.String(), codec.ErrCodec)
		}
		var err error
		if rs[i], err = decodeRecipient(id, it.Value()); err != nil {
			return nil, damaged("recipient "+id.String(), err)
		}
		ok = it.Next()
	}
	return rs, nil
}

func (x *export) keys(ctx context.Context, place []byte) ([]byte, bool, error) {
	return x.keyed(ctx, keyIdem, place, func(it *pebble.Iterator) error {
		name := it.Key()[1:]
		n := 2 + int(binary.BigEndian.Uint16(name))
		k := queue.ArchivedKey{Account: string(name[2:n]), Key: string(name[n:])}
		d := codec.Decoder{B: it.Value()}
		d.Version()
		d.Fixed(k.Fingerprint[:])
		d.Fixed(k.Message[:])
		k.ExpiresAt = d.Time()
		x.add(queue.Item{Key: &k})
		if err := d.Done(); err != nil {
			return damaged("an idempotency key", err)
		}
		return nil
	})
}

// forgotten gives the events that only histories have, because their part of
// the log was removed. No reader can ask for them any more. They come message
// by message; the place is the key of a message and how many of its events were
// given.
func (x *export) forgotten(ctx context.Context, place []byte) (next []byte, more bool, err error) {
	x.s.mu.Lock()
	none := x.s.meta.forgotten == 0
	x.s.mu.Unlock()
	if none {
		return nil, false, nil
	}
	first := x.s.log.First()
	lower, given := []byte{keyMessage}, 0
	if place != nil {
		if len(place) != 1+16+4 || place[0] != keyMessage {
			return nil, false, badCursor(queue.Cursor(place))
		}
		lower, given = place[:1+16], int(binary.BigEndian.Uint32(place[1+16:]))
	}
	err = each(x.s.db, lower, []byte{keyMessage + 1}, func(it *pebble.Iterator) (bool, error) {
		events, err := x.oldEvents(it, first)
		if err != nil {
			return false, err
		}
		x.looked++
		for i := min(given, len(events)); i < len(events); i++ {
			if more = x.full(); more {
				next = binary.BigEndian.AppendUint32(slices.Clone(it.Key()), uint32(i))
				return false, ctx.Err()
			}
			x.add(queue.Item{Event: &events[i]})
		}
		given = 0
		if more = x.full(); more { // the rest of it is none
			next = binary.BigEndian.AppendUint32(slices.Clone(it.Key()), uint32(len(events)))
		}
		return !more, ctx.Err()
	})
	return next, more, err
}

// oldEvents returns those of the message at it that lie before a position.
func (x *export) oldEvents(it *pebble.Iterator, before commitlog.Position) (events []queue.Event, err error) {
	id := queue.MessageID(it.Key()[1:])
	m, err := decodeMessage(id, it.Value())
	if err != nil {
		return nil, damaged("message "+id.String(), err)
	}
	if m.at != 0 && m.at < before {
		events = append(events, queuedEvent(&m.message, m.recipients, m.enqueued))
	}
	err = each(x.s.db, historyKey(nil, id, 0, 0), historyKey(nil, id, before, 0), func(it *pebble.Iterator) (bool, error) {
		v, err := decodeHistory(&m.message, it)
		events = append(events, v)
		return true, err
	})
	return events, err
}

// exportReader is a reader by the last event that it acknowledged.
type exportReader struct {
	name   string
	record commitlog.Position
	events int // of that record
}

// readers returns them in the order of their positions.
func (x *export) readers() (all []exportReader, err error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for name, p := range x.s.readers {
		r := exportReader{name: name}
		if p != "" {
			if r.record, r.events, err = parsePosition(p); err != nil {
				return nil, err
			}
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b exportReader) int {
		return cmp.Or(cmp.Compare(a.record, b.record), cmp.Compare(a.events, b.events), strings.Compare(a.name, b.name))
	})
	return all, nil
}

// events gives the log's, and between them the readers. The place is that of
// the next event and how many readers were given.
func (x *export) events(ctx context.Context, place []byte) (next []byte, more bool, err error) {
	at, skip, given := x.s.log.First(), 0, 0
	if place != nil {
		var n uint64
		if _, err := fmt.Sscanf(string(place), "%x.%d,%d", &n, &skip, &given); err != nil || skip < 0 || given < 0 {
			return nil, false, badCursor(queue.Cursor(place))
		}
		at = commitlog.Position(n)
	}
	readers, err := x.readers()
	if err != nil {
		return nil, false, err
	}
	inside := 0 // events of the record that the walk ended at that are done with
	// giveReaders gives those that stand before an event.
	giveReaders := func(record commitlog.Position, index int) {
		for given < len(readers) && !x.full() {
			if r := &readers[given]; r.record > record || r.record == record && r.events >= index {
				return
			}
			x.add(queue.Item{Reader: &queue.ArchivedReader{Name: readers[given].name}})
			given++
		}
	}
	to, err := x.s.log.Browse(ctx, at, x.s.log.Applied(), holdsEvents, func(e commitlog.Entry) (bool, error) {
		all, err := recordEvents(&e)
		if err != nil {
			return false, unavailable("decode record at "+e.Position.String(), err)
		}
		x.looked++
		first := 0
		if e.Position == at {
			first = skip
		}
		for i := min(first, len(all)); i < len(all); i++ {
			giveReaders(e.Position, i+1)
			if x.full() {
				more, inside = true, i
				return false, nil
			}
			if there, err := x.isThere(all[i].Message); err != nil {
				return false, err
			} else if there {
				x.add(queue.Item{Event: &all[i]})
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, false, err
	}
	if !more {
		for ; given < len(readers) && !x.full(); given++ {
			x.add(queue.Item{Reader: &queue.ArchivedReader{Name: readers[given].name}})
		}
		more = given < len(readers)
	}
	return fmt.Appendf(nil, "%x.%d,%d", uint64(to), inside, given), more, nil
}

// isThere reports whether a message is still known.
func (x *export) isThere(id queue.MessageID) (bool, error) {
	there, known := x.there[id]
	if known {
		return there, nil
	}
	there, err := x.s.hasMessage(id)
	x.there[id] = there
	return there, err
}
