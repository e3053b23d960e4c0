package logstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/rules"
)

const (
	// importBatch is how many octets of one Import are a commit, about.
	importBatch = 4 << 20
	// pastPage is how many events are one record: a reader that goes on inside
	// of one reads all of it.
	pastPage = 128
)

// Import adds items, many in a commit. What is there already, and is the same,
// is passed over.
func (s *Store) Import(ctx context.Context, items []queue.Item) error {
	contents, err := s.importContents(items) // may write: before any lock
	for i := range contents {
		defer contents[i].end()
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.importing.Lock()
	defer s.importing.Unlock()
	if err := s.raiseFormat(formatOf(items)); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	x := &imports{s: s, seen: map[queue.EventID]bool{}}
	for len(items) > 0 {
		n := 1
		for n < len(items) && kindOf(&items[n]) == kindOf(&items[0]) {
			n++
		}
		if err := x.run(ctx, items[:n], contents[:n]); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		items, contents = items[n:], contents[n:]
	}
	return nil
}

// imported is the content of an item.
type imported struct {
	writer *contentWriter // nil if there is none
	place  place
	inline []byte
}

func (c *imported) end() {
	if c.writer != nil {
		c.writer.end()
	}
}

// importContents finishes the contents, or ends all of them.
func (s *Store) importContents(items []queue.Item) ([]imported, error) {
	contents := make([]imported, len(items))
	var errs []error
	for i := range items {
		if items[i].Message == nil {
			continue
		}
		w, err := s.writer(items[i].Message.Content)
		if err == nil && w != nil {
			contents[i].writer = w
			contents[i].place, contents[i].inline, err = w.finish()
		}
		errs = append(errs, err)
	}
	return contents, errors.Join(errs...)
}

// formatOf is the least format of a store with such items.
func formatOf(items []queue.Item) int {
	for i := range items {
		if m := items[i].Message; m != nil && codec.HasMore(&m.Entry.Message) {
			return formatLabelled
		}
	}
	return formatImported
}

type itemKind byte

const (
	itemRecord itemKind = 1 + iota
	itemMessage
	itemKey
	itemPast // events and readers
)

// kindOf returns 0 if it is none, or more than one.
func kindOf(it *queue.Item) itemKind {
	facts := codec.Bits(it.Record != nil, it.Message != nil, it.Key != nil, it.Event != nil, it.Reader != nil)
	switch facts {
	case 1 << 0:
		return itemRecord
	case 1 << 1:
		return itemMessage
	case 1 << 2:
		return itemKey
	case 1 << 3, 1 << 4:
		return itemPast
	}
	return 0
}

// imports is one call of Import: the records of its next commit.
type imports struct {
	s     *Store
	batch commitlog.Batch
	size  int
	seen  map[queue.EventID]bool // events of this call
}

func (x *imports) run(ctx context.Context, items []queue.Item, contents []imported) error {
	var err error
	switch kindOf(&items[0]) {
	case itemRecord:
		err = x.records(ctx, items)
	case itemMessage:
		err = x.messages(ctx, items, contents)
	case itemKey:
		err = x.keys(ctx, items)
	case itemPast:
		err = x.past(ctx, items)
	default:
		err = errors.New("an item is not exactly one thing")
	}
	if err == nil {
		err = x.commit(ctx)
	}
	return err
}

// add puts a record, and the body that it names, into the next commit, which
// is done first if it is large enough.
func (x *imports) add(ctx context.Context, typ byte, payload, body []byte, e effect) error {
	if x.size+len(payload)+len(body) > importBatch {
		if err := x.commit(ctx); err != nil {
			return err
		}
	}
	if len(body) > 0 {
		x.batch.Records = append(x.batch.Records, commitlog.Record{Type: recordBody, Body: body})
	}
	r := commitlog.Record{Type: typ, Payload: payload}
	if e != nil {
		r.Value = e
	}
	x.batch.Records = append(x.batch.Records, r)
	x.size += len(payload) + len(body)
	return nil
}

func (x *imports) commit(ctx context.Context) error {
	if len(x.batch.Records) == 0 {
		return nil
	}
	err := x.s.append(ctx, &x.batch)
	clear(x.batch.Records)
	x.batch.Records, x.size = x.batch.Records[:0], 0
	return err
}

func (x *imports) records(ctx context.Context, items []queue.Item) error {
	hashes := make([]uint64, len(items))
	for i := range items {
		hashes[i] = hashString("record", string(items[i].Record.Kind), items[i].Record.Name)
	}
	defer x.s.names.lockAll(hashes)()
	for i := range items {
		r := items[i].Record
		change := &registryRecord{kind: r.Kind, name: r.Name, value: r.Value}
		if err := change.check(); err != nil {
			return err
		}
		have, err := x.s.getRecord(r.Kind, r.Name)
		switch {
		case err == nil && bytes.Equal(have.Value, r.Value):
			continue
		case err == nil:
			err = fmt.Errorf("%s %q is there with another value: %w", r.Kind, r.Name, queue.ErrExists)
		case errors.Is(err, queue.ErrNotFound):
			err = x.add(ctx, recordRegistry, change.encode(), nil, change)
		}
		if err != nil {
			return err
		}
	}
	return x.commit(ctx) // before the locks are given back
}

func (x *imports) messages(ctx context.Context, items []queue.Item, contents []imported) error {
	ids := make([]queue.RecipientID, len(items))
	for i := range items {
		ids[i] = queue.RecipientID(items[i].Message.Entry.Message.ID)
	}
	defer x.s.lockMessages(ids)()
	slices.SortFunc(ids, compareIDs)
	if len(slices.Compact(ids)) < len(items) {
		return errors.New("a message comes twice at once")
	}
	for i := range items {
		if err := x.message(ctx, &items[i].Message.Entry, &contents[i]); err != nil {
			return fmt.Errorf("message %s: %w", items[i].Message.Entry.Message.ID, err)
		}
	}
	return x.commit(ctx)
}

func (x *imports) message(ctx context.Context, v *queue.Entry, c *imported) error {
	if err := rules.Import(v); err != nil {
		return err
	}
	r := &enqueueRecord{
		message: v.Message, recipients: slices.Clone(v.Recipients), values: make([][]byte, len(v.Recipients)),
		content: c.place, inline: len(c.inline) > 0,
	}
	r.message.Content.Key = nil
	if c.place.exists {
		r.message.Content.Key = slices.Clone(v.Message.ID[:])
	}
	for i := range r.recipients {
		r.values[i] = encodeRecipient(&r.recipients[i])
	}
	var f codec.Encoder
	f.Message(&r.message)
	r.facts = f.B
	if same, err := x.s.isKnown(r); same || err != nil {
		return err
	}
	return x.add(ctx, recordImport, r.encode(), c.inline, &enqueueOp{record: r})
}

// isKnown reports whether just this message is there already. It is ErrExists
// if it is there and differs.
func (s *Store) isKnown(r *enqueueRecord) (bool, error) {
	if s.isFree(r.message.ID) == nil {
		return false, nil
	}
	m, err := s.readMessage(s.db, r.message.ID)
	if err != nil {
		return false, err
	}
	rs, err := s.readRecipients(s.db, m)
	if err != nil {
		return false, err
	}
	same := bytes.Equal(m.facts, r.facts) && len(rs) == len(r.values) &&
		m.content.exists == r.content.exists && m.content.size == r.content.size
	for i := 0; same && i < len(rs); i++ {
		same = bytes.Equal(encodeRecipient(&rs[i]), r.values[i])
	}
	if !same {
		return false, fmt.Errorf("it is there and differs: %w", queue.ErrExists)
	}
	return true, nil
}

func (x *imports) keys(ctx context.Context, items []queue.Item) error {
	hashes := make([]uint64, len(items))
	for i := range items {
		hashes[i] = hashString(items[i].Key.Account, items[i].Key.Key)
	}
	defer x.s.idems.lockAll(hashes)()
	var e edits
	for i := range items {
		k := items[i].Key
		if k.Key == "" || len(k.Account) > rules.MaxAccount || len(k.Key) > rules.MaxKey {
			return errors.New("an idempotency key is empty, or it or its account is too long")
		}
		key, value := idemKey(nil, k.Account, k.Key), encodeIdem(nil, k)
		err := get(x.s.db, key, func(b []byte) error {
			if !bytes.Equal(b, value) {
				return fmt.Errorf("the idempotency key %q of %s is there for another message: %w", k.Key, k.Account, queue.ErrExists)
			}
			return nil
		})
		if errors.Is(err, queue.ErrNotFound) {
			e.put(key, value)
			e.put(idemEndKey(nil, k.ExpiresAt, k.Account, k.Key), nil)
			err = nil
		}
		if err != nil {
			return err
		}
		if len(e.set) >= 1000 || i == len(items)-1 && !e.empty() {
			if err := x.add(ctx, recordIndex, e.encode(), nil, nil); err != nil {
				return err
			}
			e = edits{}
		}
	}
	return x.commit(ctx)
}

// encodeIdem is the value of an idempotency key in the index.
func encodeIdem(b []byte, k *queue.ArchivedKey) []byte {
	e := codec.Encoder{B: b}
	e.Version()
	e.Fixed(k.Fingerprint[:])
	e.Fixed(k.Message[:])
	e.Time(k.ExpiresAt)
	return e.B
}

// past imports events, and readers between them.
func (x *imports) past(ctx context.Context, items []queue.Item) error {
	histories, err := x.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyHistory}, UpperBound: []byte{keyHistory + 1}})
	if err != nil {
		return unavailable("read index", err)
	}
	err = x.pastItems(ctx, items, histories)
	if cerr := histories.Close(); err == nil && cerr != nil {
		err = unavailable("read index", cerr)
	}
	return err
}

