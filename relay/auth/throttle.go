package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"postrider/queue"
)

// throttle counts failed logins in the store, so that nodes count together. A
// right password costs nothing: only a failure takes from the budget. That a
// budget is overdrawn is remembered here, and in the store for the other nodes,
// until it is made good.
type throttle struct {
	limits queue.Limits
	cache  queue.Cache
	logger *slog.Logger

	mu    sync.Mutex
	until map[string]time.Time
}

// The store is not waited for long: a login needs it for other things too, and
// has its answer within two seconds.
const (
	askTime  = 300 * time.Millisecond
	tellTime = time.Second
)

// maxOverdrawn bounds the memory; beyond it, those that end first are forgotten.
const maxOverdrawn = 50000

func newThrottle(s Store, logger *slog.Logger) *throttle {
	return &throttle{limits: s, cache: s, logger: logger, until: map[string]time.Time{}}
}

// blocked reports whether the budget of key is overdrawn.
func (t *throttle) blocked(ctx context.Context, key string, now time.Time) bool {
	if t.blockedHere(key, now) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := t.cache.CacheGet(ctx, overdrawnKey(key), now)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		// Who knows the password may log in although the store is in trouble.
		t.logger.Warn("cannot ask for failed logins at other nodes", "of", key, "error", err)
	}
	return err == nil
}

func (t *throttle) blockedHere(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.until[key]
	if ok && !now.Before(end) {
		delete(t.until, key)
		return false
	}
	return ok
}

func overdrawnKey(key string) string { return "login/overdrawn/" + key }

// failed takes one from the budget of key.
func (t *throttle) failed(ctx context.Context, key string, b Budget, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	for _, r := range []struct {
		name string
		rate queue.Rate
	}{
		{"minute", queue.Rate{Count: b.PerMinute, Per: time.Minute, Burst: b.PerMinute}},
		{"day", queue.Rate{Count: b.PerDay, Per: 24 * time.Hour, Burst: b.PerDay}},
	} {
		ok, wait, err := t.limits.TakeRate(ctx, "login/"+r.name+"/"+key, now, r.rate, 1)
		switch {
		case err != nil:
			t.logger.Error("cannot count a failed login", "of", key, "error", err)
		case !ok:
			t.block(ctx, key, now, wait)
		}
	}
}

func (t *throttle) block(ctx context.Context, key string, now time.Time, wait time.Duration) {
	t.logger.Warn("too many failed logins", "of", key, "blocked_for", wait.Round(time.Second))
	if err := t.cache.CachePut(ctx, overdrawnKey(key), []byte{1}, now, wait); err != nil {
		t.logger.Warn("other nodes cannot be told of failed logins", "of", key, "error", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.until) >= maxOverdrawn {
		t.forget(now)
	}
	if end := now.Add(wait); end.After(t.until[key]) {
		t.until[key] = end
	}
}

func (t *throttle) forget(now time.Time) {
	first := ""
	for key, end := range t.until {
		if !now.Before(end) {
			delete(t.until, key)
		} else if first == "" || end.Before(t.until[first]) {
			first = key
		}
	}
	if len(t.until) >= maxOverdrawn {
		delete(t.until, first)
	}
}
