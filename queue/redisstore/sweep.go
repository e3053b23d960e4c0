package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

const (
	defaultSweep = 1000    // messages to look at if the caller does not say
	sweepPage    = 64      // messages of one script
	trimPage     = 1000    // entries of the log in one step
	bucketMS     = 1 << 20 // of the queues of retention, as in prelude.lua
)

// Sweep forgets what is over. Idempotency keys and cached values end by
// themselves.
func (s *Store) Sweep(ctx context.Context, r queue.Retention) (queue.Swept, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Swept{}, err
	}
	defer s.leave()
	w := &sweep{s: s, r: r, left: r.Max}
	if w.left <= 0 {
		w.left = defaultSweep
	}
	if err := w.run(ctx); err != nil {
		return w.done, fmt.Errorf("sweep: %w", err)
	}
	return w.done, nil
}

// sweep is one call of Sweep.
type sweep struct {
	s    *Store
	r    queue.Retention
	left int
	done queue.Swept
}

func (w *sweep) run(ctx context.Context) error {
	for i := range w.s.parts {
		if err := w.orphans(ctx, i); err != nil {
			return err
		}
	}
	for _, q := range []struct {
		name   string
		before time.Time
	}{{"c", w.r.Content}, {"s", w.r.Sent}, {"t", w.r.Bounced}} {
		if q.before.IsZero() {
			continue
		}
		for _, part := range w.s.parts {
			if err := w.queue(ctx, part, q.name, q.before); err != nil {
				return err
			}
		}
	}
	for _, part := range w.s.parts {
		if err := w.trim(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// orphans removes contents that no message names.
func (w *sweep) orphans(ctx context.Context, group int) error {
	s := w.s
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.staged, key: s.keys.contents(group),
		args: []any{s.o.OrphanAge.Milliseconds(), s.o.ContentGrace.Milliseconds(), sweepPage}})
	if err != nil {
		return err
	}
	list, _ := v.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		if err := w.orphan(ctx, group, textOf(list, i), textOf(list, i+1)); err != nil {
			return err
		}
	}
	return nil
}

func (w *sweep) orphan(ctx context.Context, group int, name, of string) error {
	s := w.s
	var id [contentIDLen]byte
	if copy(id[:], name) != contentIDLen || len(name) != contentIDLen {
		return nil
	}
	if s.readers.has(id) {
		return nil
	}
	remove := 1
	if of != "" {
		named, err := w.isNamed(ctx, id, of)
		if err != nil {
			return err
		}
		switch {
		case named && of[0] == ownerDead:
			return nil // it is being given up, or will be once more
		case named:
			remove = 0
		}
	}
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.unstage, key: s.keys.contents(group), args: []any{name, remove}})
	if err != nil || v != int64(1) || remove == 0 {
		return err
	}
	if s.o.ContentDir != "" {
		if err := s.removeFile(id); err != nil {
			s.o.Logger.Warn("a content file was not removed", "error", err)
		}
	}
	if of == "" || of[0] != ownerDead {
		w.done.Orphans++
	}
	return nil
}

// isNamed asks a content's message whether it has that content.
func (w *sweep) isNamed(ctx context.Context, id [contentIDLen]byte, of string) (bool, error) {
	_, n, m, ok := splitKey([]byte(of[1:]))
	if !ok || n >= len(w.s.parts) {
		return false, nil
	}
	part := w.s.parts[n]
	cmds, err := w.s.sv.ask(ctx, w.s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.HGet(ctx, part+"m"+shortID(m), "b") })
	if err != nil {
		return false, err
	}
	ref, ok := decodeRef(cmds[0].(*redis.StringCmd).Val())
	return ok && ref.kind != inlineKind && ref.id == id, nil
}

// queue works off a queue of retention as far as it is older than before.
func (w *sweep) queue(ctx context.Context, part, q string, before time.Time) error {
	last := before.UnixMilli() / bucketMS
	for w.left > 0 {
		bucket, ids, err := w.head(ctx, part, q, last)
		if err != nil || len(ids) == 0 {
			return err
		}
		more, err := w.page(ctx, part, q, bucket, ids, before)
		if err != nil || !more {
			return err
		}
	}
	w.done.More = true
	return nil
}

