package redisstore_test

import (
	"errors"
	"testing"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

func openSentinels(t *testing.T, set *redistest.SentinelSet) *redisstore.Store {
	t.Helper()
	return open(t, impatient(redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name()}))
}

// TestFailover loses the master under load: with a replica's word for every
// change, nothing that was accepted is lost.
func TestFailover(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 2)
	l := startLoad(t, openSentinels(t, set), openSentinels(t, set))
	l.await(50)
	old := set.Master(t)
	old.Kill()
	set.AwaitFailover(t.Context(), t, old)
	set.RestartAsReplica(t, old)
	l.await(50)
	l.finish()
}

// TestReplicaIsLost takes no mail that one server alone would have, and leaves
// nothing of what was refused.
func TestReplicaIsLost(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 1)
	s := openSentinels(t, set)
	resumes(t, s)
	before, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set.Nodes[1].Pause(t)
	refuses(t, s)
	set.Nodes[1].Resume(t)
	eventually(t, func() error {
		after, err := s.Counts(t.Context())
		if err == nil && after[queue.StateQueued].Recipients != before[queue.StateQueued].Recipients {
			err = errors.New("the refused message is still there")
		}
		return err
	})
	resumes(t, s)
}

// TestAcknowledgedByAnotherReplica: while Sentinels believe that one replica is
// down, they make the other one master. That the first is back and acknowledges
// is then worth nothing.
func TestAcknowledgedByAnotherReplica(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t, 2)
	s := openSentinels(t, set)
	resumes(t, s)
	back, promoted := set.Nodes[1], set.Nodes[2]
	back.Pause(t)
	set.AwaitDown(t.Context(), t, back)
	for _, sentinel := range set.Sentinels {
		sentinel.Pause(t)
	}
	promoted.Promote(t.Context(), t)
	back.Resume(t)
	set.Nodes[0].AwaitReplicas(t.Context(), t, 1)
	refuses(t, s)
}

func openCluster(t *testing.T, set *redistest.ClusterSet, prefix string) *redisstore.Store {
	t.Helper()
	return open(t, impatient(redisstore.Options{Topology: redisstore.Cluster, Addrs: set.Addrs(), Relaxed: true, Prefix: prefix}))
}

// TestResharding moves the partitions to another shard under load.
func TestResharding(t *testing.T) {
	t.Parallel()
	set := redistest.StartCluster(t, 3, 0)
	l := startLoad(t, openCluster(t, set, "pr"), openCluster(t, set, "pr"))
	l.await(30)
	empty := set.AddMaster(t)
	for _, m := range set.Masters[:3] {
		set.Reshard(t.Context(), t, m, empty, set.UsedSlots(t, m))
	}
	l.await(30)
	used := set.UsedSlots(t, empty)
	set.Reshard(t.Context(), t, empty, set.Masters[0], used[:len(used)-1]) // without any slot it is no master
	l.await(30)
	l.finish()
	for _, s := range l.nodes {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	forgotten(t, openCluster(t, set, "pr"), set.Masters...)
}

// TestShardIsLost holds up no more than the mail of its partitions.
func TestShardIsLost(t *testing.T) {
	t.Parallel()
	set := redistest.StartCluster(t, 3, 0)
	l := startLoad(t, openCluster(t, set, "pr"), openCluster(t, set, "pr"))
	l.await(30)
	set.Masters[1].Kill()
	l.await(30)
	set.Masters[1].Restart(t)
	set.AwaitOK(t.Context(), t)
	l.await(30)
	l.finish()
}
