package throttle_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/relay/throttle"
)

// shared is what nodes need of a store.
type shared interface {
	queue.Cache
	queue.Limits
}

// cluster is some nodes over one store, whose background work is done by hand.
type cluster struct {
	t     *testing.T
	store shared
	now   time.Time
	nodes []*throttle.Sites
	names []string
}

func (c *cluster) join(name string) *throttle.Sites {
	c.t.Helper()
	table, err := throttle.Providers().With([]throttle.Override{
		{Match: "ten.example.com", Connections: 10},
		{Match: "paced.example.com", Rate: throttle.Rate{Count: 120, Per: time.Minute}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	s := throttle.New(throttle.Options{Table: table, Failures: 2, Cache: c.store, Limits: c.store, Node: name, Now: func() time.Time { return c.now }})
	s.StartByHand(c.t.Context(), c.now)
	c.nodes, c.names = append(c.nodes, s), append(c.names, name)
	return s
}

// pass lets time go by, with the background work of all nodes.
func (c *cluster) pass(d time.Duration) {
	const step = 50 * time.Millisecond
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(step)
		for _, s := range c.nodes {
			s.Tend(c.t.Context(), c.now)
		}
	}
}

// want takes as many permits as there are to be had, up to n.
func (c *cluster) want(s *throttle.Sites, key string, n int) (ps []throttle.Permit) {
	for len(ps) < n {
		p, _, ok := s.Acquire(c.t.Context(), key, c.now)
		if !ok {
			break
		}
		ps = append(ps, p)
	}
	return ps
}

// give reports that the messages were taken, and gives the permits back.
func (c *cluster) give(s *throttle.Sites, ps []throttle.Permit) {
	for _, p := range ps {
		s.Report(c.t.Context(), p, throttle.Report{Result: throttle.Reached}, c.now)
		s.Release(c.t.Context(), p)
	}
}

// onBoth runs a test with each engine.
func onBoth(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		f(t, &cluster{t: t, store: s, now: start})
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		s, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{redistest.StartServer(t).Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		f(t, &cluster{t: t, store: s, now: time.Now().UTC()})
	})
}

const ten = "*.ten.example.com"

func TestNodesTogetherKeepTheConnections(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.pass(6 * time.Second)
		var ofA, ofB []throttle.Permit
		most, leastOfB := 0, 10
		for i := range 300 {
			// a never has enough; b comes later and wants its share.
			ofA = append(ofA, c.want(a, ten, 20)...)
			if i > 60 {
				ofB = append(ofB, c.want(b, ten, 20)...)
			}
			most = max(most, len(ofA)+len(ofB))
			if i > 250 {
				leastOfB = min(leastOfB, len(ofB))
			}
			c.pass(100 * time.Millisecond)
			if i%2 == 0 {
				c.give(a, ofA)
				ofA = nil
			} else {
				c.give(b, ofB)
				ofB = nil
			}
			if i == 60 && most < 9 {
				t.Errorf("one node alone has %d connections, want 9 of 10, for one is the other's", most)
			}
		}
		if most > 10 {
			t.Errorf("both had %d connections at a time, want 10 at most", most)
		}
		c.give(a, ofA)
		c.give(b, ofB)
		c.pass(3 * time.Second)
		ofB = nil
		for range 10 {
			ofB = append(ofB, c.want(b, ten, 20)...)
			c.pass(300 * time.Millisecond)
		}
		if len(ofB) < 9 {
			t.Errorf("the other node has %d connections when the first is idle, want 9", len(ofB))
		}
	})
}

func TestAStarvedNodeGetsItsShare(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.pass(6 * time.Second)
		var ofA, ofB []throttle.Permit
		for i := range 200 {
			ofA = append(ofA, c.want(a, ten, 20)...)
			if i > 50 {
				ofB = append(ofB, c.want(b, ten, 20)...)
			}
			if n := len(ofA) + len(ofB); n > 10 {
				t.Fatalf("%d connections at a time", n)
			}
			c.pass(100 * time.Millisecond)
			if len(ofA) > 0 { // one message of a ends; b's go on
				c.give(a, ofA[:1])
				ofA = ofA[1:]
			}
		}
		if len(ofB) < 4 {
			t.Errorf("the node that came later has %d connections, want 4 at least", len(ofB))
		}
	})
}