// head reads the beginning of the oldest bucket.
func (w *sweep) head(ctx context.Context, part, q string, last int64) (bucket string, ids []queue.MessageID, err error) {
	s := w.s
	cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: part + "d" + q, Start: "-inf", Stop: strconv.FormatInt(last, 10), ByScore: true, Count: 1})
	})
	if err != nil {
		return "", nil, err
	}
	v := cmds[0].(*redis.StringSliceCmd).Val()
	if len(v) == 0 {
		return "", nil, nil
	}
	bucket = v[0]
	cmds, err = s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) {
		p.LRange(ctx, part+"d"+q+bucket, 0, int64(min(w.left, sweepPage))-1)
	})
	if err != nil {
		return "", nil, err
	}
	for _, text := range cmds[0].(*redis.StringSliceCmd).Val() {
		id, ok := longID(text)
		if !ok {
			return "", nil, fmt.Errorf("retention queue %s%s: %w", q, bucket, queue.ErrUnavailable)
		}
		ids = append(ids, id)
	}
	return bucket, ids, nil
}

// page judges messages of a bucket and lets a script do it, if they are still
// what they were. more is false when the next is not old enough.
func (w *sweep) page(ctx context.Context, part, q, bucket string, ids []queue.MessageID, before time.Time) (more bool, err error) {
	s := w.s
	ms, err := s.readAll(ctx, part, ids)
	if err != nil {
		return false, err
	}
	known := make(map[queue.MessageID]*message, len(ms))
	for i := range ms {
		known[ms[i].ID] = &ms[i]
	}
	args := []any{q, bucket, s.touch(), 0}
	more = true
	n, entries, contents := 0, 0, 0
	done := make([]queue.Swept, 0, len(ids))
	seen := make(map[queue.MessageID]bool, len(ids))
	for _, id := range ids {
		what, when, facts := "d", int64(0), ""
		if m := known[id]; m != nil && !seen[id] {
			facts = m.rawFacts
			if what, when, err = w.judge(ctx, part, q, bucket, m, before); err != nil {
				return false, err
			}
			if what == "" {
				more = false
				break
			}
		} else if m != nil {
			more = false // twice: the second one is looked at afterwards
			if n > 0 {
				more = true
			}
			break
		}
		seen[id] = true
		args = append(args, shortID(id), facts, what, when)
		n++
		switch what {
		case "e":
			entries++
			if known[id].ref != "" {
				contents++
			}
		case "c":
			contents++
		}
		done = append(done, queue.Swept{Entries: entries, Contents: contents})
	}
	if n == 0 {
		return false, nil
	}
	args[3] = n
	v, err := s.change(ctx, scripts.sweep, part, args, nil)
	if err != nil {
		return false, err
	}
	did, _ := v.(int64)
	if did > 0 {
		w.done.Entries += done[did-1].Entries
		w.done.Contents += done[did-1].Contents
		w.left -= int(did)
	}
	if did == 0 {
		return false, nil // somebody else is at it, or it changed: the next sweep looks again
	}
	return more, nil
}

// judge says what becomes of a message; nothing if its time has not come.
func (w *sweep) judge(ctx context.Context, part, q, bucket string, m *message, before time.Time) (what string, when int64, err error) {
	if !m.final() || q == "c" && m.ref == "" {
		return "d", 0, nil
	}
	if last := m.last(); !last.Before(before) {
		if strconv.FormatInt(last.UnixMilli()/bucketMS, 10) == bucket {
			return "", 0, nil
		}
		return "m", last.UnixMilli(), nil
	}
	if err := w.s.bury(ctx, part, m); err != nil {
		return "", 0, err
	}
	if q == "c" {
		return "c", 0, nil
	}
	return "e", 0, nil
}

// trim shortens the log to what retention keeps of both kinds of entries.
func (w *sweep) trim(ctx context.Context, part string) error {
	before := int64(0)
	if r := w.r; !r.Sent.IsZero() && !r.Bounced.IsZero() {
		before = w.s.ms(r.Bounced)
		if r.Sent.Before(r.Bounced) {
			before = w.s.ms(r.Sent)
		}
	}
	v, err := w.s.sv.run(ctx, w.s.o.Patience, &call{script: scripts.trim, key: part, args: []any{before, trimPage, w.s.touch(), w.r.Now.UnixMilli()}})
	if n, _ := v.(int64); err == nil && n == trimPage {
		w.done.More = true
	}
	return err
}
