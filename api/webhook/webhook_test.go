package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postrider/api/feed"
	"postrider/api/feed/feedtest"
	"postrider/api/webhook"
	"postrider/queue"
)

func TestAnEndpointIsToldOfWhatHappensFromNowOn(t *testing.T) {
	onBoth(t, anEndpointIsToldOfWhatHappensFromNowOn)
}

func anEndpointIsToldOfWhatHappensFromNowOn(t *testing.T, w *world) {
	w.mail(2)
	before := queuedIDs(w.Log())
	in := w.receive(nil)
	w.create(webhook.NewEndpoint{URL: in.url})
	w.begin()
	w.mail(3)
	w.Put(feedtest.Mail{Account: "blog", To: []string{"bob@example.net"}})
	w.mail(1)
	w.until("four events", 0, func() bool { return len(in.requests()) >= 4 })
	mine := slices.DeleteFunc(w.Log(), func(e queue.Event) bool { return e.Account != "shop" || slices.Contains(before, e.ID.String()) })
	if len(in.requests()) != len(mine) {
		t.Errorf("%d requests, want %d", len(in.requests()), len(mine))
	}
	for _, id := range queuedIDs(mine) {
		if in.ids()[id] != 1 {
			t.Errorf("%s came %d times", id, in.ids()[id])
		}
	}
	var e feed.Event
	g := in.requests()[0]
	if err := json.Unmarshal(g.body, &e); err != nil || e.ID != g.id || e.Type != feed.Queued || e.Data.Subject != "Hello" || g.head.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %v", g.body, err)
	}
}

func TestFiltersAndAccountsDecideWhoIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, some, bulk := w.receive(nil), w.receive(nil), w.receive(nil)
	w.create(webhook.NewEndpoint{Account: webhook.AllAccounts, URL: all.url, Backfill: true})
	w.create(webhook.NewEndpoint{URL: some.url, Events: []feed.Type{feed.Delivered}})
	w.create(webhook.NewEndpoint{URL: bulk.url, Streams: []string{"bulk"}})
	w.Pass(time.Second)
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	w.Put(feedtest.Mail{Account: "blog", To: []string{"bob@example.net"}})
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	w.begin()
	w.until("all", 0, func() bool { return len(all.requests()) >= 4 && len(some.requests()) >= 1 })
	if len(some.requests()) != 1 || len(bulk.requests()) != 0 {
		t.Errorf("%d of deliveries, %d of bulk mail", len(some.requests()), len(bulk.requests()))
	}
}

func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(nil)
	e, first := w.create(webhook.NewEndpoint{URL: in.url})
	second, err := w.book.Rotate(t.Context(), "shop", e.ID)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := w.begin()
	verify := func(secret string, g got) error {
		v, err := standard.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		return v.VerifyIgnoringTimestamp(g.body, g.head)
	}
	ping := func() got {
		t.Helper()
		d, err := s.Test(t.Context(), "shop", e.ID)
		if err != nil || !d.OK || d.Type != webhook.TestType {
			t.Fatalf("%+v, %v", d, err)
		}
		all := in.requests()
		return all[len(all)-1]
	}
	g := ping()
	if err := errors.Join(verify(first, g), verify(second, g)); err != nil {
		t.Errorf("during rotation: %v", err)
	}
	if n := len(strings.Fields(g.head.Get("webhook-signature"))); n != 2 {
		t.Errorf("%d signatures", n)
	}
	w.Pass(25 * time.Hour)
	if g = ping(); verify(second, g) != nil || verify(first, g) == nil {
		t.Error("a day later the old secret still signs, or the new one does not")
	}
	g.body = append(g.body, ' ')
	if verify(second, g) == nil {
		t.Error("a changed body passes")
	}
	if !strings.HasPrefix(first, "whsec_") || first == second {
		t.Errorf("secrets %q and %q", first, second)
	}
}

