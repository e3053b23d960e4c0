package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
	"postrider/queue/codec"
)

var _ queue.Archive = (*Store)(nil)

// exportPage bounds how many items one Export reads.
const exportPage = 1024

// exporting remembers what is in the store while it is exported: 16 octets for
// each message, and the names of keys.
type exporting struct {
	mu       sync.Mutex
	messages []placed
	keys     []string
	inLog    map[queue.MessageID]uint32 // the first event of a message that the log has
	steps    []exportStep
	cuts     map[int][]string // readers before a step
}

// placed is a message and its partition.
type placed struct {
	id   queue.MessageID
	part int
}

// exportStep is a piece of a partition's log that the same readers have
// acknowledged.
type exportStep struct {
	part     int
	from, to mark // to zero: to the end
}

// exportCursor is where an Export stands. Fields are short: it is written often.
type exportCursor struct {
	Stage string `json:"s"`           // records, messages, keys, forgotten, events
	Kind  string `json:"k,omitempty"` // of records; the last reader given before a step
	Name  []byte `json:"n,omitempty"` // of a record; the last message
	Index int    `json:"i,omitempty"` // of keys; of steps
	Mark  []byte `json:"m,omitempty"` // within a step
	Given bool   `json:"g,omitempty"` // a record of the kind, or one of the readers, was given
}

// Export returns the items after a cursor. Messages are in order of their ids
// over all partitions. The log is given in pieces, those first that most
// readers have acknowledged: so each reader has one place in it.
func (s *Store) Export(ctx context.Context, c queue.Cursor, limit int) ([]queue.Item, queue.Cursor, error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	if limit <= 0 {
		return nil, "", fmt.Errorf("export: a limit of %d: %w", limit, queue.ErrFilter)
	}
	at := exportCursor{Stage: "records"}
	if c != "" {
		b, err := base64.RawURLEncoding.DecodeString(string(c))
		if err == nil {
			err = json.Unmarshal(b, &at)
		}
		if err != nil {
			return nil, "", fmt.Errorf("export: cursor %.60q: %w", c, queue.ErrFilter)
		}
	}
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	items, more, err := s.export(ctx, &at, min(limit, exportPage))
	if err != nil {
		return nil, "", fmt.Errorf("export: %w", err)
	}
	if !more {
		s.exports.forget()
		return items, "", nil
	}
	b, err := json.Marshal(at)
	if err != nil {
		return nil, "", err
	}
	return items, queue.Cursor(base64.RawURLEncoding.EncodeToString(b)), nil
}

func (x *exporting) forget() {
	x.messages, x.keys, x.inLog, x.steps, x.cuts = nil, nil, nil, nil, nil
}

func (s *Store) export(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	stages := []struct {
		name string
		read func(context.Context, *exportCursor, int) ([]queue.Item, bool, error)
	}{
		{"records", s.exportRecords}, {"messages", s.exportMessages}, {"keys", s.exportKeys},
		{"forgotten", s.exportForgotten}, {"events", s.exportEvents},
	}
	i := slices.IndexFunc(stages, func(st struct {
		name string
		read func(context.Context, *exportCursor, int) ([]queue.Item, bool, error)
	}) bool {
		return st.name == at.Stage
	})
	if i < 0 {
		return nil, false, queue.ErrFilter
	}
	for ; i < len(stages); i++ {
		at.Stage = stages[i].name
		got, rest, err := stages[i].read(ctx, at, limit-len(items))
		if err != nil {
			return nil, false, err
		}
		items = append(items, got...)
		if rest {
			return items, true, nil
		}
		if i+1 < len(stages) {
			*at = exportCursor{Stage: stages[i+1].name}
			if len(items) >= limit {
				return items, true, nil
			}
		}
	}
	return items, false, nil
}

func (s *Store) exportRecords(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, s.keys.registry(), func(ctx context.Context, p redis.Pipeliner) {
		p.ZRange(ctx, s.keys.registry()+"k", 0, -1)
	})
	if err != nil {
		return nil, false, err
	}
	kinds := cmds[0].(*redis.StringSliceCmd).Val()
	slices.Sort(kinds)
	for _, kind := range kinds {
		if kind < at.Kind {
			continue
		}
		if kind > at.Kind {
			at.Kind, at.Name, at.Given = kind, nil, false
		}
		for {
			if len(items) >= limit {
				return items, true, nil
			}
			from := "-"
			if at.Given {
				from = "(" + string(at.Name)
			}
			rs, err := s.listRecords(ctx, queue.RecordKind(kind), "", from, limit-len(items))
			if err != nil {
				return nil, false, err
			}
			if len(rs) == 0 {
				break
			}
			for i := range rs {
				items = append(items, queue.Item{Record: &rs[i]})
				at.Name, at.Given = []byte(rs[i].Name), true
			}
		}
	}
	return items, false, nil
}

// everyMessage lists all messages by id.
func (s *Store) everyMessage(ctx context.Context) error {
	x := &s.exports
	if x.messages != nil {
		return nil
	}
	x.messages = []placed{}
	for i, part := range s.parts {
		cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.ZRange(ctx, part+"s", 0, -1) })
		if err != nil {
			x.messages = nil
			return err
		}
		for _, seg := range cmds[0].(*redis.StringSliceCmd).Val() {
			cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.LRange(ctx, part+"s"+seg, 0, -1) })
			if err != nil {
				x.messages = nil
				return err
			}
			for _, text := range cmds[0].(*redis.StringSliceCmd).Val() {
				if id, ok := longID(text); ok {
					x.messages = append(x.messages, placed{id, i})
				}
			}
		}
	}
	slices.SortFunc(x.messages, func(a, b placed) int { return cmp.Or(compareIDs(a.id, b.id), cmp.Compare(a.part, b.part)) })
	x.messages = slices.Compact(x.messages)
	return nil
}

