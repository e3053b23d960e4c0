package intake

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"postrider/queue"
)

// allowance is what accounts may still send in this hour, at all nodes
// together. A node takes it from the store in portions, so that a busy account's
// messages hardly ever wait for an answer.
type allowance struct {
	limits queue.Limits
	logger *slog.Logger

	mu       sync.Mutex
	accounts map[string]*portion
}

// portion is what this node has taken for an account and not used.
type portion struct {
	mu    sync.Mutex // held while the store is asked
	hour  int64      // since 1970
	left  int
	spent bool // there is no more in this hour
}

const (
	// portions of an hour's limit are taken at a time: what a node has taken and
	// does not use is the price.
	portions = 100
	// refill is the time in which the store fills an hour's limit again. Each
	// hour counts under a name of its own, and must not grow much meanwhile.
	refill = 50 * time.Hour
	// askTime bounds the wait for the store, which the enqueue that follows may
	// have to wait for as well: the client gets its answer within two seconds.
	askTime = 400 * time.Millisecond
)

func newAllowance(limits queue.Limits, logger *slog.Logger) *allowance {
	return &allowance{limits: limits, logger: logger, accounts: map[string]*portion{}}
}

// take reports whether a message is within the account's limit for this hour. A
// store that cannot be asked is no reason to hold mail.
func (a *allowance) take(ctx context.Context, account string, now time.Time, limit int) bool {
	hour := now.Unix() / 3600
	p := a.portion(account, hour)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hour < hour {
		p.hour, p.left, p.spent = hour, 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for n := max(1, limit/portions); p.left == 0 && !p.spent; n = 1 {
		key := "account/" + account + "/" + strconv.FormatInt(hour, 10)
		ok, _, err := a.limits.TakeRate(ctx, key, now, queue.Rate{Count: limit, Per: refill, Burst: limit}, n)
		switch {
		case err != nil:
			a.logger.Warn("cannot count an account's mail at all nodes, only here", "account", account, "error", err)
			return true
		case ok:
			p.left = n
		case n == 1:
			p.spent = true
		}
	}
	if p.spent {
		return false
	}
	p.left--
	return true
}

func (a *allowance) portion(account string, hour int64) *portion {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.accounts[account]
	if ok {
		return p
	}
	if len(a.accounts) >= maxHabits {
		clear(a.accounts) // what was taken is lost to this hour, and no more
	}
	p = &portion{hour: hour}
	a.accounts[account] = p
	return p
}
