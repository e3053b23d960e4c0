package auth

import (
	"context"
	"crypto/hmac"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postrider/queue"
	"postrider/relay/intake"
)

// Key is a further credential of an account.
type Key struct {
	ID      string    `json:"id"` // "key_…", no secret
	Account string    `json:"account"`
	Label   string    `json:"label,omitempty"`
	Scopes  []Scope   `json:"scopes"`
	Created time.Time `json:"created"`
	Digest  []byte    `json:"digest"`
	KeyLimits
}

// KeyLimits narrow what a key may be used for. The zero value narrows nothing.
type KeyLimits struct {
	AllowedSenders    []string       `json:"allowed_senders,omitempty"`    // as of an account; header and envelope
	AllowedRecipients []string       `json:"allowed_recipients,omitempty"` // likewise
	AllowedStreams    []string       `json:"allowed_streams,omitempty"`    // the first one is that of mail which names none
	Networks          []netip.Prefix `json:"networks,omitempty"`           // where it may be used from
	ExpiresAt         time.Time      `json:"expires_at,omitzero"`          // zero: never
	Sandbox           bool           `json:"sandbox,omitempty"`            // accepts and reports, sends nothing
	RatePerMinute     int            `json:"rate_per_minute,omitempty"`    // recipients; 0: any number
}

// stream is that of mail which names none.
func (l *KeyLimits) stream() string {
	if len(l.AllowedStreams) == 0 {
		return ""
	}
	return l.AllowedStreams[0]
}

func (l *KeyLimits) expired(now time.Time) bool {
	return !l.ExpiresAt.IsZero() && !now.Before(l.ExpiresAt)
}

// allowsNetwork reports whether a client at the address may use the key. The
// local socket, which has no address, is not a network.
func (l *KeyLimits) allowsNetwork(a netip.Addr) bool {
	if len(l.Networks) == 0 || !a.IsValid() {
		return true
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(l.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// keyEntry is a key ready for use.
type keyEntry struct {
	Key
	senders, recipients intake.Addresses
	version             uint64
}

func readKey(r queue.Record) (*keyEntry, error) {
	k := &keyEntry{version: r.Version}
	if err := json.Unmarshal(r.Value, &k.Key); err != nil {
		return nil, fmt.Errorf("read key %s: %w", r.Name, err)
	}
	var err error
	if k.senders, err = intake.ParseAddresses(k.AllowedSenders); err != nil {
		return nil, fmt.Errorf("allowed senders of key %s: %w", r.Name, err)
	}
	if k.recipients, err = intake.ParseAddresses(k.AllowedRecipients); err != nil {
		return nil, fmt.Errorf("allowed recipients of key %s: %w", r.Name, err)
	}
	return k, nil
}

// narrow returns what both the account and the key allow.
func (k *keyEntry) narrow(p intake.Policy) intake.Policy {
	p = p.Narrow(k.senders)
	p.Recipients = p.Recipients.And(k.recipients)
	p.Streams, p.Sandbox = k.AllowedStreams, p.Sandbox || k.Sandbox
	p.RatePerMinute, p.RateKey = k.RatePerMinute, k.ID
	return p
}

var idEncoding = base32.NewEncoding(queue.Crockford).WithPadding(base32.NoPadding)

const (
	keyIDPrefix = "key_"
	maxKeyID    = 64 // octets
)

// keyID is derived from the secret, so that a login finds the key's record.
func keyID(sum []byte) string { return keyIDPrefix + idEncoding.EncodeToString(sum[:15]) }

func (a *Authenticator) claimKey(ctx context.Context, l *login) (claim, error) {
	if k, ok := a.keys[a.marker.mark("key", l.Password)]; ok {
		return claim{id: Identity{Account: k.Account, Scopes: k.Scopes, Credential: k.Name}, match: true, exists: true}, nil
	}
	if !strings.HasPrefix(l.Password, keyPrefix) {
		return claim{}, nil
	}
	sum := digest(l.Password)
	k, err := a.directory.key(ctx, keyID(sum))
	if isNotFound(err) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	c := claim{
		id:      Identity{Account: k.Account, Scopes: k.Scopes, Credential: k.ID, Sandbox: k.Sandbox, Stream: k.stream()},
		version: k.version, exists: true, key: &k.Key,
	}
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

// isStaticKey reports whether a credential is the account's key of the
// configuration, which has no limits.
func (a *Authenticator) isStaticKey(account, credential string) bool {
	for _, k := range a.keys {
		if k.Name == credential && k.Account == account {
			return true
		}
	}
	return false
}
