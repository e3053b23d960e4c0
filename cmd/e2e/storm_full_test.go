//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/queue/redistest"
)

// stormTime bounds a test under load.
const stormTime = 8 * time.Minute

// pass lets time go by while the load goes on.
func pass(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}

// One node is killed, one stands still for longer than its leases last, Redis
// dies and comes back: nothing is lost, and second copies have their mark.
func TestThreeNodesUnderLoadInTrouble(t *testing.T) {
	ctx := within(t, stormTime)
	redis := redistest.StartServer(t)
	s := startStorm(ctx, t, redisURL(redis), 3, 20, e2etest.Env{"POSTRIDER_LEASE": ""})
	killed, paused, third := s.nodes[0], s.nodes[1], s.nodes[2]
	s.progress(ctx, t, 2000)
	killed.Kill()
	s.progress(ctx, t, 1000)
	paused.Signal(t, syscall.SIGSTOP)
	since := time.Now()
	pass(ctx, t, 30*time.Second)
	redis.Kill()
	pass(ctx, t, 3*time.Second)
	redis.Restart(t)
	pass(ctx, t, 60*time.Second-time.Since(since))
	paused.Signal(t, syscall.SIGCONT)
	allReady(ctx, t, paused, third)
	waking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	paused.Out.Expect(waking, t, func(l e2etest.Line) bool { return strings.HasPrefix(l.Attr("msg"), "lease lost") })
	s.progress(ctx, t, 1000)
	s.abate(ctx, t, paused, third)
	t.Logf("Redis used %v of processor time", redis.CPU(t))
}

// Redis hangs, with its connections open, and goes on as if nothing had been.
func TestRedisStandsStillUnderLoad(t *testing.T) {
	ctx := within(t, stormTime)
	redis := redistest.StartServer(t)
	s := startStorm(ctx, t, redisURL(redis), 2, 10)
	s.progress(ctx, t, 1000)
	redis.Pause(t)
	since := time.Now()
	for _, r := range s.nodes {
		t.Logf("readiness: %s", awaitAway(ctx, t, r, "Redis"))
		refusedInTime(ctx, t, r, s.acked)
	}
	pass(ctx, t, 30*time.Second-time.Since(since))
	redis.Resume(t)
	began := time.Now()
	allReady(ctx, t, s.nodes...)
	s.progress(ctx, t, 1000)
	t.Logf("1000 recipients were acknowledged within %v", time.Since(began))
	s.abate(ctx, t, s.nodes...)
}

// With the strict durability a failover loses nothing that was acknowledged:
// whichever replica the Sentinels choose had it before the client heard yes.
func TestSentinelFailoverUnderLoad(t *testing.T) {
	for _, replicas := range []int{1, 2} {
		t.Run(fmt.Sprintf("with %d replicas", replicas), func(t *testing.T) {
			ctx := within(t, stormTime)
			set := redistest.StartSentinels(t, replicas)
			store := "redis+sentinel://" + strings.Join(set.Addrs(), ",") + "/" + set.Name()
			s := startStorm(ctx, t, store, 2, 10)
			for range 3 {
				s.progress(ctx, t, 1500)
				failOver(ctx, t, set, s)
			}
			s.progress(ctx, t, 1000)
			s.abate(ctx, t, s.nodes...)
		})
	}
}

func failOver(ctx context.Context, t *testing.T, set *redistest.SentinelSet, s *storm) {
	t.Helper()
	old := set.Master(t)
	old.Kill()
	began := time.Now()
	set.AwaitFailover(ctx, t, old)
	failed := time.Since(began)
	if len(set.Nodes) == 2 {
		// Alone, the new master acknowledges nothing that it might lose.
		for _, r := range s.nodes {
			t.Logf("readiness: %s", awaitAway(ctx, t, r, "replica"))
		}
	}
	set.RestartAsReplica(t, old)
	followed := time.Since(began)
	s.progress(ctx, t, 500)
	t.Logf("the master was replaced after %v and had the old one as replica after %v; 500 recipients were acknowledged after %v",
		failed, followed, time.Since(began))
}

func clusterURL(c *redistest.ClusterSet) string {
	return "redis+cluster://" + strings.Join(c.Addrs(), ",")
}

// Every slot in use moves to another master.
func TestClusterMovesItsSlotsUnderLoad(t *testing.T) {
	ctx := within(t, stormTime)
	c := redistest.StartCluster(t, 3, 1)
	s := startStorm(ctx, t, clusterURL(c), 2, 10)
	s.progress(ctx, t, 5000)
	added := c.AddMaster(t)
	c.AddReplica(t, added)
	for _, m := range c.Masters[:3] {
		used := c.UsedSlots(t, m)
		began := time.Now()
		c.Reshard(ctx, t, m, added, used)
		t.Logf("%d slots of a master moved in %v", len(used), time.Since(began))
		s.progress(ctx, t, 500)
	}
	s.progress(ctx, t, 1000)
	s.abate(ctx, t, s.nodes...)
}

// A shard dies with its replica; the others go on, and it comes back with what
// it had.
func TestClusterLosesAShardUnderLoad(t *testing.T) {
	ctx := within(t, stormTime)
	c := redistest.StartCluster(t, 3, 1)
	s := startStorm(ctx, t, clusterURL(c), 2, 10)
	s.progress(ctx, t, 2000)
	lost := []*redistest.Server{c.Replicas[1][0], c.Masters[1]}
	for _, n := range lost {
		n.Kill()
	}
	pass(ctx, t, 15*time.Second)
	for _, r := range s.nodes {
		t.Logf("readiness: %s", awaitAway(ctx, t, r, "Redis"))
	}
	for _, n := range lost {
		n.Restart(t)
	}
	c.AwaitOK(ctx, t)
	began := time.Now()
	allReady(ctx, t, s.nodes...)
	s.progress(ctx, t, 2000)
	t.Logf("2000 recipients were acknowledged within %v", time.Since(began))
	s.abate(ctx, t, s.nodes...)
}

// A master dies; its replica has all that was acknowledged.
func TestClusterFailsOverUnderLoad(t *testing.T) {
	ctx := within(t, stormTime)
	c := redistest.StartCluster(t, 3, 2)
	s := startStorm(ctx, t, clusterURL(c), 2, 10)
	s.progress(ctx, t, 2000)
	c.Masters[1].Kill()
	began := time.Now()
	c.AwaitOK(ctx, t)
	s.progress(ctx, t, 2000)
	t.Logf("2000 recipients were acknowledged within %v of the death of a master", time.Since(began))
	c.Masters[1].Restart(t)
	c.AwaitOK(ctx, t)
	s.progress(ctx, t, 1000)
	s.abate(ctx, t, s.nodes...)
}