func TestANewNodeIsMadeRoomFor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a := c.join("a")
		n := 0
		for range 20 {
			n += len(c.want(a, ten, 20))
			c.pass(100 * time.Millisecond)
		}
		if n != 10 {
			t.Fatalf("the only node has %d connections, want 10", n)
		}
		b := c.join("b")
		c.pass(6 * time.Second)
		one := c.want(b, ten, 20)
		if len(one) != 1 {
			t.Fatalf("the new node has %d connections at once, want the one that is free", len(one))
		}
		c.pass(6 * time.Second)
		if again := c.want(a, ten, 1); len(again) > 0 {
			t.Error("the first node got one more though it has them all")
		}
	})
}

func TestConnectionsOfADeadNodeComeBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.pass(6 * time.Second)
		n := 0
		for range 20 {
			n += len(c.want(a, ten, 20))
			c.pass(100 * time.Millisecond)
		}
		if n != 9 {
			t.Fatalf("a has %d connections", n)
		}
		c.nodes = c.nodes[1:] // a is dead
		c.pass(40 * time.Second)
		n = 0
		for range 30 {
			n += len(c.want(b, ten, 20))
			c.pass(200 * time.Millisecond)
		}
		if n != 10 {
			t.Errorf("b has %d connections after a died, want 10", n)
		}
	})
}

func TestNodesTogetherKeepTheRate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		const key = "*.paced.example.com"
		sent := 0
		for range 600 {
			for _, s := range []*throttle.Sites{a, b} {
				ps := c.want(s, key, 5)
				sent += len(ps)
				c.give(s, ps)
			}
			c.pass(100 * time.Millisecond)
		}
		// 120 a minute; each node may have taken a block of a second ahead, and
		// has one message on credit.
		if sent > 120+2*3 || sent < 110 {
			t.Errorf("both sent %d messages in a minute, want 120", sent)
		}
	})
}

func TestARefusalOnOneNodeSlowsTheOther(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		stale := c.want(b, "big", 1)
		for range 30 {
			c.give(a, c.want(a, "big", 1))
			c.pass(100 * time.Millisecond)
		}
		p := take(t, a, "big", c.now)
		a.Report(t.Context(), p, throttle.Report{Result: throttle.Slowed}, c.now)
		a.Release(t.Context(), p)
		c.pass(1200 * time.Millisecond)
		of, at := b.State("big"), a.State("big")
		if of.PerMinute == 0 || of.Slowed.IsZero() || of.PerMinute > at.PerMinute*1.01 {
			t.Fatalf("a goes on with %.4g a minute, b with %.4g (%+v)", at.PerMinute, of.PerMinute, of)
		}
		// What b sent before it knew says nothing more.
		b.Report(t.Context(), stale[0], throttle.Report{Result: throttle.Slowed}, c.now)
		if got := b.State("big").PerMinute; got != of.PerMinute {
			t.Errorf("b slowed down to %.4g once more for what it had sent before", got)
		}
	})
}

// Each node sees half of what is sent, and the limits are for all of it.
func TestNodesTogetherComeBackToWhatTheyWereRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		nodes := []*throttle.Sites{c.join("a"), c.join("b")}
		c.pass(6 * time.Second)
		const key, each = "big", 2 // messages of each node in 100 ms
		round := func() (sent int) {
			for _, s := range nodes {
				ps := c.want(s, key, each)
				sent += len(ps)
				c.give(s, ps)
			}
			c.pass(100 * time.Millisecond)
			return sent
		}
		for range 150 {
			round()
		}
		ps := c.want(nodes[0], key, 1)
		nodes[0].Report(t.Context(), ps[0], throttle.Report{Result: throttle.Slowed}, c.now)
		nodes[0].Release(t.Context(), ps[0])
		if got := nodes[0].State(key).PerMinute; got < 0.7*40*60 || got > 40*60 {
			t.Errorf("after 40 a second were refused to both there are %.4g a minute", got)
		}
		for range 300 {
			round()
		}
		if got := nodes[1].State(key).PerMinute; got < 0.9*40*60 {
			t.Errorf("half a minute later there are %.4g a minute", got)
		}
	})
}

