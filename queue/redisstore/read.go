package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
	"postrider/queue/rules"
)

// ask runs plain commands on the master of a key, and again while the servers
// cannot answer.
func (s *servers) ask(ctx context.Context, budget time.Duration, key string, fn func(ctx context.Context, p redis.Pipeliner)) ([]redis.Cmder, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		cmds, err := s.askOnce(ctx, key, fn)
		switch troubleOf(err) {
		case noTrouble:
			return cmds, nil
		case outOfMemory:
			return nil, fmt.Errorf("%w: %w", queue.ErrFull, err)
		case scriptError:
			return nil, fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
		if s.cluster != nil {
			s.cluster.ReloadState(ctx)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
	}
}

func (s *servers) askOnce(ctx context.Context, key string, fn func(ctx context.Context, p redis.Pipeliner)) ([]redis.Cmder, error) {
	node, err := s.at(ctx, key)
	if err != nil {
		return nil, err
	}
	p := node.Pipeline()
	fn(ctx, p)
	cmds, err := p.Exec(ctx)
	for _, c := range cmds {
		if e := c.Err(); e != nil && !errors.Is(e, redis.Nil) {
			return nil, e
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	return cmds, nil
}

// Message returns a message and its recipients.
func (s *Store) Message(ctx context.Context, id queue.MessageID) (queue.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Entry{}, err
	}
	defer s.leave()
	_, m, err := s.find(ctx, id)
	if err != nil {
		return queue.Entry{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return m.entry(), nil
}

// find returns a message and its partition. One that was enqueued with an
// idempotency key may lie in any.
func (s *Store) find(ctx context.Context, id queue.MessageID) (part string, m message, err error) {
	part = s.home(id)
	m, ok, err := s.read(ctx, part, id)
	if ok || err != nil {
		return part, m, err
	}
	others := make([]message, len(s.parts))
	found := make([]bool, len(s.parts))
	errs := make([]error, len(s.parts))
	inParallel(len(s.parts), func(i int) {
		if s.parts[i] != part {
			others[i], found[i], errs[i] = s.read(ctx, s.parts[i], id)
		}
	})
	for i, ok := range found {
		if ok {
			return s.parts[i], others[i], nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", m, err
	}
	return "", m, queue.ErrNotFound
}

// read returns one message of a partition; ok is false if it is not there.
func (s *Store) read(ctx context.Context, part string, id queue.MessageID) (m message, ok bool, err error) {
	ms, err := s.readAll(ctx, part, []queue.MessageID{id})
	if err != nil || len(ms) == 0 {
		return m, false, err
	}
	return ms[0], true, nil
}

// readPage is how many messages one script reads.
const readPage = 64

// readAll returns those messages that are there.
func (s *Store) readAll(ctx context.Context, part string, ids []queue.MessageID) (ms []message, err error) {
	for len(ids) > 0 {
		page := ids[:min(len(ids), readPage)]
		ids = ids[len(page):]
		args := make([]any, len(page))
		for i, id := range page {
			args[i] = shortID(id)
		}
		v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.page, key: part, args: args})
		if err != nil {
			return nil, err
		}
		list, _ := v.([]any)
		if len(list) != len(page) {
			return nil, fmt.Errorf("page answered %d of %d: %w", len(list), len(page), queue.ErrUnavailable)
		}
		for i, x := range list {
			fields, _ := x.([]any)
			m, ok, err := decodeMessage(page[i], s.partNumber(part), fields)
			if err != nil {
				return nil, err
			}
			if ok {
				ms = append(ms, m)
			}
		}
	}
	return ms, nil
}

// readAsked returns who asked for what is pending.
func (s *Store) readAsked(ctx context.Context, part string, id queue.MessageID, indexes []int) ([]rules.Asked, error) {
	fields := make([]string, len(indexes))
	for i, n := range indexes {
		fields[i] = "p" + strconv.Itoa(n)
	}
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.HMGet(ctx, part+"m"+shortID(id), fields...)
	})
	if err != nil {
		return nil, err
	}
	asked := make([]rules.Asked, len(indexes))
	for i, v := range cmds[0].(*redis.SliceCmd).Val() {
		if text, ok := v.(string); ok {
			asked[i] = decodeAsked(text)
		}
	}
	return asked, nil
}

// History returns the events of one message, oldest first.
func (s *Store) History(ctx context.Context, id queue.MessageID) ([]queue.Event, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	vs, err := s.history(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", id, err)
	}
	return vs, nil
}

func (s *Store) history(ctx context.Context, id queue.MessageID) ([]queue.Event, error) {
	part, _, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.HGetAll(ctx, part+"m"+shortID(id))
	})
	if err != nil {
		return nil, err
	}
	fields := cmds[0].(*redis.MapStringStringCmd).Val()
	if len(fields) == 0 {
		return nil, queue.ErrNotFound
	}
	m, err := decodeHeader(id, fields["h"], fields["b"], s.partNumber(part))
	if err != nil {
		return nil, err
	}
	f, err := decodeFacts(id, fields["s"])
	if err != nil {
		return nil, err
	}
	vs := []queue.Event{queued(&m, f.recipients)}
	for k := 1; k < int(f.events); k++ {
		text, ok := fields["e"+strconv.Itoa(k)]
		if !ok {
			continue
		}
		v, err := decodeEvent(id, m.Account, text)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// queued is the first event of a message, which is not stored.
func queued(m *queue.Message, recipients int) queue.Event {
	return queue.Event{
		ID: queue.NewEventID(m.AcceptedAt, queue.RecipientID(m.ID), 0), Kind: queue.EventQueued, At: m.AcceptedAt,
		Account: m.Account, Message: m.ID, Due: m.NotBefore, Recipients: recipients,
	}
}

// Counts returns the recipients by state.
func (s *Store) Counts(ctx context.Context) (map[queue.State]queue.Count, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	all := make([]map[queue.State]queue.Count, len(s.parts))
	errs := make([]error, len(s.parts))
	inParallel(len(s.parts), func(i int) { all[i], errs[i] = s.countsOf(ctx, s.parts[i]) })
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("count recipients: %w", err)
	}
	sum := make(map[queue.State]queue.Count)
	for _, cs := range all {
		for st, c := range cs {
			t := sum[st]
			t.Recipients += c.Recipients
			if t.Oldest.IsZero() || !c.Oldest.IsZero() && c.Oldest.Before(t.Oldest) {
				t.Oldest = c.Oldest
			}
			sum[st] = t
		}
	}
	return sum, nil
}

