package auth

import (
	"context"
	"crypto/hmac"
	"fmt"
	"strings"
	"time"

	"postrider/relay/intake"
)

// Authenticator checks credentials and keeps accounts. It is safe for
// concurrent use.
type Authenticator struct {
	o         Options
	static    map[string]staticEntry
	keys      map[mark]StaticKey
	directory *directory
	hasher    *hasher
	throttle  *throttle
	marker    *marker
	verified  *memory
	good      *memory
}

type staticEntry struct {
	secret mark
	policy intake.Policy
}

// New returns an Authenticator. It fails if the static accounts make no sense.
func New(o Options) (*Authenticator, error) {
	o = o.withDefaults()
	a := &Authenticator{
		o: o, static: map[string]staticEntry{}, keys: map[mark]StaticKey{},
		directory: &directory{store: o.Store, defaults: o.Defaults, freshness: o.Freshness, now: o.Now},
		hasher:    newHasher(o.Waiting), throttle: newThrottle(o.Store, o.Logger), marker: newMarker(),
		verified: newMemory(o.CacheSize, o.CacheTTL), good: newMemory(o.CacheSize, o.KnownGood),
	}
	for _, s := range o.Static {
		name := fold(s.Name)
		if err := checkName(name); err != nil {
			return nil, err
		}
		if _, twice := a.static[name]; twice || s.Secret == "" {
			return nil, fmt.Errorf("account %q of the configuration: it has no password, or is there twice", name)
		}
		a.static[name] = staticEntry{secret: a.marker.mark("static", s.Secret), policy: s.Policy}
	}
	for _, k := range o.Keys {
		if len(k.Secret) < 16 {
			return nil, fmt.Errorf("key %q of the configuration: it is shorter than 16 octets", k.Name)
		}
		a.keys[a.marker.mark("key", k.Secret)] = k
	}
	return a, nil
}

// Verify says who an attempt is by, or one of the errors of this package, or
// our own trouble.
func (a *Authenticator) Verify(ctx context.Context, at Attempt) (Identity, error) {
	l := login{Attempt: at, now: a.o.Now(), home: household(at.Remote)}
	l.Name = fold(at.Name)
	if len(l.Password) > maxPassword || len(l.Name) > maxPassword {
		l.Name, l.Password = "", "" // wrong like any other, at the same price
	}
	_, l.static = a.keys[a.marker.mark("key", l.Password)]
	id, err := a.identify(ctx, &l)
	if err != nil {
		return Identity{}, err
	}
	if at.Scope != "" && !id.May(at.Scope) {
		return id, fmt.Errorf("%w %s", ErrScope, at.Scope)
	}
	return id, nil
}

// login is an attempt under way.
type login struct {
	Attempt
	now    time.Time
	home   string // household; empty on the local socket
	static bool   // the password is a key of the configuration
}

// isKey says that the name, if any, does not count.
func (l *login) isKey() bool {
	return l.Name == "" || l.static || strings.HasPrefix(l.Password, keyPrefix)
}

// claim is what a login says to be, and how to find out.
type claim struct {
	id      Identity
	version uint64 // of what it was read from
	match   bool   // for secrets that are compared at once
	slow    *argonHash
	exists  bool
	key     *Key // nil: a password, or a key of the configuration
}

func (a *Authenticator) identify(ctx context.Context, l *login) (Identity, error) {
	c, err := a.claim(ctx, l)
	if err != nil {
		return Identity{}, err
	}
	seen := a.marker.mark("login", l.Name, l.Password, l.home)
	if c.exists && a.verified.has(seen, c.version, l.now) {
		return c.id, c.mayLogIn(l)
	}
	if a.blocked(ctx, l) {
		return Identity{}, ErrThrottled
	}
	ok, err := a.match(ctx, l, c)
	if err != nil {
		return Identity{}, fmt.Errorf("check password: %w", err)
	}
	if !ok {
		a.failed(ctx, l)
		return Identity{}, ErrCredentials
	}
	a.verified.keep(seen, c.version, l.now)
	a.good.keep(a.goodMark(l), 0, l.now)
	return c.id, c.mayLogIn(l)
}

// mayLogIn holds a key that is right against its limits.
func (c claim) mayLogIn(l *login) error {
	switch {
	case c.key == nil:
		return nil
	case c.key.expired(l.now):
		return fmt.Errorf("%w at %s", ErrExpired, c.key.ExpiresAt.UTC().Format(time.RFC3339))
	case !c.key.allowsNetwork(l.Remote):
		return ErrNetwork
	}
	return nil
}

// match spends one argon2id on every failure, whatever the reason.
func (a *Authenticator) match(ctx context.Context, l *login, c claim) (bool, error) {
	switch {
	case c.match:
		return true, nil
	case c.slow != nil:
		return a.hasher.match(ctx, *c.slow, l.Password)
	}
	_, err := a.hasher.match(ctx, a.hasher.dummy, l.Password)
	return false, err
}

func (a *Authenticator) claim(ctx context.Context, l *login) (claim, error) {
	if s, ok := a.static[l.Name]; ok {
		m := a.marker.mark("static", l.Password)
		c := claim{id: Identity{Account: l.Name, Scopes: passwordScopes, Disabled: s.policy.Disabled},
			match: hmac.Equal(m[:], s.secret[:]), exists: true}
		if c.match || !l.isKey() {
			return c, nil
		}
	}
	if l.isKey() {
		return a.claimKey(ctx, l)
	}
	e, err := a.directory.account(ctx, l.Name)
	if isNotFound(err) {
		return claim{}, nil
	}
	if err != nil {
		return claim{}, err
	}
	c := claim{id: Identity{Account: e.Name, Scopes: e.scopes(), Disabled: e.Disabled}, version: e.version, exists: true}
	if match, fast := matchDigest(e.PasswordHash, l.Password); fast {
		c.match = match
	} else if e.PasswordHash != "" {
		h, err := parseArgonHash(e.PasswordHash)
		if err != nil {
			return claim{}, fmt.Errorf("account %q: %w", e.Name, err)
		}
		c.slow = &h
	}
	return c, nil
}

// blocked reports whether this client, or the account, was guessed at too
// often. Who logged in to the account from this address lately is not locked
// out by others' guessing.
func (a *Authenticator) blocked(ctx context.Context, l *login) bool {
	if l.home != "" && a.throttle.blocked(ctx, addressKey(l), l.now) {
		return true
	}
	if l.isKey() || !a.throttle.blocked(ctx, accountKey(l), l.now) {
		return false
	}
	return !a.good.has(a.goodMark(l), 0, l.now)
}

func (a *Authenticator) failed(ctx context.Context, l *login) {
	if l.home != "" {
		a.throttle.failed(ctx, addressKey(l), a.o.AddressBudget, l.now)
	}
	if !l.isKey() {
		a.throttle.failed(ctx, accountKey(l), a.o.AccountBudget, l.now)
	}
}

func (a *Authenticator) goodMark(l *login) mark { return a.marker.mark("good", l.Name, l.home) }

func addressKey(l *login) string { return "address/" + l.home }
func accountKey(l *login) string { return "account/" + l.Name[:min(len(l.Name), 64)] }
