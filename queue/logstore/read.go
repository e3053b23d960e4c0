package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

// Message returns a message and its recipients.
func (s *Store) Message(ctx context.Context, id queue.MessageID) (queue.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Entry{}, err
	}
	defer s.leave()
	snap := s.db.NewSnapshot()
	e, err := s.entry(snap, id)
	if err = errors.Join(err, snap.Close()); err != nil {
		return queue.Entry{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return e, nil
}

// entry reads a message with all its recipients.
func (s *Store) entry(r pebble.Reader, id queue.MessageID) (queue.Entry, error) {
	m, err := s.readMessage(r, id)
	if err != nil {
		return queue.Entry{}, err
	}
	rs, err := s.readRecipients(r, m)
	if err != nil {
		return queue.Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rs {
		s.show(&rs[i])
	}
	return queue.Entry{Message: m.message, Recipients: rs}, nil
}

// show makes of a recipient as it is stored what it is: leases are not stored,
// and marks a little later. With s.mu held.
func (s *Store) show(r *queue.Recipient) {
	h := s.held[r.ID]
	if h == nil || !rules.Waits(r.State) {
		return
	}
	if h.recipient != nil {
		r.InDoubt = r.InDoubt || h.recipient.InDoubt
		r.Pending = h.recipient.Pending
	}
	if h.isActive() {
		r.State = queue.StateActive
	}
}

// Counts returns the recipients by state.
func (s *Store) Counts(ctx context.Context) (map[queue.State]queue.Count, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	out := make(map[queue.State]queue.Count)
	s.mu.Lock()
	var active queue.Count
	var ids []queue.RecipientID
	for st, n := range s.meta.counts {
		n -= s.active[st]
		active.Recipients += s.active[st]
		if n > 0 {
			out[queue.State(st)] = queue.Count{Recipients: n}
		}
	}
	for id, h := range s.held {
		if h.isActive() && (ids == nil || compareIDs(id, ids[0]) < 0) {
			ids = []queue.RecipientID{id}
		}
	}
	s.mu.Unlock()
	if active.Recipients > 0 {
		if len(ids) > 0 {
			if m, err := s.readMessage(s.db, ids[0].Message()); err == nil {
				active.Oldest = m.message.AcceptedAt
			}
		}
		out[queue.StateActive] = active
	}
	for st, c := range out {
		if st.Final() || st == queue.StateActive {
			continue
		}
		var err error
		if c.Oldest, err = s.oldestIn(st); err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
		out[st] = c
	}
	return out, nil
}

// oldestIn looks for the oldest message that has a recipient in the state, from
// where nothing older was the last time: what was deleted before that is not
// looked at again.
func (s *Store) oldestIn(st queue.State) (at time.Time, err error) {
	s.mu.Lock()
	from := s.oldest[st]
	s.mu.Unlock()
	var first, found queue.RecipientID
	err = each(s.db, stateKey(nil, st, from), []byte{keyState, byte(st) + 1}, func(it *pebble.Iterator) (bool, error) {
		id := queue.RecipientID(it.Key()[2:])
		if first.IsZero() {
			first = id
		}
		s.mu.Lock()
		active := s.held[id].isActive()
		s.mu.Unlock()
		if active {
			return true, nil
		}
		found = id
		at = fromNanos(readOrdered(it.Value()))
		return false, nil
	})
	if err != nil || found.IsZero() {
		return at, err
	}
	s.mu.Lock()
	if s.oldest[st] == from { // nothing older came meanwhile
		s.oldest[st] = first
	}
	s.mu.Unlock()
	return at, nil
}

// History returns the events of one message, oldest first.
func (s *Store) History(ctx context.Context, id queue.MessageID) ([]queue.Event, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	m, err := s.readMessage(s.db, id)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", id, err)
	}
	var events []queue.Event
	if m.at != 0 { // else it was imported, as an event like the others
		first := queuedEvent(&m.message, m.recipients, m.enqueued)
		first.Position = position(m.at, 1)
		events = append(events, first)
	}
	prefix := append([]byte{keyHistory}, id[:]...)
	err = each(s.db, prefix, after(prefix), func(it *pebble.Iterator) (bool, error) {
		v, err := decodeHistory(&m.message, it)
		events = append(events, v)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// decodeHistory reads the event of m at it.
func decodeHistory(m *queue.Message, it *pebble.Iterator) (queue.Event, error) {
	d := codec.Decoder{B: it.Value()}
	d.Version()
	v := d.Event(m.ID)
	if err := d.Done(); err != nil {
		return v, damaged("history of "+m.ID.String(), err)
	}
	place := it.Key()[1+len(m.ID):]
	v.Account = m.Account
	v.Position = position(commitlog.Position(binary.BigEndian.Uint64(place)), int(binary.BigEndian.Uint16(place[8:])))
	return v, nil
}
