package throttle_test

import (
	"strings"
	"testing"
	"time"

	"postrider/relay/throttle"
)

func sitesOf(t *testing.T, all ...throttle.Override) *throttle.Sites {
	t.Helper()
	table, err := throttle.Providers().With(all)
	if err != nil {
		t.Fatal(err)
	}
	return throttle.New(throttle.Options{Table: table, Now: func() time.Time { return start }})
}

func TestRateOfARuleIsKept(t *testing.T) {
	t.Parallel()
	s := sitesOf(t, throttle.Override{Match: "mx.example.com", Rate: throttle.Rate{Count: 2, Per: time.Minute}})
	const key = "*.mx.example.com"
	p := take(t, s, key, start)
	s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached}, start)
	if s.Again(t.Context(), p, start.Add(time.Second)) {
		t.Error("a second message at once over the warm connection")
	}
	s.Release(t.Context(), p)
	if until := refused(t, s, key, start.Add(time.Second)); !until.Equal(start.Add(30 * time.Second)) {
		t.Errorf("refused until +%v, want +30s", until.Sub(start))
	}
	p = take(t, s, key, start.Add(30*time.Second))
	s.Release(t.Context(), p) // it was not sent
	take(t, s, key, start.Add(30*time.Second))
	refused(t, s, key, start.Add(30*time.Second))
}

func TestOneRoundOfRefusalsCountsOnce(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{Now: func() time.Time { return start.Add(20 * time.Second) }})
	now := start
	for range 100 { // ten a second
		attempt(t, s, "a", throttle.Reached, now)
		now = now.Add(100 * time.Millisecond)
	}
	var round []throttle.Permit
	for range 8 {
		round = append(round, take(t, s, "a", now))
	}
	for _, p := range round {
		s.Report(t.Context(), p, throttle.Report{Result: throttle.Slowed}, now)
		s.Release(t.Context(), p)
	}
	if got := s.State("a"); got.PerMinute < 480 || got.PerMinute > 530 || got.Refused < 570 || got.Refused > 620 || got.Connections < 6 {
		t.Errorf("after ten a second were refused, once: %+v", got)
	}
	now = now.Add(time.Second)
	attempt(t, s, "a", throttle.Slowed, now)
	if got := s.State("a"); got.PerMinute > 270 {
		t.Errorf("after it was refused at once again: %.4g a minute", got.PerMinute)
	}
}

func TestASiteThatRefusesEverythingIsLeftInPeace(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	now, attempts := start, 0
	for now.Before(start.Add(6 * time.Hour)) {
		p, until, ok := s.Acquire(t.Context(), "a", now)
		if !ok {
			now = until
			continue
		}
		attempts++
		s.Report(t.Context(), p, throttle.Report{Result: throttle.Slowed}, now)
		s.Release(t.Context(), p)
		now = now.Add(time.Millisecond)
	}
	if attempts > 30 {
		t.Errorf("%d attempts in six hours at a site that takes nothing", attempts)
	}
}

func TestRestIsKeptAndNotStretchedByStragglers(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	a, b, c := take(t, s, "a", start), take(t, s, "a", start), take(t, s, "a", start)
	rest := throttle.Report{Result: throttle.Slowed, Rest: 2 * time.Hour}
	end := s.Report(t.Context(), a, rest, start)
	if !end.Equal(start.Add(2 * time.Hour)) {
		t.Fatalf("paused until +%v", end.Sub(start))
	}
	if until := s.Report(t.Context(), b, rest, start.Add(time.Minute)); !until.Equal(end) {
		t.Errorf("one that was on its way stretched the pause to +%v", until.Sub(start))
	}
	rest.Rest = 24 * time.Hour
	if until := s.Report(t.Context(), c, rest, start.Add(time.Minute)); !until.Equal(start.Add(24*time.Hour + time.Minute)) {
		t.Errorf("one that was told of a much longer rest: paused until +%v", until.Sub(start))
	}
}

func TestAgainGivesWayToPausesAndProbes(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	p := take(t, s, "a", start)
	s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached}, start)
	if !s.Again(t.Context(), p, start) {
		t.Fatal("not again, though all is well")
	}
	s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached}, start)
	s.Pause(t.Context(), "a", start, start.Add(time.Minute))
	if s.Again(t.Context(), p, start) {
		t.Error("again though the site is paused")
	}
	if s.Again(t.Context(), p, start.Add(2*time.Minute)) {
		t.Error("again though the site wants a probe first")
	}
	s.Release(t.Context(), p)
	probe := take(t, s, "a", start.Add(2*time.Minute))
	s.Report(t.Context(), probe, throttle.Report{Result: throttle.Reached}, start.Add(2*time.Minute))
	if !s.Again(t.Context(), probe, start.Add(2*time.Minute)) {
		t.Error("not again though the probe was answered")
	}
}

func TestAProbeThatIsRefusedRestsLonger(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{Failures: 1})
	until := attempt(t, s, "a", throttle.Failed, start)
	for _, m := range []time.Duration{2, 4, 8} {
		next := attempt(t, s, "a", throttle.Slowed, until)
		if got := next.Sub(until); got != m*time.Minute {
			t.Fatalf("paused for %v, want %v", got, m*time.Minute)
		}
		until = next
	}
}

func TestStateNamesTheLimitThatBinds(t *testing.T) {
	t.Parallel()
	s := sitesOf(t, throttle.Override{Match: "paced.example.com", Rate: throttle.Rate{Count: 1, Per: time.Minute}},
		throttle.Override{Match: "orange", Connections: 1})
	s.Pause(t.Context(), "paused", start, start.Add(time.Hour))
	s.Pause(t.Context(), "probed", start.Add(-time.Hour), start.Add(-time.Minute))
	attempt(t, s, "*.paced.example.com", throttle.Reached, start)
	take(t, s, "orange", start)
	attempt(t, s, "slowed", throttle.Slowed, start)
	for key, want := range map[string]struct {
		limit throttle.Limit
		until time.Duration
		says  string
	}{
		"paused":              {throttle.LimitPause, time.Hour, "in peace until 2026-01-02T04:04:05Z"},
		"probed":              {throttle.LimitProbe, 0, "tried by one message first"},
		"*.paced.example.com": {throttle.LimitRate, time.Minute, "1 messages a minute go to it, by the rule for *.paced.example.com"},
		"orange":              {throttle.LimitConnections, 0, "1 of 1 connections to it are in use, by the rule for orange"},
		"slowed":              {throttle.LimitRate, 1176470588, "it refused 60 a minute at 2026-01-02T03:04:05Z, and limits are on their way back (0 %)"},
		"fine":                {throttle.LimitNone, 0, ""},
	} {
		n := s.State(key)
		until := time.Duration(0)
		if !n.BindingUntil.IsZero() {
			until = n.BindingUntil.Sub(start)
		}
		if n.Binding != want.limit || until != want.until || !strings.Contains(n.String(), want.says) || (want.says == "") != (n.String() == "") {
			t.Errorf("%s: %q until +%v: %q", key, n.Binding, until, n)
		}
	}
	if n := s.Stats(start); n.Paused != 1 || n.Slowed != 1 || n.Permits != 1 || n.Alone {
		t.Errorf("counted %+v", n)
	}
}
