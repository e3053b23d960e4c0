package redisstore_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// logged is what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOpenRefusesServersThatLoseMail(t *testing.T) {
	t.Parallel()
	acl := "user default on nopass ~* &* +@all -config"
	for _, c := range []struct {
		name, settings string
		want           []string // of what could be lost, and what to do
		never          bool     // also refused by those who are relaxed
	}{
		{"no log", "appendonly no", []string{"appendonly is no", "all mail is lost when it restarts", "set it to yes", "store_durability"}, false},
		{"a log synced by the second", "appendfsync everysec", []string{"appendfsync is everysec", "seconds of accepted mail", "set it to always", "store_durability"}, false},
		{"a log never synced", "appendfsync no", []string{"appendfsync is no", "set it to always"}, false},
		{"a log not synced while it is rewritten", "no-appendfsync-on-rewrite yes", []string{"no-appendfsync-on-rewrite is yes", "set it to no"}, false},
		{"settings that it does not tell", acl, []string{"CONFIG GET is refused", "nothing is known", "store_durability"}, false},
		{"eviction of anything", "maxmemory-policy allkeys-lru", []string{"maxmemory-policy allkeys-lru", "removes mail", "set it to noeviction"}, true},
		{"eviction of what ends", "maxmemory-policy volatile-ttl", []string{"maxmemory-policy volatile-ttl", "set it to noeviction"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			on := redistest.StartServer(t, c.settings)
			o := impatient(redisstore.Options{Addrs: []string{on.Addr()}})
			_, err := redisstore.Open(t.Context(), o)
			if err == nil {
				t.Fatal("it was opened")
			}
			for _, w := range append(c.want, on.Addr()) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			log := &logged{}
			o.Relaxed, o.Logger = true, slog.New(slog.NewTextHandler(log, nil))
			s, err := redisstore.Open(t.Context(), o)
			if c.never {
				if err == nil {
					t.Fatal("it was opened by one who is relaxed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			resumes(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if out := log.String(); !strings.Contains(out, "level=WARN") || !strings.Contains(out, c.want[0]) {
				t.Errorf("no warning: %s", out)
			}
		})
	}
}

func TestOpenRefusesAMasterWithoutReplica(t *testing.T) {
	t.Parallel()
	t.Run("behind Sentinels", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSteadySentinels(t, 0)
		refusesAlone(t, redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name()})
	})
	t.Run("in a Cluster", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartCluster(t, 3, 0)
		refusesAlone(t, redisstore.Options{Topology: redisstore.Cluster, Addrs: set.Addrs()})
	})
	t.Run("whose replica does not sync", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSteadySentinels(t, 1)
		if err := set.Nodes[1].Client().ConfigSet(t.Context(), "appendfsync", "everysec").Err(); err != nil {
			t.Fatal(err)
		}
		_, err := redisstore.Open(t.Context(), impatient(redisstore.Options{Topology: redisstore.Sentinel, Addrs: set.Addrs(), Master: set.Name()}))
		if err == nil || !strings.Contains(err.Error(), "appendfsync is everysec") || !strings.Contains(err.Error(), set.Nodes[1].Addr()) {
			t.Fatalf("open: %v", err)
		}
	})
}

func refusesAlone(t *testing.T, o redisstore.Options) {
	t.Helper()
	o = impatient(o)
	_, err := redisstore.Open(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "it has no replica") || !strings.Contains(err.Error(), "add one") {
		t.Fatalf("open: %v", err)
	}
	o.Relaxed = true
	resumes(t, open(t, o))
}

func TestOpenFailsWithoutServers(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t, "requirepass secret")
	_, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{on.Addr()}, Password: "wrong"})
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("with a wrong password: %v", err)
	}
	resumes(t, open(t, impatient(redisstore.Options{Addrs: []string{on.Addr()}, Password: "secret"})))
}