func (x *imports) pastItems(ctx context.Context, items []queue.Item, histories *pebble.Iterator) error {
	r := &pastRecord{}
	flush := func() error {
		full := r
		r = &pastRecord{}
		if len(full.events)+len(full.readers) == 0 {
			return nil
		}
		return x.add(ctx, recordPast, full.encode(), nil, full)
	}
	readers := map[string]bool{}
	for i := range items {
		if reader := items[i].Reader; reader != nil {
			// One that is known stays where it is: it was put there when this item
			// came the first time.
			if name := reader.Name; !readers[name] && !x.s.knowsReader(name) {
				readers[name] = true
				r.readers = append(r.readers, name)
			}
			continue
		}
		// A record's readers are past all of its events.
		if len(r.readers) > 0 || len(r.events) == pastPage {
			if err := flush(); err != nil {
				return err
			}
		}
		v := items[i].Event
		known, err := x.knowsEvent(v, histories)
		if err != nil {
			return fmt.Errorf("event %s of %s: %w", v.ID, v.Message, err)
		}
		if !known {
			x.seen[v.ID] = true
			r.events = append(r.events, *v)
		}
	}
	return flush()
}

func (s *Store) knowsReader(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.readers[name]
	return known
}

// knowsEvent looks for the event in the history of its message, which must be
// there.
func (x *imports) knowsEvent(v *queue.Event, it *pebble.Iterator) (bool, error) {
	if x.seen[v.ID] {
		return true, nil
	}
	var err error
	if v.Kind == queue.EventQueued {
		var m *storedMessage
		if m, err = x.s.readMessage(x.s.db, v.Message); err == nil && m.at != 0 {
			return true, nil // it was accepted here
		}
	} else {
		var there bool
		if there, err = x.s.hasMessage(v.Message); err == nil && !there {
			err = queue.ErrNotFound
		}
	}
	if err != nil {
		return false, err
	}
	prefix := append([]byte{keyHistory}, v.Message[:]...)
	for ok := it.SeekGE(prefix); ok && bytes.HasPrefix(it.Key(), prefix); ok = it.Next() {
		if startsWith(it.Value(), v.ID) {
			return true, nil
		}
	}
	return false, nil
}

// startsWith reports whether a stored event has this id.
func startsWith(b []byte, id queue.EventID) bool {
	var have queue.EventID
	d := codec.Decoder{B: b}
	d.Version()
	d.Fixed(have[:])
	return d.Err == nil && have == id
}
