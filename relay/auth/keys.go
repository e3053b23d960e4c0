package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/queue"
	"postrider/relay/intake"
)

// NewKey is what a key is made of.
type NewKey struct {
	Account string
	Label   string // what it is for, in words
	Scopes  []Scope
	KeyLimits
}

// Bounds of a key, so that its record stays small.
const (
	maxLabel  = 200     // octets
	maxLimits = 100     // of each list
	maxRate   = 1 << 20 // recipients a minute
)

// CreateKey makes a key and returns its secret, which cannot be had again.
// queue.ErrNotFound if there is no such account.
func (a *Authenticator) CreateKey(ctx context.Context, n NewKey) (secret string, k Key, err error) {
	n.Account = fold(n.Account)
	if _, ok := a.static[n.Account]; !ok {
		if _, err := a.directory.account(ctx, n.Account); err != nil {
			return "", Key{}, fmt.Errorf("account %.80q: %w", n.Account, err)
		}
	}
	now := a.o.Now().UTC()
	if n.expired(now) {
		return "", Key{}, errors.New("the key would have expired already: give a later time, or none")
	}
	secret = newSecret(keyPrefix)
	sum := digest(secret)
	k = Key{ID: keyID(sum), Account: n.Account, Label: n.Label, Scopes: n.Scopes, Created: now, Digest: sum, KeyLimits: n.KeyLimits}
	if err := a.putKey(ctx, &k, 0); err != nil {
		return "", Key{}, err
	}
	return secret, k, nil
}

// UpdateKey changes a key and returns it; change may be called again if somebody
// else was quicker. Id, account, secret and time of creation stay. It counts for
// the next login and, but for scopes and networks, for the next message of a
// client that is logged in. queue.ErrNotFound if there is none.
func (a *Authenticator) UpdateKey(ctx context.Context, id string, change func(*Key)) (Key, error) {
	for {
		old, version, err := a.getKey(ctx, id)
		if err != nil {
			return Key{}, fmt.Errorf("change key %.40q: %w", id, err)
		}
		k := old
		change(&k)
		k.ID, k.Account, k.Created, k.Digest = old.ID, old.Account, old.Created, old.Digest
		switch err := a.putKey(ctx, &k, version); {
		case err == nil:
			return k, nil
		case !errors.Is(err, queue.ErrVersion):
			return Key{}, err
		}
	}
}

// Key returns a key, without its secret; queue.ErrNotFound if there is none.
func (a *Authenticator) Key(ctx context.Context, id string) (Key, error) {
	k, _, err := a.getKey(ctx, id)
	if err != nil {
		return Key{}, fmt.Errorf("key %.40q: %w", id, err)
	}
	return k, nil
}

func (a *Authenticator) getKey(ctx context.Context, id string) (k Key, version uint64, err error) {
	if !strings.HasPrefix(id, keyIDPrefix) || len(id) > maxKeyID {
		return k, 0, queue.ErrNotFound
	}
	r, err := a.o.Store.GetRecord(ctx, queue.RecordCredential, id)
	if err != nil {
		return k, 0, err
	}
	return k, r.Version, json.Unmarshal(r.Value, &k)
}

func (a *Authenticator) putKey(ctx context.Context, k *Key, version uint64) error {
	if err := k.tidy(); err != nil {
		return err
	}
	value, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if len(value) > maxRecord {
		return errors.New("the key has too many senders, recipients, streams and networks: name fewer")
	}
	defer a.directory.changed()
	if _, err := a.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordCredential, Name: k.ID, Version: version, Value: value}); err != nil {
		return fmt.Errorf("keep key: %w", err)
	}
	return nil
}

// maxRecord is the largest value of the registry.
const maxRecord = 64 << 10

// tidy reports what is wrong with a key, and brings the rest into one form.
func (k *Key) tidy() error {
	switch {
	case len(k.Scopes) == 0:
		return errors.New("the key has no scope: name at least one, such as send")
	case len(k.Label) > maxLabel || !plain(k.Label):
		return fmt.Errorf("label of the key: use at most %d octets of text in one line", maxLabel)
	case k.RatePerMinute < 0 || k.RatePerMinute > maxRate:
		return fmt.Errorf("rate of the key: use 1 to %d recipients a minute, or 0 for any number", maxRate)
	}
	if err := checkScopes(k.Scopes); err != nil {
		return fmt.Errorf("scopes of the key: %w", err)
	}
	for name, n := range map[string]int{
		"allowed senders": len(k.AllowedSenders), "allowed recipients": len(k.AllowedRecipients),
		"allowed streams": len(k.AllowedStreams), "networks": len(k.Networks),
	} {
		if n > maxLimits {
			return fmt.Errorf("%s of the key: name at most %d", name, maxLimits)
		}
	}
	if !k.ExpiresAt.IsZero() {
		k.ExpiresAt = k.ExpiresAt.UTC().Truncate(time.Millisecond)
	}
	return k.KeyLimits.tidy()
}

// tidy repeats nothing of what it was given: its errors reach HTTP clients.
func (l *KeyLimits) tidy() error {
	for name, patterns := range map[string][]string{"sender": l.AllowedSenders, "recipient": l.AllowedRecipients} {
		for i, p := range patterns {
			if _, err := intake.ParseAddresses([]string{p}); err != nil {
				return fmt.Errorf("allowed %s %d of the key cannot be read: use example.com, *.example.com or shop@example.com", name, i+1)
			}
		}
	}
	for _, s := range l.AllowedStreams {
		if s == "" || len(s) > queue.MaxStream || !plain(s) {
			return fmt.Errorf("allowed streams of the key: a stream's name has 1 to %d octets", queue.MaxStream)
		}
	}
	networks := slices.Clone(l.Networks)
	for i, p := range networks {
		if !p.IsValid() || p.Addr().Is4In6() {
			return errors.New("networks of the key: use prefixes such as 192.0.2.0/24 and 2001:db8::/32")
		}
		networks[i] = p.Masked()
	}
	l.Networks = networks
	return nil
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkScopes(scopes []Scope) error {
	if i := slices.IndexFunc(scopes, func(s Scope) bool { return !s.Valid() }); i >= 0 {
		return fmt.Errorf("the name of scope %d is not known: use send, read, manage, admin, or single ones such as %s", i+1, queue.ScopeMessagesSend)
	}
	return nil
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

// DeleteKey ends a key; queue.ErrNotFound if there is none. A client that is
// logged in with it may send no further message.
func (a *Authenticator) DeleteKey(ctx context.Context, id string) error {
	defer a.directory.changed()
	r, err := a.o.Store.GetRecord(ctx, queue.RecordCredential, id)
	if err == nil {
		err = a.o.Store.DeleteRecord(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("delete key %.40q: %w", id, err)
	}
	return nil
}