func TestOneProbeForAllNodes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.give(b, c.want(b, "dead", 1))
		for range 2 {
			p := take(t, a, "dead", c.now)
			a.Report(t.Context(), p, throttle.Report{Result: throttle.Failed}, c.now)
			a.Release(t.Context(), p)
		}
		c.pass(1200 * time.Millisecond)
		until := refused(t, b, "dead", c.now)
		if !until.After(c.now) || a.State("dead").Until.Sub(until).Abs() > time.Millisecond {
			t.Fatalf("b is refused until %v, a until %v", until, a.State("dead").Until)
		}
		for round := range 3 {
			c.pass(until.Sub(c.now) + 50*time.Millisecond)
			probes := 0
			var of *throttle.Sites
			var probe throttle.Permit
			for range 100 {
				for _, s := range c.nodes {
					if ps := c.want(s, "dead", 5); len(ps) > 0 {
						probes += len(ps)
						of, probe = s, ps[0]
					}
				}
				c.pass(50 * time.Millisecond)
			}
			if probes != 1 {
				t.Fatalf("round %d: %d probes, want 1", round, probes)
			}
			result := throttle.Failed
			if round == 2 {
				result = throttle.Reached
			}
			until = of.Report(t.Context(), probe, throttle.Report{Result: result}, c.now)
			of.Release(t.Context(), probe)
		}
		c.pass(2 * time.Second)
		for i, s := range c.nodes {
			if ps := c.want(s, "dead", 1); len(ps) != 1 {
				t.Errorf("%s is still wary after the probe was answered: %+v", c.names[i], s.State("dead"))
			}
		}
	})
}

// A pause that is lifted at one node is lifted at the other; a later one holds.
func TestAPauseIsLiftedForAllNodes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.give(b, c.want(b, "blocks", 1))
		pause := func(rest time.Duration) {
			p := take(t, a, "blocks", c.now)
			a.Report(t.Context(), p, throttle.Report{Rest: rest}, c.now)
			a.Release(t.Context(), p)
			c.pass(1200 * time.Millisecond)
			if until := refused(t, b, "blocks", c.now); !until.After(c.now) {
				t.Fatal("b was not told of the pause")
			}
		}
		pause(2 * time.Hour)
		if b.Lift(t.Context(), "nothing", c.now) || !b.Lift(t.Context(), "blocks", c.now) || b.Lift(t.Context(), "blocks", c.now) {
			t.Error("one pause is to be lifted once")
		}
		c.pass(1200 * time.Millisecond)
		probes := 0
		for round := 0; probes == 0 && round < 100; round++ { // a probe is asked for first
			for _, s := range c.nodes {
				if until := s.State("blocks").Until; until.After(c.now) {
					t.Fatalf("a node keeps the pause until %v", until)
				}
				for _, p := range c.want(s, "blocks", 5) {
					probes++
					s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached}, c.now)
					s.Release(t.Context(), p)
				}
			}
			c.pass(50 * time.Millisecond)
		}
		if probes != 1 {
			t.Errorf("%d probes go to the site, want 1", probes)
		}
		c.pass(1200 * time.Millisecond)
		pause(time.Minute) // shorter than what was left of the first
	})
}

