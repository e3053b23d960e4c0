package mtasts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mx/dnssim"
	"postrider/mx/mtasts"
)

func TestAPolicyIsFoundAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, err := w.Policy(t.Context(), "Example.TEST.")
	if err != nil {
		t.Fatal(err)
	}
	if p.Mode != mtasts.Enforce || p.ID != "a1" || p.Fault != "" || !p.Expires.Equal(w.clock.Now().Add(week)) ||
		!slices.Equal(p.Hosts, []string{"mx.example.test", "*.backup.test"}) {
		t.Errorf("policy = %+v", p)
	}
	for range 20 {
		w.wants(w.Cache, "again", mtasts.Enforce, "a1", "")
	}
	if n := w.web.asked(); n != 1 || w.web.requests[0] != "/.well-known/mta-sts.txt" {
		t.Errorf("fetched %d times: %v; want once", n, w.web.requests)
	}
}

func TestDomainsThatCanHaveNoPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, domain := range []string{"", "[127.0.0.1]", "a..b", "other.test", strings.Repeat("a.", 124) + "test"} {
		if p, err := w.Policy(t.Context(), domain); err != nil || p.Mode != mtasts.None || p.Fault != "" {
			t.Errorf("%q: %+v, %v; want none", domain, p, err)
		}
	}
}

func TestTheIDIsCheckedEveryFewMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.Cache)
	w.clock.advance(4 * time.Minute)
	w.record("a2")
	w.web.says(serve(strings.Replace(testPolicy, "enforce", "testing", 1)))
	w.wants(w.Cache, "after 4 minutes", mtasts.Enforce, "a1", "")
	if n := w.dns.Count("_mta-sts.example.test", "TXT"); n != 1 {
		t.Errorf("the record was looked at %d times; want 1", n)
	}
	w.clock.advance(time.Minute)
	w.wants(w.Cache, "after 5 minutes", mtasts.Testing, "a2", "")
	w.clock.advance(5 * time.Minute)
	w.wants(w.Cache, "with the same id", mtasts.Testing, "a2", "")
	if n := w.web.asked(); n != 2 {
		t.Errorf("fetched %d times; want 2: once for each id", n)
	}
}

// faults are the ways in which a policy cannot be had.
func faults(t *testing.T) []fault {
	return []fault{
		{"the page is not there", mtasts.FaultFetch, func(w *world) { w.web.says(status(404)) }},
		{"the server fails", mtasts.FaultFetch, func(w *world) { w.web.says(status(500)) }},
		{"another success than 200", mtasts.FaultFetch, func(w *world) { w.web.says(status(203)) }},
		{"a redirect", mtasts.FaultFetch, func(w *world) {
			w.web.says(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					w.t.Error("the redirect was followed")
				}
				http.Redirect(rw, r, "/elsewhere", http.StatusFound)
			})
		}},
		{"too large", mtasts.FaultFetch, func(w *world) { w.web.says(serve(testPolicy + strings.Repeat("\n", 64<<10))) }},
		{"not a policy", mtasts.FaultInvalid, func(w *world) { w.web.says(serve("<html>hello</html>")) }},
		{"a policy of another version", mtasts.FaultInvalid, func(w *world) { w.web.says(serve(strings.Replace(testPolicy, "STSv1", "STSv2", 1))) }},
		{"an unknown authority", mtasts.FaultWebPKI, func(w *world) {
			w.web.present(newAuthority(t).issue(t, time.Now().Add(time.Hour), "mta-sts.example.test"))
		}},
		{"a certificate for another name", mtasts.FaultWebPKI, func(w *world) {
			w.web.present(w.web.ca.issue(t, time.Now().Add(time.Hour), "example.test"))
		}},
		{"an expired certificate", mtasts.FaultWebPKI, func(w *world) {
			w.web.present(w.web.ca.issue(t, time.Now().Add(-time.Hour), "mta-sts.example.test"))
		}},
		{"no policy host", mtasts.FaultFetch, func(w *world) { w.set("mta-sts.example.test", "", dnssim.Behavior{Rcode: "NXDOMAIN"}) }},
		{"no answer about the policy host", mtasts.FaultFetch, func(w *world) { w.set("mta-sts.example.test", "", dnssim.Behavior{Rcode: "SERVFAIL"}) }},
		{"nobody listens", mtasts.FaultFetch, func(w *world) { w.web.srv.Close() }},
		{"the server stalls", mtasts.FaultFetch, func(w *world) {
			w.web.says(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}},
	}
}

type fault struct {
	name, result string
	strike       func(*world)
}

