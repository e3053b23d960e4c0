package storetest

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"postrider/queue"
)

func listTests() []test {
	return []test{
		{"pages are complete, newest first, without repetition", listPages},
		{"pages stay so under changes", listUnderChanges},
		{"a cursor that is none is refused", listBadCursor},
		{"counts equal a recount", countsRecount},
		{"the oldest is known for what waits", countsOldest},
		{"destinations are counted, and listed by name", destinationsPages},
		{"a destination says when it is due, and until when it is parked", destinationsDue},
	}
}

// ordered demands newest first without repetition, and returns the set.
func (e *env) ordered(vs []queue.Entry) map[queue.MessageID]bool {
	e.Helper()
	seen := map[queue.MessageID]bool{}
	for i, v := range vs {
		e.want(!seen[v.Message.ID], "%s is listed twice", v.Message.ID)
		seen[v.Message.ID] = true
		e.want(i == 0 || v.Message.ID.String() < vs[i-1].Message.ID.String(), "%s is listed after %s", v.Message.ID, vs[max(i-1, 0)].Message.ID)
	}
	return seen
}

func listPages(e *env) {
	n := 100
	ids := make([]queue.MessageID, n)
	for i := range n {
		ids[i] = e.put(mail{to: lanes("a", "b"), account: fmt.Sprint(i % 3)})
		if i%7 == 0 {
			e.pass(time.Second)
		}
	}
	for _, limit := range []int{1, 7, 99, 100, 1000} {
		for account, want := range map[string]int{"": n, "0": 34, "2": 33} {
			vs, err := e.list(queue.Filter{Account: account}, limit)
			e.ok(err)
			e.want(len(e.ordered(vs)) == want, "limit %d, account %q: %d entries, want %d", limit, account, len(vs), want)
			for _, v := range vs {
				e.want(len(v.Recipients) == 2 && v.Recipients[0].ID.Index() == 0, "entry is %+v", v)
			}
		}
	}
	vs, c, err := e.s.List(e.ctx, queue.Filter{}, "", 1)
	e.want(err == nil && len(vs) == 1 && vs[0].Message.ID == ids[n-1] && c != "", "first page: %v, %q, %v", vs, c, err)
	e.reopen() // a cursor is good for later, too
	vs, _, err = e.s.List(e.ctx, queue.Filter{}, c, 1)
	e.want(err == nil && len(vs) == 1 && vs[0].Message.ID == ids[n-2], "second page: %v, %v", vs, err)
}

func listUnderChanges(e *env) {
	n := e.scaled(400)
	for range n {
		e.put(mail{to: lanes("a", "b")})
	}
	before, err := e.list(queue.Filter{}, 50)
	e.ok(err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	errs := make([]error, 2)
	w := *e // has a clock of its own
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			w.now = w.now.Add(time.Second)
			if _, err := w.try(mail{lease: w.ask(1)}); err != nil {
				errs[0] = err
				return
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			ls, err := e.s.Lease(e.ctx, queue.LeaseRequest{Now: epoch, Holder: "n", TTL: time.Hour, Max: 3})
			for i, l := range ls {
				o := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateHeld}[i%3]
				err = errors.Join(err, e.s.Settle(e.ctx, l, e.settlements(l, o, epoch.Add(time.Hour))))
			}
			if err != nil {
				errs[1] = err
				return
			}
		}
	})
	for range 5 {
		vs, err := e.list(queue.Filter{}, 7)
		e.ok(err)
		seen := e.ordered(vs)
		for _, v := range before {
			e.want(seen[v.Message.ID], "%s is missing", v.Message.ID)
		}
	}
	close(stop)
	wg.Wait()
	e.ok(errors.Join(errs...))
	e.recount()
}

func listBadCursor(e *env) {
	e.put(mail{})
	e.put(mail{})
	for _, c := range []queue.Cursor{"garbage!", "0", queue.Cursor(noise(200, 1))} {
		_, _, err := e.s.List(e.ctx, queue.Filter{}, c, 10)
		e.is(err, queue.ErrFilter)
	}
}

// recount compares Counts with what List shows.
func (e *env) recount() {
	e.Helper()
	vs, err := e.list(queue.Filter{}, 500)
	e.ok(err)
	want := map[queue.State]int64{}
	oldest := map[queue.State]time.Time{}
	for _, v := range vs {
		for _, r := range v.Recipients {
			want[r.State]++
			if at := v.Message.AcceptedAt; !r.State.Final() && (oldest[r.State].IsZero() || at.Before(oldest[r.State])) {
				oldest[r.State] = at
			}
		}
	}
	got, err := e.s.Counts(e.ctx)
	e.ok(err)
	for _, s := range queue.States() {
		e.want(got[s].Recipients == want[s], "%s: count is %d, recount %d", s, got[s].Recipients, want[s])
		e.want(got[s].Oldest.Equal(oldest[s]), "%s: oldest is %v, recount %v", s, got[s].Oldest, oldest[s])
	}
	e.recountLanes(vs)
}

// recountLanes compares Destinations with what is listed.
func (e *env) recountLanes(vs []queue.Entry) {
	e.Helper()
	want := map[queue.Lane]int64{}
	for _, v := range vs {
		for _, r := range v.Recipients {
			if !r.State.Final() && r.State != queue.StateHeld {
				want[r.Lane]++
			}
		}
	}
	got := map[queue.Lane]int64{}
	for _, d := range e.destinations(3) {
		got[d.Lane] = d.Waiting
		e.want(!d.AtLeast, "%s is not counted in full", d.Lane)
	}
	e.want(maps.Equal(got, want), "destinations are %v, recount %v", got, want)
}

