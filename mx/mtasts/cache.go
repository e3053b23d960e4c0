package mtasts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"postrider/mx"
)

// ErrClosed is wrapped by the errors of a [Cache] that has been drained.
var ErrClosed = errors.New("MTA-STS cache is closed")

// lookMargin is what finding the record, the store and a free slot may take
// beside a fetch.
const lookMargin = 20 * time.Second

// Cache knows the policies of domains. It is safe for concurrent use, before
// Start too. Drain it when done.
type Cache struct {
	o      Options
	client *http.Client
	slots  chan struct{} // bounds the domains looked at at once

	stop chan struct{}  // closed by Drain
	wg   sync.WaitGroup // every goroutine of the cache

	mu      sync.Mutex
	closed  bool
	started bool
	known   *lru
	calls   map[string]*call
}

// call is one look at a domain; all who want to know of it meanwhile wait.
type call struct {
	done chan struct{}
	e    entry // set before done is closed
	err  error
}

// New makes a cache. It asks nobody anything before the first
// [Cache.Policy].
func New(o Options) *Cache {
	o = o.withDefaults()
	c := &Cache{
		o:     o,
		slots: make(chan struct{}, o.InFlight),
		stop:  make(chan struct{}),
		known: newLRU(o.Entries, o.Bytes),
		calls: make(map[string]*call),
	}
	c.client = c.newClient()
	return c
}

// Policy returns the policy of a recipient domain. A domain without one, or
// whose policy cannot be had and never was, has one of mode [None].
//
// It waits for DNS and HTTPS where nothing is known, at most as long as one fetch
// may take, and only for Options.Patience where a policy holds or the last fetch
// has failed. An error is temporary: ctx has ended, or the store is in trouble,
// before it was known whether there is a policy.
func (c *Cache) Policy(ctx context.Context, domain string) (Policy, error) {
	name, ok := policyDomain(domain)
	if !ok {
		return Policy{Mode: None}, nil
	}
	now := c.o.Now()
	c.mu.Lock()
	e, known := c.known.use(name, now)
	var l *call
	if !known || !now.Before(e.checkAt) {
		l = c.start(name, 0)
	}
	c.mu.Unlock()
	if l == nil {
		return e.policy(now), nil
	}
	return c.wait(ctx, l, e)
}

// Refetch is [Cache.Policy] after a fetch now, for a policy that none of the
// domain's hosts matches any more: it may have changed. A policy that was fetched
// in the last minutes (Options.MinRetry) is not fetched again.
func (c *Cache) Refetch(ctx context.Context, domain string) (Policy, error) {
	name, ok := policyDomain(domain)
	if !ok {
		return Policy{Mode: None}, nil
	}
	now := c.o.Now()
	c.mu.Lock()
	e, _ := c.known.use(name, now)
	if now.Before(e.tried.Add(c.o.MinRetry)) {
		c.mu.Unlock()
		return e.policy(now), nil
	}
	l := c.start(name, c.o.MinRetry)
	c.mu.Unlock()
	return c.wait(ctx, l, e)
}

// wait waits for a look at a domain of which old is known. When that takes long, a
// policy that holds is good enough, and so is that none could be fetched before.
func (c *Cache) wait(ctx context.Context, l *call, old entry) (Policy, error) {
	var enough <-chan time.Time
	holds := old.held.holds(c.o.Now())
	if holds || old.fails > 0 {
		t := time.NewTimer(c.o.Patience)
		defer t.Stop()
		enough = t.C
	}
	select {
	case <-l.done:
		if l.err != nil && !holds {
			return Policy{}, l.err
		}
		if l.err == nil {
			old = l.e
		}
	case <-enough:
	case <-ctx.Done():
		if !holds {
			return Policy{}, context.Cause(ctx)
		}
	}
	return old.policy(c.o.Now()), nil
}

// start joins the look at a domain that is under way, or begins one that
// fetches a policy again if it is older than maxAge; 0 means what is usual. The
// caller holds c.mu.
func (c *Cache) start(domain string, maxAge time.Duration) *call {
	if l, ok := c.calls[domain]; ok {
		return l
	}
	l := &call{done: make(chan struct{})}
	if c.closed {
		l.err = ErrClosed
		close(l.done)
		return l
	}
	c.calls[domain] = l
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		c.run(domain, maxAge, l)
	}()
	return l
}

// run looks at a domain for everybody who waits for it. It does not end with any
// one of them, only with its own time or the cache.
func (c *Cache) run(domain string, maxAge time.Duration, l *call) {
	ctx, cancel := c.lifetime(c.o.FetchTimeout + lookMargin)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // A hostile policy must not end the program.
			l.err = fmt.Errorf("MTA-STS policy of %s: internal error: %v", domain, p)
		}
		c.mu.Lock()
		delete(c.calls, domain)
		c.mu.Unlock()
		close(l.done)
	}()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		l.err = fmt.Errorf("MTA-STS policy of %s: too many lookups at once: %w", domain, context.Cause(ctx))
		return
	}
	c.mu.Lock()
	e, _ := c.known.get(domain)
	c.mu.Unlock()
	e.domain = domain
	if l.e, l.err = c.look(ctx, e, maxAge); l.err != nil {
		return
	}
	c.mu.Lock()
	if now, ok := c.known.get(domain); ok {
		l.e.used = now.used
	} else {
		l.e.used = c.o.Now()
	}
	c.known.put(l.e)
	c.mu.Unlock()
}

// lifetime returns a context that ends after d, or with the cache. The cancel
// function must be called from one of the cache's goroutines.
func (c *Cache) lifetime(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancelTime := context.WithTimeout(context.Background(), d)
	ctx, cancel := context.WithCancelCause(ctx)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		select {
		case <-c.stop:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); cancelTime() }
}

// Drain ends what is under way and waits for the cache's goroutines, or for
// ctx. What is known is still told afterwards.
func (c *Cache) Drain(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	c.mu.Unlock()
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	select {
	case <-done:
		c.client.CloseIdleConnections()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// policyDomain is the domain whose policy counts, and false where there can be
// none. RFC 8461 §3: it is the recipient's, never where a CNAME leads.
func policyDomain(domain string) (string, bool) {
	name, err := mx.NormalizeDomain(domain)
	if err != nil || strings.HasPrefix(name, "[") || len(policyHost(name)) > 253 {
		return "", false
	}
	return name, true
}

func policyHost(domain string) string { return "mta-sts." + domain }
