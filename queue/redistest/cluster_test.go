package redistest_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue/redistest"
)

func clusterClient(t *testing.T, c *redistest.ClusterSet) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs(), MaxRedirects: 16})
	t.Cleanup(func() { client.Close() })
	return client
}

func TestSlotsMoveUnderWrites(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	begin := time.Now()
	c := redistest.StartCluster(t, 3, 0)
	t.Logf("started in %v", time.Since(begin))
	client := clusterClient(t, c)
	const writers, keys = 4, 50
	var wrote [writers]int64 // to each of its keys
	loading, stop := context.WithCancel(ctx)
	var failed atomic.Pointer[error]
	var load sync.WaitGroup
	for w := range writers {
		load.Go(func() {
			for loading.Err() == nil {
				for k := range keys {
					// Lists, which tell a lost write from one that came twice.
					if err := client.RPush(ctx, fmt.Sprintf("w%d.k%d", w, k), wrote[w]).Err(); err != nil {
						failed.Store(&err)
						return
					}
				}
				wrote[w]++
			}
		})
	}
	begin = time.Now()
	empty := c.AddMaster(t)
	t.Logf("a master was added in %v", time.Since(begin))
	begin = time.Now()
	for _, from := range c.Masters[:3] {
		c.Reshard(ctx, t, from, empty, c.Slots(t, from)[:100])
	}
	t.Logf("300 slots moved in %v", time.Since(begin))
	stop()
	load.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if n := len(c.Slots(t, empty)); n != 300 {
		t.Errorf("the new master has %d slots", n)
	}
	if n, err := empty.Client().DBSize(ctx).Result(); n == 0 || err != nil {
		t.Errorf("the new master has %d keys, %v", n, err)
	}
	used := c.UsedSlots(t, c.Masters[1])
	if len(used) == 0 || len(used) > writers*keys {
		t.Errorf("%d slots have keys", len(used))
	}
	c.Reshard(ctx, t, c.Masters[1], empty, used[:1])
	for w := range writers {
		for k := range keys {
			n, err := client.LLen(ctx, fmt.Sprintf("w%d.k%d", w, k)).Result()
			if err != nil || n != wrote[w] {
				t.Errorf("writer %d wrote %d to key %d, there are %d, %v", w, wrote[w], k, n, err)
			}
		}
	}
	c.AwaitOK(ctx, t)
}

func TestShardComesBackWithItsData(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	c := redistest.StartCluster(t, 3, 0)
	client := clusterClient(t, c)
	for i := range 100 {
		if err := client.Set(ctx, fmt.Sprint("k", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	lost := c.Owner(t, c.Slot(t, "k7"))
	lost.Kill()
	lost.Restart(t)
	begin := time.Now()
	c.AwaitOK(ctx, t)
	t.Logf("in order again after %v", time.Since(begin))
	for i := range 100 {
		if got, err := client.Get(ctx, fmt.Sprint("k", i)).Int(); got != i || err != nil {
			t.Errorf("k%d is %d, %v", i, got, err)
		}
	}
}

func TestReplicaTakesOverAShard(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	begin := time.Now()
	c := redistest.StartCluster(t, 3, 1)
	t.Logf("started in %v", time.Since(begin))
	client := clusterClient(t, c)
	slot := c.Slot(t, "k")
	old := c.Owner(t, slot)
	if err := client.Set(ctx, "k", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := old.Client().Wait(ctx, 1, time.Second).Result(); n != 1 || err != nil {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	c.AddReplica(t, old)
	begin = time.Now()
	old.Kill()
	c.AwaitOK(ctx, t)
	t.Logf("in order again after %v", time.Since(begin))
	if c.Owner(t, slot) == old {
		t.Error("the dead master still owns the slot")
	}
	old.Restart(t)
	c.AwaitOK(ctx, t)
	if got, err := client.Get(ctx, "k").Int(); got != 1 || err != nil {
		t.Errorf("k is %d, %v", got, err)
	}
}
