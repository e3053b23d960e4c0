package logstore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

// effect is what a live record does to what is in memory, in log order, after
// the index has it and before its append returns. It is called with Store.mu
// held.
type effect interface {
	applied(s *Store)
}

// applier turns log records into changes of the index. It reads nothing from
// the index, so that replay does exactly the same. It belongs to the goroutine
// that the log calls it from.
type applier struct {
	s       *Store
	batch   *pebble.Batch
	meta    meta
	bodies  []body // before the record that names them
	effects []effect
	events  bool
	lanes   laneCounts
	flushed commitlog.Position // where the index was last told to write itself
	key     []byte
	value   []byte
}

type body struct {
	at   commitlog.Position
	size int64
}

// apply is commitlog.Options.Apply.
func (a *applier) apply(entries []commitlog.Entry) error {
	a.batch = a.s.db.NewBatch()
	defer a.batch.Close()
	for i := range entries {
		if err := a.entry(&entries[i]); err != nil {
			return fmt.Errorf("record at %s: %w", entries[i].Position, err)
		}
	}
	a.meta.next = entries[len(entries)-1].Next
	a.lanes.write(a.batch, a.meta.next)
	a.value = a.meta.encode(a.value)
	if err := a.batch.Set(metaKey, a.value, nil); err != nil {
		return err
	}
	if err := a.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	a.s.group.Store(int64(len(entries)))
	a.publish()
	if a.meta.next-a.flushed > flushEvery {
		a.flushed = a.meta.next
		if _, err := a.s.db.AsyncFlush(); err != nil {
			return err
		}
	}
	return nil
}

// publish shows what was committed to the rest of the store.
func (a *applier) publish() {
	s := a.s
	s.mu.Lock()
	s.meta = a.meta
	for _, e := range a.effects {
		e.applied(s)
	}
	s.mu.Unlock()
	clear(a.effects)
	a.effects = a.effects[:0]
}

// announce tells readers of new events, once they can be read.
func (a *applier) announce() {
	if a.events {
		a.events = false
		a.s.notify.Send()
	}
}

func (a *applier) entry(e *commitlog.Entry) error {
	if x, ok := e.Value.(effect); ok {
		a.effects = append(a.effects, x)
	}
	var err error
	switch e.Type {
	case recordBody:
		a.bodies = append(a.bodies, body{e.Position, int64(len(e.Payload))})
		return nil
	case recordFirstChunk:
		a.set(positionKey(a.key, keyOpen, e.Position), nil)
	case recordChunk:
	case recordEnqueue, recordImport:
		err = a.enqueue(e)
	case recordPast:
		err = a.past(e)
	case recordChange:
		err = a.changes(e)
	case recordIndex:
		err = a.edits(e)
	case recordMove:
		err = a.move(e)
	case recordRegistry:
		err = a.registry(e)
	case recordFolder:
		err = a.folder(e)
	case recordOpen:
		a.meta.epoch++
	default:
		err = fmt.Errorf("type %d is not known: %w", e.Type, codec.ErrCodec)
	}
	a.bodies = a.bodies[:0]
	return err
}

// set and del cannot fail: the batch is in memory.
func (a *applier) set(key, value []byte) {
	a.key = key
	_ = a.batch.Set(key, value, nil)
}

func (a *applier) del(key []byte) {
	a.key = key
	_ = a.batch.Delete(key, nil)
}

