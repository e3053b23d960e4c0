package logstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// grant is a lease that still has to be read.
type grant struct {
	lease *lease
	key   flowKey
	items []item
}

// Lease hands out work. A named lane is served also while it is parked: the
// caller has a connection for it.
func (s *Store) Lease(ctx context.Context, r queue.LeaseRequest) ([]queue.Lease, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	grants, pending, err := s.grant(&r)
	if len(pending) > 0 {
		s.endPending(ctx, pending, r.Now)
	}
	var out []queue.Lease
	for i, g := range grants {
		l, ferr := s.fill(g)
		if ferr != nil {
			s.giveBack(grants[i:])
			err = errors.Join(err, ferr)
			break
		}
		if len(l.Recipients) > 0 {
			out = append(out, l)
		}
	}
	if len(out) > 0 {
		return out, nil // the trouble comes again with the next call
	}
	if err != nil {
		return nil, fmt.Errorf("lease due recipients: %w", err)
	}
	return nil, nil
}

func (s *Store) grant(r *queue.LeaseRequest) (grants []grant, pending []queue.RecipientID, err error) {
	now := nanos(r.Now)
	s.mu.Lock()
	defer s.mu.Unlock()
	pending = s.expire(now)
	for len(grants) < r.Max {
		f, err := s.schedule.next(r.Lane, now)
		if f == nil || err != nil {
			return grants, pending, err
		}
		g := grant{key: f.key, items: s.schedule.take(f, now), lease: s.newLease(r)}
		for _, it := range g.items {
			s.hold(g.lease, g.key, it)
		}
		grants = append(grants, g)
	}
	return grants, pending, nil
}

