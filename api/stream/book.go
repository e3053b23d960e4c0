package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/api/unsubscribe"
	"postrider/queue"
)

// MaxStreams is how many an account may make.
const MaxStreams = 500

// ErrTooMany: the account has MaxStreams already.
var ErrTooMany = errors.New("the account has too many streams: delete some first")

// lookupTime is how old an answer of Lookup may be.
const (
	lookupTime = 5 * time.Second
	maxLookups = 10000
)

// Book keeps streams in the registry. It is safe for concurrent use.
type Book struct {
	store queue.Registry
	now   func() time.Time

	mu     sync.Mutex
	recent map[string]lookup
}

type lookup struct {
	stream Stream
	err    error // nil or queue.ErrNotFound
	until  time.Time
}

// New returns a Book kept in store. now nil: time.Now.
func New(store queue.Registry, now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	return &Book{store: store, now: now, recent: map[string]lookup{}}
}

// Get returns a stream; queue.ErrNotFound if the account has none of that name.
func (b *Book) Get(ctx context.Context, account, name string) (Stream, error) {
	if !ValidName(name) {
		return Stream{}, fmt.Errorf("stream: %w", queue.ErrNotFound)
	}
	r, err := b.store.GetRecord(ctx, queue.RecordStream, recordName(account, name))
	switch {
	case err == nil:
		return decode(r)
	case errors.Is(err, queue.ErrNotFound) && BuiltIn(name):
		return builtIn(name), nil
	}
	return Stream{}, fmt.Errorf("get stream %q: %w", name, err)
}

// Lookup is Get for every message: its answer may be some seconds old.
func (b *Book) Lookup(ctx context.Context, account, name string) (Stream, error) {
	key, now := recordName(account, name), b.now()
	b.mu.Lock()
	l, ok := b.recent[key]
	b.mu.Unlock()
	if ok && now.Before(l.until) {
		return l.stream, l.err
	}
	s, err := b.Get(ctx, account, name)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return s, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.recent) >= maxLookups {
		clear(b.recent)
	}
	b.recent[key] = lookup{stream: s, err: err, until: now.Add(lookupTime)}
	return s, err
}

func (b *Book) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.recent, key)
}

// List returns all streams of an account by name, with those it did not make.
func (b *Book) List(ctx context.Context, account string) ([]Stream, error) {
	list, err := b.made(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{DefaultName, BulkName} {
		if !slices.ContainsFunc(list, func(s Stream) bool { return s.Name == name }) {
			list = append(list, builtIn(name))
		}
	}
	slices.SortFunc(list, func(x, y Stream) int { return cmp.Compare(x.Name, y.Name) })
	return list, nil
}

func (b *Book) made(ctx context.Context, account string) (list []Stream, err error) {
	for r, err := range queue.Records(ctx, b.store, queue.RecordStream, recordName(account, "")) {
		if err != nil {
			return nil, fmt.Errorf("list streams: %w", err)
		}
		s, err := decode(r)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Put keeps a stream: a new one if s.Version is 0 (queue.ErrExists if there is
// one), else in the place of that version (queue.ErrVersion if it was changed
// meanwhile). The error is Problems if the stream is not valid. It returns the
// stream as it is kept; of a change it keeps when it was made.
func (b *Book) Put(ctx context.Context, account string, s Stream) (Stream, error) {
	if ps := s.Check(); len(ps) > 0 {
		return Stream{}, ps
	}
	s.UpdatedAt = b.now().UTC()
	if s.Version == 0 {
		s.CreatedAt = s.UpdatedAt
		list, err := b.made(ctx, account)
		if err != nil {
			return Stream{}, err
		}
		if len(list) >= MaxStreams {
			return Stream{}, ErrTooMany
		}
	}
	value, err := json.Marshal(record{
		Kind: s.Kind, Description: s.Description, Unsubscribe: s.Unsubscribe, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	})
	if err != nil {
		return Stream{}, fmt.Errorf("write stream %q: %w", s.Name, err)
	}
	key := recordName(account, s.Name)
	defer b.forget(key)
	version, err := b.store.PutRecord(ctx, queue.Record{Kind: queue.RecordStream, Name: key, Version: s.Version, Value: value})
	switch {
	case errors.Is(err, queue.ErrVersion) && s.Version == 0:
		return Stream{}, fmt.Errorf("create stream %q: %w", s.Name, queue.ErrExists)
	case err != nil:
		return Stream{}, fmt.Errorf("keep stream %q: %w", s.Name, err)
	}
	s.Version = version
	return s, nil
}

// Delete forgets a stream; one that every account has is then as it was at first.
// version 0: whatever it is. queue.ErrNotFound if there is none.
func (b *Book) Delete(ctx context.Context, account, name string, version uint64) error {
	if !ValidName(name) {
		return fmt.Errorf("delete stream: %w", queue.ErrNotFound)
	}
	key := recordName(account, name)
	defer b.forget(key)
	r, err := b.store.GetRecord(ctx, queue.RecordStream, key)
	if err == nil {
		if version != 0 {
			r.Version = version
		}
		err = b.store.DeleteRecord(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("delete stream %q: %w", name, err)
	}
	return nil
}

// record is a stream as it is kept.
type record struct {
	Kind        Kind               `json:"kind"`
	Description string             `json:"description,omitempty"`
	Unsubscribe *unsubscribe.Offer `json:"unsubscribe,omitempty"`
	CreatedAt   time.Time          `json:"created_at"`
	UpdatedAt   time.Time          `json:"updated_at"`
}

func decode(r queue.Record) (Stream, error) {
	var v record
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return Stream{}, fmt.Errorf("read stream %q: the record is damaged: %w", r.Name, err)
	}
	return Stream{
		Name: r.Name[strings.LastIndexByte(r.Name, '/')+1:], Kind: v.Kind, Description: v.Description, Unsubscribe: v.Unsubscribe,
		CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt, Version: r.Version,
	}, nil
}

// recordName has one slash: neither accounts nor streams have one in their names.
func recordName(account, name string) string { return account + "/" + name }
