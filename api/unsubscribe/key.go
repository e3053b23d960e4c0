package unsubscribe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"postrider/queue"
)

const (
	keyIDLen   = 4
	keyRecord  = "unsubscribe-key"
	reloadWait = time.Minute // between looks for a key that is not known yet
	maxKeys    = 16          // kept after rotations
	tries      = 5           // at a record that others change too
)

// Keys are the secrets that links are made with. All nodes share them through
// the registry; the first that needs one makes it. They are safe for concurrent
// use.
type Keys struct {
	store queue.Registry
	now   func() time.Time

	mu     sync.Mutex
	keys   []key // newest first
	looked time.Time
}

type key struct {
	ID     []byte `json:"id"`
	Secret []byte `json:"secret"`
	Nonce  []byte `json:"nonce"`
}

// NewKeys returns Keys kept in store. now nil: time.Now.
func NewKeys(store queue.Registry, now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	return &Keys{store: store, now: now}
}

// newest returns the key to make links with.
func (k *Keys) newest(ctx context.Context) (key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == 0 {
		if err := k.load(ctx, true); err != nil {
			return key{}, err
		}
	}
	return k.keys[0], nil
}

// byID returns the key of a token; ok is false if there is none.
func (k *Keys) byID(ctx context.Context, id []byte) (found key, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok = k.find(id); ok || len(k.keys) > 0 && k.now().Sub(k.looked) < reloadWait {
		return found, ok, nil
	}
	if err := k.load(ctx, false); err != nil {
		return key{}, false, err
	}
	found, ok = k.find(id)
	return found, ok, nil
}

func (k *Keys) find(id []byte) (key, bool) {
	for _, one := range k.keys {
		if bytes.Equal(one.ID, id) {
			return one, true
		}
	}
	return key{}, false
}

// load reads the keys, and makes the first one if it must.
func (k *Keys) load(ctx context.Context, create bool) error {
	for range tries {
		r, err := k.store.GetRecord(ctx, queue.RecordSetting, keyRecord)
		switch {
		case err == nil:
			return k.keep(r.Value)
		case !errors.Is(err, queue.ErrNotFound):
			return fmt.Errorf("read unsubscribe keys: %w", err)
		case !create:
			return k.keep([]byte("[]"))
		}
		if err := k.put(ctx, queue.Record{}, nil); !errors.Is(err, queue.ErrVersion) {
			return err
		}
	}
	return fmt.Errorf("make unsubscribe key: %w", queue.ErrVersion)
}

// Rotate makes a new key for the links to come; those that are out stay good.
func (k *Keys) Rotate(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range tries {
		r, err := k.store.GetRecord(ctx, queue.RecordSetting, keyRecord)
		if errors.Is(err, queue.ErrNotFound) {
			r, err = queue.Record{Value: []byte("[]")}, nil
		}
		if err == nil {
			err = k.keep(r.Value)
		}
		if err != nil {
			return fmt.Errorf("rotate unsubscribe key: %w", err)
		}
		if err := k.put(ctx, r, k.keys); !errors.Is(err, queue.ErrVersion) {
			return err
		}
	}
	return fmt.Errorf("rotate unsubscribe key: %w", queue.ErrVersion)
}

// put writes a new key before the older ones, if r is still what is there.
func (k *Keys) put(ctx context.Context, r queue.Record, older []key) error {
	fresh := key{ID: make([]byte, keyIDLen), Secret: make([]byte, chacha20poly1305.KeySize), Nonce: make([]byte, 32)}
	for _, b := range [][]byte{fresh.ID, fresh.Secret, fresh.Nonce} {
		_, _ = rand.Read(b) // never fails
	}
	keys := append([]key{fresh}, older[:min(len(older), maxKeys-1)]...)
	value, err := json.Marshal(keys)
	if err != nil {
		return fmt.Errorf("write unsubscribe keys: %w", err)
	}
	if _, err := k.store.PutRecord(ctx, queue.Record{Kind: queue.RecordSetting, Name: keyRecord, Version: r.Version, Value: value}); err != nil {
		return fmt.Errorf("keep unsubscribe keys: %w", err)
	}
	k.keys, k.looked = keys, k.now()
	return nil
}

func (k *Keys) keep(value []byte) error {
	var keys []key
	if err := json.Unmarshal(value, &keys); err != nil {
		return fmt.Errorf("read unsubscribe keys: the record %s is damaged: %w", keyRecord, err)
	}
	for _, one := range keys {
		if len(one.ID) != keyIDLen || len(one.Secret) != chacha20poly1305.KeySize || len(one.Nonce) == 0 {
			return fmt.Errorf("read unsubscribe keys: the record %s is damaged", keyRecord)
		}
	}
	k.keys, k.looked = keys, k.now()
	return nil
}
