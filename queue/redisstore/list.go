package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
	"postrider/queue/rules"
)

// listLook bounds how many messages one List looks at.
const listLook = 2000

// List returns entries, newest message first.
func (s *Store) List(ctx context.Context, q queue.Filter, c queue.Cursor, limit int) ([]queue.Entry, queue.Cursor, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	f, err := rules.Compile(&q)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	at, err := s.parseCursor(c)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	if limit <= 0 {
		return nil, "", fmt.Errorf("list: a limit of %d: %w", limit, queue.ErrFilter)
	}
	out, next, err := s.list(ctx, f, at, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	return out, next, nil
}

// place is where a walk through a partition stands: below an id, in a segment
// and those before it.
type place struct {
	segment int64
	below   queue.MessageID
}

var top = place{segment: 1 << 39, below: queue.MessageID{0: 0xff}}

const placeLen = 5 + 14

// A cursor is a place for each partition, or, where the filter names messages,
// the last one that was looked at.
func (s *Store) cursor(at []place) queue.Cursor {
	b := make([]byte, 0, placeLen*len(at))
	for _, p := range at {
		b = append(b, byte(p.segment>>32))
		b = binary.BigEndian.AppendUint32(b, uint32(p.segment))
		b = append(b, p.below[:14]...)
	}
	return queue.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

func (s *Store) parseCursor(c queue.Cursor) ([]place, error) {
	at := make([]place, len(s.parts))
	for i := range at {
		at[i] = top
	}
	if c == "" {
		return at, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(b) != placeLen*len(at) {
		return nil, fmt.Errorf("cursor %.40q: %w", c, queue.ErrFilter)
	}
	for i := range at {
		p := b[i*placeLen:]
		at[i].segment = int64(p[0])<<32 | int64(binary.BigEndian.Uint32(p[1:]))
		at[i].below = queue.MessageID{}
		copy(at[i].below[:14], p[5:])
	}
	return at, nil
}

func compareIDs(a, b queue.MessageID) int { return slices.Compare(a[:], b[:]) }

func (s *Store) list(ctx context.Context, f *rules.Filter, at []place, limit int) (out []queue.Entry, c queue.Cursor, err error) {
	w := &walk{s: s, filter: f, at: at, limit: limit}
	if err := w.begin(ctx); err != nil {
		return nil, "", err
	}
	for looked := 0; ; looked++ {
		m, part, ok, err := w.next(ctx)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			return out, "", nil
		}
		if len(out) == limit || looked >= listLook {
			return out, s.cursor(w.at), nil
		}
		w.take(part)
		if !f.Message(&m.Message) {
			continue
		}
		e := m.entry()
		e.Recipients = slices.DeleteFunc(e.Recipients, func(r queue.Recipient) bool { return !f.Recipient(&r, r.State) })
		if len(e.Recipients) > 0 {
			out = append(out, e)
		}
	}
}

// walk goes through the messages that a filter may select, newest first,
// merging the partitions.
type walk struct {
	s      *Store
	filter *rules.Filter
	at     []place
	limit  int
	states []queue.State     // of segments to look at; none: all
	named  []queue.MessageID // if these are all
	pages  []walkPage
}

// walkPage is what has been read of a partition.
type walkPage struct {
	ids      []queue.MessageID // of the segment, newest first, not yet read
	segment  int64
	messages []message // read, newest first
	end      bool
}

func (w *walk) begin(ctx context.Context) error {
	f := w.filter
	w.pages = make([]walkPage, len(w.s.parts))
	switch {
	case len(f.Recipients) > 0:
		for _, r := range f.Recipients {
			w.named = append(w.named, r.Message())
		}
		return w.readNamed(ctx)
	case len(f.Messages) > 0:
		w.named = slices.Clone(f.Messages)
		return w.readNamed(ctx)
	case len(f.States) == 1 && f.States[0] == queue.StateActive:
		for _, part := range w.s.parts {
			ids, err := w.s.leased(ctx, part)
			if err != nil {
				return err
			}
			w.named = append(w.named, ids...)
		}
		return w.readNamed(ctx)
	}
	for _, st := range f.States {
		if st == queue.StateActive { // stored as what they were
			w.states = append(w.states, rules.Concerns(queue.ActionHold)...)
			continue
		}
		w.states = append(w.states, st)
	}
	return nil
}

// readNamed reads the messages that the filter names, each in its partition.
func (w *walk) readNamed(ctx context.Context) error {
	slices.SortFunc(w.named, func(a, b queue.MessageID) int { return compareIDs(b, a) })
	for _, id := range slices.Compact(w.named) {
		if compareIDs(id, w.at[0].below) >= 0 { // as in all partitions
			continue
		}
		if len(w.pages[0].messages) > w.limit {
			break // the cursor leads to the rest
		}
		_, m, err := w.s.find(ctx, id)
		switch {
		case isNotFound(err):
		case err != nil:
			return err
		default:
			w.pages[0].messages = append(w.pages[0].messages, m)
		}
	}
	for i := range w.pages {
		w.pages[i].end = true
	}
	return nil
}

// next returns the newest message not yet taken.
func (w *walk) next(ctx context.Context) (m *message, part int, ok bool, err error) {
	for i := range w.pages {
		p := &w.pages[i]
		for len(p.messages) == 0 && !p.end {
			if err := w.more(ctx, i); err != nil {
				return nil, 0, false, err
			}
		}
		if len(p.messages) > 0 && (!ok || compareIDs(p.messages[0].ID, m.ID) > 0) {
			m, part, ok = &p.messages[0], i, true
		}
	}
	return m, part, ok, nil
}

// take goes on behind the message that next returned.
func (w *walk) take(part int) {
	p := &w.pages[part]
	w.at[part] = place{segment: p.segment, below: p.messages[0].ID}
	// What comes newly to the other partitions is not for this listing either.
	for i := range w.at {
		if compareIDs(p.messages[0].ID, w.at[i].below) < 0 {
			w.at[i].below = p.messages[0].ID
		}
	}
	p.messages = p.messages[1:]
}

// more reads on in a partition: the next messages of the segment, or the next
// segment.
func (w *walk) more(ctx context.Context, i int) error {
	p, part := &w.pages[i], w.s.parts[i]
	if len(p.ids) == 0 {
		ok, err := w.nextSegment(ctx, i)
		if err != nil || !ok {
			p.end = !ok
			return err
		}
	}
	n := min(len(p.ids), readPage)
	page := p.ids[:n]
	p.ids = p.ids[n:]
	var err error
	p.messages, err = w.s.readAll(ctx, part, page)
	return err
}

// nextSegment finds the newest segment, from where the partition stands, that
// has a recipient in one of the states.
func (w *walk) nextSegment(ctx context.Context, i int) (bool, error) {
	p, part := &w.pages[i], w.s.parts[i]
	at := &w.at[i]
	upper := strconv.FormatInt(at.segment, 10)
	if p.segment != 0 { // segments count from 1
		upper = "(" + strconv.FormatInt(p.segment, 10)
	}
	keys := []string{part + "s"}
	if len(w.states) > 0 {
		keys = keys[:0]
		for _, st := range w.states {
			keys = append(keys, part+"h"+strconv.Itoa(int(st)))
		}
	}
	cmds, err := w.s.sv.ask(ctx, w.s.o.Patience, part, func(ctx context.Context, pl redis.Pipeliner) {
		for _, k := range keys {
			pl.ZRangeArgs(ctx, redis.ZRangeArgs{Key: k, Start: upper, Stop: "-inf", ByScore: true, Rev: true, Count: 1})
		}
	})
	if err != nil {
		return false, err
	}
	best := int64(-1)
	for _, c := range cmds {
		if v := c.(*redis.StringSliceCmd).Val(); len(v) > 0 {
			seg, err := strconv.ParseInt(v[0], 10, 64)
			if err != nil {
				return false, err
			}
			best = max(best, seg)
		}
	}
	if best < 0 {
		return false, nil
	}
	ids, err := w.s.segment(ctx, part, best)
	if err != nil {
		return false, err
	}
	slices.SortFunc(ids, func(a, b queue.MessageID) int { return compareIDs(b, a) })
	// Nothing has been taken from older segments, whatever their ids: messages
	// are accepted in about the order of their ids only.
	if p.segment == 0 && (best == at.segment || at.segment == top.segment) {
		ids = slices.DeleteFunc(ids, func(id queue.MessageID) bool { return compareIDs(id, at.below) >= 0 })
	}
	p.ids, p.segment = slices.Compact(ids), best
	return true, nil
}

// candidates calls fn with pages of messages, among which are all those with
// recipients that the filter may select and that are in one of the states, or
// leased from one of them. It takes the narrowest way there is.
func (s *Store) candidates(ctx context.Context, f *rules.Filter, states []queue.State, fn func(ctx context.Context, part string, ms []message) error) error {
	if len(f.Recipients) > 0 || len(f.Messages) > 0 {
		ids := slices.Clone(f.Messages)
		if len(f.Recipients) > 0 {
			ids = ids[:0]
			for _, r := range f.Recipients {
				ids = append(ids, r.Message())
			}
		}
		slices.SortFunc(ids, compareIDs)
		for _, id := range slices.Compact(ids) {
			part, m, err := s.find(ctx, id)
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if err := fn(ctx, part, []message{m}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, part := range s.parts {
		if err := s.candidatesIn(ctx, part, states, fn); err != nil {
			return err
		}
	}
	return nil
}

// candidatesIn goes through the segments that have such recipients, each once:
// what fn changes does not bring it back.
func (s *Store) candidatesIn(ctx context.Context, part string, states []queue.State, fn func(ctx context.Context, part string, ms []message) error) error {
	for from := "-inf"; ; {
		first, found, err := s.firstSegment(ctx, part, states, from)
		if err != nil || !found {
			return err
		}
		ids, err := s.segment(ctx, part, first)
		if err != nil {
			return err
		}
		for page := range slices.Chunk(ids, readPage) {
			if err := ctx.Err(); err != nil {
				return err
			}
			ms, err := s.readAll(ctx, part, page)
			if err != nil {
				return err
			}
			if err := fn(ctx, part, ms); err != nil {
				return err
			}
		}
		from = "(" + strconv.FormatInt(first, 10)
	}
}

// firstSegment is the first from a place that has a recipient in one of the
// states.
func (s *Store) firstSegment(ctx context.Context, part string, states []queue.State, from string) (first int64, found bool, err error) {
	for _, st := range states {
		seg, ok, err := s.nextSegment(ctx, part, st, from)
		if err != nil {
			return 0, false, err
		}
		if ok && (!found || seg < first) {
			first, found = seg, true
		}
	}
	return first, found, nil
}
