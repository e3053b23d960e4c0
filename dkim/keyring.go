package dkim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNoKey says that no key may sign for a domain, and none will be made.
var ErrNoKey = errors.New("no DKIM key for this domain")

// ErrKeyPending says that a key for the domain is being made: see
// Keyring.Wait.
var ErrKeyPending = errors.New("the DKIM key for this domain is being made")

// KeyringOptions configure a Keyring.
type KeyringOptions struct {
	// Store keeps generated keys. It may be nil if Autogenerate is off and all
	// keys are Imported.
	Store KeyStore
	// Imported keys, from ImportDir for instance, stand before the store's:
	// a domain that has an active one is signed for with them alone, since their
	// records are the ones the operator published.
	Imported []Key
	// Autogenerate makes keys, one RSA and one Ed25519, on first use of a
	// From domain that has none.
	Autogenerate bool
	// Allow says for which domains keys may be made; nil means all. It is
	// asked for the From domain first and then for its parents up to the
	// organisational domain, and the first yes gets the keys. It must be safe
	// for concurrent use and not block.
	Allow func(domain string) bool
	// CacheFor is how long an answer of the store is used without asking
	// again, and so how late another node's new key is noticed. 0 means one
	// minute.
	CacheFor time.Duration
	// Now is the clock. nil means time.Now.
	Now func() time.Time
	// Logger gets a line per key made or not made. nil means none.
	Logger *slog.Logger
}

const (
	defaultCacheFor = time.Minute
	// maxCached bounds the memory for answers: From domains are the senders'
	// to choose.
	maxCached = 10_000
	// staleFor is how long keys are used on without asking a store that
	// failed.
	staleFor = 5 * time.Second
)

// A Keyring chooses the keys that sign for a From domain. It is safe for
// concurrent use. Between Start and Drain it makes missing keys, if told to.
type Keyring struct {
	store    KeyStore
	imported map[string][]Key
	cacheFor time.Duration
	now      func() time.Time
	log      *slog.Logger

	autogenerate bool
	allow        func(string) bool
	jobs         chan *generation
	stop         chan struct{}
	halt         func() // closes stop, once

	mu       sync.Mutex
	cache    map[string]answer
	epoch    int                    // counts invalidations
	pending  map[string]*generation // by the domain the key is for
	finished chan struct{}          // closed when what Start began has ended; nil before
}

// An answer is what Keys found for a From domain; no keys means ErrNoKey.
type answer struct {
	keys  []Key
	until time.Time
}

// NewKeyring returns a Keyring, or an error when the options contradict each
// other.
func NewKeyring(o KeyringOptions) (*Keyring, error) {
	if o.Store == nil && o.Autogenerate {
		return nil, errors.New("dkim keys cannot be generated without a store to keep them in")
	}
	r := &Keyring{
		store:    o.Store,
		imported: make(map[string][]Key),
		cacheFor: cmp.Or(o.CacheFor, defaultCacheFor),
		now:      o.Now,
		log:      o.Logger,
		cache:    make(map[string]answer),

		autogenerate: o.Autogenerate,
		allow:        o.Allow,
		jobs:         make(chan *generation, maxPending),
		stop:         make(chan struct{}),
		pending:      make(map[string]*generation),
	}
	r.halt = sync.OnceFunc(func() { close(r.stop) })
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	for _, k := range o.Imported {
		r.imported[k.Domain] = append(r.imported[k.Domain], k)
	}
	return r, nil
}

// Keys returns the keys that sign for mail from an address in fromDomain: the
// newest active key of each algorithm, RSA first, of the domain itself or else
// of its nearest parent that has one, up to the organisational domain. The
// caller must not change the slice.
//
// It returns ErrNoKey or ErrKeyPending when there is none, the reason if
// making one failed a moment ago, and what the store returned if that cannot be
// asked. Keys that were found before stay in use while the store fails.
func (r *Keyring) Keys(ctx context.Context, fromDomain string) ([]Key, error) {
	keys, _, err := r.keys(ctx, fromDomain)
	return keys, err
}

// keys is Keys that also returns what is under way when the answer is
// ErrKeyPending, nil if not even that.
func (r *Keyring) keys(ctx context.Context, fromDomain string) ([]Key, *generation, error) {
	domain, err := normalDomain(fromDomain)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	now := r.now()
	r.mu.Lock()
	known, cached := r.cache[domain]
	epoch := r.epoch
	r.mu.Unlock()
	if !cached || !now.Before(known.until) {
		found, err := r.find(ctx, domain)
		switch {
		case err == nil:
			known = answer{found, now.Add(r.cacheFor)}
		case len(known.keys) > 0 && ctx.Err() == nil:
			r.log.Warn("dkim key store failed, using the keys known before", "domain", domain, "error", err)
			known.until = now.Add(staleFor)
		default:
			return nil, nil, fmt.Errorf("look up dkim keys of %s: %w", domain, err)
		}
		r.remember(domain, known, epoch)
	}
	if len(known.keys) == 0 {
		job, err := r.request(domain, now)
		return nil, job, err
	}
	return known.keys, nil, nil
}

// Invalidate forgets what is known about the domain and those below it, for
// when its keys changed in the store.
func (r *Keyring) Invalidate(domain string) {
	domain, err := normalDomain(domain)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	for d := range r.cache {
		if d == domain || strings.HasSuffix(d, "."+domain) {
			delete(r.cache, d)
		}
	}
}

// remember keeps an answer unless it was overtaken by Invalidate.
func (r *Keyring) remember(domain string, a answer, epoch int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if epoch != r.epoch {
		return
	}
	if len(r.cache) >= maxCached {
		clear(r.cache)
	}
	r.cache[domain] = a
}

// find asks for the keys of the domain and its parents, nearest first.
func (r *Keyring) find(ctx context.Context, domain string) ([]Key, error) {
	for _, d := range candidates(domain) {
		if keys := signing(r.imported[d]); len(keys) > 0 {
			return keys, nil
		}
		if r.store == nil {
			continue
		}
		keys, err := r.store.Keys(ctx, d)
		if err != nil {
			return nil, err
		}
		if keys = signing(keys); len(keys) > 0 {
			return keys, nil
		}
	}
	return nil, nil
}

// signing picks the newest active key of each algorithm. RSA comes first, so
// that its field stands on top: some verifiers look no further than that.
func signing(keys []Key) []Key {
	var picked []Key
	for _, algorithm := range []Algorithm{RSA, Ed25519} {
		var newest *Key
		for i := range keys {
			k := &keys[i]
			if k.State == Active && k.Algorithm == algorithm && (newest == nil || k.Created.After(newest.Created)) {
				newest = k
			}
		}
		if newest != nil {
			picked = append(picked, *newest)
		}
	}
	return slices.Clip(picked)
}
