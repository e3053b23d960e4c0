package redisstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

// exportForgotten gives the events that only histories have, because the log was
// trimmed. No reader can ask for them any more.
func (s *Store) exportForgotten(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	x := &s.exports
	if x.inLog == nil {
		trimmed, err := s.findInLog(ctx)
		if err != nil {
			return nil, false, err
		}
		if !trimmed {
			return nil, false, nil
		}
	}
	ms, err := s.behind(ctx, at.Name)
	if err != nil {
		return nil, false, err
	}
	for len(ms) > 0 && len(items) < limit {
		id := ms[0].id
		vs, err := s.history(ctx, id)
		if err != nil && !isNotFound(err) {
			return nil, false, err
		}
		n := len(vs)
		if first, ok := x.inLog[id]; ok {
			n = min(n, int(first))
		}
		for i := min(at.Index, n); i < n; i++ {
			if len(items) == limit {
				at.Index = i
				return items, true, nil
			}
			items = append(items, queue.Item{Event: &vs[i]})
		}
		at.Name, at.Index, ms = []byte(shortID(id)), 0, ms[1:]
	}
	return items, len(ms) > 0, nil
}

// findInLog learns from where on the log has the events of each message, if it
// was trimmed.
func (s *Store) findInLog(ctx context.Context) (trimmed bool, err error) {
	in := make(map[queue.MessageID]uint32)
	for _, part := range s.parts {
		cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.HGet(ctx, part, "tr") })
		if err != nil {
			return false, err
		}
		trimmed = trimmed || cmds[0].(*redis.StringCmd).Val() != ""
	}
	if !trimmed {
		return false, nil
	}
	for _, part := range s.parts {
		for from := "-"; ; {
			cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.XRangeN(ctx, part+"e", from, "+", 1000) })
			if err != nil {
				return false, err
			}
			es := cmds[0].(*redis.XMessageSliceCmd).Val()
			for _, e := range es {
				v, _ := e.Values[""].(string)
				id, ok := longID(v[:min(len(v), 14)])
				if !ok || len(v) < 18 {
					continue
				}
				k := binary.BigEndian.Uint32([]byte(v[14:18]))
				if old, ok := in[id]; !ok || k < old {
					in[id] = k
				}
				from = "(" + e.ID
			}
			if len(es) == 0 {
				break
			}
		}
	}
	s.exports.inLog = in
	return true, nil
}

// planEvents cuts the logs where readers stand. Of two partitions' pieces the
// one that more readers have acknowledged is first, so that what one reader has
// acknowledged is all before what it has not, unless readers cross: then one of
// them reads some again.
func (s *Store) planEvents(ctx context.Context) error {
	x := &s.exports
	if x.steps != nil {
		return nil
	}
	cmds, err := s.sv.ask(ctx, s.o.Patience, s.keys.readers(), func(ctx context.Context, p redis.Pipeliner) { p.HGetAll(ctx, s.keys.readers()) })
	if err != nil {
		return err
	}
	stands := make(map[string][]mark)
	for name, p := range cmds[0].(*redis.MapStringStringCmd).Val() {
		if stands[name], err = s.parsePosition(queue.Position(p)); err != nil {
			return err
		}
	}
	type piece struct {
		exportStep
		acked int
	}
	var pieces []piece
	for i := range s.parts {
		cuts := []mark{{}}
		for _, at := range stands {
			cuts = append(cuts, at[i])
		}
		slices.SortFunc(cuts, mark.compare)
		cuts = slices.Compact(cuts)
		for k, from := range cuts {
			p := piece{exportStep: exportStep{part: i, from: from}}
			if k+1 < len(cuts) {
				p.to = cuts[k+1]
			}
			for _, at := range stands {
				if p.to != (mark{}) && at[i].compare(p.to) >= 0 {
					p.acked++
				}
			}
			pieces = append(pieces, p)
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return b.acked - a.acked })
	x.steps, x.cuts = []exportStep{}, make(map[int][]string)
	for _, p := range pieces {
		x.steps = append(x.steps, p.exportStep)
	}
	for name, at := range stands {
		n := slices.IndexFunc(x.steps, func(st exportStep) bool { return st.to == (mark{}) || at[st.part].compare(st.to) < 0 })
		if n < 0 {
			n = len(x.steps)
		}
		x.cuts[n] = append(x.cuts[n], name)
	}
	for _, names := range x.cuts {
		slices.Sort(names)
	}
	return nil
}

func (m mark) compare(o mark) int {
	return cmp.Or(cmp.Compare(m.ms, o.ms), cmp.Compare(m.seq, o.seq), cmp.Compare(m.events, o.events))
}

func (s *Store) exportEvents(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	if err := s.planEvents(ctx); err != nil {
		return nil, false, err
	}
	x := &s.exports
	for at.Index <= len(x.steps) {
		for _, name := range x.cuts[at.Index] {
			if at.Given && name <= at.Kind {
				continue
			}
			if len(items) >= limit {
				return items, true, nil
			}
			items = append(items, queue.Item{Reader: &queue.ArchivedReader{Name: name}})
			at.Kind, at.Given = name, true
		}
		if at.Index == len(x.steps) {
			return items, false, nil
		}
		step := x.steps[at.Index]
		from := step.from
		if len(at.Mark) > 0 {
			marks, err := parseMarks(at.Mark, 1)
			if err != nil {
				return nil, false, err
			}
			from = marks[0]
		}
		done := step.to != (mark{}) && from.compare(step.to) >= 0
		for !done {
			if len(items) >= limit {
				at.Mark = appendMarks(nil, []mark{from})
				return items, true, nil
			}
			vs, marks, end, err := s.partEvents(ctx, s.parts[step.part], from, limit-len(items))
			if err != nil {
				return nil, false, err
			}
			done = end == from
			for i := range vs {
				if step.to != (mark{}) && marks[i].compare(step.to) > 0 {
					done = true
					break
				}
				items = append(items, queue.Item{Event: &vs[i]})
			}
			from = end
			done = done || step.to != (mark{}) && from.compare(step.to) >= 0
		}
		*at = exportCursor{Stage: at.Stage, Index: at.Index + 1}
	}
	return items, false, nil
}
