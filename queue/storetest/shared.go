package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postrider/queue"
)

// sharedTests are of what nodes do together: limits, cache, claims.
func sharedTests() []test {
	return []test{
		{"a rate lets a burst through and then one each interval", rateExact},
		{"a rate takes all or nothing", rateWhole},
		{"rates of many callers never exceed the sum", rateSum},
		{"slots are never more than the limit", slotsSum},
		{"a slot ends with its time, its release or its renewal", slotsEnd},
		{"a cached value ends with its time", cacheEnds},
		{"a cached value survives a restart", cacheSurvives},
		{"a claim has one holder", claimHolder},
		{"a fence grows whenever the holder changes", claimFence},
		{"of those who claim at once one gets it", claimRace},
	}
}

func (e *env) take(key string, rate queue.Rate, n int) (bool, time.Duration) {
	e.Helper()
	ok, wait, err := e.s.TakeRate(e.ctx, key, e.now, rate, n)
	e.ok(err)
	return ok, wait
}

func rateExact(e *env) {
	rate := queue.Rate{Count: 10, Per: time.Second, Burst: 5} // one each 100 ms
	for round := range 3 {
		for i := range 5 {
			ok, _ := e.take("k", rate, 1)
			e.want(ok, "round %d: %d of a burst of 5 is refused", round, i)
		}
		for range 3 {
			ok, wait := e.take("k", rate, 1)
			e.want(!ok && wait > 98*time.Millisecond && wait < 102*time.Millisecond, "round %d: after the burst: %v, %v", round, ok, wait)
		}
		for i := range 20 {
			e.pass(98 * time.Millisecond)
			ok, wait := e.take("k", rate, 1)
			e.want(!ok && wait > 0 && wait <= 4*time.Millisecond, "round %d: one interval early by 2 ms: %v, %v", round, ok, wait)
			e.pass(2 * time.Millisecond)
			ok, _ = e.take("k", rate, 1)
			e.want(ok, "round %d: %d: an interval later it is refused", round, i)
		}
		ok, _ := e.take("other", rate, 5)
		e.want(ok, "keys are not apart")
		e.pass(time.Hour) // and a long time saves up one burst, not more
	}
}

func rateWhole(e *env) {
	rate := queue.Rate{Count: 60, Per: time.Minute, Burst: 4} // one a second
	ok, _ := e.take("k", rate, 3)
	e.want(ok, "3 of 4 are refused")
	ok, wait := e.take("k", rate, 3)
	e.want(!ok && wait > 1990*time.Millisecond && wait < 2010*time.Millisecond, "3 more: %v, %v", ok, wait)
	ok, _ = e.take("k", rate, 1)
	e.want(ok, "a refusal took something")
	e.pass(2900 * time.Millisecond)
	ok, wait = e.take("k", rate, 3)
	e.want(!ok && wait > 0 && wait < 110*time.Millisecond, "3 too early: %v, %v", ok, wait)
	e.pass(wait)
	ok, _ = e.take("k", rate, 3)
	e.want(ok, "wait was too short")
	one := queue.Rate{Count: 1, Per: time.Hour} // a burst is at least 1
	ok, _ = e.take("hourly", one, 1)
	e.want(ok, "the first is refused")
	e.pass(time.Hour - time.Second)
	ok, _ = e.take("hourly", one, 1)
	e.want(!ok, "the second is early")
}