// destinations reads all pages.
func (e *env) destinations(limit int) (all []queue.Destination) {
	e.Helper()
	for after := queue.Lane(""); ; after = all[len(all)-1].Lane {
		ds, err := e.s.Destinations(e.ctx, after, limit)
		e.ok(err)
		e.want(len(ds) <= limit, "%d destinations, asked for %d", len(ds), limit)
		for _, d := range ds {
			e.want(d.Lane > after && d.Waiting > 0, "after %q comes %+v", after, d)
			after = d.Lane
		}
		all = append(all, ds...)
		if len(ds) < limit {
			return all
		}
	}
}

func destinationsPages(e *env) {
	e.want(len(e.destinations(1)) == 0, "there are destinations")
	want := map[queue.Lane]int64{}
	for i := range 30 {
		lane := queue.Lane(fmt.Sprintf("%slane%d", []string{"", "a", "ü", "\xff"}[i%4], i))
		e.put(mail{account: fmt.Sprint(i % 3), priority: queue.Priority(1 + i%3), to: many(1+i%5, lane)})
		want[lane] = int64(1 + i%5)
	}
	e.put(mail{to: []rcpt{
		{lane: "held", state: queue.StateHeld}, {lane: "over", state: queue.StateBounced},
		{lane: "later", state: queue.StateScheduled, due: e.now.Add(time.Hour)},
	}})
	want["later"] = 1
	for _, step := range []string{"at once", "after a restart"} {
		for _, limit := range []int{1, 7, 31, 1000} {
			got := map[queue.Lane]int64{}
			for _, d := range e.destinations(limit) {
				got[d.Lane] = d.Waiting
			}
			e.want(maps.Equal(got, want), "%s, %d a page: %v, want %v", step, limit, got, want)
		}
		e.recount()
		e.reopen()
	}
	// What is leased waits still, until it is settled; it may wait elsewhere then.
	outcomes := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateHeld, queue.StateBounced}
	for i, l := range e.lease(100) {
		e.recount()
		ss := e.settlements(l, outcomes[i%4], e.now.Add(time.Hour))
		if i%8 == 1 {
			ss[0].Lane = "elsewhere"
		}
		e.ok(e.s.Settle(e.ctx, l, ss))
	}
	e.recount()
	e.apply(queue.Operation{Action: queue.ActionRelease})
	e.recount()
	e.apply(queue.Operation{Action: queue.ActionCancel})
	e.want(len(e.destinations(10)) == 0, "there are destinations of nothing")
	_, err := e.s.Destinations(e.ctx, "", 0)
	e.is(err, queue.ErrFilter)
}

func destinationsDue(e *env) {
	find := func(lane queue.Lane) (d queue.Destination) {
		e.Helper()
		for _, d := range e.destinations(10) {
			if d.Lane == lane {
				return d
			}
		}
		e.Fatalf("there is no destination %s", lane)
		return d
	}
	e.put(mail{to: lanes("a")})
	e.put(mail{account: "blog", to: []rcpt{{lane: "b", state: queue.StateScheduled, due: e.now.Add(time.Hour)}}})
	e.want(!find("a").NextDue.IsZero() && !find("a").NextDue.After(e.now), "a is due %v", find("a").NextDue)
	// An engine need not know when something is due that is not due yet.
	at := find("b").NextDue
	e.want(at.IsZero() || at.Equal(e.now.Add(time.Hour)), "b is due %v", at)
	e.park("a", time.Hour)
	e.park("nothing", time.Hour)
	e.want(find("a").Parked.Equal(e.now.Add(time.Hour)) && find("b").Parked.IsZero(), "parked: %v, %v", find("a").Parked, find("b").Parked)
	e.park("a", 0)
	e.want(find("a").Parked.IsZero(), "parked: %v", find("a").Parked)
	l := e.one()
	e.want(find("a").NextDue.IsZero() && find("a").Waiting == 1, "what is leased: %+v", find("a"))
	e.ok(e.s.Release(e.ctx, l, e.now, nil))
	e.want(!find("a").NextDue.IsZero(), "what was given back: %+v", find("a"))
}

func countsRecount(e *env) {
	e.recount()
	e.gallery()
	e.recount()
	e.act(queue.ActionHold)
	e.recount()
	e.apply(queue.Operation{Action: queue.ActionRetry})
	e.recount()
	e.apply(queue.Operation{Action: queue.ActionRelease})
	e.recount()
	e.reopen()
	e.recount()
}

func countsOldest(e *env) {
	var ids []queue.MessageID
	for range 5 {
		ids = append(ids, e.put(mail{}))
		e.pass(time.Hour)
	}
	oldest := func(s queue.State, want time.Time) {
		e.Helper()
		cs, err := e.s.Counts(e.ctx)
		e.ok(err)
		e.want(cs[s].Oldest.Equal(want), "oldest %s is %v, want %v", s, cs[s].Oldest, want)
	}
	at := func(h int) time.Time { return epoch.Add(time.Duration(h) * time.Hour) }
	oldest(queue.StateQueued, at(0))
	e.act(queue.ActionCancel, ids[0])
	oldest(queue.StateQueued, at(1))
	oldest(queue.StateCancelled, time.Time{})
	e.act(queue.ActionHold, ids[2])
	oldest(queue.StateHeld, at(2))
	e.act(queue.ActionHold, ids[1]) // an older one comes later
	oldest(queue.StateHeld, at(1))
	oldest(queue.StateQueued, at(3))
	ls := e.lease(9)
	oldest(queue.StateActive, at(3))
	oldest(queue.StateQueued, time.Time{})
	for _, l := range ls {
		e.ok(e.outcome(l, queue.StateDeferred, e.now))
	}
	oldest(queue.StateDeferred, at(3))
	e.reopen()
	oldest(queue.StateDeferred, at(3))
	oldest(queue.StateHeld, at(1))
	oldest(queue.StateActive, time.Time{})
}