func (a *applier) enqueue(e *commitlog.Entry) error {
	op, _ := e.Value.(*enqueueOp)
	var r *enqueueRecord
	if op != nil {
		r = op.record
	} else {
		var err error
		if r, err = decodeEnqueue(e.Payload); err != nil {
			return err
		}
	}
	if r.inline {
		if len(a.bodies) != 1 {
			return fmt.Errorf("the content of %s is missing: %w", r.message.ID, codec.ErrCodec)
		}
		r.content.at = []commitlog.Position{a.bodies[0].at}
	} else if len(r.content.at) > 0 {
		a.del(positionKey(a.key, keyOpen, r.content.at[0]))
	}
	imported := e.Type == recordImport
	m := storedMessage{content: r.content, at: e.Position, enqueued: r.now, recipients: len(r.recipients), facts: r.facts}
	if imported {
		m.at = 0
	}
	a.value = m.encode(a.value[:0])
	a.set(messageKey(a.key, r.message.ID), a.value)
	a.pieces(r.message.ID, r.content)
	acceptedAt := nanos(r.message.AcceptedAt)
	skew := int64(r.message.AcceptedAt.Sub(r.message.ID.Time()))
	a.meta.skewMin, a.meta.skewMax = min(a.meta.skewMin, skew), max(a.meta.skewMax, skew)
	for i := range r.recipients {
		rcpt := &r.recipients[i]
		a.set(recipientKey(a.key, rcpt.ID), r.values[i])
		if rules.Waits(rcpt.State) {
			k := flowKey{rcpt.Lane, r.message.Priority, r.message.Account}
			a.set(dueKey(a.key, k, item{nanos(rcpt.Due), rcpt.ID}), nil)
			a.lanes.add(rcpt.Lane, 1)
		}
		a.enter(rcpt, acceptedAt)
		if imported && rcpt.Pending != queue.ActionNone {
			// It is done when the store is opened the next time. Who asked is
			// not known any more.
			a.value = encodeAsked(a.value[:0], &rules.Asked{At: rcpt.UpdatedAt})
			a.set(pendingKey(a.key, rcpt.ID), a.value)
		}
	}
	for i := range r.events {
		a.history(&r.events[i], e.Position, i+2) // the first is EventQueued
	}
	if r.idem.Key != "" {
		a.value = encodeIdem(a.value[:0], &queue.ArchivedKey{Fingerprint: r.idem.Fingerprint, Message: r.message.ID, ExpiresAt: r.idem.ExpiresAt})
		a.set(idemKey(a.key, r.message.Account, r.idem.Key), a.value)
		a.set(idemEndKey(a.key, r.idem.ExpiresAt, r.message.Account, r.idem.Key), nil)
	}
	a.events = a.events || !imported
	return nil
}

func (a *applier) past(e *commitlog.Entry) error {
	r, ok := e.Value.(*pastRecord)
	if !ok {
		var err error
		if r, err = decodePast(e.Payload); err != nil {
			return err
		}
	}
	for i := range r.events {
		a.history(&r.events[i], e.Position, i+1)
	}
	r.end = position(e.Position, len(r.events))
	for _, name := range r.readers {
		a.set(nameKey(a.key, keyReader, name), []byte(r.end))
	}
	return nil
}

// pieces notes what lives where in the log.
func (a *applier) pieces(m queue.MessageID, p place) {
	for i, at := range p.at {
		a.piece(m, at, i, p.length(i))
	}
	a.meta.live += p.size
}

func (a *applier) piece(m queue.MessageID, at commitlog.Position, i int, size int64) {
	v := codec.Encoder{B: a.value[:0]}
	v.Fixed(m[:])
	v.Uint(uint64(i))
	v.Int(size)
	a.value = v.B
	a.set(positionKey(a.key, keyPiece, at), a.value)
}

// enter counts a recipient in its new state, and queues it for retention when
// that is final.
func (a *applier) enter(r *queue.Recipient, acceptedAt int64) {
	a.meta.counts[r.State]++
	if listed(r.State) {
		a.value = appendOrdered(a.value[:0], acceptedAt)
		a.set(stateKey(a.key, r.State, r.ID), a.value)
	}
	if r.State.Final() {
		q := byte(finalSent)
		if rules.Trouble(r.State) {
			q = finalTrouble
		}
		a.set(finalKey(a.key, q, r.UpdatedAt, r.ID.Message()), nil)
		a.set(finalKey(a.key, finalContent, r.UpdatedAt, r.ID.Message()), nil)
	}
}

func (a *applier) leave(state queue.State, id queue.RecipientID) {
	a.meta.counts[state]--
	if listed(state) {
		a.del(stateKey(a.key, state, id))
	}
}

