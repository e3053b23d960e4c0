package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/storetest"
)

func TestConformanceStandalone(t *testing.T) {
	t.Parallel()
	h := newBench().alone()
	h.Scale = scale
	storetest.Run(t, h)
}

// TestConformanceOfPartitions spreads each store over some partitions, on one
// server, and keeps all but the smallest contents in a directory.
func TestConformanceOfPartitions(t *testing.T) {
	t.Parallel()
	b := newBench()
	on := redistest.StartServer(t)
	storetest.Run(t, storetest.Harness{
		Archive: true, Reopen: b.reopen, Kill: b.kill, Partitions: 3, Scale: scale,
		Open: func(t *testing.T) queue.Store {
			return b.open(t, redisstore.Options{
				Addrs: []string{on.Addr()}, Prefix: b.prefix(), Partitions: 3, ContentDir: t.TempDir(), InlineLimit: 20,
			}, on)
		},
	})
}

// TestConformanceSentinel waits for the replica with every change, and keeps all
// but the smallest contents in chunks.
func TestConformanceSentinel(t *testing.T) {
	t.Parallel()
	b := newBench()
	set := redistest.StartSteadySentinels(t, 1)
	storetest.Run(t, storetest.Harness{
		Archive: true, Reopen: b.reopen, Kill: b.kill, Scale: scale / 2,
		Open: func(t *testing.T) queue.Store {
			return b.open(t, redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name(), Prefix: b.prefix(), InlineLimit: 20}, nil)
		},
	})
}

// TestConformanceCluster spreads the partitions of each store over three
// shards, and waits for their replicas with every change.
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	b := newBench()
	set := redistest.StartCluster(t, 3, 1)
	storetest.Run(t, storetest.Harness{
		Archive: true, Reopen: b.reopen, Kill: b.kill, Partitions: 12, Scale: scale / 2,
		Open: func(t *testing.T) queue.Store {
			return b.open(t, redisstore.Options{Topology: redisstore.Cluster, Addrs: set.Addrs(), Prefix: b.prefix()}, nil)
		},
	})
}

// scale keeps the suite, run four times here on real servers, short.
const scale = 0.2

// bench knows what each store was opened with.
type bench struct {
	mu   sync.Mutex
	set  map[queue.Store]setup
	made int
}

// setup is what a store was opened with and on.
type setup struct {
	options redisstore.Options
	server  *redistest.Server // nil if it is not alone
	wire    *wire
}

func newBench() *bench { return &bench{set: map[queue.Store]setup{}} }

// open fills in what tests on a busy machine need: nothing is timed here.
func (b *bench) open(t *testing.T, o redisstore.Options, on *redistest.Server) queue.Store {
	t.Helper()
	w := newWire()
	o.ContentGrace, o.Dial, o.PoolSize = -1, w.dial, 24
	o.Timeout, o.Patience = 10*time.Second, 20*time.Second
	s, err := redisstore.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set[s] = setup{options: o, server: on, wire: w}
	return s
}

func (b *bench) of(s queue.Store) setup {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set[s]
}

// prefix is one of its own for each store on servers that are shared.
func (b *bench) prefix() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	return "t" + strconv.Itoa(b.made)
}

func (b *bench) reopen(t *testing.T, s queue.Store) queue.Store {
	t.Helper()
	was := b.of(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.open(t, was.options, was.server)
}

// kill lets the node die, and opens the store as another one.
func (b *bench) kill(t *testing.T, s queue.Store) queue.Store {
	t.Helper()
	was := b.of(s)
	was.wire.cut()
	_ = s.Close() // what is left of it, in a world that is gone
	return b.open(t, was.options, was.server)
}

// alone gives each store a server of its own.
func (b *bench) alone() storetest.Harness {
	return storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			on := redistest.StartServer(t)
			return b.open(t, redisstore.Options{Addrs: []string{on.Addr()}}, on)
		},
		Reopen:  b.reopen,
		Kill:    b.kill,
		Archive: true,
		Crash: func(t *testing.T, s queue.Store) queue.Store {
			was := b.of(s)
			was.server.Kill()
			was.wire.cut()
			_ = s.Close()
			was.server.Restart(t)
			return b.open(t, was.options, was.server)
		},
		CrashPoints: b.crashPoints,
		Full: func(t *testing.T, s queue.Store) (room func()) {
			on := b.of(s).server
			set := func(limit string) {
				if err := on.Client().ConfigSet(context.Background(), "maxmemory", limit).Err(); err != nil {
					t.Fatal(err)
				}
			}
			set(fmt.Sprint(used(t, on) / 2))
			return func() { set("0") }
		},
	}
}

// crashPoints lets the node die at its n-th script, for every n: once before
// the script is sent, once when it has run but nobody was told.
func (b *bench) crashPoints(t *testing.T, trial func() storetest.Trial) {
	on := redistest.StartServer(t)
	for n := 1; ; n++ {
		reached := false
		for _, ran := range []bool{false, true} {
			s := b.open(t, redisstore.Options{Addrs: []string{on.Addr()}, Prefix: b.prefix()}, on)
			was := b.of(s)
			c := trial()
			c.Before(t, s)
			was.wire.arm(n, ran)
			c.During(s)
			reached = was.wire.fired() || reached
			was.wire.cut()
			_ = s.Close()
			s = b.open(t, was.options, on)
			c.After(t, s)
			if err := s.Close(); err != nil {
				t.Fatalf("script %d, ran %t: %v", n, ran, err)
			}
			if t.Failed() {
				t.Fatalf("script %d, ran %t", n, ran)
			}
		}
		if !reached {
			t.Logf("%d scripts", n-1)
			return
		}
		if n > 500 {
			t.Fatal("the operation has no end")
		}
	}
}

func used(t *testing.T, on *redistest.Server) int64 {
	t.Helper()
	text, err := on.Client().Info(context.Background(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(text, "used_memory:")
	text, _, _ = strings.Cut(text, "\r")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
