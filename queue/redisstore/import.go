package redisstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
	"postrider/queue/rules"
)

// Import adds items in the order of an Export.
func (s *Store) Import(ctx context.Context, items []queue.Item) error {
	defer func() {
		for i := range items {
			if m := items[i].Message; m != nil && m.Content != nil {
				m.Content.Abort()
			}
		}
	}()
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.importAll(ctx, items); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// importing gathers events until something else comes: they go in order.
type importing struct {
	s      *Store
	events []*queue.Event
}

func (s *Store) importAll(ctx context.Context, items []queue.Item) error {
	x := &importing{s: s}
	for i := 0; i < len(items); i++ {
		it := &items[i]
		if !proper(it) {
			return fmt.Errorf("item %d is not exactly one thing", i)
		}
		if it.Event != nil {
			x.events = append(x.events, it.Event)
			continue
		}
		if err := x.flush(ctx); err != nil {
			return err
		}
		var err error
		switch {
		case it.Record != nil:
			err = s.importRecord(ctx, it.Record)
		case it.Message != nil:
			n := i
			for n < len(items) && items[n].Message != nil && n-i < importWays {
				n++
			}
			err = s.importMessages(ctx, items[i:n])
			i = n - 1
		case it.Key != nil:
			err = s.importKey(ctx, it.Key)
		case it.Reader != nil:
			err = s.importReader(ctx, it.Reader.Name)
		}
		if err != nil {
			return err
		}
	}
	return x.flush(ctx)
}

// proper reports whether exactly one field is set.
func proper(it *queue.Item) bool {
	n := 0
	for _, set := range []bool{it.Record != nil, it.Message != nil, it.Key != nil, it.Event != nil, it.Reader != nil} {
		n += b01(set)
	}
	return n == 1
}

// importWays is how many messages are imported at once.
const importWays = 32

func (s *Store) importMessages(ctx context.Context, items []queue.Item) error {
	there, err := s.findAll(ctx, items)
	if err != nil {
		return err
	}
	errs := make([]error, len(items))
	inParallel(len(items), func(i int) {
		m := items[i].Message
		errs[i] = s.importMessage(ctx, m, there[m.Entry.Message.ID])
	})
	return errors.Join(errs...)
}

// findAll looks for messages in all partitions: one that was not imported may
// lie where its idempotency key does.
func (s *Store) findAll(ctx context.Context, items []queue.Item) (map[queue.MessageID]*message, error) {
	ids := make([]queue.MessageID, len(items))
	for i := range items {
		ids[i] = items[i].Message.Entry.Message.ID
	}
	found := make([][]message, len(s.parts))
	errs := make([]error, len(s.parts))
	inParallel(len(s.parts), func(i int) { found[i], errs[i] = s.readAll(ctx, s.parts[i], ids) })
	all := make(map[queue.MessageID]*message)
	for _, ms := range found {
		for i := range ms {
			all[ms[i].ID] = &ms[i]
		}
	}
	return all, errors.Join(errs...)
}

func (s *Store) importRecord(ctx context.Context, r *queue.Record) error {
	c := *r
	c.Version = 0
	_, err := s.putRecord(ctx, &c)
	if !errors.Is(err, queue.ErrVersion) {
		return err
	}
	rs, err := s.listRecords(ctx, r.Kind, r.Name, "["+r.Name, 1)
	if err == nil && (len(rs) == 0 || rs[0].Name != r.Name || !bytes.Equal(rs[0].Value, r.Value)) {
		err = fmt.Errorf("%s %q: %w", r.Kind, r.Name, queue.ErrExists)
	}
	return err
}

func (s *Store) importMessage(ctx context.Context, a *queue.ArchivedMessage, there *message) error {
	m := &a.Entry.Message
	w, err := s.writer(a.Content)
	if err != nil {
		return err
	}
	part := s.home(m.ID)
	if there != nil {
		if !s.sameMessage(there, a) {
			return fmt.Errorf("message %s: %w", m.ID, queue.ErrExists)
		}
		return nil
	}
	if err := rules.Import(&a.Entry); err != nil {
		return err
	}
	q := &enqueuing{s: s, part: part, imported: true, r: &queue.EnqueueRequest{Message: *m, Recipients: a.Entry.Recipients, Now: m.AcceptedAt}}
	inline := ""
	if w != nil {
		if q.ref, inline, err = w.finish(ctx, m.ID, s.partNumber(part)); err != nil {
			return err
		}
	}
	v, err := s.change(ctx, scripts.enqueue, part, q.args(inline), func(args []any) { args[1] = 1 })
	if err != nil {
		if w != nil {
			w.abandon()
		}
		return err
	}
	if list, _ := v.([]any); textOf(list, 0) != "ok" && textOf(list, 0) != "again" {
		return fmt.Errorf("message %s: enqueue answered %v: %w", m.ID, v, queue.ErrExists)
	}
	if w != nil {
		return w.named(ctx)
	}
	return nil
}

// sameMessage reports whether a message that is there is the one to import.
func (s *Store) sameMessage(there *message, a *queue.ArchivedMessage) bool {
	if header(&there.Message) != header(&a.Entry.Message) || (there.ref != "") != (a.Content != nil) || len(there.recipients) != len(a.Entry.Recipients) {
		return false
	}
	for i := range there.recipients {
		if !bytes.Equal(s.tail(&there.Message, &there.recipients[i].Recipient), s.tail(&there.Message, &a.Entry.Recipients[i])) {
			return false
		}
	}
	return true
}

func (s *Store) importKey(ctx context.Context, k *queue.ArchivedKey) error {
	if k.Key == "" || len(k.Key) > rules.MaxKey || len(k.Account) > rules.MaxAccount {
		return fmt.Errorf("idempotency key of %s: its name, or that of its account, is not one of a store", k.Message)
	}
	name := idemHash(k.Account, k.Key)
	part := s.parts[spread(name, len(s.parts))]
	value := s.keyValue(k.Message, k.Account, &queue.Idempotency{Key: k.Key, Fingerprint: k.Fingerprint, ExpiresAt: k.ExpiresAt})
	_, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.Do(ctx, "SET", part+"k"+name, value, "PXAT", ceilMS(k.ExpiresAt.Add(s.skew())))
	})
	return err
}

