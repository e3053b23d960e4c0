package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

const (
	maxRecordName  = 512
	maxRecordValue = 64 << 10
	recordFront    = 8 + 8 // version, nonce of who wrote it
)

func isNotFound(err error) bool { return errors.Is(err, queue.ErrNotFound) }

func checkRecord(r *queue.Record) error {
	if r.Kind == "" || len(r.Name) > maxRecordName || strings.ContainsRune(string(r.Kind), 0) {
		return errors.New("a record has a kind, and a name of at most 512 bytes")
	}
	if len(r.Value) > maxRecordValue {
		return fmt.Errorf("its value has more than %d bytes", maxRecordValue)
	}
	return nil
}

// GetRecord returns a record.
func (s *Store) GetRecord(ctx context.Context, kind queue.RecordKind, name string) (queue.Record, error) {
	if err := s.enter(ctx); err != nil {
		return queue.Record{}, err
	}
	defer s.leave()
	cmds, err := s.sv.ask(ctx, s.o.Timeout, s.keys.registry(), func(ctx context.Context, p redis.Pipeliner) {
		p.HGet(ctx, s.keys.registry()+"r"+string(kind), name)
	})
	if err == nil && errors.Is(cmds[0].Err(), redis.Nil) {
		err = queue.ErrNotFound
	}
	if err != nil {
		return queue.Record{}, fmt.Errorf("get %s %q: %w", kind, name, err)
	}
	return decodeRegistry(kind, name, cmds[0].(*redis.StringCmd).Val())
}

// getMany is how many records one command asks for.
const getMany = 500

// GetRecords returns those that exist, in one round trip.
func (s *Store) GetRecords(ctx context.Context, kind queue.RecordKind, names []string) ([]queue.Record, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	cmds, err := s.sv.ask(ctx, s.o.Timeout, s.keys.registry(), func(ctx context.Context, p redis.Pipeliner) {
		for some := range slices.Chunk(names, getMany) {
			p.HMGet(ctx, s.keys.registry()+"r"+string(kind), some...)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("get %d records of %s: %w", len(names), kind, err)
	}
	var rs []queue.Record
	for n, cmd := range cmds {
		for i, v := range cmd.(*redis.SliceCmd).Val() {
			text, ok := v.(string)
			if !ok {
				continue
			}
			r, err := decodeRegistry(kind, names[n*getMany+i], text)
			if err != nil {
				return nil, err
			}
			rs = append(rs, r)
		}
	}
	return rs, nil
}

func decodeRegistry(kind queue.RecordKind, name, v string) (queue.Record, error) {
	if len(v) < recordFront {
		return queue.Record{}, fmt.Errorf("%s %q cannot be read: %w", kind, name, queue.ErrUnavailable)
	}
	return queue.Record{Kind: kind, Name: name, Version: binary.BigEndian.Uint64([]byte(v[:8])), Value: bytes.Clone([]byte(v[recordFront:]))}, nil
}

// PutRecord writes a record if nobody else did meanwhile.
func (s *Store) PutRecord(ctx context.Context, r queue.Record) (uint64, error) {
	version, err := s.putRecord(ctx, &r)
	if err != nil {
		return 0, fmt.Errorf("put %s %q: %w", r.Kind, r.Name, err)
	}
	return version, nil
}

func (s *Store) putRecord(ctx context.Context, r *queue.Record) (uint64, error) {
	if err := checkRecord(r); err != nil {
		return 0, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce) // never fails
	v, err := s.change(ctx, scripts.put, s.keys.registry(), []any{string(r.Kind), r.Name, strconv.FormatUint(r.Version, 10), nonce, r.Value}, nil)
	if err != nil {
		return 0, err
	}
	text, ok := v.(string)
	if !ok {
		return 0, queue.ErrVersion
	}
	return strconv.ParseUint(text, 10, 64)
}

// change runs a script whose effect is durable when it returns nil.
func (s *Store) change(ctx context.Context, sc *script, key string, args []any, repeat func([]any)) (any, error) {
	if repeat == nil {
		repeat = func([]any) {}
	}
	c := &call{script: sc, key: key, args: args, durable: true, repeat: repeat}
	v, err := s.sv.run(ctx, s.o.Patience, c)
	if err == nil && c.unsafe {
		err = fmt.Errorf("%w: %w", queue.ErrUnavailable, errNoReplica)
	}
	return v, err
}

// DeleteRecord removes a record if nobody else changed it meanwhile.
func (s *Store) DeleteRecord(ctx context.Context, r queue.Record) error {
	if err := s.deleteRecord(ctx, &r); err != nil {
		return fmt.Errorf("delete %s %q: %w", r.Kind, r.Name, err)
	}
	return nil
}

func (s *Store) deleteRecord(ctx context.Context, r *queue.Record) error {
	r.Value = nil
	if err := checkRecord(r); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	v, err := s.change(ctx, scripts.drop, s.keys.registry(), []any{string(r.Kind), r.Name, strconv.FormatUint(r.Version, 10), 0},
		func(args []any) { args[3] = 1 })
	switch {
	case err != nil:
		return err
	case v == int64(1):
		return nil
	case v == int64(-1) && r.Version == 0:
		return queue.ErrNotFound
	}
	return queue.ErrVersion
}

// ListRecords returns records by name.
func (s *Store) ListRecords(ctx context.Context, kind queue.RecordKind, prefix, after string, limit int) ([]queue.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if limit <= 0 {
		return nil, nil
	}
	from := "[" + prefix
	if after != "" && after >= prefix {
		from = "(" + after
	}
	rs, err := s.listRecords(ctx, kind, prefix, from, limit)
	if err != nil {
		return nil, fmt.Errorf("list %s records: %w", kind, err)
	}
	return rs, nil
}

// listRecords lists from a name on: "[" and the name, or "(" and one that is not
// meant itself.
func (s *Store) listRecords(ctx context.Context, kind queue.RecordKind, prefix, from string, limit int) ([]queue.Record, error) {
	upper := "+"
	if end := endOf(prefix); end != "" {
		upper = "(" + end
	}
	key := s.keys.registry()
	cmds, err := s.sv.ask(ctx, s.o.Timeout, key, func(ctx context.Context, p redis.Pipeliner) {
		p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: key + "n" + string(kind), Start: from, Stop: upper, ByLex: true, Count: int64(limit)})
	})
	if err != nil {
		return nil, err
	}
	names := cmds[0].(*redis.StringSliceCmd).Val()
	if len(names) == 0 {
		return nil, nil
	}
	cmds, err = s.sv.ask(ctx, s.o.Timeout, key, func(ctx context.Context, p redis.Pipeliner) {
		p.HMGet(ctx, key+"r"+string(kind), names...)
	})
	if err != nil {
		return nil, err
	}
	var out []queue.Record
	for i, v := range cmds[0].(*redis.SliceCmd).Val() {
		text, ok := v.(string)
		if !ok {
			continue // deleted meanwhile
		}
		r, err := decodeRegistry(kind, names[i], text)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// endOf is the first name that is greater than all that begin with prefix; empty
// if there is none.
func endOf(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// RegistryVersion grows with every change of a record.
func (s *Store) RegistryVersion(ctx context.Context) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	cmds, err := s.sv.ask(ctx, s.o.Timeout, s.keys.registry(), func(ctx context.Context, p redis.Pipeliner) {
		p.HGet(ctx, s.keys.registry(), "v")
	})
	if err != nil {
		return 0, fmt.Errorf("read the registry's version: %w", err)
	}
	text := cmds[0].(*redis.StringCmd).Val()
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}
