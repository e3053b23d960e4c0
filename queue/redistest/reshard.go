package redistest

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Like redis-cli --cluster reshard.
const (
	migrateBatch   = 10
	migrateTimeout = 5 * time.Second
)

// Reshard moves slots with their keys from one master to another while clients
// use them, as redis-cli does: one slot after the other, its keys in batches.
// While a slot moves, commands on keys of it are answered ASK or TRYAGAIN, and
// MOVED after.
func (c *ClusterSet) Reshard(ctx context.Context, t testing.TB, from, to *Server, slots []int) {
	t.Helper()
	source, target := nodeID(t, from), nodeID(t, to)
	for _, slot := range slots {
		if err := c.move(ctx, slot, from, to, source, target); err != nil {
			t.Fatalf("move slot %d from %s to %s: %v", slot, from.Addr(), to.Addr(), err)
		}
	}
}

func (c *ClusterSet) move(ctx context.Context, slot int, from, to *Server, source, target string) error {
	if err := to.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", source).Err(); err != nil {
		return err
	}
	if err := from.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", target).Err(); err != nil {
		return err
	}
	if err := migrate(ctx, slot, from, to); err != nil {
		return err
	}
	// The target first: a moment in which nobody claims the slot would lose it
	// if the source died in it.
	if err := to.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", target).Err(); err != nil {
		return err
	}
	if err := from.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", target).Err(); err != nil {
		return err
	}
	for _, m := range c.Masters {
		if m == from || m == to || !m.Running() {
			continue
		}
		// Those that miss it hear of it from the others.
		_ = m.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", target).Err()
	}
	return nil
}

// migrate moves the keys of a slot until it is empty.
func migrate(ctx context.Context, slot int, from, to *Server) error {
	for {
		keys, err := from.client.ClusterGetKeysInSlot(ctx, slot, migrateBatch).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"MIGRATE", loopback, to.port, "", 0, migrateTimeout.Milliseconds()}
		if password := to.setting("requirepass"); password != "" {
			args = append(args, "AUTH", password)
		}
		args = append(args, "KEYS")
		for _, k := range keys {
			args = append(args, k)
		}
		if err := from.client.Do(ctx, args...).Err(); err != nil {
			return fmt.Errorf("migrate %d keys: %w", len(keys), err)
		}
	}
}
