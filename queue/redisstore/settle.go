package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"postrider/queue"
	"postrider/queue/rules"
)

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

// settlement is a Settle under way: what it knows of the recipients.
type settlement struct {
	lease   *queue.Lease
	pending map[int]queue.Action
	asked   map[int]rules.Asked
}

func (s *Store) settle(ctx context.Context, l *queue.Lease, ss []queue.Settlement) error {
	ids, err := rules.Settlements(l, ss)
	if err != nil || len(ids) == 0 {
		return err
	}
	st := &settlement{lease: l, pending: map[int]queue.Action{}, asked: map[int]rules.Asked{}}
	part, again := s.partOf(&l.Message), s.leases.unsure(l, ids)
	for {
		set, err := st.changes(s, ss)
		if err != nil {
			return err
		}
		set.again = again
		v, maybe, err := s.settler.send(ctx, part, set)
		if err != nil {
			if maybe {
				s.leases.doubt(l, ids)
			}
			return err
		}
		switch v {
		case int64(changeDone):
			s.leases.settled(l, len(ss))
			s.notify.Send()
			if wakes(set) {
				s.wake.Send()
			}
			return nil
		case int64(changeLost), int64(changeGone):
			s.leases.forget(l)
			return queue.ErrLeaseLost
		}
		// An operator asked for something meanwhile.
		if err := st.learn(l, v); err != nil {
			return err
		}
	}
}

// changes is what the settlements make of the recipients, as far as is known.
func (t *settlement) changes(s *Store, ss []queue.Settlement) (*changeSet, error) {
	l := t.lease
	set := &changeSet{message: &l.Message, lease: memberOf(l)}
	known := make(map[queue.RecipientID]*queue.Recipient, len(l.Recipients))
	for i := range l.Recipients {
		known[l.Recipients[i].ID] = &l.Recipients[i]
	}
	at := s.leases.grantedAt(l)
	if at.IsZero() {
		at = l.Message.AcceptedAt
	}
	for i := range ss {
		was := known[ss[i].Recipient]
		if was == nil {
			return nil, fmt.Errorf("recipient %s is not of this lease, or is settled twice: %w", ss[i].Recipient, queue.ErrLeaseLost)
		}
		delete(known, ss[i].Recipient)
		n := was.ID.Index()
		r := *was
		pending, told := t.pending[n]
		if !told {
			pending = r.Pending
		}
		r.Pending = pending
		r, v := rules.Outcome(&l.Message, r, was.InDoubt, &ss[i], at, func() rules.Asked { return t.asked[n] })
		ch := change{index: n, byToken: true, value: uint64(l.Token), pending: pending, status: statusSettled, becomes: r, event: &v}
		if pending != queue.ActionNone {
			ch.asked = "-"
		}
		set.changes = append(set.changes, ch)
	}
	return set, nil
}

// learn takes in what a script says is pending.
func (t *settlement) learn(l *queue.Lease, v any) error {
	list, _ := v.([]any)
	n, err := strconv.Atoi(textOf(list, 0))
	if len(list) < 3 || err != nil {
		return errors.Join(fmt.Errorf("change answered %v: %w", v, queue.ErrUnavailable), err)
	}
	r, err := decodeRecord(&l.Message, l.Message.ID.Recipient(n), textOf(list, 1))
	if err != nil {
		return err
	}
	t.pending[n], t.asked[n] = r.Pending, decodeAsked(textOf(list, 2))
	return nil
}

// waitsAgain reports whether a change lets a recipient wait for some time.
func waitsAgain(ch *change) bool {
	return ch.status != statusKeep && ch.status != statusLeased && rules.Waits(ch.becomes.State)
}

func wakes(set *changeSet) bool {
	for i := range set.changes {
		if waitsAgain(&set.changes[i]) {
			return true
		}
	}
	return false
}
