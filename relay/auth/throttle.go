package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"postrider/queue"
)

// throttle counts failed logins in the store, so that nodes count together. A
// right password costs nothing: only a failure takes from the budget, and what
// is overdrawn is remembered here until it is made good.
type throttle struct {
	limits queue.Limits
	logger *slog.Logger

	mu    sync.Mutex
	until map[string]time.Time
}

// maxOverdrawn bounds the memory; beyond it, those that end first are forgotten.
const maxOverdrawn = 50000

func newThrottle(limits queue.Limits, logger *slog.Logger) *throttle {
	return &throttle{limits: limits, logger: logger, until: map[string]time.Time{}}
}

// blocked reports whether the budget of key is overdrawn.
func (t *throttle) blocked(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.until[key]
	if ok && !now.Before(end) {
		delete(t.until, key)
		return false
	}
	return ok
}

// failed takes one from the budget of key.
func (t *throttle) failed(ctx context.Context, key string, b Budget, now time.Time) {
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
			t.block(key, now, wait)
		}
	}
}

func (t *throttle) block(key string, now time.Time, wait time.Duration) {
	t.logger.Warn("too many failed logins", "of", key, "blocked_for", wait.Round(time.Second))
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
