package logstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/rules"
)

// operatePage is how many recipients one commit of an Apply changes at most.
const operatePage = 256

// Apply does an action to all recipients that match, some hundred in a commit.
func (s *Store) Apply(ctx context.Context, op queue.Operation) (queue.Applied, error) {
	var done queue.Applied
	if err := s.enter(ctx); err != nil {
		return done, err
	}
	defer s.leave()
	if err := rules.Operation(&op); err != nil {
		return done, fmt.Errorf("apply: %w", err)
	}
	if op.Action == queue.ActionReschedule && !op.DryRun {
		if err := s.raiseFormat(formatLabelled); err != nil {
			return done, fmt.Errorf("apply %s: %w", op.Action, err)
		}
	}
	f, err := rules.Compile(&op.Filter)
	if err != nil {
		return done, fmt.Errorf("apply %s: %w", op.Action, err)
	}
	var r pebble.Reader = s.db
	if op.Action == queue.ActionReschedule {
		// It moves recipients between the states that it is for: they would come
		// twice.
		snap := s.db.NewSnapshot()
		defer snap.Close()
		r = snap
	}
	err = s.candidates(ctx, r, &op.Filter, rules.Concerns(op.Action), func(ids []queue.RecipientID) error {
		step := operation{s: s, op: &op, filter: f}
		err := step.run(ctx, ids)
		if err == nil {
			done.Matched += step.done.Matched
			done.Changed += step.done.Changed
			done.Pending += step.done.Pending
		}
		return err
	})
	if err != nil {
		return done, fmt.Errorf("apply %s: %w", op.Action, err)
	}
	return done, nil
}

// operation is one step of an Apply.
type operation struct {
	s      *Store
	op     *queue.Operation
	filter *rules.Filter
	forced bool // do the action that is pending, whatever matches
	change changeOp
	busy   []queue.RecipientID // reserved for this step
	done   queue.Applied
}

// run does the action to those of ids, which are in order, that match.
func (o *operation) run(ctx context.Context, ids []queue.RecipientID) error {
	defer o.s.lockMessages(ids)()
	if err := o.plan(ids); err != nil {
		o.undo()
		return err
	}
	if o.op.DryRun || len(o.change.sets) == 0 {
		return nil
	}
	if err := o.s.commit(ctx, recordChange, encodeChanges(o.change.sets), &o.change); err != nil {
		o.undo()
		return err
	}
	return nil
}

// lockMessages locks the stripes of all the messages.
func (s *Store) lockMessages(ids []queue.RecipientID) (unlock func()) {
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = hashID(id.Message())
	}
	return s.messages.lockAll(hashes)
}

func (o *operation) undo() {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	for _, id := range o.busy {
		if h := o.s.held[id]; h != nil {
			o.s.revert(id, h)
		}
	}
}

