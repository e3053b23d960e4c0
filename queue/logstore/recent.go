package logstore

import (
	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
)

// recentIDs answers for nearly all new messages that their id is not taken,
// without asking the index: ids ascend, but for those that are under way at the
// same time. It is guarded by Store.mu.
type recentIDs struct {
	floor queue.MessageID // no id above it is known, but for those in last
	last  map[queue.MessageID]struct{}
	ring  []queue.MessageID
	next  int
}

const recentSize = 1024

// add notes an id that is taken now.
func (r *recentIDs) add(id queue.MessageID) {
	if r.last == nil {
		r.last = make(map[queue.MessageID]struct{}, recentSize)
	}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, id)
	} else {
		old := r.ring[r.next]
		delete(r.last, old)
		if compareMessages(old, r.floor) > 0 {
			r.floor = old
		}
		r.ring[r.next] = id
		r.next = (r.next + 1) % recentSize
	}
	r.last[id] = struct{}{}
}

// isNew reports whether the id is certainly free.
func (r *recentIDs) isNew(id queue.MessageID) bool {
	_, known := r.last[id]
	return !known && compareMessages(id, r.floor) > 0
}

// findNewest starts with the ids of the index.
func (s *Store) findNewest() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMessage}, UpperBound: []byte{keyMessage + 1}})
	if err != nil {
		return unavailable("read index", err)
	}
	if it.Last() {
		s.recent.floor = queue.MessageID(it.Key()[1:])
	}
	if err := it.Close(); err != nil {
		return unavailable("read index", err)
	}
	return nil
}

func compareMessages(a, b queue.MessageID) int {
	return compareIDs(queue.RecipientID(a), queue.RecipientID(b))
}
