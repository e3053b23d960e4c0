package throttle

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/queue"
)

// common is what Sites has to do with the store. Nothing of it waits for that
// but the goroutine of Start; Sites.mu guards its fields.
type common struct {
	running bool
	shards  [shardCount]shard
	asked   map[*site]struct{} // whose share waits for an answer of the store
	shared  map[*site]struct{} // who have a share that is to be looked after
	nodes   int                // that are alive, this one included
	nodesAt time.Time          // when they were last counted
	alone   time.Time          // the store did not answer: it is left alone until then
	failing bool

	kick chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

const (
	shardCount = 64
	// activeFor is for how long records are read after a site was asked for.
	activeFor = 5 * time.Second
	// readPaced is how often those of sites are read that refuse at times.
	readPaced = 250 * time.Millisecond
	// writeEvery and writeAlone bound how often a shard is written: with other
	// nodes, and without.
	writeEvery = 200 * time.Millisecond
	writeAlone = 2 * time.Second
	nodesEvery = 5 * time.Second
	nodeTTL    = 20 * time.Second
	// storeTime bounds each question, aloneTime follows one without an answer.
	storeTime  = 2 * time.Second
	aloneTime  = 2 * time.Second
	atATime    = 16 // questions
	nodesKey   = "throttle/nodes"
	shardsRoot = "throttle/sites/"
)

func (c *common) init() {
	c.asked, c.shared = make(map[*site]struct{}), make(map[*site]struct{})
	c.kick = make(chan struct{}, 1)
	c.nodes = 1
}

// joined reports whether the site's limits are shared at the moment.
func (s *Sites) joined(now time.Time) bool {
	return s.common.running && s.o.Limits != nil && !now.Before(s.common.alone)
}

// use notes that a site is in use.
func (c *common) use(st *site, now time.Time) {
	if c.running {
		d := &c.shards[st.shard]
		d.active = now
		if !st.pace.slowed.IsZero() {
			d.paced = now
		}
	}
}

// greet tells a new site what is known of it already.
func (c *common) greet(st *site, now time.Time) {
	if r, ok := c.shards[st.shard].records[st.key]; ok && !r.over(now) {
		st.learn(r, now)
	}
}

// ask has the store asked for what the site's share wants.
func (c *common) ask(st *site) {
	c.asked[st] = struct{}{}
	c.wake()
}

// rest notes that nothing of the site is out any more.
func (c *common) rest(st *site) {
	if st.share.hasProbe {
		c.ask(st)
	}
}

func (c *common) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// changed notes that others should know what this node knows of the site.
func (s *Sites) changed(st *site) {
	if s.o.Cache == nil || !s.common.running {
		return
	}
	s.common.shards[st.shard].note(st.key)
	s.common.wake()
}

// Start reads what is known of sites and begins to share it; without a Cache it
// does nothing. Drain ends it.
func (s *Sites) Start(ctx context.Context) {
	if s.o.Cache == nil {
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	s.mu.Lock()
	s.common.running, s.common.stop, s.common.done = true, stop, done
	s.mu.Unlock()
	s.load(ctx, s.o.Now())
	go s.run(ctx, done)
}

// load reads all that is known of sites, so that pauses hold from the first
// message on.
func (s *Sites) load(ctx context.Context, now time.Time) {
	s.each(shardCount, func(i int) { s.readShard(ctx, i, now) })
	if s.o.Limits != nil {
		s.countNodes(ctx, now, true)
	}
}

// Drain writes what others should know and gives back what this node holds. Sites
// go on by themselves after it.
func (s *Sites) Drain(ctx context.Context) {
	s.mu.Lock()
	stop, done, was := s.common.stop, s.common.done, s.common.running
	s.mu.Unlock()
	if !was {
		return
	}
	stop()
	<-done
	now := s.o.Now()
	s.writeShards(ctx, now, 0)
	s.mu.Lock()
	s.common.running = false
	held := make(map[string]share)
	for _, st := range s.sites {
		if st.share.inUse() {
			held[st.key] = st.share
		}
		st.share = share{}
	}
	clear(s.common.shared)
	clear(s.common.asked)
	s.mu.Unlock()
	if s.o.Limits == nil {
		return
	}
	for key, h := range held { // what cannot be given back ends by itself
		for i := range h.slots + h.lowered {
			_ = s.o.Limits.ReleaseSlot(ctx, slotKey(key), s.holder(i))
		}
		if h.hasProbe {
			_ = s.o.Limits.ReleaseSlot(ctx, probeKey(key), s.o.Node)
		}
	}
	s.countNodes(ctx, now, false)
}

// run looks after the store until the end.
func (s *Sites) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.common.kick:
		case <-timer.C:
		}
		timer.Stop()
		if next := s.tend(ctx, s.o.Now()); next > 0 {
			timer.Reset(next)
		}
	}
}

// tend does all that is to be asked of or told to the store by now, and says when
// to look again by itself; 0: when there is news.
func (s *Sites) tend(ctx context.Context, now time.Time) (next time.Duration) {
	every := writeAlone
	if s.o.Limits != nil {
		every, next = writeEvery, tick
		s.countNodes(ctx, now, true)
		s.readShards(ctx, now)
		s.settleShares(now)
		s.askAll(ctx, now)
	}
	s.writeShards(ctx, now, every)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.common.shards {
		if len(s.common.shards[i].dirty) > 0 {
			return every
		}
	}
	return next
}

// each calls f for 0 to n-1, some at a time, and waits for all.
func (s *Sites) each(n int, f func(i int)) {
	var wg sync.WaitGroup
	room := make(chan struct{}, atATime)
	for i := range n {
		room <- struct{}{}
		wg.Go(func() {
			f(i)
			<-room
		})
	}
	wg.Wait()
}

// heard notes whether the store answered.
func (s *Sites) heard(ctx context.Context, now time.Time, err error) bool {
	if errors.Is(err, queue.ErrNotFound) {
		err = nil
	}
	if ctx.Err() != nil {
		return err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.common
	switch {
	case err != nil:
		c.alone = now.Add(aloneTime)
		if !c.failing {
			s.o.Logger.Warn("limits of sites are not shared: the store does not answer", "error", err)
		}
		c.failing = true
	case c.failing && !now.Before(c.alone):
		c.failing = false
		s.o.Logger.Info("limits of sites are shared again")
	}
	return err == nil
}
