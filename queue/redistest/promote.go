package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// AwaitDown waits until all Sentinels believe that a replica is down.
func (set *SentinelSet) AwaitDown(ctx context.Context, t testing.TB, replica *Server) {
	t.Helper()
	for _, s := range set.Sentinels {
		await(ctx, t, func() error {
			list, err := s.client.Do(ctx, "SENTINEL", "REPLICAS", masterName).Slice()
			if err != nil {
				return err
			}
			for _, r := range list {
				f := pairs(r)
				if f["ip"]+":"+f["port"] == replica.Addr() && strings.Contains(f["flags"], "s_down") {
					return nil
				}
			}
			return fmt.Errorf("the Sentinel at %s does not say that %s is down", s.Addr(), replica.Addr())
		})
	}
}

// Promote makes a replica a master of its own, as Sentinels do.
func (s *Server) Promote(ctx context.Context, t testing.TB) {
	t.Helper()
	if err := s.client.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
}

// AwaitReplicas waits until exactly so many replicas follow a master and have
// lately said so.
func (s *Server) AwaitReplicas(ctx context.Context, t testing.TB, n int) {
	t.Helper()
	await(ctx, t, func() error {
		info, err := s.Info(ctx, "replication")
		if err != nil {
			return err
		}
		online := 0
		for name, line := range info {
			if strings.HasPrefix(name, "slave") && strings.Contains(line, "state=online") && (strings.Contains(line, "lag=0") || strings.Contains(line, "lag=1")) {
				online++
			}
		}
		if online != n {
			return fmt.Errorf("%d replicas follow %s, not %d", online, s.Addr(), n)
		}
		return nil
	})
}