func TestAnEventThatFailsWaitsAloneAndKeepsItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bad atomic.Value
	bad.Store("")
	in := w.receive(func(g got) int {
		bad.CompareAndSwap("", g.id)
		if bad.Load() == g.id {
			return 500
		}
		return 204
	})
	e, _ := w.create(webhook.NewEndpoint{URL: in.url, Concurrency: 1})
	w.begin()
	w.mail(10)
	w.until("the others", 0, func() bool { return len(in.ids()) == 10 })
	begun := w.Now()
	w.until("a third try", 10*time.Second, func() bool { return in.ids()[bad.Load().(string)] >= 3 })
	if d := w.Now().Sub(begun); d < 5*time.Minute || d > 10*time.Minute {
		t.Errorf("the third try was after %s", d)
	}
	for id, n := range in.ids() {
		if id != bad.Load() && n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	parked, _, err := w.book.Waiting(t.Context(), "shop", e.ID)
	if err != nil || parked != 1 {
		t.Errorf("%d are parked, %v", parked, err)
	}
	in.set(nil)
	w.until("success", time.Minute, func() bool { parked, _, _ := w.book.Waiting(t.Context(), "shop", e.ID); return parked == 0 })
	w.until("the list", time.Second, func() bool { ds, _ := w.book.Deliveries(t.Context(), "shop", e.ID); return len(ds) >= 13 })
	ds, err := w.book.Deliveries(t.Context(), "shop", e.ID)
	if err != nil || !ds[0].OK || ds[0].Attempt != 4 || ds[0].EventID != bad.Load() || ds[0].Response != "answer 200" || ds[0].Status != 200 {
		t.Errorf("%+v, %v", ds[0], err)
	}
}

func TestAnEventIsGivenUpAfterThreeDaysAndCanBeReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bad atomic.Value
	bad.Store("")
	in := w.receive(func(g got) int {
		bad.CompareAndSwap("", g.id)
		if bad.Load() == g.id {
			return 422
		}
		return 200
	})
	e, _ := w.create(webhook.NewEndpoint{URL: in.url, Concurrency: 1})
	var taken, failed, givenUp atomic.Int64
	w.begin(func(o *webhook.Options) {
		o.Hooks.GivenUp = func() { givenUp.Add(1) }
		o.Hooks.Posted = func(ok bool, took time.Duration) {
			if ok {
				taken.Add(1)
			} else {
				failed.Add(1)
			}
		}
	})
	w.mail(1)
	since := w.Now().Add(-time.Hour)
	waiting := func() (int, int) {
		p, g, err := w.book.Waiting(t.Context(), "shop", e.ID)
		if err != nil {
			t.Fatal(err)
		}
		return p, g
	}
	w.until("it is given up", 10*time.Minute, func() bool {
		if w.Now().Minute() < 10 { // others come through meanwhile
			w.mail(1)
		}
		p, g := waiting()
		return p == 0 && g == 1
	})
	n := in.ids()[bad.Load().(string)]
	if n < 8 || n > 10 {
		t.Errorf("%d tries", n)
	}
	if failed.Load() != int64(n) || taken.Load() == 0 || givenUp.Load() != 1 {
		t.Errorf("the hooks were told of %d failures, %d that were taken and %d given up", failed.Load(), taken.Load(), givenUp.Load())
	}
	in.set(nil)
	if _, err := w.book.Replay(t.Context(), "shop", e.ID, webhook.Replay{Since: since, OnlyFailed: true}); err != nil {
		t.Fatal(err)
	}
	w.until("it came", time.Second, func() bool { p, g := waiting(); return p == 0 && g == 0 })
	w.until("the replay is over", time.Second, func() bool {
		r, err := w.book.LastReplay(t.Context(), "shop", e.ID)
		return err == nil && !r.FinishedAt.IsZero() && r.Sent == 1
	})
}

func TestAnOutageOfThreeDaysLosesNothing(t *testing.T) { onBoth(t, anOutageOfThreeDaysLosesNothing) }

func anOutageOfThreeDaysLosesNothing(t *testing.T, w *world) {
	in := w.receive(always(503))
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	_, stop := w.begin()
	begun := w.Now()
	for range 10 {
		w.mail(50)
		day := w.Now().Add(7*time.Hour + 12*time.Minute)
		w.until("the hours pass", 6*time.Minute, func() bool { return w.Now().After(day) })
	}
	tried := len(in.requests())
	if d := w.Now().Sub(begun); d < 72*time.Hour || tried < 8 || tried > 60 {
		t.Errorf("%d requests in an outage of %s", tried, d)
	}
	stop() // and the node is replaced meanwhile
	w.begin()
	in.set(nil)
	ok := func() int {
		n := 0
		for _, g := range in.requests()[tried:] {
			if g.at.After(begun) {
				n++
			}
		}
		return n
	}
	w.until("all 500", time.Minute, func() bool {
		p, g, err := w.book.Waiting(t.Context(), "shop", e.ID)
		return err == nil && ok() >= 500 && p+g == 0
	})
	came := map[string]int{}
	for _, g := range in.requests()[tried:] {
		came[g.id]++
	}
	for _, id := range queuedIDs(w.Log()) {
		if came[id] != 1 {
			t.Errorf("%s came %d times", id, came[id])
		}
	}
}

