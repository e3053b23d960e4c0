package mtasts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/mx/dnssim"
	"postrider/mx/mtasts"
)

func TestNodesShareWhatOneHasFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.Cache)
	other := w.node()
	w.wants(other, "another node, or the same after a restart", mtasts.Enforce, "a1", "")
	if n := w.web.asked(); n != 1 {
		t.Errorf("fetched %d times; want 1", n)
	}

	w.record("a2")
	w.web.says(serve(strings.Replace(testPolicy, "enforce", "testing", 1)))
	w.clock.advance(5 * time.Minute)
	w.wants(other, "the first to see a new id", mtasts.Testing, "a2", "")
	w.wants(w.Cache, "the second", mtasts.Testing, "a2", "")
	if n := w.web.asked(); n != 2 {
		t.Errorf("fetched %d times; want 2: the second node takes the first one's", n)
	}
}

func TestAStoredPolicyHoldsAfterARestartInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.Cache)
	w.set("*", "", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.set("_mta-sts.example.test", "", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.clock.advance(week - time.Hour)
	w.wants(w.node(), "with no DNS at all", mtasts.Enforce, "a1", mtasts.FaultFetch)
	w.clock.advance(2 * time.Hour)
	w.wants(w.node(), "when it has expired", mtasts.None, "", "")
}

func TestAPolicyIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"with mode none":            "version: STSv1\nmode: none\nmax_age: 86400\n",
		"with mode none and no age": "version: STSv1\nmode: none\nmax_age: 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.policy(w.Cache)
			w.record("a2")
			w.web.says(serve(file))
			w.clock.advance(5 * time.Minute)
			if p := w.policy(w.Cache); p.Mode != mtasts.None || p.Fault != "" {
				t.Errorf("policy = %+v; want none", p)
			}
			w.clock.advance(time.Hour)
			if p := w.policy(w.Cache); p.Mode != mtasts.None || p.Fault != "" {
				t.Errorf("an hour later: %+v; want none", p)
			}
			w.zone("")
			w.clock.advance(time.Hour)
			if p := w.policy(w.node()); p.Mode != mtasts.None || p.Fault != "" {
				t.Errorf("on another node: %+v; want none", p)
			}
		})
	}
}

func TestTroubleOfTheStoreIsNotTheLackOfAPolicy(t *testing.T) {
	t.Parallel()
	down := errors.New("store is down")
	w := newWorld(t)
	w.policy(w.Cache)
	w.store.fail(down)

	w.zone("")
	w.clock.advance(5 * time.Minute)
	if p, err := w.node().Policy(t.Context(), "example.test"); !errors.Is(err, down) {
		t.Errorf("no record, and nobody knows of a policy: %+v, %v; want the store's error", p, err)
	}
	w.record("a2")
	w.web.says(status(500))
	w.clock.advance(5 * time.Minute)
	if p, err := w.node().Policy(t.Context(), "example.test"); !errors.Is(err, down) {
		t.Errorf("a failed fetch, and nobody knows of a policy: %+v, %v; want the store's error", p, err)
	}
	w.wants(w.Cache, "the node that remembers", mtasts.Enforce, "a1", mtasts.FaultFetch)
	w.web.says(serve(testPolicy))
	w.wants(w.node(), "a node that can fetch", mtasts.Enforce, "a2", "")

	w.store.fail(nil)
	w.zone("")
	w.clock.advance(5 * time.Minute)
	w.wants(w.node(), "when the store is back", mtasts.Enforce, "a1", "")
}

func TestADamagedValueIsFetchedAgain(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "{", `{"v":1,"mode":"enforce","id":"a1"}`, `{"v":1,"mode":"all","id":"a1"}`, `{"v":1,"mode":"enforce","mx":["*"],"id":"a1"}`, `{"v":1,"id":"-"}`} {
		w := newWorld(t)
		if err := w.store.CachePut(t.Context(), "mta-sts/example.test", []byte(value), w.clock.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
		w.wants(w.Cache, value, mtasts.Enforce, "a1", "")
		if n := w.web.asked(); n != 1 {
			t.Errorf("%s: fetched %d times; want 1", value, n)
		}
	}
}

func TestWithoutAStoreMemoryIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mtasts.Options) { o.Store = nil })
	w.wants(w.Cache, "at first", mtasts.Enforce, "a1", "")
	w.wants(w.Cache, "again", mtasts.Enforce, "a1", "")
}

func TestPoliciesInUseAreRefreshed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.Cache)
	w.clock.advance(23 * time.Hour)
	w.Refresh(t.Context())
	if n := w.web.asked(); n != 1 {
		t.Errorf("fetched %d times within a day; want 1", n)
	}
	w.clock.advance(time.Hour)
	w.Refresh(t.Context())
	w.Refresh(t.Context())
	if n := w.web.asked(); n != 2 {
		t.Errorf("fetched %d times after a day; want 2", n)
	}
	if p := w.policy(w.Cache); !p.Expires.Equal(w.clock.Now().Add(week)) {
		t.Errorf("expires %v; want a week after the refresh", p.Expires)
	}

	w.web.says(status(500))
	w.clock.advance(24 * time.Hour)
	w.Refresh(t.Context())
	w.wants(w.Cache, "after a refresh that failed", mtasts.Enforce, "a1", mtasts.FaultFetch)
	asked := w.web.asked()
	w.Refresh(t.Context())
	if n := w.web.asked(); n != asked {
		t.Error("the failed refresh was repeated at once")
	}
}

func TestOnlyOneNodeRefreshes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.node()
	w.policy(w.Cache)
	w.policy(other)
	w.clock.advance(24 * time.Hour)
	w.Refresh(t.Context())
	other.Refresh(t.Context())
	if n := w.web.asked(); n != 2 {
		t.Errorf("fetched %d times by two nodes in two days; want 2", n)
	}
	if p := w.policy(other); !p.Expires.Equal(w.clock.Now().Add(week)) {
		t.Errorf("the other node's policy expires %v; want a week from now", p.Expires)
	}
}

func TestPoliciesOutOfUseAreLeftToExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.web.says(serve(strings.Replace(testPolicy, "604800", "31557600", 1)))
	w.policy(w.Cache)
	for range 20 {
		w.clock.advance(24 * time.Hour)
		w.Refresh(t.Context())
	}
	if n := w.web.asked(); n != 14 {
		t.Errorf("fetched %d times in 20 days without use; want 14", n)
	}
}

func TestAShortPolicyIsRefreshedBeforeItExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.web.says(serve(strings.Replace(testPolicy, "604800", "86400", 1)))
	w.policy(w.Cache)
	w.clock.advance(12 * time.Hour)
	w.Refresh(t.Context())
	if n := w.web.asked(); n != 2 {
		t.Errorf("fetched %d times after half of max_age; want 2", n)
	}
}
