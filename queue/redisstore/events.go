package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// mark is a place in the log of one partition: the id of an entry and how many
// of its events are before the place. The zero mark is the beginning.
type mark struct {
	ms, seq uint64
	events  uint16
}

const markLen = 8 + 8 + 2

func (m mark) entry() string {
	if m == (mark{}) {
		return ""
	}
	return strconv.FormatUint(m.ms, 10) + "-" + strconv.FormatUint(m.seq, 10)
}

func parseEntry(id string) (m mark, err error) {
	ms, seq, _ := strings.Cut(id, "-")
	m.ms, err = strconv.ParseUint(ms, 10, 64)
	if err == nil {
		m.seq, err = strconv.ParseUint(seq, 10, 64)
	}
	return m, err
}

// position is a place in each partition's log.
func position(at []mark) queue.Position {
	b := append(make([]byte, 0, 1+markLen*len(at)), positionVersion)
	return queue.Position(base64.RawURLEncoding.EncodeToString(appendMarks(b, at)))
}

const positionVersion = 1

func appendMarks(b []byte, at []mark) []byte {
	for _, m := range at {
		b = binary.AppendUvarint(b, m.ms)
		b = binary.AppendUvarint(b, m.seq)
		b = binary.AppendUvarint(b, uint64(m.events))
	}
	return b
}

// parseMarks reads n of them and nothing else.
func parseMarks(b []byte, n int) ([]mark, error) {
	var values [3]uint64
	at := make([]mark, n)
	for i := range at {
		for k := range values {
			v, size := binary.Uvarint(b)
			if size <= 0 {
				return nil, queue.ErrPosition
			}
			values[k], b = v, b[size:]
		}
		at[i] = mark{values[0], values[1], uint16(values[2])}
	}
	if len(b) > 0 {
		return nil, queue.ErrPosition
	}
	return at, nil
}

func (s *Store) parsePosition(p queue.Position) ([]mark, error) {
	if p == "" {
		return make([]mark, len(s.parts)), nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(p))
	if err != nil || len(b) == 0 || b[0] != positionVersion {
		return nil, fmt.Errorf("%.40q: %w", p, queue.ErrPosition)
	}
	at, err := parseMarks(b[1:], len(s.parts))
	if err != nil {
		return nil, fmt.Errorf("%.40q: %w", p, err)
	}
	return at, nil
}

// ReadEvents returns events after a position, of all partitions in turn. One
// that cannot be asked holds up only its own, as long as others have some.
func (s *Store) ReadEvents(ctx context.Context, after queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	at, err := s.parsePosition(after)
	if err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	if limit <= 0 {
		return nil, after, nil
	}
	events, err := s.readEvents(ctx, at, limit)
	if err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	if len(events) == 0 && after == "" && allZero(at) {
		return nil, "", nil
	}
	return events, position(at), nil
}

func allZero(at []mark) bool {
	for _, m := range at {
		if m != (mark{}) {
			return false
		}
	}
	return true
}

// readEvents moves at on.
func (s *Store) readEvents(ctx context.Context, at []mark, limit int) ([]queue.Event, error) {
	type result struct {
		events []queue.Event
		marks  []mark // after each
		end    mark   // after what was passed over behind them
		err    error
	}
	results := make([]result, len(s.parts))
	inParallel(len(s.parts), func(i int) {
		r := &results[i]
		r.events, r.marks, r.end, r.err = s.partEvents(ctx, s.parts[i], at[i], limit)
	})
	var out []queue.Event
	var errs []error
	moved := false
	for i, r := range results {
		switch {
		case errors.Is(r.err, queue.ErrPosition):
			return nil, r.err
		case r.err != nil:
			errs = append(errs, r.err)
			continue
		}
		n := min(len(r.events), limit-len(out))
		for k := range n {
			at[i] = r.marks[k]
			r.events[k].Position = position(at)
		}
		out = append(out, r.events[:n]...)
		if n == len(r.events) && r.end != at[i] {
			at[i], moved = r.end, true
		}
	}
	if len(out) == 0 && !moved {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// partEvents reads the log of one partition.
func (s *Store) partEvents(ctx context.Context, part string, from mark, limit int) (vs []queue.Event, marks []mark, end mark, err error) {
	end = from
	v, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.events, key: part, args: []any{from.entry(), int(from.events), limit}})
	if err != nil {
		return nil, nil, end, err
	}
	list, _ := v.([]any)
	switch textOf(list, 0) {
	case "gone":
		return nil, nil, end, fmt.Errorf("the log begins later: %w", queue.ErrPosition)
	case "ok":
	default:
		return nil, nil, end, fmt.Errorf("events answered %v: %w", v, queue.ErrUnavailable)
	}
	for _, x := range list[1:] {
		if end, err = s.entryEvents(x, &vs, &marks); err != nil {
			return nil, nil, end, err
		}
	}
	return vs, marks, end, nil
}

// entryEvents reads one entry of a log as events.lua returns it, and returns
// the place behind what it gave.
func (s *Store) entryEvents(x any, vs *[]queue.Event, marks *[]mark) (end mark, err error) {
	e, _ := x.([]any)
	bad := func() (mark, error) {
		return end, fmt.Errorf("events answered %v: %w", x, queue.ErrUnavailable)
	}
	if len(e) < 7 {
		return bad()
	}
	if end, err = parseEntry(textOf(e, 0)); err != nil {
		return bad()
	}
	id, ok := longID(textOf(e, 1))
	first, ok2 := e[2].(int64)
	skipped, ok3 := e[3].(int64)
	if !ok || !ok2 || !ok3 {
		return bad()
	}
	end.events = uint16(skipped)
	h := textOf(e, 5)
	if h == "" { // the message was forgotten: pass over what is left of it
		n, _ := e[4].(int64)
		end.events = uint16(n)
		return end, nil
	}
	m, err := decodeHeader(id, h, "", 0)
	if err != nil {
		return end, err
	}
	for i := range e[7:] {
		text, _ := e[7+i].(string)
		k := first + skipped + int64(i)
		end.events++
		var v queue.Event
		switch {
		case k == 0:
			f, err := decodeFacts(id, textOf(e, 6))
			if err != nil {
				return end, err
			}
			v = queued(&m, f.recipients)
		case text == "":
			continue
		default:
			if v, err = decodeEvent(id, m.Account, text); err != nil {
				return end, err
			}
		}
		*vs = append(*vs, v)
		*marks = append(*marks, end)
	}
	return end, nil
}

// Acknowledge keeps a reader's position.
func (s *Store) Acknowledge(ctx context.Context, reader string, p queue.Position) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.parsePosition(p); err != nil {
		return fmt.Errorf("acknowledge for %s: %w", reader, err)
	}
	if _, err := s.sv.run(ctx, s.o.Patience, &call{script: scripts.put, key: s.keys.readers(), args: []any{"set", reader, string(p)}}); err != nil {
		return fmt.Errorf("acknowledge for %s: %w", reader, err)
	}
	return nil
}

// Acknowledged returns the position that was kept for a reader.
func (s *Store) Acknowledged(ctx context.Context, reader string) (queue.Position, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	cmds, err := s.sv.ask(ctx, s.o.Patience, s.keys.readers(), func(ctx context.Context, p redis.Pipeliner) {
		p.HGet(ctx, s.keys.readers(), reader)
	})
	if err != nil {
		return "", fmt.Errorf("read the position of %s: %w", reader, err)
	}
	return queue.Position(cmds[0].(*redis.StringCmd).Val()), nil
}
