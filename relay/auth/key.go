package auth

import (
	"context"
	"crypto/hmac"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

// Key is a further credential of an account.
type Key struct {
	ID      string    `json:"id"` // "key_…", no secret
	Account string    `json:"account"`
	Label   string    `json:"label,omitempty"`
	Scopes  []Scope   `json:"scopes"`
	Created time.Time `json:"created"`
	Digest  []byte    `json:"digest"`
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// keyID is derived from the secret, so that a login finds the key's record.
func keyID(sum []byte) string { return "key_" + idEncoding.EncodeToString(sum[:15]) }

func (a *Authenticator) claimKey(ctx context.Context, l *login) (claim, error) {
	if k, ok := a.keys[a.marker.mark("key", l.Password)]; ok {
		return claim{id: Identity{Account: k.Account, Scopes: k.Scopes, Credential: k.Name}, match: true, exists: true}, nil
	}
	if !strings.HasPrefix(l.Password, keyPrefix) {
		return claim{}, nil
	}
	sum := digest(l.Password)
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	r, err := a.o.Store.GetRecord(ctx, queue.RecordCredential, keyID(sum))
	if isNotFound(err) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, fmt.Errorf("look up key: %w", err)
	}
	var k Key
	if err := json.Unmarshal(r.Value, &k); err != nil {
		return claim{}, fmt.Errorf("read key %s: %w", r.Name, err)
	}
	c := claim{id: Identity{Account: k.Account, Scopes: k.Scopes, Credential: k.ID}, version: r.Version, exists: true}
	if s, ok := a.static[k.Account]; ok {
		c.id.Disabled = s.policy.Disabled
	} else {
		e, err := a.directory.account(ctx, k.Account)
		if isNotFound(err) {
			return claim{}, nil
		}
		if err != nil {
			return claim{}, err
		}
		c.id.Disabled = e.Disabled
	}
	c.match = hmac.Equal(k.Digest, sum)
	return c, nil
}

// CreateKey makes a key for an account and returns its secret, which cannot be
// had again.
func (a *Authenticator) CreateKey(ctx context.Context, account, label string, scopes []Scope) (secret string, k Key, err error) {
	account = fold(account)
	if _, ok := a.static[account]; !ok {
		if _, err := a.directory.account(ctx, account); err != nil {
			return "", Key{}, fmt.Errorf("account %.80q: %w", account, err)
		}
	}
	if len(scopes) == 0 || slices.ContainsFunc(scopes, func(s Scope) bool { return !s.Valid() }) {
		return "", Key{}, fmt.Errorf("scopes of the key %v: name at least one of send, read and admin", scopes)
	}
	if len(label) > 200 {
		return "", Key{}, fmt.Errorf("label of the key is longer than 200 octets")
	}
	secret = newSecret(keyPrefix)
	sum := digest(secret)
	k = Key{ID: keyID(sum), Account: account, Label: label, Scopes: scopes, Created: a.o.Now().UTC(), Digest: sum}
	value, err := json.Marshal(k)
	if err != nil {
		return "", Key{}, fmt.Errorf("write key: %w", err)
	}
	if _, err := a.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordCredential, Name: k.ID, Value: value}); err != nil {
		return "", Key{}, fmt.Errorf("keep key: %w", err)
	}
	return secret, k, nil
}

// Keys lists the keys of an account, or all if account is empty, by id.
func (a *Authenticator) Keys(ctx context.Context, account string) ([]Key, error) {
	var keys []Key
	err := a.each(ctx, queue.RecordCredential, func(r queue.Record) error {
		var k Key
		if err := json.Unmarshal(r.Value, &k); err != nil {
			return fmt.Errorf("read key %s: %w", r.Name, err)
		}
		if account == "" || k.Account == fold(account) {
			keys = append(keys, k)
		}
		return nil
	})
	return keys, err
}

// DeleteKey ends a key; queue.ErrNotFound if there is none.
func (a *Authenticator) DeleteKey(ctx context.Context, id string) error {
	r, err := a.o.Store.GetRecord(ctx, queue.RecordCredential, id)
	if err == nil {
		err = a.o.Store.DeleteRecord(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("delete key %.40q: %w", id, err)
	}
	return nil
}