// behind returns the messages after the one that was given last.
func (s *Store) behind(ctx context.Context, name []byte) ([]placed, error) {
	if err := s.everyMessage(ctx); err != nil {
		return nil, err
	}
	ms := s.exports.messages
	if len(name) != 14 {
		return ms, nil
	}
	id, _ := longID(string(name))
	return ms[sort.Search(len(ms), func(i int) bool { return compareIDs(ms[i].id, id) > 0 }):], nil
}

// readPlaced reads messages, which stay in order; some may be gone.
func (s *Store) readPlaced(ctx context.Context, ms []placed) ([]message, error) {
	byPart := make(map[int][]queue.MessageID, 1)
	for _, m := range ms {
		byPart[m.part] = append(byPart[m.part], m.id)
	}
	var all []message
	for part, ids := range byPart {
		got, err := s.readAll(ctx, s.parts[part], ids)
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	slices.SortFunc(all, func(a, b message) int { return compareIDs(a.ID, b.ID) })
	return all, nil
}

func (s *Store) exportMessages(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	ms, err := s.behind(ctx, at.Name)
	if err != nil {
		return nil, false, err
	}
	page := ms[:min(len(ms), limit)]
	got, err := s.readPlaced(ctx, page)
	if err != nil {
		return nil, false, err
	}
	for i := range got {
		m := &got[i]
		e := queue.Entry{Message: m.Message, Recipients: make([]queue.Recipient, len(m.recipients))}
		for k := range m.recipients {
			e.Recipients[k] = m.recipients[k].Recipient
		}
		items = append(items, queue.Item{Message: &queue.ArchivedMessage{Entry: e}})
	}
	if len(page) > 0 {
		at.Name = []byte(shortID(page[len(page)-1].id))
	}
	return items, len(page) < len(ms), nil
}

func (s *Store) exportKeys(ctx context.Context, at *exportCursor, limit int) (items []queue.Item, more bool, err error) {
	x := &s.exports
	if x.keys == nil {
		if x.keys, err = s.idempotencyKeys(ctx); err != nil {
			return nil, false, err
		}
	}
	swept, err := s.keysSwept(ctx)
	if err != nil {
		return nil, false, err
	}
	for at.Index < len(x.keys) && len(items) < limit {
		// As many as lie in one partition.
		part, names := s.partOfKey(x.keys[at.Index]), x.keys[at.Index:min(at.Index+limit-len(items), len(x.keys))]
		if n := slices.IndexFunc(names, func(k string) bool { return s.partOfKey(k) != part }); n > 0 {
			names = names[:n]
		}
		cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.MGet(ctx, names...) })
		if err != nil {
			return nil, false, err
		}
		at.Index += len(names)
		for _, v := range cmds[0].(*redis.SliceCmd).Val() {
			text, ok := v.(string)
			if !ok {
				continue // it has ended
			}
			k, err := decodeKey(text)
			if err != nil {
				return nil, false, err
			}
			if k.ExpiresAt.UnixMilli() > swept {
				items = append(items, queue.Item{Key: &k})
			}
		}
	}
	return items, at.Index < len(x.keys), nil
}

// keysSwept is the time by which ended keys were last to be forgotten. Servers
// forget them by their own clock.
func (s *Store) keysSwept(ctx context.Context) (ms int64, err error) {
	for _, part := range s.parts {
		cmds, err := s.sv.ask(ctx, s.o.Patience, part, func(ctx context.Context, p redis.Pipeliner) { p.HGet(ctx, part, "kn") })
		if err != nil {
			return 0, err
		}
		if n := number(cmds[0].(*redis.StringCmd).Val()); n > ms {
			ms = n
		}
	}
	return ms, nil
}

// idempotencyKeys looks through all keys of the servers, which takes its time:
// there is no list of them.
func (s *Store) idempotencyKeys(ctx context.Context) ([]string, error) {
	names := []string{}
	quote := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
	pattern := quote.Replace(s.keys.prefix) + "{q*}k*"
	err := s.sv.masters(ctx, func(ctx context.Context, c *redis.Client) error {
		for cursor := uint64(0); ; {
			page, next, err := c.Scan(ctx, cursor, pattern, 1000).Result()
			if err != nil {
				return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
			}
			// An id may have octets that look like the end of a partition.
			names = append(names, slices.DeleteFunc(page, func(name string) bool { return s.partOfKey(name) == "" })...)
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// partOfKey is the partition of an idempotency key by its name; empty if it is
// none.
func (s *Store) partOfKey(name string) string {
	end := strings.IndexByte(name, '}') + 1
	if end == 0 || end == len(name) || name[end] != 'k' || !slices.Contains(s.parts, name[:end]) {
		return ""
	}
	return name[:end]
}

// decodeKey reads what enqueuing.keyValue wrote.
func decodeKey(v string) (k queue.ArchivedKey, err error) {
	const fixed = 14 + 32 + 6
	if len(v) < fixed {
		return k, fmt.Errorf("an idempotency key cannot be read: %w", queue.ErrUnavailable)
	}
	copy(k.Message[:], v[:14])
	copy(k.Fingerprint[:], v[14:46])
	d := codec.Decoder{B: []byte(v[fixed:])}
	k.Account, k.Key, k.ExpiresAt = d.String(), d.String(), d.Time()
	if err := d.Done(); err != nil {
		return k, fmt.Errorf("an idempotency key cannot be read: %w", errors.Join(queue.ErrUnavailable, err))
	}
	return k, nil
}
