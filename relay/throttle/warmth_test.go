package throttle_test

import (
	"testing"
	"time"

	"postrider/relay/throttle"
)

// connection reports a message that was taken, beside a connection that ended.
func connection(t *testing.T, s *throttle.Sites, key string, messages int, said bool, now time.Time) {
	t.Helper()
	p := take(t, s, key, now)
	s.Report(t.Context(), p, throttle.Report{Result: throttle.Reached, Connection: messages, Enough: said}, now)
	s.Release(t.Context(), p)
}

func each(t *testing.T, s *throttle.Sites, key string, now time.Time) int {
	t.Helper()
	p := take(t, s, key, now)
	defer s.Release(t.Context(), p)
	return p.MessagesPerConnection
}

func TestMessagesPerConnectionAreLearned(t *testing.T) {
	t.Parallel()
	type ending struct {
		messages int
		said     bool
	}
	for name, tc := range map[string]struct {
		key     string
		endings []ending
		want    int
	}{
		"nothing ended":                                 {"big", nil, 0},
		"the site says so once":                         {"big", []ending{{7, true}}, 7},
		"it ends connections, each after as many":       {"big", []ending{{7, false}, {7, false}}, 7},
		"it ends one":                                   {"big", []ending{{7, false}}, 0},
		"it ends them whenever it likes":                {"big", []ending{{7, false}, {3, false}, {7, false}}, 0},
		"the last word counts":                          {"big", []ending{{7, true}, {12, true}}, 12},
		"a provider that takes fewer than is known":     {"google", []ending{{8, true}}, 8},
		"a provider that takes as many as is known":     {"google", nil, 50},
		"one that would take more than we send":         {"google", []ending{{50, true}, {70, false}, {70, false}}, 50},
		"one message only":                              {"google", []ending{{1, true}}, 1},
		"more than anybody has over one connection":     {"big", []ending{{5000, true}}, 0},
		"an ending that says so is no half of a number": {"big", []ending{{9, true}, {4, false}, {9, false}}, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := throttle.New(throttle.Options{Now: func() time.Time { return start }})
			for _, e := range tc.endings {
				connection(t, s, tc.key, e.messages, e.said, start)
			}
			if got := each(t, s, tc.key, start); got != tc.want || s.State(tc.key).MessagesPerConnection != tc.want {
				t.Errorf("%d messages over a connection, want %d", got, tc.want)
			}
		})
	}
}

func TestMessagesPerConnectionComeBack(t *testing.T) {
	t.Parallel()
	s := throttle.New(throttle.Options{})
	connection(t, s, "google", 10, true, start)
	for hours, want := range map[float64]int{0: 10, 0.9: 10, 1: 13, 2: 16, 5: 25, 13: 49, 14: 50, 100: 50, -1: 10} {
		if got := each(t, s, "google", start.Add(time.Duration(hours*float64(time.Hour)))); got != want {
			t.Errorf("after %v hours %d messages over a connection, want %d", hours, got, want)
		}
	}
	connection(t, s, "google", 20, true, start.Add(20*time.Hour))
	if got := each(t, s, "google", start.Add(20*time.Hour)); got != 20 {
		t.Errorf("%d messages after another word, want 20", got)
	}
}

func TestNodesLearnMessagesPerConnectionTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.give(b, c.want(b, "big", 1))
		connection(t, a, "big", 12, true, c.now)
		c.pass(1200 * time.Millisecond)
		if got := each(t, b, "big", c.now); got != 12 {
			t.Errorf("the other node puts %d messages over a connection, want 12", got)
		}
		a.Drain(t.Context())
		b.Drain(t.Context())
		c.nodes = nil
		c.now = c.now.Add(time.Minute)
		if got := each(t, c.join("a"), "big", c.now); got != 12 {
			t.Errorf("%d messages over a connection after the restart, want 12", got)
		}
	})
}

// What one node is refused right after another says little of the slower rate.
func TestNodesSlowDownLittleForARefusalThatAllHear(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, c *cluster) {
		a, b := c.join("a"), c.join("b")
		c.pass(6 * time.Second)
		for range 50 {
			for _, s := range c.nodes {
				c.give(s, c.want(s, "big", 2))
			}
			c.pass(100 * time.Millisecond)
		}
		refuse := func(s *throttle.Sites) {
			for _, p := range c.want(s, "big", 1) {
				s.Report(t.Context(), p, throttle.Report{Result: throttle.Slowed}, c.now)
				s.Release(t.Context(), p)
			}
		}
		refuse(a)
		once := a.State("big").PerMinute
		c.pass(700 * time.Millisecond) // b may know or not
		refuse(b)
		c.pass(400 * time.Millisecond)
		refuse(a)
		if got := a.State("big").PerMinute; got < 0.6*once {
			t.Errorf("they go from %.4g a minute to %.4g", once, got)
		}
	})
}
