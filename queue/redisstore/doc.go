// Package redisstore is the engine of queue.Store for several nodes: one queue
// in Redis 7 or Valkey, standalone, behind Sentinel, or spread over a Cluster.
//
// The queue is split into partitions, each a complete queue under one hash tag,
// so that every script touches one slot. A message's record is the truth; lists
// of what is due are hints, which may be stale and are checked when they are
// followed. Scripts (lua/*.lua) do in one step what must be one step; what a
// recipient becomes is decided in Go, and committed if it is still what it was.
//
// It promises what package queue asks for. Beyond that:
//
//   - Order and fairness hold within a partition, and partitions are served in
//     turn. With one partition, the default but for Cluster, they hold over all.
//   - Leases are timed by the servers' clock: a node's own may be wrong. A node
//     that dies, or sleeps, loses what it leased when the lease's time is over,
//     and nothing that it does afterwards counts.
//   - Durable means: synced by the server before it answers (appendfsync
//     always), and with Sentinel or Cluster acknowledged by a replica too. Open
//     refuses servers that are set to do less, unless Options.Relaxed.
//   - Calls end within Options.Timeout (accepting) or Options.Patience, with
//     queue.ErrUnavailable if the servers do not answer, or queue.ErrFull if they
//     have no memory left. What they changed is then unknown; asking again is
//     safe.
//   - A node holds no more of a content than one chunk.
//
// Limits, claims and parked lanes are shared by all nodes; a lane that one node
// has parked is served by the others when they have nothing else to do.
package redisstore
