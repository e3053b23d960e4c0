package mtasts

import (
	"context"
	"sync"
	"time"
)

const (
	// refreshTick is how often the cache looks for what is due.
	refreshTick = 10 * time.Minute
	// refreshWorkers fetch at once, so that slots are left for deliveries.
	refreshWorkers = 4
	// inUse is how many refreshes a policy gets after it was last asked for.
	inUse = 14
)

// Start begins to refresh the policies that this process has used of late, until
// ctx ends or [Cache.Drain] is called.
func (c *Cache) Start(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		t := time.NewTicker(refreshTick)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				c.Refresh(ctx)
			case <-ctx.Done():
				return
			case <-c.stop:
				return
			}
		}
	}()
}

// Refresh fetches the policies that are due again (RFC 8461 §10.2): those in
// use, before they have reached Options.RefreshEvery. It is what [Cache.Start]
// does every few minutes.
func (c *Cache) Refresh(ctx context.Context) {
	now := c.o.Now()
	c.mu.Lock()
	domains := c.known.due(func(e entry) bool {
		return e.held.holds(now) && !now.Before(e.checkAt) &&
			now.Sub(e.used) < inUse*c.o.RefreshEvery && c.early(e.held, now)
	})
	c.mu.Unlock()
	queue := make(chan string)
	var workers sync.WaitGroup
	for range min(refreshWorkers, c.o.InFlight, len(domains)) {
		workers.Go(func() {
			for domain := range queue {
				c.refresh(domain)
			}
		})
	}
	for _, domain := range domains {
		select {
		case queue <- domain:
			continue
		case <-ctx.Done():
		case <-c.stop:
		}
		break
	}
	close(queue)
	workers.Wait()
}

// refresh looks at one domain and waits for it. What another node has fetched
// meanwhile is taken from the store.
func (c *Cache) refresh(domain string) {
	c.mu.Lock()
	e, ok := c.known.get(domain)
	if !ok || e.held == nil {
		c.mu.Unlock()
		return
	}
	l := c.start(domain, c.staleAfter(e.held)*3/4)
	c.mu.Unlock()
	<-l.done
}

// early reports whether it is time to fetch a policy again, somewhat before
// callers would have to wait for that, and not all at once.
func (c *Cache) early(h *held, now time.Time) bool {
	stale := float64(c.staleAfter(h))
	return now.Sub(h.fetched) >= time.Duration(stale*(1-c.o.Rand()/4))
}