// importReader lets a reader that has no place yet stand at the end of what was
// imported.
func (s *Store) importReader(ctx context.Context, name string) error {
	at := make([]mark, len(s.parts))
	for i, part := range s.parts {
		cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.XRevRangeN(ctx, part+"e", "+", "-", 1) })
		if err != nil {
			return err
		}
		es := cmds[0].(*redis.XMessageSliceCmd).Val()
		if len(es) == 0 {
			continue
		}
		if at[i], err = parseEntry(es[0].ID); err != nil {
			return err
		}
		if v, _ := es[0].Values[""].(string); len(v) >= 20 {
			at[i].events = binary.BigEndian.Uint16([]byte(v[18:]))
		}
	}
	_, err := s.sv.ask(ctx, s.o.Patience, s.keys.readers(), func(ctx context.Context, p redis.Pipeliner) {
		p.HSetNX(ctx, s.keys.readers(), name, string(position(at)))
	})
	return err
}

// flush adds the events that were gathered, in order.
func (x *importing) flush(ctx context.Context) error {
	s := x.s
	elsewhere := ""
	for len(x.events) > 0 {
		// As many as go to one partition.
		part, n := s.home(x.events[0].Message), 1
		for n < len(x.events) && n < importEvents && s.home(x.events[n].Message) == part {
			n++
		}
		if elsewhere != "" {
			part, n, elsewhere = elsewhere, 1, ""
		}
		args := []any{s.touch()}
		for _, v := range x.events[:n] {
			event := ""
			if v.Kind != queue.EventQueued {
				event = encodeEvent(v)
			}
			args = append(args, s.ms(v.At), shortID(v.Message), string(v.ID[:]), event)
		}
		v, err := s.change(ctx, scripts.annal, part, args, nil)
		if err != nil {
			return err
		}
		if bad, ok := v.(int64); ok && bad > 0 {
			x.events = x.events[bad-1:]
			if elsewhere, _, err = s.find(ctx, x.events[0].Message); err == nil && elsewhere == part {
				err = queue.ErrNotFound
			}
			if err != nil {
				return fmt.Errorf("event %s of %s: %w", x.events[0].ID, x.events[0].Message, err)
			}
			continue
		}
		x.events = x.events[n:]
	}
	return nil
}

// importEvents bounds how many events one script adds.
const importEvents = 128
