package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

const (
	defaultSweep = 1000 // messages to look at if the caller does not say
	sweepPage    = 128  // messages of one commit
)

// Sweep forgets what is over and gives space back. One runs at a time; others
// wait for it.
func (s *Store) Sweep(ctx context.Context, r queue.Retention) (queue.Swept, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Swept{}, err
	}
	defer s.leave()
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	// What was written without waiting is in the index after this.
	if err := s.append(ctx, &commitlog.Batch{Critical: true}); err != nil {
		return queue.Swept{}, fmt.Errorf("sweep: %w", err)
	}
	w := sweep{s: s, r: r, left: r.Max}
	if w.left <= 0 {
		w.left = defaultSweep
	}
	for _, step := range []func(context.Context) error{
		w.orphans, w.keys, w.values, w.contents, w.sent, w.bounced, w.compact,
	} {
		if err := step(ctx); err != nil {
			return w.done, fmt.Errorf("sweep: %w", err)
		}
	}
	return w.done, nil
}

// sweep is one call of Sweep.
type sweep struct {
	s    *Store
	r    queue.Retention
	left int // messages that may still be looked at
	done queue.Swept
}

func (w *sweep) commit(ctx context.Context, x *edits) error {
	if x.empty() {
		return nil
	}
	return w.s.commit(ctx, recordIndex, x.encode(), nil)
}