func TestAnEndpointThatFailsForFiveDaysIsDisabledAndGoesOnWhenEnabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(always(500))
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	notices := make(chan webhook.Notice, 1)
	w.begin(func(o *webhook.Options) { o.Notify = func(n webhook.Notice) { notices <- n } })
	w.mail(20)
	get := func() webhook.Endpoint {
		t.Helper()
		v, err := w.book.Get(t.Context(), "shop", e.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	begun := w.Now()
	w.until("it is disabled", 15*time.Minute, func() bool { return !get().Enabled })
	if d := w.Now().Sub(begun); d < 5*24*time.Hour || d > 7*24*time.Hour {
		t.Errorf("after %s", d)
	}
	n := <-notices
	if n.Endpoint.ID != e.ID || !strings.Contains(n.Reason, "status 500") || get().DisabledReason != n.Reason {
		t.Errorf("%+v", n)
	}
	tried := len(in.requests())
	w.mail(5)
	in.set(nil)
	yes := true
	if v, err := w.book.Update(t.Context(), "shop", e.ID, webhook.Change{Enabled: &yes}); err != nil || !v.Enabled || v.DisabledReason != "" {
		t.Fatalf("%+v, %v", v, err)
	}
	w.until("all 25", time.Second, func() bool {
		came := map[string]bool{}
		for _, g := range in.requests()[tried:] {
			came[g.id] = true
		}
		return len(came) == 25
	})
}

func TestGoneDisablesAtOnceAndKeepsThePosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(always(410))
	e, _ := w.create(webhook.NewEndpoint{URL: in.url, Concurrency: 1})
	w.begin()
	w.mail(3)
	w.until("it is disabled", 0, func() bool {
		v, err := w.book.Get(t.Context(), "shop", e.ID)
		return err == nil && !v.Enabled && strings.Contains(v.DisabledReason, "410")
	})
	if n := len(in.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	in.set(nil)
	yes := true
	if _, err := w.book.Update(t.Context(), "", e.ID, webhook.Change{Enabled: &yes}); err != nil {
		t.Fatal(err)
	}
	w.until("all three", time.Second, func() bool { return len(in.ids()) == 3 && len(in.requests()) == 4 })
}

func TestAPauseThatTheEndpointAsksForIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(always(429))
	w.create(webhook.NewEndpoint{URL: in.url})
	w.begin()
	w.mail(1)
	w.until("the first try", 0, func() bool { return len(in.requests()) == 1 })
	begun := w.Now()
	w.until("the second try", time.Minute, func() bool { return len(in.requests()) == 2 })
	if d := w.Now().Sub(begun); d < 2*time.Hour {
		t.Errorf("it was tried again after %s", d)
	}
}

func TestARedirectIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(always(302))
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	s, _ := w.begin()
	d, err := s.Test(t.Context(), "", e.ID)
	if err != nil || d.OK || d.Status != 302 || !strings.Contains(d.Error, "redirect") || len(in.requests()) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if ds, err := w.book.Deliveries(t.Context(), "shop", e.ID); err != nil || len(ds) != 1 {
		t.Errorf("%+v, %v", ds, err)
	}
}

// deadAck is a store whose node dies before it keeps a reader's position.
type deadAck struct {
	queue.Store
	dead atomic.Bool
}

func (d *deadAck) Acknowledge(ctx context.Context, reader string, p queue.Position) error {
	if d.dead.Load() {
		return queue.ErrUnavailable
	}
	return d.Store.Acknowledge(ctx, reader, p)
}

func TestADeathBetweenDeliveryAndItsRecordRepeatsTheSameIDs(t *testing.T) {
	onBoth(t, aDeathBetweenDeliveryAndItsRecordRepeatsTheSameIDs)
}

func aDeathBetweenDeliveryAndItsRecordRepeatsTheSameIDs(t *testing.T, w *world) {
	in := w.receive(nil)
	w.create(webhook.NewEndpoint{URL: in.url})
	broken := &deadAck{Store: w.Store}
	broken.dead.Store(true)
	_, stop := w.begin(func(o *webhook.Options) { o.Store = broken })
	w.mail(8)
	w.until("some came", 0, func() bool { return len(in.ids()) >= 1 })
	stop()
	w.begin()
	w.until("all came", time.Second, func() bool { return len(in.ids()) == 8 })
	want := queuedIDs(w.Log())
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(in.ids())); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOfTwoSendersOneDelivers(t *testing.T) { onBoth(t, ofTwoSendersOneDelivers) }

