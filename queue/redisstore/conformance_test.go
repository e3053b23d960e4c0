package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/storetest"
)

func TestConformanceStandalone(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newBench().alone())
}

// bench knows what each store was opened with.
type bench struct {
	mu      sync.Mutex
	options map[queue.Store]redisstore.Options
	servers map[queue.Store]*redistest.Server
	made    int
}

func newBench() *bench {
	return &bench{options: map[queue.Store]redisstore.Options{}, servers: map[queue.Store]*redistest.Server{}}
}

func (b *bench) open(t *testing.T, o redisstore.Options, on *redistest.Server) queue.Store {
	t.Helper()
	s, err := redisstore.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.options[s], b.servers[s] = o, on
	return s
}

func (b *bench) of(s queue.Store) (redisstore.Options, *redistest.Server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.options[s], b.servers[s]
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
	o, on := b.of(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.open(t, o, on)
}

// alone gives each store a server of its own.
func (b *bench) alone() storetest.Harness {
	return storetest.Harness{
		Open: func(t *testing.T) queue.Store {
			on := redistest.StartServer(t)
			return b.open(t, redisstore.Options{Addrs: []string{on.Addr()}, ContentGrace: -1}, on)
		},
		Reopen: b.reopen,
		Full: func(t *testing.T, s queue.Store) (room func()) {
			_, on := b.of(s)
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

// TestConformanceOfPartitions spreads each store over some partitions, on one
// server.
func TestConformanceOfPartitions(t *testing.T) {
	t.Parallel()
	b := newBench()
	on := redistest.StartServer(t)
	storetest.Run(t, storetest.Harness{
		Reopen: b.reopen, Partitions: 3,
		Open: func(t *testing.T) queue.Store {
			return b.open(t, redisstore.Options{Addrs: []string{on.Addr()}, Prefix: b.prefix(), Partitions: 3, ContentGrace: -1}, on)
		},
	})
}
