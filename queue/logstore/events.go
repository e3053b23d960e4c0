package logstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// position is the token after the first n events of the record at pos.
func position(pos commitlog.Position, n int) queue.Position {
	return queue.Position(fmt.Sprintf("%016x.%d", uint64(pos), n))
}

func parsePosition(p queue.Position) (at commitlog.Position, n int, err error) {
	if len(p) < 18 || p[16] != '.' {
		return 0, 0, fmt.Errorf("%.40q: %w", p, queue.ErrPosition)
	}
	at, err = commitlog.ParsePosition(string(p[:16]))
	if err == nil {
		n, err = strconv.Atoi(string(p[17:]))
	}
	if err != nil || n < 0 {
		return 0, 0, fmt.Errorf("%.40q: %w", p, queue.ErrPosition)
	}
	return at, n, nil
}

// eventsLook bounds how many records one ReadEvents looks at.
const eventsLook = 8192

// ReadEvents returns events after a position. It reads the log and steps over
// bodies without reading them.
func (s *Store) ReadEvents(ctx context.Context, after queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	at, skip, err := s.eventsFrom(after)
	if err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	events, next, err := s.readEvents(ctx, at, skip, limit)
	if err != nil {
		var bad *commitlog.CorruptError
		if errors.As(err, &bad) && bad.Position == at && after != "" {
			err = queue.ErrPosition // no record of ours begins there
		} else if errors.Is(err, commitlog.ErrRemoved) {
			err = queue.ErrPosition
		}
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	return events, next, nil
}

// eventsFrom turns a token into a place that is still there, if no event
// between the two has been forgotten.
func (s *Store) eventsFrom(p queue.Position) (at commitlog.Position, skip int, err error) {
	first, end := s.log.First(), s.log.Applied()
	if p == "" {
		return first, 0, nil
	}
	at, skip, err = parsePosition(p)
	if err != nil {
		return 0, 0, err
	}
	if at > end {
		return 0, 0, fmt.Errorf("%s is beyond the end: %w", p, queue.ErrPosition)
	}
	if at >= first {
		return at, skip, nil
	}
	s.mu.Lock()
	gone, n := s.meta.forgotten, s.meta.forgottenEvents
	s.mu.Unlock()
	if at < gone || at == gone && skip < n {
		return 0, 0, fmt.Errorf("%s is no longer kept: %w", p, queue.ErrPosition)
	}
	return first, 0, nil
}

// holdsEvents says which records are worth reading for their events.
func holdsEvents(typ byte) bool {
	return typ == recordEnqueue || typ == recordChange || typ == recordPast
}

func (s *Store) readEvents(ctx context.Context, at commitlog.Position, skip, limit int) ([]queue.Event, queue.Position, error) {
	var events []queue.Event
	looked, inside := 0, 0 // inside: events taken of the record that the walk ended at
	if limit <= 0 {
		return nil, position(at, skip), nil
	}
	next, err := s.log.Browse(ctx, at, s.log.Applied(), func(typ byte) bool {
		if holdsEvents(typ) {
			return true
		}
		skip = 0
		return false
	}, func(e commitlog.Entry) (bool, error) {
		if looked++; looked > eventsLook {
			return false, nil
		}
		all, err := recordEvents(&e)
		if err != nil {
			return false, unavailable("decode record at "+e.Position.String(), err)
		}
		skip = min(skip, len(all))
		if room := limit - len(events); len(all)-skip > room {
			events = append(events, all[skip:skip+room]...)
			inside = skip + room
			return false, nil
		}
		events = append(events, all[skip:]...)
		skip = 0
		return true, nil
	})
	if err != nil {
		return nil, "", err
	}
	return events, position(next, inside), nil
}

// recordEvents returns the events of a record, with their positions.
func recordEvents(e *commitlog.Entry) (events []queue.Event, err error) {
	switch e.Type {
	case recordEnqueue:
		r, err := decodeEnqueue(e.Payload)
		if err != nil {
			return nil, err
		}
		events = append([]queue.Event{r.queued()}, r.events...)
	case recordChange:
		sets, err := decodeChanges(e.Payload)
		if err != nil {
			return nil, err
		}
		for i := range sets {
			for _, ch := range sets[i].changes {
				if ch.event != nil {
					events = append(events, *ch.event)
				}
			}
		}
	case recordPast:
		r, err := decodePast(e.Payload)
		if err != nil {
			return nil, err
		}
		events = r.events
	}
	for i := range events {
		events[i].Position = position(e.Position, i+1)
	}
	return events, nil
}

// Acknowledge keeps a reader's position. It survives the death of the process
// at once, and loss of power a moment later: a reader may see events again.
func (s *Store) Acknowledge(ctx context.Context, reader string, p queue.Position) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if p != "" {
		if _, _, err := parsePosition(p); err != nil {
			return fmt.Errorf("acknowledge for %s: %w", reader, err)
		}
	}
	l := s.names.of(hashString("reader", reader))
	l.Lock()
	defer l.Unlock()
	var x edits
	x.put(nameKey(nil, keyReader, reader), []byte(p))
	b := &commitlog.Batch{NoSync: true, Critical: true, Records: []commitlog.Record{{Type: recordIndex, Payload: x.encode()}}}
	if err := s.append(ctx, b); err != nil {
		return fmt.Errorf("acknowledge for %s: %w", reader, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[reader] = p
	return nil
}

// Acknowledged returns the position that was kept for a reader.
func (s *Store) Acknowledged(ctx context.Context, reader string) (queue.Position, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readers[reader], nil
}

// findReaders learns the positions that were kept.
func (s *Store) findReaders() error {
	return each(s.db, []byte{keyReader}, []byte{keyReader + 1}, func(it *pebble.Iterator) (bool, error) {
		s.readers[string(it.Key()[1:])] = queue.Position(it.Value())
		return true, nil
	})
}
