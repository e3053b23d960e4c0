package logstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
)

const (
	maxRecordName  = 512
	maxRecordValue = 64 << 10
)

// applied is there so that the version finds its way back.
func (r *registryRecord) applied(*Store) {}

// GetRecord returns a record.
func (s *Store) GetRecord(ctx context.Context, kind queue.RecordKind, name string) (queue.Record, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Record{}, err
	}
	defer s.leave()
	r, err := s.getRecord(kind, name)
	if err != nil {
		return queue.Record{}, fmt.Errorf("get %s %q: %w", kind, name, err)
	}
	return r, nil
}

// GetRecords returns those that exist.
func (s *Store) GetRecords(ctx context.Context, kind queue.RecordKind, names []string) ([]queue.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var rs []queue.Record
	for _, name := range names {
		r, err := s.getRecord(kind, name)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("get %s %q: %w", kind, name, err)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func (s *Store) getRecord(kind queue.RecordKind, name string) (r queue.Record, err error) {
	err = get(s.db, recordKey(nil, kind, name), func(b []byte) error {
		r, err = decodeRecord(kind, name, b)
		return err
	})
	return r, err
}

func decodeRecord(kind queue.RecordKind, name string, b []byte) (queue.Record, error) {
	r := queue.Record{Kind: kind, Name: name}
	d := codec.Decoder{B: b}
	d.Version()
	r.Version = d.Uint()
	r.Value = d.Bytes()
	if err := d.Done(); err != nil {
		return queue.Record{}, damaged("a registry record", err)
	}
	return r, nil
}

// PutRecord writes a record if nobody else did meanwhile.
func (s *Store) PutRecord(ctx context.Context, r queue.Record) (uint64, error) {
	change := &registryRecord{kind: r.Kind, name: r.Name, value: r.Value}
	if err := s.changeRecord(ctx, change, r.Version); err != nil {
		return 0, fmt.Errorf("put %s %q: %w", r.Kind, r.Name, err)
	}
	return change.version, nil
}

// DeleteRecord removes a record if nobody else changed it meanwhile.
func (s *Store) DeleteRecord(ctx context.Context, r queue.Record) error {
	change := &registryRecord{kind: r.Kind, name: r.Name, deleted: true}
	if err := s.changeRecord(ctx, change, r.Version); err != nil {
		return fmt.Errorf("delete %s %q: %w", r.Kind, r.Name, err)
	}
	return nil
}

func (s *Store) changeRecord(ctx context.Context, change *registryRecord, version uint64) error {
	if err := change.check(); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	l := s.names.of(hashString("record", string(change.kind), change.name))
	l.Lock()
	defer l.Unlock()
	now, err := s.getRecord(change.kind, change.name)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		if change.deleted && version == 0 {
			return queue.ErrNotFound
		}
	case err != nil:
		return err
	}
	if now.Version != version {
		return queue.ErrVersion
	}
	return s.commit(ctx, recordRegistry, change.encode(), change)
}

// check reports what no record may be.
func (r *registryRecord) check() error {
	switch {
	case r.kind == "" || len(r.name) > maxRecordName || strings.ContainsRune(string(r.kind), 0):
		return errors.New("a record has a kind, and a name of at most 512 bytes")
	case len(r.value) > maxRecordValue:
		return fmt.Errorf("its value has more than %d bytes", maxRecordValue)
	}
	return nil
}

// ListRecords returns records by name.
func (s *Store) ListRecords(ctx context.Context, kind queue.RecordKind, prefix, afterName string, limit int) ([]queue.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	start := recordKey(nil, kind, prefix)
	names := len(recordKey(nil, kind, ""))
	lower := start
	if afterName != "" && afterName >= prefix {
		lower = append(recordKey(nil, kind, afterName), 0)
	}
	var out []queue.Record
	err := each(s.db, lower, after(start), func(it *pebble.Iterator) (bool, error) {
		if len(out) >= limit {
			return false, nil
		}
		r, err := decodeRecord(kind, string(it.Key()[names:]), it.Value())
		out = append(out, r)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s records: %w", kind, err)
	}
	return out, nil
}

// RegistryVersion grows with every change of a record.
func (s *Store) RegistryVersion(ctx context.Context) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.registry, nil
}
