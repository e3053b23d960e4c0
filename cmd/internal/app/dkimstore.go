package app

import (
	"context"
	"errors"
	"fmt"

	"postrider/dkim"
	"postrider/queue"
)

// dkimStore keeps DKIM keys in the registry, one record a domain, so that all
// nodes sign with the same ones.
type dkimStore struct {
	registry queue.Registry
}

var _ dkim.RotationStore = dkimStore{}

func (s dkimStore) Keys(ctx context.Context, domain string) ([]dkim.Key, error) {
	r, err := s.registry.GetRecord(ctx, queue.RecordDKIMKey, domain)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read DKIM keys of %s: %w", domain, err)
	}
	return dkim.DecodeKeys(r.Value)
}

func (s dkimStore) Create(ctx context.Context, domain string, keys []dkim.Key) ([]dkim.Key, error) {
	value, err := dkim.EncodeKeys(keys)
	if err != nil {
		return nil, err
	}
	_, err = s.registry.PutRecord(ctx, queue.Record{Kind: queue.RecordDKIMKey, Name: domain, Value: value})
	if errors.Is(err, queue.ErrVersion) {
		return s.Keys(ctx, domain)
	}
	if err != nil {
		return nil, fmt.Errorf("keep DKIM keys of %s: %w", domain, err)
	}
	return keys, nil
}

func (s dkimStore) List(ctx context.Context) ([]dkim.Key, error) {
	var all []dkim.Key
	for r, err := range queue.Records(ctx, s.registry, queue.RecordDKIMKey, "") {
		if err != nil {
			return nil, fmt.Errorf("list DKIM keys: %w", err)
		}
		keys, err := dkim.DecodeKeys(r.Value)
		if err != nil {
			return nil, fmt.Errorf("DKIM keys of %s: %w", r.Name, err)
		}
		all = append(all, keys...)
	}
	return all, nil
}

// Change implements dkim.RotationStore.
func (s dkimStore) Change(ctx context.Context, domain string, edit func([]dkim.Key) ([]dkim.Key, bool)) ([]dkim.Key, error) {
	for {
		r, err := s.registry.GetRecord(ctx, queue.RecordDKIMKey, domain)
		if errors.Is(err, queue.ErrNotFound) {
			r, err = queue.Record{Kind: queue.RecordDKIMKey, Name: domain}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read DKIM keys of %s: %w", domain, err)
		}
		var keys []dkim.Key
		if r.Version != 0 {
			if keys, err = dkim.DecodeKeys(r.Value); err != nil {
				return nil, err
			}
		}
		edited, changed := edit(keys)
		if !changed {
			return keys, nil
		}
		if r.Value, err = dkim.EncodeKeys(edited); err != nil {
			return nil, err
		}
		switch _, err = s.registry.PutRecord(ctx, r); {
		case err == nil:
			return edited, nil
		case !errors.Is(err, queue.ErrVersion): // another node was faster: once more
			return nil, fmt.Errorf("keep DKIM keys of %s: %w", domain, err)
		}
	}
}