// fill reads what was granted.
func (s *Store) fill(g grant) (queue.Lease, error) {
	l := queue.Lease{Lane: g.key.lane, Token: g.lease.token, Holder: g.lease.holder}
	m, err := s.readMessage(s.db, g.items[0].id.Message())
	if err != nil {
		return l, err
	}
	l.Message = m.message
	rs := make([]queue.Recipient, len(g.items))
	for i, it := range g.items {
		if rs[i], err = s.readRecipient(s.db, it.id); err != nil {
			return l, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.Expires = fromNanos(g.lease.expires)
	l.Recipients = make([]queue.Recipient, 0, len(rs))
	for i := range rs {
		h := s.held[rs[i].ID]
		if h == nil || h.lease != g.lease {
			continue // granted to another meanwhile: a lease of no time
		}
		l.Recipients = append(l.Recipients, *activeCopy(s.known(h, &rs[i])))
	}
	return l, nil
}

// giveBack undoes grants that could not be read.
func (s *Store) giveBack(grants []grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range grants {
		for id, h := range g.lease.held {
			if h.status == leased {
				s.endHold(id, h)
			}
		}
	}
}

// endHold lets a leased recipient wait as before its lease.
func (s *Store) endHold(id queue.RecipientID, h *held) {
	if h.recipient != nil && h.recipient.InDoubt {
		// The index may not have the mark yet: remember it until the next lease.
		s.uncount(h)
		s.detach(id, h)
		h.status = lapsed
	} else {
		s.unhold(id, h)
	}
	s.schedule.insert(h.key, h.item)
}

// Extend moves the end of leases.
func (s *Store) Extend(ctx context.Context, now time.Time, ttl time.Duration, ls ...queue.Lease) (lost []queue.Lease, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ls {
		l := s.leases[ls[i].Token]
		if l == nil || l.lost {
			lost = append(lost, ls[i])
			continue
		}
		s.extend(l, nanos(now), nanos(now.Add(ttl)))
	}
	return lost, nil
}

func (s *Store) extend(l *lease, now, expires int64) {
	l.granted, l.expires = now, expires
	if l.index >= 0 {
		s.expiring.fix(l.index)
		return
	}
	s.expiring.push(l)
	for _, h := range l.held {
		if h.status == lapsed {
			s.schedule.remove(h.key, h.item)
			h.status = leased
			s.count(h)
		}
	}
}

// holds returns what the lease holds of the recipients, all or ErrLeaseLost.
// With s.mu held.
func (s *Store) holds(l *queue.Lease, ids []queue.RecipientID) ([]*held, error) {
	hs := make([]*held, len(ids))
	for i, id := range ids {
		h := s.held[id]
		if h == nil || h.lease == nil || h.lease.token != l.Token || h.status == busy || h.recipient == nil {
			return nil, fmt.Errorf("recipient %s: %w", id, queue.ErrLeaseLost)
		}
		hs[i] = h
	}
	return hs, nil
}

// Mark records that the final dot is about to be sent.
func (s *Store) Mark(ctx context.Context, l queue.Lease, ids []queue.RecipientID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	stripe := s.messages.of(hashID(l.Message.ID))
	stripe.RLock()
	defer stripe.RUnlock()
	op := &changeOp{quiet: true, sets: []changeSet{newChangeSet(&l.Message)}}
	marked, err := s.mark(&l, ids, &op.sets[0])
	if err != nil {
		return fmt.Errorf("mark %s: %w", l.Message.ID, err)
	}
	if len(marked) == 0 {
		return nil
	}
	b := &commitlog.Batch{NoSync: true, Critical: true, Records: []commitlog.Record{
		{Type: recordChange, Payload: encodeChanges(op.sets), Value: op},
	}}
	err = s.append(ctx, b)
	// A mark that failed stays in memory: no dot is sent, and a doubt too many
	// does no harm.
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, h := range marked {
		s.revert(id, h)
	}
	if err != nil {
		return fmt.Errorf("mark %s: %w", l.Message.ID, err)
	}
	return nil
}

// mark notes the doubt and returns what is reserved until the mark has its
// place in the log: another lease must not be granted, and settled, before.
func (s *Store) mark(l *queue.Lease, ids []queue.RecipientID, c *changeSet) (map[queue.RecipientID]*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hs, err := s.holds(l, ids)
	if err != nil {
		return nil, err
	}
	for i, h := range hs {
		if h.status != leased {
			return nil, fmt.Errorf("recipient %s: lease has expired: %w", ids[i], queue.ErrLeaseLost)
		}
	}
	marked := make(map[queue.RecipientID]*held, len(hs))
	for i, h := range hs {
		if h.recipient.InDoubt {
			continue
		}
		r := *h.recipient
		r.InDoubt = true
		c.add(h.recipient, &r, nil)
		h.recipient = &r
		s.reserve(h)
		marked[ids[i]] = h
	}
	return marked, nil
}

// Release gives recipients back unattempted.
func (s *Store) Release(ctx context.Context, l queue.Lease, now time.Time, ids []queue.RecipientID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	stripe := s.messages.of(hashID(l.Message.ID))
	stripe.RLock()
	pending, err := s.release(&l, ids)
	stripe.RUnlock()
	if err != nil {
		return fmt.Errorf("release %s: %w", l.Message.ID, err)
	}
	if len(pending) > 0 {
		s.endPending(ctx, pending, now)
	}
	s.wake.Send()
	return nil
}

func (s *Store) release(l *queue.Lease, ids []queue.RecipientID) (pending []queue.RecipientID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ids == nil {
		g := s.leases[l.Token]
		if g == nil {
			return nil, nil
		}
		for id, h := range g.held {
			if h.status != busy {
				ids = append(ids, id)
			}
		}
	}
	hs, err := s.holds(l, ids)
	if err != nil {
		return nil, err
	}
	for i, h := range hs {
		switch {
		case h.status == lapsed: // it waits already
			s.detach(ids[i], h)
		case h.recipient.Pending != queue.ActionNone:
			s.detach(ids[i], h)
			if s.lapse(h) {
				pending = append(pending, ids[i])
			}
		default:
			s.endHold(ids[i], h)
		}
	}
	return pending, nil
}

// Park keeps a lane from being leased.
func (s *Store) Park(ctx context.Context, lane queue.Lane, now, until time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	s.schedule.park(lane, nanos(now), nanos(until))
	s.mu.Unlock()
	if !until.After(now) {
		s.wake.Send()
	}
	return nil
}

// NextDue returns when Lease may find work. The end of a lease is such a time.
func (s *Store) NextDue(ctx context.Context, now time.Time) (time.Time, bool, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, false, err
	}
	defer s.leave()
	s.mu.Lock()
	pending := s.expire(nanos(now))
	due, ok, err := s.schedule.nextDue(nanos(now))
	if s.expiring.len() > 0 && (!ok || s.expiring.top().expires < due) {
		due, ok = s.expiring.top().expires, true
	}
	s.mu.Unlock()
	if len(pending) > 0 {
		s.endPending(ctx, pending, now)
		return now, true, err // what they became may be due
	}
	if err != nil || !ok {
		return time.Time{}, false, err
	}
	if due <= nanos(now) {
		return now, true, nil
	}
	return fromNanos(due), true, nil
}

// readRecipients reads all recipients of a message.
func (s *Store) readRecipients(r pebble.Reader, m *storedMessage) ([]queue.Recipient, error) {
	rs := make([]queue.Recipient, m.recipients)
	for i := range rs {
		var err error
		if rs[i], err = s.readRecipient(r, m.message.ID.Recipient(i)); err != nil {
			return nil, err
		}
	}
	return rs, nil
}