// plan looks at the recipients, message by message.
func (o *operation) plan(ids []queue.RecipientID) error {
	var m *storedMessage
	var set changeSet
	flush := func() {
		if len(set.changes) > 0 {
			set.value = o.newFacts(m)
			o.change.sets = append(o.change.sets, set)
		}
		set = changeSet{}
	}
	for _, id := range ids {
		if m == nil || m.message.ID != id.Message() {
			flush()
			var err error
			m, err = o.s.readMessage(o.s.db, id.Message())
			if errors.Is(err, queue.ErrNotFound) {
				m = nil
				continue
			}
			if err != nil {
				return err
			}
			set = newChangeSet(&m.message)
		}
		r, err := o.s.readRecipient(o.s.db, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		o.recipient(m, r, &set)
	}
	flush()
	return nil
}

// newFacts is the value of a message whose facts the operation changes; nil if
// it does not.
func (o *operation) newFacts(m *storedMessage) []byte {
	if o.op.Action != queue.ActionReschedule || o.op.ExpiresAt.IsZero() {
		return nil
	}
	became := *m
	became.message.ExpiresAt = o.op.ExpiresAt
	var f codec.Encoder
	f.Message(&became.message)
	became.facts = f.B
	return became.encode(nil)
}

// recipient decides about one recipient, as it is or as its lease knows it.
func (o *operation) recipient(m *storedMessage, r queue.Recipient, set *changeSet) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	h := o.s.held[r.ID]
	if h != nil && h.recipient != nil {
		r = *h.recipient
	}
	active := h.isActive()
	if o.forced && (active || r.Pending == queue.ActionNone) || !o.forced && !o.matches(m, &r, active) {
		return
	}
	old, by := r, rules.Asked{Actor: o.op.Actor, Reason: o.op.Reason, At: o.op.Now}
	o.done.Matched++
	if active {
		o.done.Pending++
		if !o.op.DryRun {
			r.Pending = o.op.Action
			set.add(&old, &r, nil)
			set.changes[len(set.changes)-1].asked = &by
		}
		return
	}
	o.done.Changed++
	if o.op.DryRun {
		return
	}
	action := o.op.Action
	if o.forced {
		action, by = r.Pending, o.s.pendingBy(r.ID)
	}
	o.reserve(m, &r, h)
	var became queue.Recipient
	var v queue.Event
	if action == queue.ActionReschedule {
		became, v = rules.Rescheduled(&m.message, r, o.op)
	} else {
		became, v = rules.Done(&m.message, r, action, by, o.op.Now)
	}
	set.add(&old, &became, &v)
}

// matches reports whether the action is to be done: filter and state.
func (o *operation) matches(m *storedMessage, r *queue.Recipient, active bool) bool {
	shown := r.State
	if active {
		shown = queue.StateActive
	}
	return rules.Concerned(o.op.Action, r, active) && o.filter.Message(&m.message) && o.filter.Recipient(r, shown)
}

// reserve keeps a waiting recipient from being leased until it has changed.
func (o *operation) reserve(m *storedMessage, r *queue.Recipient, h *held) {
	if !rules.Waits(r.State) {
		return
	}
	if h == nil {
		h = &held{
			key:    flowKey{r.Lane, m.message.Priority, m.message.Account},
			item:   item{nanos(r.Due), r.ID},
			status: lapsed,
		}
		o.s.held[r.ID] = h
	}
	if h.status != busy {
		o.s.reserve(h)
	}
	o.busy = append(o.busy, r.ID)
}

// endPending does what was asked for while the recipients were leased. They are
// reserved. What cannot be done now is done when they are settled.
func (s *Store) endPending(ctx context.Context, ids []queue.RecipientID, now time.Time) {
	slices.SortFunc(ids, compareIDs)
	for page := range slices.Chunk(ids, operatePage) {
		step := operation{s: s, op: &queue.Operation{Now: now}, forced: true}
		if err := step.runPending(ctx, page); err != nil {
			s.opts.Logger.Warn("pending action was not done", "recipients", len(page), "error", err)
		}
	}
}

// runPending is run for those whose action is still pending.
func (o *operation) runPending(ctx context.Context, ids []queue.RecipientID) error {
	err := o.run(ctx, ids)
	if err != nil {
		o.busy = ids
		o.undo()
	}
	return err
}

// finishPending does, after a restart, what was pending when the leases ended.
func (s *Store) finishPending(ctx context.Context) error {
	var ids []queue.RecipientID
	err := each(s.db, []byte{keyPending}, []byte{keyPending + 1}, func(it *pebble.Iterator) (bool, error) {
		var id queue.RecipientID
		copy(id[:], it.Key()[1:])
		ids = append(ids, id)
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		// The store has no clock: it happened when it was asked for.
		step := operation{s: s, op: &queue.Operation{Now: s.pendingBy(id).At}, forced: true}
		if err := step.run(ctx, []queue.RecipientID{id}); err != nil {
			return fmt.Errorf("do what was pending for %s: %w", id, err)
		}
	}
	return nil
}
