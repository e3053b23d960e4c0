package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
	"postrider/queue/rules"
)

// Apply does an action to all recipients that match, message by message.
func (s *Store) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	var done queue.Applied
	if err := s.enter(ctx); err != nil {
		return done, err
	}
	defer s.leave()
	if err := rules.Operation(&op); err != nil {
		return done, fmt.Errorf("apply: %w", err)
	}
	f, err := rules.Compile(&op.Filter)
	if err != nil {
		return done, fmt.Errorf("apply %s: %w", op.Action, err)
	}
	o := &operation{s: s, op: &op, filter: f}
	err = s.candidates(ctx, f, rules.Concerns(op.Action), o.page)
	if o.changed {
		s.notify.Send()
		s.wake.Send()
	}
	if err != nil {
		return o.done, fmt.Errorf("apply %s: %w", op.Action, err)
	}
	return o.done, nil
}

// operation is an Apply under way.
type operation struct {
	s       *Store
	op      *queue.Operation
	filter  *rules.Filter
	done    queue.Applied
	changed bool
}

// page does the action to the recipients of some messages of a partition.
func (o *operation) page(ctx context.Context, part string, ms []message) error {
	dones := make([]queue.Applied, len(ms))
	errs := make([]error, len(ms))
	inParallel(len(ms), func(i int) { dones[i], errs[i] = o.message(ctx, part, ms[i]) })
	for _, d := range dones {
		o.done.Matched += d.Matched
		o.done.Changed += d.Changed
		o.done.Pending += d.Pending
		o.changed = o.changed || !o.op.DryRun && d.Matched > 0
	}
	return errors.Join(errs...)
}

// message does the action to one, and again if it changed meanwhile.
func (o *operation) message(ctx context.Context, part string, m message) (done queue.Applied, err error) {
	if !o.filter.Message(&m.Message) {
		return done, nil
	}
	for {
		set, d := o.plan(&m)
		if o.op.DryRun || len(set.changes) == 0 {
			return d, nil
		}
		v, _, err := o.s.settler.send(ctx, part, set)
		switch {
		case err != nil:
			return done, err
		case v == int64(changeDone):
			return d, nil
		case v == int64(changeGone):
			return done, nil
		}
		ok := false
		if m, ok, err = o.s.read(ctx, part, m.ID); err != nil || !ok {
			return done, err
		}
	}
}

func (o *operation) plan(m *message) (*changeSet, queue.Applied) {
	var done queue.Applied
	set := &changeSet{message: &m.Message, now: o.s.ms(o.op.Now)}
	by := rules.Asked{Actor: o.op.Actor, Reason: o.op.Reason, At: o.op.Now}
	for i := range m.recipients {
		r := &m.recipients[i]
		if !o.matches(r) {
			continue
		}
		done.Matched++
		ch := change{index: i, value: uint64(r.rev)}
		if r.active() {
			done.Pending++
			ch.status, ch.becomes, ch.asked = statusKeep, r.Recipient, encodeAsked(by)
			ch.becomes.Pending = o.op.Action
		} else {
			done.Changed++
			became, v := o.act(m, r, by)
			ch.status, ch.becomes, ch.event, ch.asked = statusNone, became, &v, unasked(r)
		}
		set.changes = append(set.changes, ch)
	}
	if o.op.Action == queue.ActionReschedule && !o.op.ExpiresAt.IsZero() {
		became := m.Message
		became.ExpiresAt = o.op.ExpiresAt
		set.header = header(&became)
	}
	return set, done
}

// act does the action to a recipient that is not leased.
func (o *operation) act(m *message, r *stored, by rules.Asked) (queue.Recipient, queue.Event) {
	if o.op.Action == queue.ActionReschedule {
		return rules.Rescheduled(&m.Message, r.Recipient, o.op)
	}
	return rules.Done(&m.Message, r.Recipient, o.op.Action, by, o.op.Now)
}

// unasked is what becomes of who asked for an action, once it is done.
func unasked(r *stored) string {
	if r.Pending == queue.ActionNone {
		return ""
	}
	return "-"
}

func (o *operation) matches(r *stored) bool {
	shown := r.shown()
	return rules.Concerned(o.op.Action, &r.Recipient, r.active()) && o.filter.Recipient(&shown, shown.State)
}

// endPending does what was asked for while the recipients were leased. What
// cannot be done now is found again by those who lease.
func (s *Store) endPending(ctx context.Context, part string, ids []queue.RecipientID, now time.Time) {
	byMessage := make(map[queue.MessageID][]int, 1)
	for _, id := range ids {
		byMessage[id.Message()] = append(byMessage[id.Message()], id.Index())
	}
	for id, indexes := range byMessage {
		if err := s.endPendingOf(ctx, part, id, indexes, now); err != nil {
			s.o.Logger.Warn("pending action was not done; it is tried again", "id", id, "recipients", len(indexes), "error", err)
		}
	}
	if len(ids) > 0 {
		s.notify.Send()
		s.wake.Send()
	}
}

func (s *Store) endPendingOf(ctx context.Context, part string, id queue.MessageID, indexes []int, now time.Time) error {
	m, ok, err := s.read(ctx, part, id)
	if err != nil || !ok {
		return err
	}
	asked, err := s.readAsked(ctx, part, id, indexes)
	if err != nil {
		return err
	}
	set := &changeSet{message: &m.Message, now: s.ms(now)}
	for i, n := range indexes {
		if n >= len(m.recipients) {
			continue
		}
		r := &m.recipients[n]
		if r.active() || r.status != statusLapsed || r.Pending == queue.ActionNone {
			continue
		}
		became, v := rules.Done(&m.Message, r.Recipient, r.Pending, asked[i], now)
		set.changes = append(set.changes, change{index: n, value: uint64(r.rev), status: statusNone, becomes: became, event: &v, asked: "-"})
	}
	if len(set.changes) == 0 {
		return nil
	}
	v, _, err := s.settler.send(ctx, part, set)
	if err == nil && v != int64(changeDone) && v != int64(changeStale) && v != int64(changeGone) {
		err = fmt.Errorf("change answered %v: %w", v, queue.ErrUnavailable)
	}
	return err // who was first has done it
}
