package logstore

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
	"postrider/queue/rules"
)

// changeOp is changes under way. Recipients that it changes are reserved, but
// for marks and pending actions, which leave them where they are.
type changeOp struct {
	sets  []changeSet
	quiet bool // marks: what is in memory has them already
}

// applied lets the recipients be what they have become.
func (op *changeOp) applied(s *Store) {
	if op.quiet {
		return
	}
	woke := false
	for i := range op.sets {
		c := &op.sets[i]
		for j := range c.changes {
			woke = s.become(c, &c.changes[j].recipient) || woke
		}
	}
	if woke {
		s.wake.Send()
	}
}

func (s *Store) become(c *changeSet, r *queue.Recipient) (waiting bool) {
	h := s.held[r.ID]
	if h != nil && h.status != busy {
		h.recipient = r // an action is pending now
		return false
	}
	if h != nil {
		s.unhold(r.ID, h)
	}
	s.rememberOldest(r.State, r.ID)
	if !rules.Waits(r.State) {
		return false
	}
	s.schedule.insert(c.flow(r.Lane), item{nanos(r.Due), r.ID})
	return true
}

// Settle records what became of recipients.
func (s *Store) Settle(ctx context.Context, l queue.Lease, ss []queue.Settlement) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.settle(ctx, &l, ss); err != nil {
		return fmt.Errorf("settle %s: %w", l.Message.ID, err)
	}
	return nil
}

func (s *Store) settle(ctx context.Context, l *queue.Lease, ss []queue.Settlement) error {
	ids, err := rules.Settlements(l, ss)
	if err != nil || len(ids) == 0 {
		return err
	}
	stripe := s.messages.of(hashID(l.Message.ID))
	stripe.RLock()
	defer stripe.RUnlock()
	hs, granted, err := s.reserveAll(l, ids)
	if err != nil {
		return err
	}
	op := &changeOp{sets: []changeSet{newChangeSet(&l.Message)}}
	for i := range ss {
		// What has no attempt happened when its lease was granted or extended, as
		// far as the store knows.
		r, v := rules.Outcome(&l.Message, *hs[i].recipient, hs[i].doubt, &ss[i], granted,
			func() rules.Asked { return s.pendingBy(ids[i]) })
		op.sets[0].add(hs[i].recipient, &r, &v)
	}
	if err := s.commit(ctx, recordChange, encodeChanges(op.sets), op); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, h := range hs {
			s.revert(ids[i], h)
		}
		return err
	}
	return nil
}

// reserveAll checks the lease for all the recipients and reserves them.
func (s *Store) reserveAll(l *queue.Lease, ids []queue.RecipientID) ([]*held, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hs, err := s.holds(l, ids)
	if err != nil {
		return nil, time.Time{}, err
	}
	for i, h := range hs {
		if h.status == busy { // it is named twice
			for j, h := range hs[:i] {
				s.revert(ids[j], h)
			}
			return nil, time.Time{}, fmt.Errorf("recipient %s is settled twice", ids[i])
		}
		s.reserve(h)
	}
	return hs, fromNanos(hs[0].lease.granted), nil
}

// pendingBy returns who asked for the pending action.
func (s *Store) pendingBy(id queue.RecipientID) (a rules.Asked) {
	// Only words for people are lost if it cannot be read.
	_ = get(s.db, pendingKey(nil, id), func(b []byte) (err error) {
		a, err = decodeAsked(b)
		return err
	})
	return a
}