func TestWhatWasLearnedSurvivesARestart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a := c.join("a")
		for range 30 {
			c.give(a, c.want(a, "big", 1))
			c.pass(100 * time.Millisecond)
		}
		p := take(t, a, "big", c.now)
		a.Report(t.Context(), p, throttle.Report{Result: throttle.Slowed}, c.now)
		a.Release(t.Context(), p)
		end := c.now.Add(2 * time.Hour)
		a.Pause(t.Context(), "resting", c.now, end)
		before := a.State("big")
		a.Drain(t.Context())
		c.nodes = nil
		c.now = c.now.Add(10 * time.Minute)
		again := c.join("a")
		if got := again.State("big"); got.PerMinute != before.PerMinute || got.Connections != before.Connections {
			t.Errorf("the rate is %v with %d connections after the restart, was %v with %d", got.PerMinute, got.Connections, before.PerMinute, before.Connections)
		}
		if until := refused(t, again, "resting", c.now); until.Sub(end).Abs() > time.Millisecond {
			t.Errorf("paused until %v after the restart, want %v", until, end)
		}
	})
}

// broken is a store that fails when it is told to.
type broken struct {
	shared
	fails atomic.Bool
}

var errBroken = errors.New("the store is away")

func (b *broken) CacheGet(ctx context.Context, key string, now time.Time) ([]byte, error) {
	if b.fails.Load() {
		return nil, errBroken
	}
	return b.shared.CacheGet(ctx, key, now)
}

func (b *broken) CachePut(ctx context.Context, key string, v []byte, now time.Time, ttl time.Duration) error {
	if b.fails.Load() {
		return errBroken
	}
	return b.shared.CachePut(ctx, key, v, now, ttl)
}

func (b *broken) AcquireSlot(ctx context.Context, key, holder string, now time.Time, limit int, ttl time.Duration) (bool, error) {
	if b.fails.Load() {
		return false, errBroken
	}
	return b.shared.AcquireSlot(ctx, key, holder, now, limit, ttl)
}

func TestWithoutTheStoreLocalLimitsGoOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		store := &broken{shared: c.store}
		c.store = store
		a := c.join("a")
		store.fails.Store(true)
		var ps []throttle.Permit
		for range 100 {
			ps = append(ps, c.want(a, ten, 20)...)
			c.pass(100 * time.Millisecond)
		}
		if len(ps) != 10 || !a.Stats(c.now).Alone {
			t.Fatalf("%d permits, want all 10; alone: %v", len(ps), a.Stats(c.now).Alone)
		}
		c.give(a, ps)
		store.fails.Store(false)
		c.pass(8 * time.Second)
		if a.Stats(c.now).Alone {
			t.Error("still alone though the store is back")
		}
		ps = nil
		for range 20 {
			ps = append(ps, c.want(a, ten, 20)...)
			c.pass(100 * time.Millisecond)
		}
		if len(ps) != 10 {
			t.Errorf("%d permits with the store, want 10", len(ps))
		}
	})
}

// The goroutine of Start does what the other tests do by hand.
func TestSitesShareInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		a := throttle.New(throttle.Options{Cache: s, Limits: s, Node: "a"})
		b := throttle.New(throttle.Options{Cache: s, Limits: s, Node: "b"})
		a.Start(t.Context())
		b.Start(t.Context())
		attempt(t, b, "site", throttle.Reached, time.Now())
		end := time.Now().Add(time.Hour).Truncate(time.Microsecond)
		a.Pause(t.Context(), "site", time.Now(), end)
		time.Sleep(1500 * time.Millisecond) // the bubble's
		if until := refused(t, b, "site", time.Now()); !until.Equal(end) {
			t.Errorf("b is refused until %v, want %v", until, end)
		}
		time.Sleep(6 * time.Second) // until a knows of b
		var ps []throttle.Permit
		for range 40 {
			if p, _, ok := a.Acquire(t.Context(), "other", time.Now()); ok {
				ps = append(ps, p)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if len(ps) != 9 {
			t.Errorf("%d permits, want 9", len(ps))
		}
		a.Drain(t.Context())
		b.Drain(t.Context())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