func rateSum(e *env) {
	rate := queue.Rate{Count: 100, Per: time.Second, Burst: 10}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	errs := make([]error, 16)
	for i := range 16 {
		wg.Go(func() {
			for j := range 100 {
				ok, _, err := e.s.TakeRate(e.ctx, "k", epoch.Add(time.Duration(j)*10*time.Millisecond), rate, 1)
				if err != nil {
					errs[i] = err
					return
				}
				if ok {
					mu.Lock()
					got++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	e.ok(errors.Join(errs...))
	// 990 ms at 100 a second, and a burst of 10.
	e.want(got <= 110 && got >= 99, "%d were let through", got)
}

func slotsSum(e *env) {
	const limit = 5
	var wg sync.WaitGroup
	var mu sync.Mutex
	held, most := 0, 0
	errs := make([]error, 16)
	for i := range 16 {
		wg.Go(func() {
			holder := fmt.Sprint("node", i)
			for range 50 {
				ok, err := e.s.AcquireSlot(e.ctx, "site", holder, epoch, limit, time.Minute)
				if err != nil || !ok {
					errs[i] = errors.Join(errs[i], err)
					continue
				}
				mu.Lock()
				held++
				most = max(most, held)
				mu.Unlock()
				ok, err = e.s.AcquireSlot(e.ctx, "site", holder, epoch, limit, time.Minute)
				if !ok || err != nil {
					errs[i] = errors.Join(errs[i], err, errors.New("a slot was not renewed"))
				}
				mu.Lock()
				held--
				mu.Unlock()
				errs[i] = errors.Join(errs[i], e.s.ReleaseSlot(e.ctx, "site", holder))
			}
		})
	}
	wg.Wait()
	e.ok(errors.Join(errs...))
	e.want(most <= limit && most > 0, "%d slots at once", most)
	for i := range 2 * limit {
		ok, err := e.s.AcquireSlot(e.ctx, "site", fmt.Sprint("late", i), epoch, limit, time.Minute)
		e.want(err == nil && ok == (i < limit), "slot %d: %v, %v", i, ok, err)
	}
}

func slotsEnd(e *env) {
	acquire := func(key, holder string, limit int) bool {
		e.Helper()
		ok, err := e.s.AcquireSlot(e.ctx, key, holder, e.now, limit, time.Minute)
		e.ok(err)
		return ok
	}
	e.want(acquire("k", "a", 2) && acquire("k", "b", 2) && !acquire("k", "c", 2), "two of two")
	e.want(acquire("other", "c", 1), "keys are not apart")
	e.pass(30 * time.Second)
	e.want(acquire("k", "a", 2) && !acquire("k", "c", 2), "a renewal is no new slot")
	e.pass(31 * time.Second) // b's is over
	e.want(acquire("k", "c", 2) && !acquire("k", "b", 2), "an end gives one slot back")
	e.ok(e.s.ReleaseSlot(e.ctx, "k", "nobody"))
	e.want(!acquire("k", "b", 2), "a release of nothing gave a slot")
	e.ok(e.s.ReleaseSlot(e.ctx, "k", "a"))
	e.want(acquire("k", "b", 2) && !acquire("k", "a", 2), "a release gives one slot back")
	e.want(!acquire("k", "d", 1), "a lower limit holds for new ones")
	e.want(acquire("k", "a", 3), "a higher limit has room")
}

func cacheEnds(e *env) {
	get := func(key string) (string, error) {
		b, err := e.s.CacheGet(e.ctx, key, e.now)
		return string(b), err
	}
	_, err := get("k")
	e.is(err, queue.ErrNotFound)
	e.ok(e.s.CachePut(e.ctx, "k", []byte("one"), e.now, time.Minute))
	e.ok(e.s.CachePut(e.ctx, "other", []byte("else"), e.now, time.Hour))
	v, err := get("k")
	e.want(err == nil && v == "one", "%q, %v", v, err)
	e.pass(59 * time.Second)
	v, err = get("k")
	e.want(err == nil && v == "one", "%q, %v", v, err)
	e.pass(time.Second)
	_, err = get("k")
	e.is(err, queue.ErrNotFound)
	e.ok(e.s.CachePut(e.ctx, "k", []byte("two"), e.now, time.Hour))
	e.ok(e.s.CachePut(e.ctx, "k", []byte("three"), e.now, time.Minute)) // also a shorter one
	v, err = get("k")
	e.want(err == nil && v == "three", "%q, %v", v, err)
	e.pass(2 * time.Minute)
	e.sweepAll(queue.Retention{Now: e.now})
	_, err = get("k")
	e.is(err, queue.ErrNotFound)
	v, err = get("other")
	e.want(err == nil && v == "else", "%q, %v", v, err)
	key, value := strings.Repeat("k", 512), noise(64<<10, 6)
	e.ok(e.s.CachePut(e.ctx, key, value, e.now, time.Hour))
	b, err := e.s.CacheGet(e.ctx, key, e.now)
	e.want(err == nil && bytes.Equal(b, value), "%d octets, %v", len(b), err)
}

func cacheSurvives(e *env) {
	e.ok(e.s.CachePut(e.ctx, "mta-sts/example.org", []byte("policy"), e.now, time.Hour))
	e.ok(e.s.CachePut(e.ctx, "short", []byte("x"), e.now, time.Minute))
	e.reopen()
	b, err := e.s.CacheGet(e.ctx, "mta-sts/example.org", e.now)
	e.want(err == nil && string(b) == "policy", "%q, %v", b, err)
	e.pass(time.Minute)
	_, err = e.s.CacheGet(e.ctx, "short", e.now)
	e.is(err, queue.ErrNotFound)
	e.pass(time.Hour)
	_, err = e.s.CacheGet(e.ctx, "mta-sts/example.org", e.now)
	e.is(err, queue.ErrNotFound)
}

func (e *env) claim(name, holder string) (uint64, error) {
	return e.s.Claim(e.ctx, name, holder, e.now, time.Minute)
}

func claimHolder(e *env) {
	f, err := e.claim("dsn", "a")
	e.want(err == nil && f > 0, "%d, %v", f, err)
	_, err = e.claim("dsn", "b")
	e.is(err, queue.ErrClaimed)
	_, err = e.claim("retention", "b")
	e.ok(err)
	e.pass(50 * time.Second)
	again, err := e.claim("dsn", "a")
	e.want(err == nil && again == f, "renewed: %d after %d, %v", again, f, err)
	e.pass(50 * time.Second)
	_, err = e.claim("dsn", "b")
	e.is(err, queue.ErrClaimed)
	e.pass(11 * time.Second)
	_, err = e.claim("dsn", "b")
	e.ok(err)
	_, err = e.claim("dsn", "a")
	e.is(err, queue.ErrClaimed)
	e.ok(e.s.Unclaim(e.ctx, "dsn", "a")) // it is not a's any more
	_, err = e.claim("dsn", "a")
	e.is(err, queue.ErrClaimed)
	e.ok(e.s.Unclaim(e.ctx, "dsn", "b"))
	_, err = e.claim("dsn", "a")
	e.ok(err)
}

func claimFence(e *env) {
	var last uint64
	for i := range 12 {
		f, err := e.claim("dsn", fmt.Sprint("node", i%2))
		e.want(err == nil && f > last, "fence %d after %d, %v", f, last, err)
		last = f
		switch i % 3 {
		case 0:
			e.pass(time.Minute + time.Second)
		case 1:
			e.ok(e.s.Unclaim(e.ctx, "dsn", fmt.Sprint("node", i%2)))
		case 2:
			e.reopen() // it may be kept or not
			e.pass(time.Minute + time.Second)
		}
	}
}

func claimRace(e *env) {
	const n = 16
	for round := range 20 {
		e.pass(2 * time.Minute)
		var wg sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() { _, errs[i] = e.s.Claim(e.ctx, "x", fmt.Sprint(round, i), e.now, time.Minute) })
		}
		wg.Wait()
		got := 0
		for _, err := range errs {
			if err == nil {
				got++
			} else {
				e.is(err, queue.ErrClaimed)
			}
		}
		e.want(got == 1, "%d have the claim", got)
	}
}
