package redistest_test

import (
	"fmt"
	"testing"
	"time"

	"postrider/queue/redistest"
)

func TestSentinelsReplaceAKilledMaster(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	begin := time.Now()
	set := redistest.StartSentinels(t, 2)
	t.Logf("started in %v", time.Since(begin))
	old := set.Master(t)
	for i := range 100 {
		if err := old.Client().Set(ctx, fmt.Sprint("k", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := old.Client().Wait(ctx, 2, time.Second).Result(); n != 2 || err != nil {
		t.Fatalf("%d replicas have it, %v", n, err)
	}
	begin = time.Now()
	old.Kill()
	master := set.AwaitFailover(ctx, t, old)
	t.Logf("failed over in %v", time.Since(begin))
	if n, err := master.Client().DBSize(ctx).Result(); n != 100 || err != nil {
		t.Errorf("the new master has %d keys, %v", n, err)
	}
	set.RestartAsReplica(t, old)
	// And back.
	begin = time.Now()
	master.Kill()
	third := set.AwaitFailover(ctx, t, master)
	t.Logf("failed over in %v", time.Since(begin))
	if n, err := third.Client().DBSize(ctx).Result(); n != 100 || err != nil {
		t.Errorf("the third master has %d keys, %v", n, err)
	}
}

func TestReplicasFollow(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	nodes := redistest.StartReplicated(t, 1, "requirepass secret", "masterauth secret")
	if err := nodes[0].Client().Set(ctx, "k", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := nodes[0].Client().Wait(ctx, 1, time.Second).Result(); n != 1 || err != nil {
		t.Errorf("%d replicas have it, %v", n, err)
	}
	if err := nodes[1].Client().Set(ctx, "k", 2, 0).Err(); err == nil {
		t.Error("a replica takes writes")
	}
}