func ofTwoSendersOneDelivers(t *testing.T, w *world) {
	in := w.receive(nil)
	w.create(webhook.NewEndpoint{URL: in.url})
	_, stop := w.begin()
	w.begin(func(o *webhook.Options) { o.Book = w.newBook(w.Store) })
	w.mail(20)
	w.until("the first twenty", time.Millisecond, func() bool { return len(in.ids()) == 20 })
	stop() // the other one goes on
	w.mail(20)
	w.until("the other twenty", time.Second, func() bool { return len(in.ids()) == 40 })
	for id, n := range in.ids() {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func TestANodeThatStoodStillMovesNothingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, hang := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in := w.receive(func(g got) int {
		stands := false
		once.Do(func() { stands = true })
		if stands {
			close(first)
			<-hang
		}
		return 200
	})
	w.create(webhook.NewEndpoint{URL: in.url, Concurrency: 1})
	_, stopFirst := w.begin(func(o *webhook.Options) { o.Timeout = time.Minute })
	w.mail(3)
	<-first
	_, stopSecond := w.begin(func(o *webhook.Options) { o.Book = w.newBook(w.Store) })
	w.until("the second node has told of all", 10*time.Second, func() bool { return len(in.ids()) == 3 })
	stopSecond()
	close(hang)
	stopFirst()
	w.mail(1)
	w.begin()
	w.until("a third goes on", time.Second, func() bool { return len(in.ids()) == 4 })
	if n := len(in.requests()); n != 5 { // the one that hung came twice
		t.Errorf("%d requests: %v", n, in.ids())
	}
}

func TestDrainEndsARequestThatHangsAndItIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, hang := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in := w.receive(func(got) int {
		once.Do(func() { close(begun); <-hang })
		return 200
	})
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	s := webhook.New(webhook.Options{
		Store: w.Store, Book: w.book, Messages: feed.NewMessages(w.Store, 0), Holder: "hangs", AllowPrivate: true, Timeout: time.Minute, Now: w.Now, After: w.After,
	})
	s.Start(t.Context())
	w.mail(1)
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	close(hang)
	if p, g, err := w.book.Waiting(t.Context(), "shop", e.ID); err != nil || p+g != 0 {
		t.Errorf("what we ended ourselves counts as a failure: %d, %v", p+g, err)
	}
	w.begin()
	w.until("it comes again", time.Second, func() bool { return len(in.requests()) == 2 && len(in.ids()) == 1 })
}

func TestEventsOfAQuietEndpointOutliveAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.receive(always(502))
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	w.begin()
	w.mail(2)
	up := w.Now().Add(4 * 24 * time.Hour)
	w.until("four days pass", 6*time.Minute, func() bool { return w.Now().After(up) })
	n := len(in.requests())
	in.set(nil)
	w.until("both come", time.Minute, func() bool {
		p, g, err := w.book.Waiting(t.Context(), "shop", e.ID)
		return err == nil && p+g == 0 && len(in.requests()) == n+2
	})
}

func TestAReplayTellsOfAWindowAgain(t *testing.T) { onBoth(t, aReplayTellsOfAWindowAgain) }

func aReplayTellsOfAWindowAgain(t *testing.T, w *world) {
	in := w.receive(nil)
	e, _ := w.create(webhook.NewEndpoint{URL: in.url})
	w.begin()
	w.mail(3)
	w.Pass(time.Hour)
	since := w.Now()
	w.mail(4)
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	w.Pass(time.Hour)
	until := w.Now()
	w.Pass(time.Hour)
	w.mail(2)
	w.until("all", 0, func() bool { return len(in.ids()) == 16 })
	r, err := w.book.Replay(t.Context(), "shop", e.ID, webhook.Replay{Since: since, Until: until, Types: []feed.Type{feed.Queued}})
	if err != nil || !strings.HasPrefix(r.ID, "rpl_") {
		t.Fatal(err)
	}
	w.until("it is over", 100*time.Millisecond, func() bool {
		r, err = w.book.LastReplay(t.Context(), "shop", e.ID)
		return err == nil && !r.FinishedAt.IsZero()
	})
	again := 0
	for _, n := range in.ids() {
		again += n - 1
	}
	if r.Sent != 4 || again != 4 {
		t.Errorf("%+v, %d came again", r, again)
	}
	var bad *webhook.Error
	if _, err := w.book.Replay(t.Context(), "shop", e.ID, webhook.Replay{Since: w.Now().Add(time.Hour)}); !errors.As(err, &bad) || bad.Status != 422 {
		t.Errorf("a replay of the future: %v", err)
	}
}

