package mtasts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/mx"
)

const (
	// storePrefix begins the keys of policies in the store.
	storePrefix = "mta-sts/"
	// troubleRetry is the pause after DNS could not say whether there is a policy.
	troubleRetry = 30 * time.Second
)

// look finds out about a domain: it reads the TXT record, takes a newer policy
// from the store if another node has put one there, and fetches the policy if
// that is called for. The error means that nothing is known, and is temporary.
func (c *Cache) look(ctx context.Context, e entry, maxAge time.Duration) (entry, error) {
	now := c.o.Now()
	id, recordErr := c.discover(ctx, e.domain)
	var storeErr error
	if !e.held.holds(now) || c.wants(e.held, id, maxAge, now) {
		if e.held, storeErr = c.recall(ctx, e.domain, e.held, now); storeErr != nil {
			c.o.Logger.Warn("stored mta-sts policy cannot be read", "domain", e.domain, "error", storeErr)
		}
	}
	switch {
	case e.held.holds(now) && c.wants(e.held, id, maxAge, now), !e.held.holds(now) && id != "":
		return c.renew(ctx, e, id, storeErr)
	case errors.Is(context.Cause(ctx), ErrClosed):
		return e, ErrClosed
	case e.held.holds(now):
		e.fault, e.fails, e.checkAt = "", 0, now.Add(c.o.CheckEvery)
		return e, nil
	case storeErr != nil:
		return e, fmt.Errorf("MTA-STS policy of %s: %w", e.domain, storeErr)
	}
	e.held, e.fault, e.fails, e.checkAt = nil, "", 0, now.Add(c.o.CheckEvery)
	switch {
	case errors.Is(recordErr, ErrNoRecord):
	case errors.Is(recordErr, errInvalid):
		e.fault = FaultInvalid
	case recordErr != nil:
		e.checkAt = now.Add(min(troubleRetry, c.o.CheckEvery))
	}
	return e, nil
}

// discover returns the id in the TXT record of a domain.
func (c *Cache) discover(ctx context.Context, domain string) (id string, err error) {
	a, err := c.o.Resolver.TXT(ctx, "_mta-sts."+domain)
	var e *mx.Error
	switch {
	case errors.As(err, &e) && !e.Temporary:
		return "", ErrNoRecord
	case err != nil:
		return "", err
	}
	return ParseRecord(a.Values)
}

// wants reports whether a policy that holds should be fetched again. That it is
// old is enough: whoever can make the TXT record vanish must not be able to wait
// for the policy to expire (RFC 8461 §10.2).
func (c *Cache) wants(h *held, id string, maxAge time.Duration, now time.Time) bool {
	if maxAge == 0 {
		maxAge = c.staleAfter(h)
	}
	return id != "" && id != h.id || now.Sub(h.fetched) >= maxAge
}

// staleAfter is the age at which a policy is fetched again: in good time before
// it expires.
func (c *Cache) staleAfter(h *held) time.Duration {
	return min(c.o.RefreshEvery, h.expires.Sub(h.fetched)/2)
}

// recall returns the newer of the policy in the store and the one in memory.
func (c *Cache) recall(ctx context.Context, domain string, inMemory *held, now time.Time) (*held, error) {
	if c.o.Store == nil {
		return inMemory, nil
	}
	b, err := c.o.Store.CacheGet(ctx, storePrefix+domain, now)
	if err != nil {
		if c.o.Missing == nil || errors.Is(err, c.o.Missing) {
			err = nil
		}
		return inMemory, err
	}
	stored, err := decodeHeld(b)
	if err != nil { // As good as forgotten; the next fetch replaces it.
		c.o.Logger.Warn("stored mta-sts policy is damaged", "domain", domain, "error", err)
		return inMemory, nil
	}
	if inMemory.holds(now) && !stored.fetched.After(inMemory.fetched) {
		return inMemory, nil
	}
	return stored, nil
}

// renew fetches the policy. Whatever fails, one that holds stays
// (RFC 8461 §5.1).
func (c *Cache) renew(ctx context.Context, e entry, id string, storeErr error) (entry, error) {
	fetched, fault, err := c.fetchPolicy(ctx, e.domain)
	now := c.o.Now()
	if errors.Is(context.Cause(ctx), ErrClosed) && err != nil {
		return e, ErrClosed
	}
	e.tried = now
	if err != nil {
		return c.failed(ctx, e, fault, err, storeErr, now)
	}
	if id == "" { // The record is gone or cannot be read; the policy is there.
		id = e.held.id
	}
	p := &held{
		mode: fetched.Mode, hosts: fetched.Hosts, id: id,
		fetched: now, expires: now.Add(fetched.MaxAge),
	}
	if e.held == nil || e.held.id != id || e.held.mode != p.mode {
		c.o.Logger.Info("mta-sts policy", "domain", e.domain, "mode", string(p.mode), "policy", id, "expires", p.expires)
	}
	e.held, e.fault, e.fails, e.checkAt = p, "", 0, now.Add(c.o.CheckEvery)
	c.keep(ctx, e.domain, p, now)
	return e, nil
}

func (c *Cache) failed(ctx context.Context, e entry, fault string, err, storeErr error, now time.Time) (entry, error) {
	level := slog.LevelInfo
	if e.held.holds(now) && e.held.mode == Enforce {
		level = slog.LevelWarn // It will run out unless this is mended.
	}
	c.o.Logger.Log(ctx, level, "mta-sts policy cannot be fetched", "domain", e.domain, "result", fault, "error", err)
	if !e.held.holds(now) {
		e.held = nil
		if storeErr != nil {
			return e, fmt.Errorf("MTA-STS policy of %s: %w", e.domain, storeErr)
		}
	}
	e.checkAt = now.Add(backOff(c.o.MinRetry, c.o.MaxRetry, e.fails))
	e.fault = fault
	e.fails++
	return e, nil
}

// backOff is the pause after one more failure.
func backOff(low, high time.Duration, fails int) time.Duration {
	for ; fails > 0 && low < high; fails-- {
		low *= 2
	}
	return min(low, high)
}

// keep puts the policy into the store, in place of the one before even if it
// expires at once. Where that fails it is kept in memory.
func (c *Cache) keep(ctx context.Context, domain string, p *held, now time.Time) {
	if c.o.Store == nil {
		return
	}
	ttl := max(p.expires.Sub(now), time.Second)
	b, err := p.encode()
	if err == nil {
		err = c.o.Store.CachePut(ctx, storePrefix+domain, b, now, ttl)
	}
	if err != nil {
		c.o.Logger.Warn("mta-sts policy cannot be stored", "domain", domain, "error", err)
	}
}
