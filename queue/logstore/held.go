package logstore

import (
	"postrider/queue"
)

// holdStatus says why a recipient is not, or not only, in its flow.
type holdStatus uint8

const (
	leased holdStatus = iota // somebody has it
	lapsed                   // its lease ended: it waits again, but may still be settled
	busy                     // a change of it is on its way into the log
)

// held is what is known in memory of a recipient that is, or was, leased, or
// whose state is changing. It is guarded by Store.mu.
type held struct {
	lease  *lease // nil if it is nobody's
	key    flowKey
	item   item
	status holdStatus
	was    holdStatus // before busy

	recipient *queue.Recipient // as of now; nil until it was read. Never changed in place
	doubt     bool             // recipient.InDoubt without a mark of this lease
	counted   bool             // in Store.active
}

// lease is a grant that lives in memory.
type lease struct {
	token   queue.Token
	holder  string
	granted int64 // or extended
	expires int64
	index   int // in Store.expiring; -1 once it expired
	held    map[queue.RecipientID]*held
	lost    bool // some of it was granted to another
}

// newLease makes a grant without recipients.
func (s *Store) newLease(r *queue.LeaseRequest) *lease {
	s.token++
	l := &lease{
		token: queue.Token(s.token), holder: r.Holder,
		granted: nanos(r.Now), expires: nanos(r.Now.Add(r.TTL)),
		held: make(map[queue.RecipientID]*held, 1),
	}
	s.leases[l.token] = l
	s.expiring.push(l)
	return l
}

// hold gives a recipient that waits to a lease.
func (s *Store) hold(l *lease, key flowKey, it item) *held {
	h := &held{lease: l, key: key, item: it, status: leased}
	if old := s.held[it.id]; old != nil {
		// What it was when its last lease ended is newer than the index.
		h.recipient = old.recipient
		if old.lease != nil {
			old.lease.lost = true
		}
		s.unhold(it.id, old)
	}
	s.held[it.id] = h
	l.held[it.id] = h
	return h
}

// unhold forgets h, and its lease when that has nothing else.
func (s *Store) unhold(id queue.RecipientID, h *held) {
	s.uncount(h)
	delete(s.held, id)
	s.detach(id, h)
}

// detach takes h from its lease.
func (s *Store) detach(id queue.RecipientID, h *held) {
	l := h.lease
	h.lease = nil
	if l == nil {
		return
	}
	delete(l.held, id)
	if len(l.held) > 0 {
		return
	}
	delete(s.leases, l.token)
	if l.index >= 0 {
		s.expiring.remove(l.index)
	}
}

// known completes h with the recipient as it was read, or as it is known to be.
func (s *Store) known(h *held, r *queue.Recipient) *queue.Recipient {
	if h.recipient == nil {
		c := *r
		h.recipient = &c
	}
	h.doubt = h.recipient.InDoubt
	s.count(h)
	return h.recipient
}

// count lets a leased recipient appear as active.
func (s *Store) count(h *held) {
	if h.status == leased && !h.counted && h.recipient != nil {
		h.counted = true
		s.active[h.recipient.State]++
	}
}

func (s *Store) uncount(h *held) {
	if h.counted {
		h.counted = false
		s.active[h.recipient.State]--
	}
}

// isActive reports whether the recipient appears as leased.
func (h *held) isActive() bool {
	return h != nil && (h.status == leased || h.status == busy && h.was == leased)
}

// reserve keeps everybody else from h while a change of it is written.
func (s *Store) reserve(h *held) {
	h.was = h.status
	if h.status == lapsed {
		s.schedule.remove(h.key, h.item)
	}
	h.status = busy
}

// revert undoes reserve when the change was not written.
func (s *Store) revert(id queue.RecipientID, h *held) {
	if s.held[id] != h || h.status != busy {
		return
	}
	h.status = h.was
	switch {
	case h.was == leased && h.lease != nil && h.lease.index < 0:
		// The lease expired meanwhile. What is pending is done when the next
		// one ends.
		s.uncount(h)
		h.status = lapsed
		s.schedule.insert(h.key, h.item)
		s.wake.Send()
	case h.was == lapsed:
		s.schedule.insert(h.key, h.item)
		s.wake.Send()
		if h.lease == nil && h.recipient == nil {
			s.unhold(id, h)
		}
	}
}

// lapse lets a leased recipient wait again. It reports whether an action is
// pending that must be done first; then the recipient is reserved for it.
func (s *Store) lapse(h *held) (pending bool) {
	s.uncount(h)
	if h.recipient != nil && h.recipient.Pending != queue.ActionNone {
		h.status, h.was = busy, lapsed
		return true
	}
	h.status = lapsed
	s.schedule.insert(h.key, h.item)
	return false
}

// expire ends the leases whose time is over, and returns the recipients for
// which an action is pending.
func (s *Store) expire(now int64) (pending []queue.RecipientID) {
	for s.expiring.len() > 0 && s.expiring.top().expires <= now {
		l := s.expiring.top()
		s.expiring.remove(0)
		for id, h := range l.held {
			if h.status == leased && s.lapse(h) {
				pending = append(pending, id)
			}
		}
	}
	return pending
}

// rememberOldest notes a recipient that came to a state, so that looking for
// the oldest one in it may start there.
func (s *Store) rememberOldest(st queue.State, id queue.RecipientID) {
	if compareIDs(id, s.oldest[st]) < 0 {
		s.oldest[st] = id
	}
}

func compareIDs(a, b queue.RecipientID) int {
	return item{id: a}.compare(item{id: b})
}

// activeCopy is the recipient as its lease shows it.
func activeCopy(r *queue.Recipient) *queue.Recipient {
	c := *r
	c.State = queue.StateActive
	return &c
}