func TestFailuresKeepThePolicyUntilItExpires(t *testing.T) {
	t.Parallel()
	for _, f := range faults(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *mtasts.Options) { o.FetchTimeout = 300 * time.Millisecond })
			w.policy(w.Cache)
			w.clock.advance(10 * time.Minute)
			w.record("a2")
			f.strike(w)
			w.wants(w.Cache, "while it holds", mtasts.Enforce, "a1", f.result)
			w.wants(w.node(), "on another node", mtasts.Enforce, "a1", f.result)
			w.clock.advance(week - 11*time.Minute)
			w.wants(w.Cache, "at its last minute", mtasts.Enforce, "a1", f.result)
			w.clock.advance(time.Hour)
			w.wants(w.Cache, "when it has expired", mtasts.None, "", f.result)
		})
	}
}

func TestFailuresWithoutAPolicyAreNone(t *testing.T) {
	t.Parallel()
	for _, f := range faults(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *mtasts.Options) { o.FetchTimeout = 300 * time.Millisecond })
			f.strike(w)
			w.wants(w.Cache, "at first", mtasts.None, "", f.result)
			asked := w.dns.Count("*", "")
			w.clock.advance(5*time.Minute - time.Second)
			w.wants(w.Cache, "before the pause is over", mtasts.None, "", f.result)
			if n := w.dns.Count("*", ""); n != asked {
				t.Errorf("%d questions in the pause", n-asked)
			}
		})
	}
}

func TestRecordsThatAreGoneOrBroken(t *testing.T) {
	t.Parallel()
	txt := "_mta-sts.example.test"
	for _, c := range []struct {
		name, fault string
		strike      func(*world)
	}{
		{"no record", "", func(w *world) { w.zone("") }},
		{"no such name", "", func(w *world) { w.set(txt, "", dnssim.Behavior{Rcode: "NXDOMAIN"}) }},
		{"DNS in trouble", "", func(w *world) { w.set(txt, "", dnssim.Behavior{Rcode: "SERVFAIL"}) }},
		{"DNSSEC bogus", "", func(w *world) { w.set(txt, "", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 6}) }},
		{"something else", "", func(w *world) { w.zone(`_mta-sts 60 TXT "v=spf1 -all"`) }},
		{"two records", mtasts.FaultInvalid, func(w *world) {
			w.zone("_mta-sts 60 TXT \"v=STSv1; id=1\"\n_mta-sts 60 TXT \"v=STSv1; id=2\"\n")
		}},
		{"no id", mtasts.FaultInvalid, func(w *world) { w.zone(`_mta-sts 60 TXT "v=STSv1;"`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.strike(w)
			w.wants(w.Cache, "at first", mtasts.None, "", c.fault)
			if n := w.web.asked(); n != 0 {
				t.Errorf("%d fetches without a record", n)
			}
			known := newWorld(t)
			known.policy(known.Cache)
			known.clock.advance(10 * time.Minute)
			c.strike(known)
			known.wants(known.Cache, "with a policy that holds", mtasts.Enforce, "a1", "")
			if n := known.web.asked(); n != 1 {
				t.Errorf("fetched %d times; want 1", n)
			}
			// Nobody who suppresses the record can wait for the policy to go.
			known.clock.advance(24 * time.Hour)
			known.wants(known.Cache, "a day later", mtasts.Enforce, "a1", "")
			if p := known.policy(known.Cache); !p.Expires.Equal(known.clock.Now().Add(week)) {
				t.Errorf("expires %v; want a week from now", p.Expires)
			}
		})
	}
}

func TestThePauseAfterFailuresGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.web.says(status(500))
	w.policy(w.Cache)
	tried := 1
	for _, pause := range []time.Duration{5, 10, 20, 40, 60, 60} {
		w.clock.advance(pause*time.Minute - time.Second)
		w.policy(w.Cache)
		if n := w.web.asked(); n != tried {
			t.Errorf("fetched before %d minutes were over", pause)
		}
		w.clock.advance(time.Second)
		w.policy(w.Cache)
		if tried++; w.web.asked() != tried {
			t.Errorf("fetched %d times after %d minutes; want %d", w.web.asked(), pause, tried)
		}
	}
	w.web.says(serve(testPolicy))
	w.clock.advance(time.Hour)
	w.wants(w.Cache, "when it works again", mtasts.Enforce, "a1", "")
}

func TestDNSTroubleIsLookedAtAgainSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("_mta-sts.example.test", "", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.wants(w.Cache, "in trouble", mtasts.None, "", "")
	w.set("_mta-sts.example.test", "", dnssim.Behavior{})
	w.clock.advance(30 * time.Second)
	w.wants(w.Cache, "30 s later", mtasts.Enforce, "a1", "")
}

func TestPrivatePolicyHostsAreNotConnectedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mtasts.Options) { o.AllowPrivate = false })
	w.wants(w.Cache, "a policy host on loopback", mtasts.None, "", mtasts.FaultFetch)
	if n := w.web.asked(); n != 0 {
		t.Errorf("%d requests reached it", n)
	}
}

func TestOneFetchForAllWhoAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	w.web.says(func(rw http.ResponseWriter, r *http.Request) { <-release; serve(testPolicy)(rw, r) })
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { w.wants(w.Cache, "one of many", mtasts.Enforce, "a1", "") })
	}
	eventually(t, "the fetch", func() bool { return w.web.asked() == 1 })
	close(release)
	all.Wait()
	if n := w.web.asked(); n != 1 {
		t.Errorf("fetched %d times; want 1", n)
	}
}

func TestAFetchOutlivesWhoAskedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	w.web.says(func(rw http.ResponseWriter, r *http.Request) { <-release; serve(testPolicy)(rw, r) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := w.Policy(ctx, "example.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v; want the error of the context", p, err)
	}
	close(release)
	w.wants(w.Cache, "the next to ask", mtasts.Enforce, "a1", "")
	if n := w.web.asked(); n != 1 {
		t.Errorf("fetched %d times; want 1", n)
	}
}

func TestASlowHostIsNotWaitedForWhereAPolicyHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mtasts.Options) { o.Patience = 20 * time.Millisecond })
	w.policy(w.Cache)
	release := make(chan struct{})
	w.web.says(func(rw http.ResponseWriter, r *http.Request) { <-release; serve(testPolicy)(rw, r) })
	w.clock.advance(10 * time.Minute)
	w.record("a2")
	w.wants(w.Cache, "while the host is slow", mtasts.Enforce, "a1", "")
	close(release)
	eventually(t, "the new policy", func() bool { return w.policy(w.Cache).ID == "a2" })
}

func TestAHostThatFailedBeforeIsNotWaitedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mtasts.Options) { o.Patience = 20 * time.Millisecond })
	w.web.says(status(500))
	w.wants(w.Cache, "the first fetch", mtasts.None, "", mtasts.FaultFetch)
	release := make(chan struct{})
	w.web.says(func(rw http.ResponseWriter, r *http.Request) { <-release; serve(testPolicy)(rw, r) })
	w.clock.advance(5 * time.Minute)
	w.wants(w.Cache, "while the host is slow", mtasts.None, "", mtasts.FaultFetch)
	close(release)
	eventually(t, "the policy", func() bool { return w.policy(w.Cache).ID == "a1" })
}

func TestRefetchForHostsThatDoNotMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.Cache)
	w.web.says(serve(strings.Replace(testPolicy, "mx.example", "new.example", 1)))
	refetch := func() mtasts.Policy {
		p, err := w.Refetch(t.Context(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := refetch(); p.Matches("new.example.test") || w.web.asked() != 1 {
		t.Errorf("a policy fetched just now was fetched again: %+v", p)
	}
	w.clock.advance(5 * time.Minute)
	if p := refetch(); !p.Matches("new.example.test") || w.web.asked() != 2 {
		t.Errorf("policy = %+v after %d fetches; want the new one", p, w.web.asked())
	}
	if p, err := w.Refetch(t.Context(), "[127.0.0.1]"); err != nil || p.Mode != mtasts.None {
		t.Errorf("address literal: %+v, %v", p, err)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Start(t.Context())
	w.Start(t.Context())
	w.policy(w.Cache)
	w.zone("_mta-sts 60 TXT \"v=STSv1; id=1\"\n_mta-sts.sub 60 TXT \"v=STSv1; id=1\"\nmta-sts.sub 60 A 127.0.0.1\n")
	w.web.says(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.web.present(w.web.ca.issue(t, time.Now().Add(time.Hour), "mta-sts.sub.example.test"))
	failed := make(chan error, 1)
	go func() {
		_, err := w.Policy(context.Background(), "sub.example.test")
		failed <- err
	}()
	eventually(t, "the fetch", func() bool { return w.web.asked() == 2 })
	drain(t, w.Cache)
	if err := <-failed; !errors.Is(err, mtasts.ErrClosed) {
		t.Errorf("who waited got %v; want ErrClosed", err)
	}
	if _, err := w.Policy(t.Context(), "more.example.test"); !errors.Is(err, mtasts.ErrClosed) {
		t.Errorf("after Drain: %v; want ErrClosed", err)
	}
	w.wants(w.Cache, "what is known", mtasts.Enforce, "a1", "")
	w.Start(t.Context())
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mtasts.Options) { o.Entries = 10 })
	for i := range 30 {
		if _, err := w.Policy(t.Context(), fmt.Sprintf("d%d.other.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Known(); n != 10 {
		t.Errorf("%d domains are kept; want 10", n)
	}
	small := newWorld(t, func(o *mtasts.Options) { o.Bytes = 5000 })
	for i := range 30 {
		if _, err := small.Policy(t.Context(), fmt.Sprintf("d%d.other.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := small.Known(); n < 2 || n > 10 {
		t.Errorf("%d domains are kept in 5000 bytes", n)
	}
}

// eventually waits for what a goroutine of the cache does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