// orphans forgets contents that were begun and that nobody named.
func (w *sweep) orphans(ctx context.Context) error {
	open, busy := w.s.writers.firsts()
	if busy {
		return nil // one of them may be it; the next time tells
	}
	var x edits
	err := each(w.s.db, []byte{keyOpen}, []byte{keyOpen + 1}, func(it *pebble.Iterator) (bool, error) {
		if at := commitlog.Position(binary.BigEndian.Uint64(it.Key()[1:])); !open[at] {
			x.drop(slices.Clone(it.Key()))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := w.commit(ctx, &x); err != nil {
		return err
	}
	w.done.Orphans += len(x.delete)
	return nil
}

// keys forgets idempotency keys whose time is over.
func (w *sweep) keys(ctx context.Context) error {
	return w.ended(ctx, keyIdemEnd, keyIdem, func(name []byte) func() {
		b := name
		n := int(binary.BigEndian.Uint16(b))
		l := w.s.idems.of(hashString(string(b[2:2+n]), string(b[2+n:])))
		l.Lock()
		return l.Unlock
	}, func(b []byte) (time.Time, error) {
		d := codec.Decoder{B: b}
		d.Version()
		var skip [32 + 16]byte
		d.Fixed(skip[:])
		return d.Time(), d.Err
	})
}

// values forgets cache values whose time is over.
func (w *sweep) values(ctx context.Context) error {
	return w.ended(ctx, keyCacheEnd, keyCache, func(name []byte) func() {
		l := w.s.names.of(hashString("cache", string(name)))
		l.Lock()
		return l.Unlock
	}, func(b []byte) (time.Time, error) {
		d := codec.Decoder{B: b}
		d.Version()
		return d.Time(), d.Err
	})
}

// ended removes what ended by now, as an index by time says, one after the
// other, since each has its own lock; the commits are gathered by page.
func (w *sweep) ended(ctx context.Context, ends, values byte, lock func(name []byte) func(), end func([]byte) (time.Time, error)) error {
	upper := appendOrdered([]byte{ends}, nanos(w.r.Now))
	var found [][]byte
	err := each(w.s.db, []byte{ends}, upper, func(it *pebble.Iterator) (bool, error) {
		if len(found) == defaultSweep {
			w.done.More = true
			return false, nil
		}
		found = append(found, slices.Clone(it.Key()))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, k := range found {
		if err := w.endOne(ctx, k, values, lock, end); err != nil {
			return err
		}
	}
	return nil
}

func (w *sweep) endOne(ctx context.Context, k []byte, values byte, lock func(name []byte) func(), end func([]byte) (time.Time, error)) error {
	name := k[9:]
	defer lock(name)()
	var x edits
	x.drop(k)
	value := nameKey(nil, values, string(name))
	err := get(w.s.db, value, func(b []byte) error {
		at, err := end(b)
		if err == nil && !at.After(w.r.Now) {
			x.drop(value)
		}
		return err
	})
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	// That it is gone need not be durable: it would only be found again.
	b := &commitlog.Batch{NoSync: true, Critical: true, Records: []commitlog.Record{{Type: recordIndex, Payload: x.encode()}}}
	return w.s.append(ctx, b)
}

func (w *sweep) contents(ctx context.Context) error {
	return w.final(ctx, finalContent, w.r.Content, w.content)
}

func (w *sweep) sent(ctx context.Context) error {
	return w.final(ctx, finalSent, w.r.Sent, w.entry)
}

func (w *sweep) bounced(ctx context.Context) error {
	return w.final(ctx, finalTrouble, w.r.Bounced, w.entry)
}

// candidate is a message that came to a final state at some time, as a queue
// of retention says.
type candidate struct {
	key     []byte
	id      queue.MessageID
	message *storedMessage
	rcpts   []queue.Recipient
	last    time.Time // when the last of them changed
	final   bool      // all of them are
	trouble bool      // one of them is
}

// final takes what is older than before from a queue of retention, page by page,
// and lets decide what becomes of it.
func (w *sweep) final(ctx context.Context, q byte, before time.Time, decide func(*candidate, *edits) error) error {
	if before.IsZero() {
		return nil
	}
	prefix := []byte{keyFinal, q}
	upper := appendOrdered(slices.Clone(prefix), nanos(before))
	for w.left > 0 {
		var page []candidate
		limit := min(w.left, sweepPage)
		err := each(w.s.db, prefix, upper, func(it *pebble.Iterator) (bool, error) {
			key := slices.Clone(it.Key())
			page = append(page, candidate{key: key, id: queue.MessageID(key[len(key)-16:])})
			return len(page) < limit, nil
		})
		if err != nil {
			return err
		}
		if err := w.page(ctx, page, decide); err != nil {
			return err
		}
		w.left -= len(page)
		if len(page) < limit {
			return nil
		}
	}
	w.done.More = true
	return nil
}

func (w *sweep) page(ctx context.Context, page []candidate, decide func(*candidate, *edits) error) error {
	if len(page) == 0 {
		return nil
	}
	ids := make([]queue.RecipientID, len(page))
	for i := range page {
		ids[i] = queue.RecipientID(page[i].id)
	}
	defer w.s.lockMessages(ids)()
	var x edits
	before := w.done
	seen := make(map[queue.MessageID]bool, len(page))
	for i := range page {
		c := &page[i]
		x.drop(c.key)
		if seen[c.id] {
			continue // its later time decides, or it is gone
		}
		seen[c.id] = true
		err := w.read(c)
		if err == nil {
			err = decide(c, &x)
		}
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			w.done = before
			return err
		}
	}
	if err := w.commit(ctx, &x); err != nil {
		w.done = before
		return err
	}
	return nil
}

func (w *sweep) read(c *candidate) (err error) {
	if c.message, err = w.s.readMessage(w.s.db, c.id); err != nil {
		return err
	}
	if c.rcpts, err = w.s.readRecipients(w.s.db, c.message); err != nil {
		return err
	}
	c.final = true
	for i := range c.rcpts {
		r := &c.rcpts[i]
		c.final = c.final && r.State.Final()
		c.trouble = c.trouble || rules.Trouble(r.State)
		if r.UpdatedAt.After(c.last) {
			c.last = r.UpdatedAt
		}
	}
	return nil
}

// content forgets the content of a message that has been done with. A message
// that changed since then, or will, is in the queue again.
func (w *sweep) content(c *candidate, x *edits) error {
	if !c.final || !c.message.content.exists {
		return nil
	}
	if !c.last.Before(w.r.Content) {
		x.put(finalKey(nil, finalContent, c.last, c.id), nil)
		return nil
	}
	x.removeContent(c.message)
	w.done.Contents++
	return nil
}

// entry forgets a message, or puts it into the queue and at the time where it
// belongs by now.
func (w *sweep) entry(c *candidate, x *edits) error {
	if !c.final {
		return nil
	}
	q, before := byte(finalSent), w.r.Sent
	if c.trouble {
		q, before = finalTrouble, w.r.Bounced
	}
	if before.IsZero() || !c.last.Before(before) {
		x.put(finalKey(nil, q, c.last, c.id), nil)
		return nil
	}
	return w.remove(c, x)
}

// remove forgets all of a message.
func (w *sweep) remove(c *candidate, x *edits) error {
	for _, at := range c.message.content.at {
		x.drop(positionKey(nil, keyPiece, at))
	}
	if c.message.content.exists {
		x.live -= c.message.content.size
		w.done.Contents++
	}
	x.drop(messageKey(nil, c.id))
	for i := range c.rcpts {
		r := &c.rcpts[i]
		x.drop(recipientKey(nil, r.ID))
		x.count(r.State, -1)
		if listed(r.State) {
			x.drop(stateKey(nil, r.State, r.ID))
		}
		for _, q := range []byte{finalSent, finalTrouble, finalContent} {
			x.drop(finalKey(nil, q, r.UpdatedAt, c.id))
		}
	}
	prefix := append([]byte{keyHistory}, c.id[:]...)
	w.done.Entries++
	return each(w.s.db, prefix, after(prefix), func(it *pebble.Iterator) (bool, error) {
		x.drop(slices.Clone(it.Key()))
		return true, nil
	})
}
