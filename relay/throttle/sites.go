package throttle

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"postrider/queue"
)

// Options configure Sites. The zero value is usable.
type Options struct {
	// Table are the rules; nil: Providers().
	Table *Table
	// Connections is how many transactions a site may have at a time where its
	// rule does not say; 0: 10.
	Connections int
	// Failures in a row that pause a site; 0: 5.
	Failures int
	// Pauses are how long, the first time, the second and so on; the last one
	// repeats. nil: 1, 2, 4, 8, 16 and 30 minutes.
	Pauses []time.Duration

	// Cache keeps what was learned, over restarts; nil: nothing does.
	Cache queue.Cache
	// Limits counts what all nodes that share the Cache do together; nil: this
	// is the only one. It needs a Cache.
	Limits queue.Limits
	// Node is this node's name among them.
	Node string

	Now    func() time.Time // of what is done in the background; nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// Permit is the right to one transaction with a site. It is given back by
// Release, once. The zero Permit is none.
type Permit struct {
	Site        string // the key that it was acquired for
	Connections int    // how many of the site may be out
	// MessagesPerConnection before it is to be closed, by the rule or by what the
	// site was seen to take; 0: neither says.
	MessagesPerConnection int
	// TLS is TLSEncrypt if the rule asks for it.
	TLS string

	grant *grant
}

// grant is what is known of a permit; Sites.mu guards it.
type grant struct {
	site     *site
	pauses   uint64 // epochs of what is being sent
	slows    uint64
	unsaid   bool // nothing was reported of it yet
	probe    bool
	released bool
}

// Held reports whether p is a permit at all.
func (p Permit) Held() bool { return p.Connections > 0 }

// Sites keeps the limits. Its methods are safe for concurrent use.
type Sites struct {
	o Options

	mu     sync.Mutex
	sites  map[string]*site
	sweep  int // how many sites there may be before idle ones are forgotten
	common common
	noRule Rule // of sites without one
}

// site is what is known of one key.
type site struct {
	key   string
	shard int
	rule  *Rule
	conns int // that may be out, by the rule or without one

	out      int       // permits
	failures int       // in a row
	level    int       // pauses in a row
	wary     bool      // one at a time, until an answer
	paused   time.Time // when the last pause began
	until    time.Time // paused until then
	lifted   time.Time // when somebody ended one
	answered time.Time // when an answer last ended wariness
	used     time.Time
	epoch    uint64 // counts pauses: what was let through before one says nothing after it

	pace   pace
	warmth warmth
	share  share
}

// What has no traffic keeps its record for so long: after trouble, after a
// refusal (forgetSlow), and if all is well.
const (
	forgetAfter = 2 * time.Hour
	forgetIdle  = 30 * time.Second
)

// New returns Sites without any.
func New(o Options) *Sites {
	if o.Table == nil {
		o.Table = Providers()
	}
	if o.Connections <= 0 {
		o.Connections = 10
	}
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if len(o.Pauses) == 0 {
		for _, m := range []int{1, 2, 4, 8, 16, 30} {
			o.Pauses = append(o.Pauses, time.Duration(m)*time.Minute)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sites{o: o, sites: make(map[string]*site), sweep: 1024}
	s.common.init()
	return s
}

// Key returns the key of the limits towards a plan's site, whose mail hosts are
// given, from one source address: the provider's name where all hosts fit a rule
// of the table, else the site. An empty source is the only one there is.
func (s *Sites) Key(siteName string, hosts []string, source string) string {
	key := siteName
	if i := s.o.Table.match(hosts); i >= 0 {
		r := &s.o.Table.rules[i]
		if key = r.Name; r.Apart {
			key += "/" + firstHost(hosts)
		}
	}
	if source != "" {
		key += fromSource + source
	}
	return key
}

const fromSource = " from "

// firstHost names a set of hosts.
func firstHost(hosts []string) string {
	first := plainHost(hosts[0])
	for _, h := range hosts[1:] {
		first = min(first, plainHost(h))
	}
	return first
}

// newSite makes what is to be known of a key, which says the rule.
func (s *Sites) newSite(key string, now time.Time) *site {
	name, _, _ := strings.Cut(key, fromSource)
	name, _, _ = strings.Cut(name, "/")
	st := &site{key: key, shard: shardOf(key), rule: &s.noRule, used: now}
	if i, ok := s.o.Table.byName[name]; ok {
		st.rule = &s.o.Table.rules[i]
	}
	if st.conns = st.rule.Connections; st.conns == 0 {
		st.conns = s.o.Connections
	}
	s.common.greet(st, now)
	return st
}

// Acquire takes a permit, for one message. If there is none, ok is false and
// until says when to ask again: the end of a pause, or when the rate allows the
// next message. The zero time means as soon as a permit of the site is released.
func (s *Sites) Acquire(_ context.Context, key string, now time.Time) (p Permit, until time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[key]
	if st == nil {
		st = s.add(key, now)
	}
	st.used = now
	s.common.use(st, now)
	if now.Before(st.until) {
		return Permit{}, st.until, false
	}
	if st.out >= st.room(now) {
		return Permit{}, time.Time{}, false
	}
	if until, ok := s.admit(st, st.out, now); !ok {
		return Permit{}, until, false
	}
	st.out++
	g := &grant{site: st, pauses: st.epoch, slows: st.pace.epoch, unsaid: true, probe: st.wary}
	return Permit{
		Site: key, Connections: st.conns, MessagesPerConnection: st.warmth.limit(st.rule.MessagesPerConnection, now),
		TLS: st.rule.TLS, grant: g,
	}, time.Time{}, true
}

// room is how many may be out.
func (st *site) room(now time.Time) int {
	if st.wary {
		return 1
	}
	n := st.pace.connections(st.conns)
	if n < st.conns && st.out >= n {
		st.pace.bound = now
	}
	return n
}

// admit takes a message from the rate, and from what the nodes have together.
// others are the permits out beside its own.
func (s *Sites) admit(st *site, others int, now time.Time) (until time.Time, ok bool) {
	rate := st.pace.rate(st.rule.Rate.perSecond())
	if next := st.pace.wait(rate); next.After(now) {
		st.pace.bound = now
		return next, false
	}
	if until, ok := s.joint(st, others, rate, now); !ok {
		return until, false
	}
	st.pace.take(rate, now)
	return time.Time{}, true
}

// Again takes the next message under a permit whose last one was reported, and
// reports whether it may go: the site is neither paused nor probed by another,
// there are not more permits out than there may be by now, and the rate allows it.
func (s *Sites) Again(_ context.Context, p Permit, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := p.grant
	if g == nil || g.released {
		return false
	}
	st := g.site
	st.used = now
	s.common.use(st, now)
	if now.Before(st.until) || st.wary && !g.probe || st.out > st.room(now) {
		return false
	}
	if _, ok := s.admit(st, st.out-1, now); !ok {
		return false
	}
	g.pauses, g.slows, g.unsaid = st.epoch, st.pace.epoch, true
	return true
}

// Release gives a permit back. A message of which nothing was reported was not
// sent.
func (s *Sites) Release(_ context.Context, p Permit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := p.grant
	if g == nil || g.released {
		panic("throttle: a permit was released twice")
	}
	g.released = true
	st := g.site
	if rate := st.pace.rate(st.rule.Rate.perSecond()); g.unsaid && !math.IsInf(rate, 1) {
		st.pace.untake(rate)
		st.share.tokens++
	}
	if st.out--; st.out == 0 {
		s.common.rest(st)
	}
}

func (s *Sites) add(key string, now time.Time) *site {
	if len(s.sites) >= s.sweep {
		for k, st := range s.sites {
			if st.forgettable(now) {
				delete(s.sites, k)
			}
		}
		s.sweep = max(1024, 2*len(s.sites))
	}
	st := s.newSite(key, now)
	s.sites[key] = st
	return st
}

func (st *site) forgettable(now time.Time) bool {
	keep := forgetIdle
	switch {
	case !st.pace.slowed.IsZero() || !st.warmth.ended.IsZero() && !st.warmth.over(st.rule.MessagesPerConnection, now):
		keep = forgetSlow
	case st.wary || st.failures > 0:
		keep = forgetAfter
	}
	return st.out == 0 && now.Sub(st.used) > keep && now.After(st.until) && !st.share.inUse()
}
