package redistest_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue/redistest"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := redistest.StartServer(t)
	for i := range 100 {
		if err := s.Client().Set(ctx, fmt.Sprint("k", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	addr, pid := s.Addr(), s.PID()
	s.Kill()
	if s.Running() {
		t.Error("the server runs after it was killed")
	}
	s.Restart(t)
	if s.Addr() != addr || s.PID() == pid {
		t.Errorf("restarted at %s with pid %d, was %s with %d", s.Addr(), s.PID(), addr, pid)
	}
	if n, err := s.Client().DBSize(ctx).Result(); n != 100 || err != nil {
		t.Errorf("after the restart there are %d keys of 100, %v", n, err)
	}
}

func TestPausedServerAnswersNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := redistest.StartServer(t)
	s.Pause(t)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := s.Client().Ping(short).Err(); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume(t)
	if err := s.Client().Ping(ctx).Err(); err != nil {
		t.Error(err)
	}
	s.Pause(t)
	s.Kill() // also a paused one
}

func TestSettingsOfTheTestWin(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := redistest.StartServer(t, "maxmemory 20mb", "appendfsync everysec", "requirepass secret")
	want := map[string]string{
		"maxmemory": "20971520", "appendfsync": "everysec",
		"appendonly": "yes", "maxmemory-policy": "noeviction", "save": "", "hash-max-listpack-value": "1024",
	}
	for name, value := range want {
		got, err := s.Client().ConfigGet(ctx, name).Result()
		if err != nil || got[name] != value {
			t.Errorf("%s is %q, %v; want %q", name, got[name], err, value)
		}
	}
	if err := s.Client().Set(ctx, "k", strings.Repeat("x", 30<<20), 0).Err(); err == nil {
		if err = s.Client().Set(ctx, "l", 1, 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
			t.Errorf("a full server answers %v", err)
		}
	}
	s.Restart(t)
}

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := redistest.StartServer(t)
	busy := func() {
		if err := s.Client().Eval(ctx, "for i = 1, 3000000 do redis.sha1hex('') end", nil).Err(); err != nil && err.Error() != "redis: nil" {
			t.Fatal(err)
		}
	}
	before := s.CPU(t)
	busy()
	after := s.CPU(t)
	if after-before < 50*time.Millisecond {
		t.Errorf("a busy server used %v", after-before)
	}
	s.Restart(t)
	if again := s.CPU(t); again < after {
		t.Errorf("after a restart the processor time is %v, was %v", again, after)
	}
}

func TestServerSpeaksTLS(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	s := redistest.StartTLSServer(t)
	client := redis.NewClient(&redis.Options{Addr: s.TLSAddr(), TLSConfig: s.TLSConfig(t)})
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		t.Error(err)
	}
}

func TestNothingIsLeftOfAServer(t *testing.T) {
	t.Parallel()
	var dir string
	var pid int
	t.Run("one", func(t *testing.T) {
		s := redistest.StartServer(t)
		dir, pid = s.Dir(), s.PID()
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("its directory is still there: %v", err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !os.IsNotExist(err) {
		t.Errorf("its process is still there: %v", err)
	}
}

func BenchmarkStartServer(b *testing.B) {
	for b.Loop() {
		s := redistest.StartServer(b)
		s.Kill()
	}
}