func (s *Store) countsOf(ctx context.Context, part string) (map[queue.State]queue.Count, error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.HGetAll(ctx, part+"c") })
	if err != nil {
		return nil, err
	}
	out := make(map[queue.State]queue.Count)
	for field, text := range cmds[0].(*redis.MapStringStringCmd).Val() {
		st, err := strconv.Atoi(field)
		n, err2 := strconv.ParseInt(text, 10, 64)
		if err != nil || err2 != nil || !queue.State(st).Valid() || n == 0 {
			continue
		}
		c := queue.Count{Recipients: n}
		if !queue.State(st).Final() && n > 0 {
			if c.Oldest, err = s.oldest(ctx, part, queue.State(st)); err != nil {
				return nil, err
			}
		}
		out[queue.State(st)] = c
	}
	return out, nil
}

// oldestLook bounds how many messages are looked at for the oldest in a state.
const oldestLook = 4096

// oldest finds when the oldest message that has a recipient in the state was
// accepted. Of those that are leased it looks at the leases, of others at the
// segments that have some, the oldest first.
func (s *Store) oldest(ctx context.Context, part string, st queue.State) (oldest time.Time, err error) {
	older := func(ms []message) {
		for i := range ms {
			for _, r := range ms[i].recipients {
				if at := ms[i].AcceptedAt; r.shown().State == st && (oldest.IsZero() || at.Before(oldest)) {
					oldest = at
				}
			}
		}
	}
	if st == queue.StateActive {
		ids, err := s.leased(ctx, part)
		if err != nil {
			return oldest, err
		}
		ms, err := s.readAll(ctx, part, ids)
		older(ms)
		return oldest, err
	}
	looked := 0
	for from := "-inf"; looked < oldestLook; {
		seg, ok, err := s.nextSegment(ctx, part, st, from)
		if err != nil || !ok {
			return oldest, err
		}
		ids, err := s.segment(ctx, part, seg)
		if err != nil {
			return oldest, err
		}
		ms, err := s.readAll(ctx, part, ids)
		if err != nil {
			return oldest, err
		}
		if older(ms); !oldest.IsZero() {
			return oldest, nil
		}
		looked += len(ids)
		from = "(" + strconv.FormatInt(seg, 10)
	}
	return oldest, nil
}

// nextSegment is the first segment from a place that has a recipient in the
// state.
func (s *Store) nextSegment(ctx context.Context, part string, st queue.State, from string) (seg int64, ok bool, err error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: part + "h" + strconv.Itoa(int(st)), Start: from, Stop: "+inf", ByScore: true, Count: 1})
	})
	if err != nil {
		return 0, false, err
	}
	v := cmds[0].(*redis.StringSliceCmd).Val()
	if len(v) == 0 {
		return 0, false, nil
	}
	seg, err = strconv.ParseInt(v[0], 10, 64)
	return seg, err == nil, err
}

// segment lists the messages of a segment, in order of acceptance; some may be
// gone.
func (s *Store) segment(ctx context.Context, part string, seg int64) ([]queue.MessageID, error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.LRange(ctx, part+"s"+strconv.FormatInt(seg, 10), 0, -1)
	})
	if err != nil {
		return nil, err
	}
	var ids []queue.MessageID
	for _, text := range cmds[0].(*redis.StringSliceCmd).Val() {
		if id, ok := longID(text); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// leasedLook bounds how many leases are looked at; there are as many as workers.
const leasedLook = 10_000

// leased lists the messages of which something is leased.
func (s *Store) leased(ctx context.Context, part string) ([]queue.MessageID, error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.ZRange(ctx, part+"x", 0, leasedLook)
	})
	if err != nil {
		return nil, err
	}
	seen := make(map[queue.MessageID]bool)
	var ids []queue.MessageID
	for _, m := range cmds[0].(*redis.StringSliceCmd).Val() {
		if len(m) < 22 || m[0] == 0xff {
			continue
		}
		if id, ok := longID(m[8:22]); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}
