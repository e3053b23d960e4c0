package logstore

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

// checkIndex compares everything in the index that follows from something else
// with what it follows from. The store must be idle.
func checkIndex(t testing.TB, s *Store) {
	t.Helper()
	want := map[string]bool{}
	keys := map[byte]map[string]bool{}
	for _, k := range []byte{keyDue, keyState, keyPiece, keyPending} {
		keys[k] = map[string]bool{}
		mustEach(t, s, k, func(it *pebble.Iterator) { keys[k][string(it.Key())] = true })
	}
	var counts [queue.StateSuppressed + 1]int64
	lanes := map[queue.Lane]int64{}
	var live int64
	mustEach(t, s, keyMessage, func(it *pebble.Iterator) {
		id := queue.MessageID(it.Key()[1:])
		m, err := decodeMessage(id, it.Value())
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range m.content.at {
			want[string(positionKey(nil, keyPiece, at))] = true
			if _, err := s.log.ReadAt(at, nil); err != nil {
				t.Errorf("piece %d of %s: %v", i, id, err)
			}
		}
		live += m.content.size
		rs, err := s.readRecipients(s.db, m)
		if err != nil {
			t.Fatalf("recipients of %s: %v", id, err)
		}
		for _, r := range rs {
			counts[r.State]++
			if listed(r.State) {
				want[string(stateKey(nil, r.State, r.ID))] = true
			}
			if rules.Waits(r.State) {
				lanes[r.Lane]++
				want[string(dueKey(nil, flowKey{r.Lane, m.message.Priority, m.message.Account}, item{nanos(r.Due), r.ID}))] = true
			}
			if r.Pending != queue.ActionNone {
				want[string(pendingKey(nil, r.ID))] = true
			}
		}
		if h, err := s.History(context.Background(), id); err != nil {
			t.Errorf("history of %s: %v", id, err)
		} else {
			events := uint32(0)
			for _, r := range rs {
				events += r.Events
			}
			if len(h) != 1+int(events) {
				t.Errorf("%s has %d events in its history, its recipients count %d", id, len(h)-1, events)
			}
		}
	})
	have := 0
	for _, set := range keys {
		for k := range set {
			have++
			if !want[k] {
				t.Errorf("key %q should not be there", k)
			}
		}
	}
	if have != len(want) {
		t.Errorf("there are %d keys, want %d", have, len(want))
	}
	have = 0
	mustEach(t, s, keyLane, func(it *pebble.Iterator) {
		n, err := readLaneValue(it.Value())
		if lane := queue.Lane(it.Key()[1:]); err != nil || lane != "" && int64(n) != lanes[lane] {
			t.Errorf("in lane %q wait %d, recounted %d, %v", lane, n, lanes[lane], err)
		}
		have++
	})
	if have != 1+len(lanes) {
		t.Errorf("%d lanes are counted, recounted %d", have-1, len(lanes))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.counts != counts {
		t.Errorf("counts are %v, recounted %v", s.meta.counts, counts)
	}
	if s.meta.live != live {
		t.Errorf("live content is %d, recounted %d", s.meta.live, live)
	}
}

func mustEach(t testing.TB, s *Store, kind byte, fn func(it *pebble.Iterator)) {
	t.Helper()
	err := each(s.db, []byte{kind}, []byte{kind + 1}, func(it *pebble.Iterator) (bool, error) {
		fn(it)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkLeases leases everything that waits, whenever it is due, and counts it.
func checkLeases(t testing.TB, s *Store) {
	t.Helper()
	s.mu.Lock()
	want := s.meta.counts[queue.StateQueued] + s.meta.counts[queue.StateDeferred] + s.meta.counts[queue.StateScheduled]
	s.mu.Unlock()
	seen := map[queue.RecipientID]bool{}
	late := t0.Add(1000 * time.Hour)
	for {
		ls := leaseAll(t, s, request(late, 64))
		if len(ls) == 0 {
			break
		}
		for _, l := range ls {
			for _, r := range l.Recipients {
				if seen[r.ID] {
					t.Errorf("%s is leased twice", r.ID)
				}
				seen[r.ID] = true
			}
		}
	}
	if int64(len(seen)) != want {
		t.Errorf("%d recipients could be leased, %d wait", len(seen), want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schedule.windows != 0 || len(s.schedule.flows) != 0 {
		t.Errorf("%d items in windows of %d flows are left over", s.schedule.windows, len(s.schedule.flows))
	}
}

// allEvents reads the log of events from the start.
func allEvents(t testing.TB, s *Store) []queue.Event {
	t.Helper()
	var all []queue.Event
	var p queue.Position
	for {
		events, next, err := s.ReadEvents(context.Background(), p, 100)
		if err != nil {
			t.Fatalf("read events after %q: %v", p, err)
		}
		all = append(all, events...)
		if p == next || len(events) == 0 && commitlog.Position(mustPosition(t, next)) >= s.log.Applied() {
			return all
		}
		p = next
	}
}

func mustPosition(t testing.TB, p queue.Position) commitlog.Position {
	t.Helper()
	at, _, err := parsePosition(p)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