func (a *applier) history(v *queue.Event, at commitlog.Position, i int) {
	e := codec.Encoder{B: a.value[:0]}
	e.Version()
	e.Event(v)
	a.value = e.B
	a.set(historyKey(a.key, v.Message, at, i), a.value)
	a.events = true
}

func (a *applier) changes(e *commitlog.Entry) error {
	var sets []changeSet
	if op, ok := e.Value.(*changeOp); ok {
		sets = op.sets
	} else {
		var err error
		if sets, err = decodeChanges(e.Payload); err != nil {
			return err
		}
	}
	events := 0
	for i := range sets {
		c := &sets[i]
		if len(c.value) > 0 {
			a.set(messageKey(a.key, c.message), c.value)
		}
		for j := range c.changes {
			ch := &c.changes[j]
			a.change(c, ch)
			if ch.event != nil {
				events++
				a.history(ch.event, e.Position, events)
			}
		}
	}
	return nil
}

func (a *applier) change(c *changeSet, ch *change) {
	r := &ch.recipient
	a.set(recipientKey(a.key, r.ID), ch.value)
	due := nanos(r.Due)
	stays := rules.Waits(ch.old.state) && rules.Waits(r.State) && ch.old.lane == r.Lane && ch.old.due == due
	if rules.Waits(ch.old.state) && !stays {
		a.del(dueKey(a.key, c.flow(ch.old.lane), item{ch.old.due, r.ID}))
		a.lanes.add(ch.old.lane, -1)
	}
	if rules.Waits(r.State) && !stays {
		a.set(dueKey(a.key, c.flow(r.Lane), item{due, r.ID}), nil)
		a.lanes.add(r.Lane, 1)
	}
	if ch.old.state != r.State {
		a.leave(ch.old.state, r.ID)
		a.enter(r, nanos(c.acceptedAt))
	}
	switch {
	case ch.asked != nil:
		a.value = encodeAsked(a.value[:0], ch.asked)
		a.set(pendingKey(a.key, r.ID), a.value)
	case ch.old.pending && r.Pending == queue.ActionNone:
		a.del(pendingKey(a.key, r.ID))
	}
}

func (a *applier) edits(e *commitlog.Entry) error {
	x, err := decodeEdits(e.Payload)
	if err != nil {
		return err
	}
	for _, kv := range x.set {
		_ = a.batch.Set(kv[0], kv[1], nil)
	}
	for _, k := range x.delete {
		_ = a.batch.Delete(k, nil)
	}
	for s, n := range x.counts {
		a.meta.counts[s] += n
	}
	a.meta.live += x.live
	if x.forgotten > a.meta.forgotten {
		a.meta.forgotten, a.meta.forgottenEvents = x.forgotten, x.forgottenEvents
	}
	return nil
}

func (a *applier) move(e *commitlog.Entry) error {
	r, err := decodeMove(e.Payload)
	if err != nil {
		return err
	}
	if len(a.bodies) != len(r.pieces) {
		return fmt.Errorf("%d bodies for %d pieces: %w", len(a.bodies), len(r.pieces), codec.ErrCodec)
	}
	for i, p := range r.pieces {
		a.del(positionKey(a.key, keyPiece, r.value.content.at[p]))
		r.value.content.at[p] = a.bodies[i].at
		a.piece(r.message, a.bodies[i].at, p, a.bodies[i].size)
	}
	a.value = r.value.encode(a.value[:0])
	a.set(messageKey(a.key, r.message), a.value)
	return nil
}

func (a *applier) registry(e *commitlog.Entry) error {
	r, ok := e.Value.(*registryRecord)
	if !ok {
		var err error
		if r, err = decodeRegistry(e.Payload); err != nil {
			return err
		}
	}
	a.meta.registry++
	r.version = a.meta.registry
	key := recordKey(a.key, r.kind, r.name)
	if r.deleted {
		a.del(key)
		return nil
	}
	v := codec.Encoder{B: a.value[:0]}
	v.Version()
	v.Uint(r.version)
	v.Bytes(r.value)
	a.value = v.B
	a.set(key, a.value)
	return nil
}
