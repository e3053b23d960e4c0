package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"postrider/queue"
)

// account is ours with an authority.
type account struct {
	URI string `json:"uri,omitempty"` // empty: not known to it yet
	Key string `json:"key"`           // PEM

	version uint64
	signer  *ecdsa.PrivateKey
}

func accountName(directory string) string { return "account " + directory }

// loadAccount returns the account, or a new one that is kept already: nodes never
// come to two.
func loadAccount(ctx context.Context, store queue.Registry, directory string) (*account, error) {
	for {
		found, err := store.GetRecord(ctx, queue.RecordACME, accountName(directory))
		if err == nil {
			return decodeAccount(found)
		}
		if !errors.Is(err, queue.ErrNotFound) {
			return nil, fmt.Errorf("read the account with the authority: %w", err)
		}
		signer, key, err := newKey()
		if err != nil {
			return nil, err
		}
		a := &account{Key: string(key), signer: signer}
		if err = a.save(ctx, store, directory); err == nil {
			return a, nil
		}
		if !errors.Is(err, queue.ErrVersion) {
			return nil, err
		}
	}
}

func decodeAccount(r queue.Record) (*account, error) {
	a := &account{version: r.Version}
	if err := json.Unmarshal(r.Value, a); err != nil {
		return nil, fmt.Errorf("decode the account with the authority: %w", err)
	}
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return nil, errors.New("the account with the authority has no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key of the account with the authority: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key of the account with the authority is of another kind")
	}
	a.signer = signer
	return a, nil
}

func (a *account) save(ctx context.Context, store queue.Registry, directory string) error {
	value, err := json.Marshal(a)
	if err != nil {
		return err
	}
	version, err := store.PutRecord(ctx, queue.Record{Kind: queue.RecordACME, Name: accountName(directory), Version: a.version, Value: value})
	if err != nil {
		return fmt.Errorf("keep the account with the authority: %w", err)
	}
	a.version = version
	return nil
}

// newKey makes a key, and its PEM.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
