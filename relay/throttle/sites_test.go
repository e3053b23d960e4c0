package throttle_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"postrider/relay/throttle"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func take(t *testing.T, s *throttle.Sites, site string, now time.Time) throttle.Permit {
	t.Helper()
	p, until, ok := s.Acquire(t.Context(), site, now)
	if !ok {
		t.Fatalf("no permit for %s at +%v, until +%v", site, now.Sub(start), until.Sub(start))
	}
	return p
}

func refused(t *testing.T, s *throttle.Sites, site string, now time.Time) time.Time {
	t.Helper()
	_, until, ok := s.Acquire(t.Context(), site, now)
	if ok {
		t.Fatalf("a permit for %s at +%v", site, now.Sub(start))
	}
	return until
}

// attempt takes a permit, reports and gives it back.
func attempt(t *testing.T, s *throttle.Sites, site string, r throttle.Result, now time.Time) time.Time {
	t.Helper()
	p := take(t, s, site, now)
	until := s.Report(t.Context(), p, throttle.Report{Result: r}, now)
	s.Release(t.Context(), p)
	return until
}

func TestLimitIsPerSite(t *testing.T) {
	t.Parallel()
	table, err := throttle.Providers().With([]throttle.Override{{Match: "narrow.example.com", Connections: 1}})
	if err != nil {
		t.Fatal(err)
	}
	s := throttle.New(throttle.Options{Connections: 2, Table: table})
	narrow := s.Key("narrow", []string{"mx.narrow.example.com"}, "")
	a := take(t, s, "wide", start)
	take(t, s, "wide", start)
	if until := refused(t, s, "wide", start); !until.IsZero() {
		t.Errorf("a busy site names %v, want the zero time", until)
	}
	take(t, s, narrow, start)
	refused(t, s, narrow, start)
	s.Release(t.Context(), a)
	take(t, s, "wide", start)
	if n := s.Stats(start).Permits; n != 3 {
		t.Errorf("%d permits out, want 3", n)
	}
}

func TestPausesGrowUntilAProbeIsAnswered(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	now := start
	for n := range 4 {
		if until := attempt(t, s, "dead", throttle.Failed, now); until.After(now) {
			t.Fatalf("paused after %d failures", n+1)
		}
	}
	for _, m := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		until := attempt(t, s, "dead", throttle.Failed, now)
		if got := until.Sub(now); got != m*time.Minute {
			t.Fatalf("paused for %v, want %v", got, m*time.Minute)
		}
		if got := refused(t, s, "dead", until.Add(-1)); !got.Equal(until) {
			t.Fatalf("refused until %v, want %v", got, until)
		}
		now = until
		probe := take(t, s, "dead", now)
		if until := refused(t, s, "dead", now); !until.IsZero() {
			t.Fatal("a second probe beside the first should wait for it")
		}
		s.Release(t.Context(), probe)
	}
	attempt(t, s, "dead", throttle.Reached, now)
	for range 10 {
		take(t, s, "dead", now)
	}
	refused(t, s, "dead", now)
}

func TestAnswerBetweenFailuresKeepsSiteOpen(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{Failures: 2})
	for range 5 {
		attempt(t, s, "a", throttle.Failed, start)
		attempt(t, s, "a", throttle.Neutral, start)
		if until := attempt(t, s, "a", throttle.Reached, start); until.After(start) {
			t.Fatal("paused though it answers")
		}
	}
}

func TestStragglersDoNotLengthenAPause(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{Failures: 2})
	var early []throttle.Permit
	for range 10 {
		early = append(early, take(t, s, "a", start))
	}
	var until time.Time
	for i, p := range early {
		until = s.Report(t.Context(), p, throttle.Report{Result: throttle.Failed}, start.Add(time.Duration(i)*20*time.Second))
		s.Release(t.Context(), p)
	}
	if want := start.Add(20*time.Second + time.Minute); !until.Equal(want) {
		t.Errorf("paused until +%v, want +%v", until.Sub(start), want.Sub(start))
	}
}

func TestPauseAsked(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	end := start.Add(10 * time.Minute)
	s.Pause(t.Context(), "a", start, end)
	s.Pause(t.Context(), "a", start, start.Add(time.Minute))
	if got := refused(t, s, "a", start.Add(2*time.Minute)); !got.Equal(end) {
		t.Errorf("refused until %v, want %v", got, end)
	}
	if n := s.Stats(start).Paused; n != 1 {
		t.Errorf("%d paused, want 1", n)
	}
	take(t, s, "a", end)
	refused(t, s, "a", end)
}

func TestSitesAreForgotten(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	now := start
	for i := range 5000 {
		attempt(t, s, fmt.Sprint("dead-", i), throttle.Failed, now)
		attempt(t, s, fmt.Sprint("live-", i), throttle.Reached, now)
		now = now.Add(10 * time.Second)
	}
	if n := s.Known(); n > 2*1024 {
		t.Errorf("%d sites are remembered", n)
	}
}

func TestConcurrentUseKeepsTheLimit(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{Connections: 3})
	var mu sync.Mutex
	var wg sync.WaitGroup
	out, most := 0, 0
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				p, _, ok := s.Acquire(t.Context(), "a", start)
				if !ok {
					continue
				}
				mu.Lock()
				out++
				most = max(most, out)
				mu.Unlock()
				s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached}, start)
				mu.Lock()
				out--
				mu.Unlock()
				s.Release(t.Context(), p)
			}
		})
	}
	wg.Wait()
	if most > 3 {
		t.Errorf("%d permits were out at a time, want 3 at most", most)
	}
	if n := s.Stats(start).Permits; n != 0 {
		t.Errorf("%d permits are still out", n)
	}
}
