package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

func hashID(m queue.MessageID) uint64 {
	return binary.BigEndian.Uint64(m[6:]) * 0x9e3779b97f4a7c15 >> 32
}

func hashString(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// enqueueOp is an Enqueue under way: what it asked for and what it got.
type enqueueOp struct {
	record *enqueueRecord
	lease  *queue.LeaseRequest
	leases []queue.Lease
}

// Enqueue makes a message durable.
func (s *Store) Enqueue(ctx context.Context, r queue.EnqueueRequest) (queue.Enqueued, error) {
	w, err := s.writer(r.Content)
	if err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	if w != nil {
		defer w.end()
	}
	if err := rules.Enqueue(&r); err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	out, err := s.enqueue(ctx, &r, w)
	if err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	return out, nil
}

func (s *Store) writer(c queue.ContentWriter) (*contentWriter, error) {
	if c == nil {
		return nil, nil
	}
	w, ok := c.(*contentWriter)
	if !ok || w.s != s {
		c.Abort()
		return nil, errors.New("the content is of another store")
	}
	return w, nil
}

func (s *Store) enqueue(ctx context.Context, r *queue.EnqueueRequest, w *contentWriter) (out queue.Enqueued, err error) {
	record := newEnqueueRecord(r)
	b := &commitlog.Batch{}
	if w != nil {
		content, inline, err := w.finish() // may write: before any lock
		if err != nil {
			return out, err
		}
		record.content, record.inline = content, len(inline) > 0
		if record.inline {
			b.Records = append(b.Records, commitlog.Record{Type: recordBody, Body: inline})
		}
	}
	if err := s.enter(ctx); err != nil {
		return out, err
	}
	defer s.leave()
	if codec.HasMore(&r.Message) {
		if err := s.raiseFormat(formatLabelled); err != nil {
			return out, err
		}
	}
	if r.Idempotency.Key != "" {
		l := s.idems.of(hashString(r.Message.Account, r.Idempotency.Key))
		l.Lock()
		defer l.Unlock()
		first, known, err := s.knownKey(r)
		if known || err != nil {
			return queue.Enqueued{ID: first, Duplicate: known}, err
		}
	}
	l := s.messages.of(hashID(r.Message.ID))
	l.Lock()
	defer l.Unlock()
	if err := s.isFree(r.Message.ID); err != nil {
		return out, err
	}
	op := &enqueueOp{record: record, lease: r.Lease}
	b.Records = append(b.Records, commitlog.Record{Type: recordEnqueue, Payload: record.encode(), Value: op})
	if err := s.append(ctx, b); err != nil {
		return out, err
	}
	return queue.Enqueued{ID: r.Message.ID, Leases: op.leases}, nil
}

// isFree returns ErrExists if the id is taken; its stripe is held.
func (s *Store) isFree(id queue.MessageID) error {
	s.mu.Lock()
	free := s.recent.isNew(id)
	s.mu.Unlock()
	if free {
		return nil
	}
	var k [17]byte
	err := get(s.db, messageKey(k[:0], id), func([]byte) error { return queue.ErrExists })
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	return err
}

// knownKey looks the idempotency key up; its stripe is held.
func (s *Store) knownKey(r *queue.EnqueueRequest) (first queue.MessageID, known bool, err error) {
	err = get(s.db, idemKey(nil, r.Message.Account, r.Idempotency.Key), func(b []byte) error {
		var print [32]byte
		d := codec.Decoder{B: b}
		d.Version()
		d.Fixed(print[:])
		d.Fixed(first[:])
		end := d.Time()
		switch err := d.Done(); {
		case err != nil:
			return damaged("an idempotency key", err)
		case !end.After(r.Now):
			return queue.ErrNotFound
		case print != r.Idempotency.Fingerprint:
			return queue.ErrIdempotencyConflict
		}
		return nil
	})
	if errors.Is(err, queue.ErrNotFound) {
		return queue.MessageID{}, false, nil
	}
	return first, err == nil, err
}

func newEnqueueRecord(r *queue.EnqueueRequest) *enqueueRecord {
	e := &enqueueRecord{
		message: r.Message, recipients: slices.Clone(r.Recipients),
		values: make([][]byte, len(r.Recipients)), now: r.Now, idem: r.Idempotency,
	}
	e.message.Content.Key = nil
	if r.Content != nil {
		e.message.Content.Key = slices.Clone(r.Message.ID[:])
	}
	for i := range e.recipients {
		rcpt := &e.recipients[i]
		if rcpt.UpdatedAt.IsZero() {
			rcpt.UpdatedAt = r.Now
		}
		if rcpt.State.Final() {
			e.events = append(e.events, rules.Ended(&e.message, rcpt, r.Now))
		}
		e.values[i] = encodeRecipient(rcpt)
	}
	var f codec.Encoder
	f.Message(&e.message)
	e.facts = f.B
	return e
}

// applied lets the recipients wait, or leases them at once.
func (op *enqueueOp) applied(s *Store) {
	r := op.record
	s.recent.add(r.message.ID)
	var direct map[queue.Lane][]*queue.Recipient
	woke := false
	for i := range r.recipients {
		rcpt := &r.recipients[i]
		if !rules.Waits(rcpt.State) {
			continue
		}
		s.rememberOldest(rcpt.State, rcpt.ID)
		if op.lease != nil && s.grantable(rcpt, op.lease) {
			if direct == nil {
				direct = make(map[queue.Lane][]*queue.Recipient)
			}
			direct[rcpt.Lane] = append(direct[rcpt.Lane], rcpt)
			continue
		}
		s.schedule.insert(flowKey{rcpt.Lane, r.message.Priority, r.message.Account}, item{nanos(rcpt.Due), rcpt.ID})
		woke = true
	}
	for i := range r.recipients {
		rcpt := &r.recipients[i]
		if rcpt.State == queue.StateHeld || rcpt.State.Final() {
			s.rememberOldest(rcpt.State, rcpt.ID)
		}
		rs := direct[rcpt.Lane]
		if len(rs) == 0 {
			continue
		}
		delete(direct, rcpt.Lane)
		woke = op.grant(s, rcpt.Lane, rs) || woke
	}
	if woke {
		s.wake.Send()
	}
}

// grant leases recipients of one lane as far as the request goes; the rest
// waits.
func (op *enqueueOp) grant(s *Store, lane queue.Lane, rs []*queue.Recipient) (woke bool) {
	m := &op.record.message
	key := flowKey{lane, m.Priority, m.Account}
	for len(rs) > 0 && len(op.leases) < op.lease.Max {
		n := min(len(rs), queue.MaxLeaseRecipients)
		l := s.newLease(op.lease)
		out := queue.Lease{Message: *m, Lane: lane, Token: l.token, Holder: l.holder, Expires: fromNanos(l.expires)}
		for _, rcpt := range rs[:n] {
			h := s.hold(l, key, item{nanos(rcpt.Due), rcpt.ID})
			s.known(h, rcpt)
			out.Recipients = append(out.Recipients, *activeCopy(rcpt))
		}
		s.schedule.chargeDirect(key, n)
		op.leases = append(op.leases, out)
		rs = rs[n:]
	}
	for _, rcpt := range rs {
		s.schedule.insert(key, item{nanos(rcpt.Due), rcpt.ID})
	}
	return len(rs) > 0
}

// grantable reports whether a new recipient may be leased with its enqueue.
func (s *Store) grantable(r *queue.Recipient, q *queue.LeaseRequest) bool {
	now := nanos(q.Now)
	if nanos(r.Due) > now || q.Lane != "" && q.Lane != r.Lane {
		return false
	}
	s.schedule.advance(now)
	l := s.schedule.lanes[r.Lane]
	return l == nil || l.ready == 0 && !l.isParked(now)
}
