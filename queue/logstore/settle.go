package logstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
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
		s.wake.signal()
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
	if !waits(r.State) {
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
	ids, err := checkSettlements(l, ss)
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
		r, v := s.outcome(&l.Message, hs[i], &ss[i], granted)
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

func checkSettlements(l *queue.Lease, ss []queue.Settlement) ([]queue.RecipientID, error) {
	ids := make([]queue.RecipientID, len(ss))
	for i := range ss {
		o := ss[i].Outcome
		switch {
		case ss[i].Recipient.Message() != l.Message.ID:
			return nil, fmt.Errorf("recipient %s is of another message", ss[i].Recipient)
		case o != queue.StateDeferred && o != queue.StateHeld && !o.Final():
			return nil, fmt.Errorf("recipient %s cannot become %s", ss[i].Recipient, o)
		case len(ss[i].Lane) > 320:
			return nil, errors.New("the lane is longer than 320 bytes")
		}
		ids[i] = ss[i].Recipient
	}
	return ids, nil
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

// outcome is the recipient after the settlement, and the event of it. What has
// no attempt happened when its lease was granted or extended, as far as the
// store knows.
func (s *Store) outcome(m *queue.Message, h *held, st *queue.Settlement, at time.Time) (queue.Recipient, queue.Event) {
	r := *h.recipient
	r.InDoubt = h.doubt
	if a := st.Attempt; a != nil {
		last := *a
		at = a.Start.Add(a.Took)
		r.Attempts++
		if last.Number == 0 {
			last.Number = r.Attempts
		}
		r.Last = &last
		r.InDoubt = r.InDoubt || a.InDoubt
	}
	if st.Lane != "" {
		r.Lane = st.Lane
	}
	if st.Outcome != queue.StateDelivered && st.Outcome != queue.StateRelayed {
		r.Class = st.Class
	}
	r.Delayed = r.Delayed || st.Delayed && st.Outcome == queue.StateDeferred
	r.State, r.Due, r.UpdatedAt = st.Outcome, st.Due, at
	if r.State != queue.StateDeferred {
		r.Due = h.recipient.Due
	}
	kind, actor, reason := s.settledAs(&r, st, at)
	r.Pending = queue.ActionNone
	v := recipientEvent(m, &r, kind, at)
	v.Attempt, v.Class, v.Delayed = nil, st.Class, st.Delayed && r.State == st.Outcome
	if st.Attempt != nil {
		v.Attempt = r.Last
	}
	v.Actor, v.Reason = actor, reason
	if waits(r.State) {
		v.Due = r.Due
	}
	return r, v
}

// settledAs does the action that is pending instead of an outcome that is no
// end, and returns what it is called.
func (s *Store) settledAs(r *queue.Recipient, st *queue.Settlement, at time.Time) (kind queue.EventKind, actor, reason string) {
	ends := r.Pending == queue.ActionCancel || r.Pending == queue.ActionExpire
	if r.Pending != queue.ActionNone && (st.Outcome == queue.StateDeferred || st.Outcome == queue.StateHeld && ends) {
		by := s.pendingBy(r.ID)
		return act(r, r.Pending, at), by.actor, by.reason
	}
	switch st.Outcome {
	case queue.StateDeferred:
		kind = queue.EventDeferred
	case queue.StateHeld:
		kind = queue.EventHeld
	default:
		kind = finalEvent(st.Outcome)
	}
	return kind, "", st.Reason
}

// pendingBy returns who asked for the pending action.
func (s *Store) pendingBy(id queue.RecipientID) (a asked) {
	// Only words for people are lost if it cannot be read.
	_ = get(s.db, pendingKey(nil, id), func(b []byte) (err error) {
		a, err = decodeAsked(b)
		return err
	})
	return a
}
