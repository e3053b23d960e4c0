package mx

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Resolver looks up names and mail routes, and remembers the answers.
// It is safe for concurrent use. Close it when done.
type Resolver struct {
	o       Options
	conf    *dns.ClientConfig
	servers []*server
	trustAD bool
	own     map[netip.Addr]struct{}
	hosts   *hostsFile
	log     *slog.Logger

	answers *lru[key, *answer]
	plans   *lru[string, *compiled]
	slots   chan struct{} // bounds the lookups in the air
	stats   counters

	stop chan struct{}  // closed by Close
	wg   sync.WaitGroup // every goroutine of the resolver

	mu     sync.Mutex
	closed bool
	calls  map[key]*call
}

// New makes a resolver. It fails when a server is not an IP address and port,
// or the network interfaces cannot be listed.
func New(o Options) (*Resolver, error) {
	o = o.withDefaults()
	r := &Resolver{
		o:       o,
		conf:    o.clientConfig(),
		trustAD: true,
		own:     make(map[netip.Addr]struct{}),
		hosts:   &hostsFile{path: o.HostsFile},
		log:     o.Logger,
		answers: newLRU[key, *answer](o.CacheEntries),
		plans:   newLRU[string, *compiled](o.CacheEntries),
		slots:   make(chan struct{}, defaultInFlight),
		stop:    make(chan struct{}),
		calls:   make(map[key]*call),
	}
	for _, s := range r.conf.Servers {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("DNS server %q: want an IP address and port, such as 127.0.0.1:53: %w", s, err)
		}
		r.servers = append(r.servers, &server{addr: s})
		r.trustAD = r.trustAD && ap.Addr().Unmap().IsLoopback()
	}
	r.trustAD = r.trustAD || o.TrustAD
	own := o.OwnAddrs
	if own == nil {
		var err error
		if own, err = InterfaceAddrs(); err != nil {
			return nil, err
		}
	}
	for _, a := range slices.Concat(own, o.PublicAddrs) {
		r.own[a.Unmap()] = struct{}{}
	}
	return r, nil
}

// TrustsAD reports whether AD bits are believed. Where they are not, DANE
// cannot be used.
func (r *Resolver) TrustsAD() bool { return r.trustAD }

// Close ends lookups that are in the air, with temporary errors for those who
// wait for them, and waits for the resolver's goroutines. Later lookups fail
// with [ErrClosed].
func (r *Resolver) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// key names a question. The name is fully qualified and lower case.
type key struct {
	name  string
	qtype uint16
}

// call is one lookup in the air; all who ask the same meanwhile wait for it.
type call struct {
	done chan struct{}
	ans  *answer // set before done is closed
}

// ticket is an answer, or the promise of one.
type ticket struct {
	key  key
	ans  *answer
	call *call
}

// begin finds the answer in the cache or starts the lookup. With fresh, an
// answer that is due for renewal is looked up again rather than returned.
func (r *Resolver) begin(k key, fresh bool) ticket {
	now := r.o.Now()
	if a, ok := r.answers.get(k); ok && now.Before(a.expires) {
		due, hot := a.dueForRenewal(now), a.use.hot()
		if !fresh || !due {
			r.stats.hits.Add(1)
			if due && hot && a.use.claimRenewal(now, r.o.FailureTTL) {
				r.start(k)
			}
			return ticket{key: k, ans: a}
		}
	}
	r.stats.misses.Add(1)
	return ticket{key: k, call: r.start(k)}
}

// wait returns the answer, or nil and an error when ctx ends first.
func (r *Resolver) wait(ctx context.Context, t ticket) (*answer, error) {
	if t.ans != nil {
		return t.ans, nil
	}
	select {
	case <-t.call.done:
		return t.call.ans, nil
	case <-ctx.Done():
		return nil, newError(KindTrouble, displayName(t.key.name), "gave up waiting for DNS").because(context.Cause(ctx))
	}
}

// start joins the lookup in the air for k, or sends one off.
func (r *Resolver) start(k key) *call {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.calls[k]; ok {
		return c
	}
	c := &call{done: make(chan struct{})}
	if r.closed {
		c.ans = r.failure(KindTrouble, ErrClosed.Error(), ErrClosed)
		close(c.done)
		return c
	}
	r.calls[k] = c
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		r.run(k, c)
	}()
	return c
}

// run performs one lookup for everybody who waits for it. It does not end
// with any one of them, only with its own time or the resolver.
func (r *Resolver) run(k key, c *call) {
	ctx, cancel := r.lifetime()
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // A hostile answer must not end the program.
			c.ans = r.failure(KindTrouble, fmt.Sprintf("internal error reading the answer: %v", p), nil)
		}
		r.mu.Lock()
		delete(r.calls, k)
		r.mu.Unlock()
		close(c.done)
	}()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		c.ans = r.failure(KindTrouble, "too many DNS lookups at once", context.Cause(ctx))
		return
	}
	c.ans = r.resolve(ctx, k)
	r.remember(k, c.ans)
}

// background runs f in a goroutine of the resolver, unless that is closed.
func (r *Resolver) background(f func(ctx context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		ctx, cancel := r.lifetime()
		defer cancel()
		f(ctx)
	}()
}

// lifetime returns a context that ends with the time for one lookup, or with
// the resolver. The cancel function must be called from one of the
// resolver's goroutines.
func (r *Resolver) lifetime() (context.Context, context.CancelFunc) {
	ctx, cancelTime := context.WithTimeout(context.Background(), r.o.LookupTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		select {
		case <-r.stop:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); cancelTime() }
}

// remember caches an answer. A failed renewal does not replace an answer that
// is still good.
func (r *Resolver) remember(k key, a *answer) {
	if !a.keep {
		return
	}
	if a.temporary() {
		if old, ok := r.answers.get(k); ok && !old.temporary() && r.o.Now().Before(old.expires) {
			return
		}
	}
	r.answers.put(k, a)
}

// use counts how often something cached was wanted, and lets one of its users
// renew it, not more often than a failure is remembered.
type use struct {
	count     atomic.Uint32
	nextRenew atomic.Int64 // Unix nanoseconds
}

// hotUses is how often something is wanted within one lifetime before it is
// worth renewing ahead of time.
const hotUses = 4

// hot counts one use.
func (u *use) hot() bool { return u.count.Add(1) >= hotUses }

func (u *use) claimRenewal(now time.Time, pause time.Duration) bool {
	next := u.nextRenew.Load()
	return now.UnixNano() >= next && u.nextRenew.CompareAndSwap(next, now.Add(pause).UnixNano())
}

// Stats are counters since the resolver was made, and the size of its caches.
type Stats struct {
	Hits, Misses       uint64 // answers taken from the cache, and not found there
	PlanHits           uint64 // whole plans taken from the cache
	Queries            uint64 // packets sent to servers
	Failures, OverTCP  uint64 // queries without a usable reply; queries over TCP
	Answers, PlansKept int
}

type counters struct {
	hits, misses, planHits, queries, failures, tcp atomic.Uint64
}

// Stats returns the counters.
func (r *Resolver) Stats() Stats {
	return Stats{
		Hits: r.stats.hits.Load(), Misses: r.stats.misses.Load(), PlanHits: r.stats.planHits.Load(),
		Queries: r.stats.queries.Load(), Failures: r.stats.failures.Load(), OverTCP: r.stats.tcp.Load(),
		Answers: r.answers.len(), PlansKept: r.plans.len(),
	}
}

// renewAt is when four fifths of a lifetime have passed.
func renewAt(stored, expires time.Time) time.Time {
	return stored.Add(expires.Sub(stored) * 4 / 5)
}
