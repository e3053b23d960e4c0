// Package redistest runs real Redis servers for tests: one alone, a master with
// replicas under three Sentinels, or a Cluster.
//
//	s := redistest.StartServer(t)                       // or with lines of redis.conf: "maxmemory 20mb"
//	set := redistest.StartSentinels(t, 1)               // a master, 1 replica, 3 Sentinels
//	c := redistest.StartCluster(t, 3, 0)                // 3 masters without replicas
//
// Every server keeps what the strict durability asks for: `appendonly yes`,
// `appendfsync always`, no eviction, no snapshots; lines given by the test come
// after that and win. It listens on 127.0.0.1 at a port of its own, below the
// ports that the system gives to outgoing connections, so that Restart gets the
// same one again, and keeps its data in a directory of its own. A server alone
// is up in some 20 ms, a Sentinel set in half a second, a Cluster in 3 s.
//
//	s.Kill()      // SIGKILL; on return the process is gone
//	s.Restart(t)  // same port, same data; on return it is loaded
//	s.Pause(t)    // SIGSTOP; on return it stands still
//	s.Resume(t)
//	s.Client()    // for looks of the test's own
//	s.CPU(t)      // what the machine spent on it
//
//	s := redistest.StartTLSServer(t) // also speaks TLS, at TLSAddr with TLSConfig
//
//	set.Master(t).Kill()
//	set.AwaitFailover(ctx, t, old) // *Server: the new master
//	set.RestartAsReplica(t, old)
//
//	empty := c.AddMaster(t)
//	c.Reshard(ctx, t, c.Masters[0], empty, c.Slots(t, c.Masters[0])[:1000])
//	c.Masters[1].Kill(); c.Masters[1].Restart(t); c.AwaitOK(ctx, t)
//
// All servers of a test have ended, and their directories are gone, when it
// has; the log of each is shown if it failed. They die with the test process,
// however that ends. A missing redis-server fails the test: nothing is skipped.
//
// What takes a testing.TB fails it on trouble, so it is for the goroutine of the
// test; the rest may be called from any.
package redistest
