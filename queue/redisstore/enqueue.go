package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/rules"
)

// Enqueue makes a message durable, in one round trip unless its content is
// large.
func (s *Store) Enqueue(ctx context.Context, r queue.EnqueueRequest) (queue.Enqueued, error) {
	w, err := s.writer(r.Content)
	if err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	if w != nil {
		defer w.Abort()
	}
	if err := rules.Enqueue(&r); err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	if err := s.enter(ctx); err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	defer s.leave()
	out, err := s.enqueue(ctx, &r, w)
	if err != nil {
		return queue.Enqueued{}, fmt.Errorf("enqueue %s: %w", r.Message.ID, err)
	}
	return out, nil
}

// enqueuing is an Enqueue under way.
type enqueuing struct {
	s        *Store
	r        *queue.EnqueueRequest
	part     string
	header   string
	ref      string // to the content
	key      string // name of the idempotency key; empty if there is none
	imported bool   // its events come later, of what is final too
	records  []queue.Recipient
	groups   []hint
}

// hint is recipients of one lane that become due together.
type hint struct {
	now     bool
	lane    queue.Lane
	due     int64
	indexes []byte
}

func (s *Store) enqueue(ctx context.Context, r *queue.EnqueueRequest, w *contentWriter) (out queue.Enqueued, err error) {
	if why := s.unsafe.Load(); why != nil {
		return out, fmt.Errorf("it could be lost: %s: %w", *why, queue.ErrUnavailable)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	q := &enqueuing{s: s, r: r, part: s.home(r.Message.ID)}
	if r.Idempotency.Key != "" {
		q.key = idemHash(r.Message.Account, r.Idempotency.Key)
		q.part = s.parts[spread(q.key, len(s.parts))]
	}
	inline := ""
	if w != nil {
		if q.ref, inline, err = w.finish(ctx, r.Message.ID, s.partNumber(q.part)); err != nil {
			return out, err
		}
	}
	c := &call{script: scripts.enqueue, key: q.part, args: q.args(inline), durable: true,
		repeat: func(args []any) { args[1] = 1 }}
	v, err := s.sv.run(ctx, s.o.Timeout, c)
	if err != nil || c.unsafe {
		if c.ambiguous || c.unsafe {
			if w != nil {
				w.abandon()
			}
			q.takeBack()
		}
		if err == nil {
			err = fmt.Errorf("%w: %w", queue.ErrUnavailable, errNoReplica)
		}
		return out, err
	}
	if out, err = q.outcome(v, c.first); err != nil || out.Duplicate {
		return out, err
	}
	if w != nil {
		if err := w.named(ctx); err != nil {
			q.retract() // nobody can deliver it
			return queue.Enqueued{}, err
		}
	}
	if s.o.Observe != nil {
		s.o.Observe(CommitStats{Took: time.Since(start), Group: 1})
	}
	if len(out.Leases) < len(q.groups) {
		s.wake.Send()
	}
	s.notify.Send()
	return out, nil
}

func (s *Store) partNumber(key string) int { return slices.Index(s.parts, key) }

// args builds what enqueue.lua takes.
func (q *enqueuing) args(inline string) []any {
	r, s := q.r, q.s
	q.header = header(&r.Message)
	q.records = slices.Clone(r.Recipients)
	var events []string
	var ended time.Time
	trouble := 0
	for i := range q.records {
		rc := &q.records[i]
		if rc.UpdatedAt.IsZero() {
			rc.UpdatedAt = r.Now
		}
		if rc.UpdatedAt.After(ended) {
			ended = rc.UpdatedAt
		}
		if rules.Trouble(rc.State) {
			trouble = 1
		}
		if rc.State.Final() && !q.imported {
			v := rules.Ended(&r.Message, rc, r.Now)
			events = append(events, encodeEvent(&v))
		}
	}
	q.group()
	args := make([]any, 0, 24+len(q.records)+4*len(q.groups))
	args = append(args, s.ms(r.Now), 0, s.touch(), shortID(r.Message.ID), q.header, q.ref, inline, q.key)
	if q.key == "" {
		args = append(args, "", "", 0)
	} else {
		args = append(args, string(r.Idempotency.Fingerprint[:]), s.keyValue(r.Message.ID, r.Message.Account, &r.Idempotency), ceilMS(r.Idempotency.ExpiresAt.Add(s.skew())))
	}
	args = append(args, ended.UnixMilli(), trouble)
	if l := r.Lease; l != nil {
		args = append(args, l.Max, l.TTL.Milliseconds(), string(l.Lane), s.node)
	} else {
		args = append(args, 0, 0, "", s.node)
	}
	args = append(args, len(q.records), len(events), len(q.groups), b01(q.imported))
	for i := range q.records {
		args = append(args, s.record(&r.Message, &q.records[i]))
	}
	for _, e := range events {
		args = append(args, e)
	}
	for i := range q.groups {
		g := &q.groups[i]
		kind := "L"
		if g.now {
			kind = "R"
		}
		args = append(args, kind, string(g.lane), g.due, g.indexes)
	}
	return args
}

// keyValue is what is kept of an idempotency key: whose message it is and until
// when, and its name for those who copy the store.
func (s *Store) keyValue(id queue.MessageID, account string, k *queue.Idempotency) string {
	b := append(make([]byte, 0, 64+len(k.Key)), shortID(id)...)
	b = append(b, k.Fingerprint[:]...)
	b = append(b, make([]byte, 6)...)
	putUint48(b[46:], uint64(ceilMS(k.ExpiresAt.Add(s.skew()))))
	e := codec.Encoder{B: b}
	e.String(account)
	e.String(k.Key)
	e.Time(k.ExpiresAt)
	return string(e.B)
}

// group finds what becomes due together: now by lane, later by lane and time.
func (q *enqueuing) group() {
	now := q.s.ms(q.r.Now)
	type key struct {
		lane queue.Lane
		due  int64
	}
	at := make(map[key]int, 1)
	for i := range q.records {
		rc := &q.records[i]
		if !rules.Waits(rc.State) {
			continue
		}
		due := q.s.dueMS(rc)
		k := key{rc.Lane, due}
		if due <= now || !rc.Due.After(q.r.Now) { // within the same millisecond
			k.due = -1
		}
		g, ok := at[k]
		if !ok || len(q.groups[g].indexes) >= 2*queue.MaxLeaseRecipients {
			g = len(q.groups)
			at[k] = g
			q.groups = append(q.groups, hint{now: k.due < 0, lane: rc.Lane, due: due})
		}
		h := &q.groups[g]
		h.due = min(h.due, due)
		h.indexes = append(h.indexes, byte(i>>8), byte(i))
	}
}

// outcome reads the answer; first is that of an earlier try that no replica
// acknowledged in time.
func (q *enqueuing) outcome(v, first any) (out queue.Enqueued, err error) {
	list, ok := v.([]any)
	if ok && len(list) > 0 && list[0] == "again" {
		if earlier, ok := first.([]any); ok && len(earlier) > 0 && earlier[0] == "ok" {
			list = earlier
		}
	}
	if !ok || len(list) == 0 {
		return out, fmt.Errorf("enqueue answered %v: %w", v, queue.ErrUnavailable)
	}
	out.ID = q.r.Message.ID
	switch list[0] {
	case "ok":
		for i := 1; i+1 < len(list); i += 2 {
			l, err := q.granted(list[i], list[i+1])
			if err != nil {
				return out, err
			}
			out.Leases = append(out.Leases, l)
		}
		return out, nil
	case "again":
		return out, nil
	case "dup":
		id, ok := longID(textOf(list, 1))
		if !ok {
			return out, fmt.Errorf("enqueue answered %v: %w", v, queue.ErrUnavailable)
		}
		return queue.Enqueued{ID: id, Duplicate: true}, nil
	case "conflict":
		return queue.Enqueued{}, queue.ErrIdempotencyConflict
	case "exists":
		return queue.Enqueued{}, queue.ErrExists
	}
	return out, fmt.Errorf("enqueue answered %v: %w", v, queue.ErrUnavailable)
}

func textOf(list []any, i int) string {
	if i >= len(list) {
		return ""
	}
	t, _ := list[i].(string)
	return t
}

// granted is the lease of a group.
func (q *enqueuing) granted(token, group any) (l queue.Lease, err error) {
	text, _ := token.(string)
	t, err := strconv.ParseUint(text, 10, 64)
	g, ok := group.(int64)
	if err != nil || !ok || g < 0 || int(g) >= len(q.groups) {
		return l, errors.Join(fmt.Errorf("enqueue granted %v of %v", token, group), queue.ErrUnavailable)
	}
	h := &q.groups[g]
	r, s := q.r.Lease, q.s
	l = queue.Lease{Message: q.r.Message, Lane: h.lane, Token: queue.Token(t), Holder: r.Holder, Expires: r.Now.Add(r.TTL)}
	l.Message.Content.Key = contentKey(q.ref, s.partNumber(q.part), q.r.Message.ID)
	for i := 0; i < len(h.indexes); i += 2 {
		rc := q.records[int(h.indexes[i])<<8|int(h.indexes[i+1])]
		rc.State = queue.StateActive
		l.Recipients = append(l.Recipients, rc)
	}
	s.leases.add(q.part, &l, r.Now)
	return l, nil
}

// retracting bounds what is done for a message whose sender was told no.
const retracting = 30 * time.Second

// takeBack lets a message be removed that may be stored although its sender is
// told that it is not, so that it does not come twice. One with an idempotency
// key stays: it is what the sender's second try is told of, perhaps already.
func (q *enqueuing) takeBack() {
	if q.key == "" {
		q.retract()
	}
}

// retract tries for a while to remove the message.
func (q *enqueuing) retract() {
	s := q.s
	args := []any{shortID(q.r.Message.ID), q.header, s.touch(), q.key}
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), retracting)
		defer cancel()
		go func() {
			select {
			case <-s.done:
				cancel()
			case <-ctx.Done():
			}
		}()
		v, err := s.sv.run(ctx, retracting, &call{script: scripts.retract, key: q.part, args: args})
		switch {
		case err != nil:
			s.o.Logger.Warn("a message whose sender was told to try again may have been stored", "id", q.r.Message.ID, "error", err)
		case v != int64(1):
			s.o.Logger.Warn("a message whose sender was told to try again is stored and under way: it may come twice", "id", q.r.Message.ID)
		}
	})
}