func TestDeferralsAreToldFirstAndAtTheMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	few, every := w.receive(nil), w.receive(nil)
	w.create(webhook.NewEndpoint{URL: few.url, Events: []feed.Type{feed.Delayed}})
	w.create(webhook.NewEndpoint{URL: every.url, Events: []feed.Type{feed.Delayed}, AllAttempts: true})
	w.Pass(time.Second)
	w.Put(feedtest.Mail{To: []string{"bob@example.net", "carol@example.net"}})
	n := 0
	for range 30 { // an hour between them
		w.Settle(queue.StateDeferred, queue.ClassGreylist, queue.Reply{Code: 451})
		w.Pass(time.Hour)
		n++
	}
	w.begin()
	w.until("every one", 0, func() bool { return len(every.requests()) == 2*n })
	w.until("few", 0, func() bool { return len(few.requests()) >= 2*4 })
	if len(few.requests()) != 2*4 { // the first, 1 h, 4 h, 24 h
		t.Errorf("%d deferrals were told of", len(few.requests()))
	}
}

func TestAFullLotLetsThePositionWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var fails atomic.Bool
	fails.Store(true)
	var mu sync.Mutex
	odd, seen := map[string]bool{}, 0
	in := w.receive(func(g got) int { // every other event fails
		mu.Lock()
		defer mu.Unlock()
		if _, ok := odd[g.id]; !ok {
			odd[g.id] = seen%2 == 0
			seen++
		}
		if odd[g.id] && fails.Load() {
			return 500
		}
		return 200
	})
	e, _ := w.create(webhook.NewEndpoint{URL: in.url, Concurrency: 1})
	w.begin(func(o *webhook.Options) { o.MaxParked = 3 })
	w.mail(30)
	w.until("the lot is full", time.Second, func() bool { p, _, _ := w.book.Waiting(t.Context(), "shop", e.ID); return p == 3 })
	w.until("time passes", time.Second, func() bool { return w.Now().Minute() == 30 })
	if n := len(in.ids()); n >= 30 {
		t.Errorf("%d events came though only 3 may be parked", n)
	}
	fails.Store(false)
	w.until("all came", time.Minute, func() bool {
		p, g, err := w.book.Waiting(t.Context(), "shop", e.ID)
		return err == nil && len(in.ids()) == 30 && p+g == 0
	})
}

func TestABookKeepsEndpointsApart(t *testing.T) { onBoth(t, aBookKeepsEndpointsApart) }

func aBookKeepsEndpointsApart(t *testing.T, w *world) {
	ctx := t.Context()
	e, secret := w.create(webhook.NewEndpoint{URL: "https://example.com/a", Description: "orders"})
	w.create(webhook.NewEndpoint{Account: "blog", URL: "https://example.com/b"})
	if !strings.HasPrefix(e.ID, "whk_") || e.Concurrency != 4 || !e.Enabled {
		t.Errorf("%+v", e)
	}
	if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), "secret") {
		t.Errorf("%s", text)
	}
	if _, err := w.book.Get(ctx, "blog", e.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("another account's: %v", err)
	}
	if _, err := w.book.Get(ctx, "shop", "whk_x"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("an id that is none: %v", err)
	}
	if all, err := w.book.List(ctx, ""); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	for name, n := range map[string]webhook.NewEndpoint{
		"no url":           {Account: "shop"},
		"type":             {Account: "shop", URL: "https://example.com/", Events: []feed.Type{"email.eaten"}},
		"concurrency":      {Account: "shop", URL: "https://example.com/", Concurrency: 17},
		"stream":           {Account: "shop", URL: "https://example.com/", Streams: []string{""}},
		"many streams":     {Account: "shop", URL: "https://example.com/", Streams: make([]string, 51)},
		"long description": {Account: "shop", URL: "https://example.com/", Description: strings.Repeat("x", 513)},
	} {
		var bad *webhook.Error
		if _, _, err := w.book.Create(ctx, n); !errors.As(err, &bad) || bad.Status != 422 || bad.Pointer == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 19 {
		w.create(webhook.NewEndpoint{URL: "https://example.com/"})
	}
	var bad *webhook.Error
	if _, _, err := w.book.Create(ctx, webhook.NewEndpoint{Account: "shop", URL: "https://example.com/"}); !errors.As(err, &bad) || bad.Status != 409 {
		t.Errorf("the 21st: %v", err)
	}
	if err := w.book.Delete(ctx, "shop", e.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.book.Get(ctx, "shop", e.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}
