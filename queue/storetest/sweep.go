package storetest

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"postrider/queue"
)

func sweepTests() []test {
	return []test{
		{"entries without trouble are forgotten after their time", func(e *env) { sweepEntries(e, false) }},
		{"entries with trouble have a time of their own", func(e *env) { sweepEntries(e, true) }},
		{"contents may go before their entries", sweepContents},
		{"what is not final is never forgotten", sweepKeepsOpen},
		{"a zero time forgets nothing", sweepZero},
		{"a sweep looks at no more than it may, and says that there is more", sweepMax},
		{"idempotency keys end with their own time", sweepKeys},
		{"what is being written is no orphan", sweepOrphans},
		{"it does no harm to those who work meanwhile", sweepConcurrent},
	}
}

// sweepAll sweeps until there is no more.
func (e *env) sweepAll(r queue.Retention) (sum queue.Swept) {
	e.Helper()
	if r.Max == 0 {
		r.Max = 100
	}
	for range 1000 {
		v, err := e.s.Sweep(e.ctx, r)
		e.ok(err)
		sum.Entries += v.Entries
		sum.Contents += v.Contents
		sum.Orphans += v.Orphans
		if !v.More {
			return sum
		}
	}
	e.Fatal("sweeping does not end")
	return sum
}

// end gives all that is due an outcome now.
func (e *env) end(o queue.State) {
	e.Helper()
	for {
		ls := e.lease(50)
		if len(ls) == 0 {
			return
		}
		for _, l := range ls {
			e.ok(e.outcome(l, o, e.now.Add(time.Hour)))
		}
	}
}

func (e *env) gone(id queue.MessageID) bool {
	e.Helper()
	_, err := e.s.Message(e.ctx, id)
	if err != nil {
		e.is(err, queue.ErrNotFound)
	}
	return err != nil
}

func sweepEntries(e *env, trouble bool) {
	outcomes := []queue.State{queue.StateDelivered, queue.StateRelayed}
	if trouble {
		outcomes = []queue.State{queue.StateBounced, queue.StateExpired, queue.StateCancelled, queue.StateSuppressed}
	}
	retention := func(at time.Time) queue.Retention {
		if trouble {
			return queue.Retention{Now: e.now, Bounced: at, Sent: e.now.Add(-1000 * time.Hour)}
		}
		return queue.Retention{Now: e.now, Sent: at, Bounced: e.now.Add(-1000 * time.Hour)}
	}
	var old, young []queue.MessageID
	for _, o := range outcomes {
		// One delivered recipient does not make trouble less.
		old = append(old, e.put(mail{to: lanes("a", "a"), body: noise(300<<10, 1)}))
		l := e.one()
		ss := e.settlements(l, o, time.Time{})
		ss[1].Outcome = queue.StateDelivered
		e.ok(e.s.Settle(e.ctx, l, ss))
	}
	e.pass(100 * time.Hour)
	border := e.now
	e.pass(time.Hour)
	for _, o := range outcomes {
		young = append(young, e.put(mail{}))
		e.ok(e.outcome(e.one(), o, time.Time{}))
	}
	events, _ := e.events("")
	for _, v := range events {
		e.ok(e.s.Acknowledge(e.ctx, "reader", v.Position))
	}
	got := e.sweepAll(retention(border))
	e.want(got.Entries == len(old), "swept %+v, want %d entries", got, len(old))
	for range 2 {
		for _, id := range old {
			e.want(e.gone(id), "%s is still there", id)
			hs, _ := e.s.History(e.ctx, id)
			e.want(len(hs) == 0, "%s still has a history", id)
		}
		for _, id := range young {
			e.want(!e.gone(id), "%s is gone", id)
			e.read(id)
		}
		e.recount()
		e.reopen()
	}
	e.want(e.sweepAll(retention(border)).Entries == 0, "swept twice")
	vs, err := e.list(queue.Filter{}, 10)
	e.want(err == nil && len(vs) == len(young), "%d are listed, %v", len(vs), err)
	// The young ones' events can be read still, from where a reader stands.
	tail, _ := e.events("")
	seen := map[queue.MessageID]bool{}
	for _, v := range tail {
		seen[v.Message] = true
	}
	for _, id := range young {
		e.want(seen[id], "the events of %s are gone", id)
	}
}

func sweepContents(e *env) {
	id := e.put(mail{body: noise(400<<10, 1)})
	ref := e.entry(id).Message.Content
	e.end(queue.StateDelivered)
	e.pass(10 * time.Hour)
	got := e.sweepAll(queue.Retention{Now: e.now, Content: e.now.Add(-time.Hour)})
	e.want(got.Contents == 1 && got.Entries == 0, "swept %+v", got)
	_, err := e.s.OpenContent(e.ctx, ref)
	e.is(err, queue.ErrNotFound)
	v := e.entry(id)
	e.want(len(v.Message.Content.Key) == 0 && v.Message.Content.Size == 400<<10, "reference is %+v", v.Message.Content)
	e.kinds(id, queue.EventQueued, queue.EventDelivered)
	e.want(e.sweepAll(queue.Retention{Now: e.now, Content: e.now.Add(-time.Hour)}).Contents == 0, "swept twice")
	e.reopen()
	e.want(e.sweepAll(queue.Retention{Now: e.now, Content: e.now.Add(-time.Hour), Sent: e.now.Add(-time.Hour)}).Entries == 1, "the entry's time came")
	e.want(e.gone(id), "the entry is still there")
}

func sweepKeepsOpen(e *env) {
	id := e.put(mail{to: []rcpt{
		{lane: "done"}, {lane: "deferred"}, {lane: "held", state: queue.StateHeld}, {state: queue.StateBounced},
		{lane: "scheduled", state: queue.StateScheduled, due: e.now.Add(5000 * time.Hour)},
	}, body: noise(300<<10, 4)})
	for _, l := range e.lease(9) {
		o := queue.StateDelivered
		if l.Lane == "deferred" {
			o = queue.StateDeferred
		}
		e.ok(e.outcome(l, o, e.now.Add(2000*time.Hour)))
	}
	active := e.put(mail{})
	l := e.one()
	before := e.snapshot(id)
	e.pass(1000 * time.Hour)
	all := queue.Retention{Now: e.now, Sent: e.now, Bounced: e.now, Content: e.now}
	for range 2 {
		got := e.sweepAll(all)
		e.want(got.Entries == 0 && got.Contents == 0, "swept %+v", got)
		e.want(e.snapshot(id) == before, "it changed")
		e.want(len(e.read(id)) == 300<<10 && len(e.read(active)) > 0, "contents are gone")
		if l.Token != 0 {
			e.ok(e.outcome(l, queue.StateDeferred, e.now.Add(5000*time.Hour)))
			l.Token = 0
		}
		e.reopen()
	}
}

func sweepZero(e *env) {
	id := e.put(mail{to: []rcpt{{}, {state: queue.StateBounced}}})
	e.end(queue.StateDelivered)
	e.pass(10000 * time.Hour)
	got := e.sweepAll(queue.Retention{Now: e.now})
	e.want(got.Entries == 0 && got.Contents == 0, "swept %+v", got)
	e.read(id)
	e.kinds(id, queue.EventQueued, queue.EventBounced, queue.EventDelivered)
}

func sweepMax(e *env) {
	n := e.scaled(100)
	for range n {
		e.put(mail{})
	}
	e.end(queue.StateDelivered)
	e.pass(100 * time.Hour)
	r := queue.Retention{Now: e.now, Sent: e.now.Add(-time.Hour), Max: 7}
	sum := 0
	for calls := 0; ; calls++ {
		v, err := e.s.Sweep(e.ctx, r)
		e.ok(err)
		e.want(v.Entries <= 7, "%d entries in one call", v.Entries)
		sum += v.Entries
		if !v.More {
			break
		}
		e.want(calls < 10*n, "sweeping does not end")
	}
	e.want(sum == n && len(e.total()) == 0, "swept %d of %d, counts %v", sum, n, e.total())
}

func sweepKeys(e *env) {
	short := e.put(mail{idem: queue.Idempotency{Key: "short", ExpiresAt: e.now.Add(time.Hour)}})
	long := e.put(mail{idem: queue.Idempotency{Key: "long", ExpiresAt: e.now.Add(1000 * time.Hour)}})
	e.end(queue.StateDelivered)
	e.pass(100 * time.Hour)
	e.want(e.sweepAll(queue.Retention{Now: e.now, Sent: e.now.Add(-time.Hour)}).Entries == 2, "entries")
	out, err := e.try(mail{idem: queue.Idempotency{Key: "long", ExpiresAt: e.now.Add(time.Hour)}})
	e.want(err == nil && out.Duplicate && out.ID == long, "a key was forgotten before its time: %+v, %v", out, err)
	out, err = e.try(mail{idem: queue.Idempotency{Key: "short", ExpiresAt: e.now.Add(time.Hour)}})
	e.want(err == nil && !out.Duplicate && out.ID != short, "a key outlived its time: %+v, %v", out, err)
	e.sweepAll(queue.Retention{Now: e.now})
	again, err := e.try(mail{idem: queue.Idempotency{Key: "short", ExpiresAt: e.now.Add(time.Hour)}})
	e.want(err == nil && again.Duplicate && again.ID == out.ID, "the new key was swept with the old one: %+v, %v", again, err)
}

func sweepOrphans(e *env) {
	body := noise(2<<20, 9)
	r, err := e.request(mail{body: body[:1<<20]})
	e.ok(err)
	r.Message.Content.Size = 2 << 20
	lost, err := e.s.CreateContent(e.ctx)
	e.ok(err)
	_, err = lost.Write(noise(2<<20, 1))
	e.ok(err)
	lost.Abort()
	for i := range 4 {
		e.sweepAll(queue.Retention{Now: e.now, Sent: e.now, Bounced: e.now, Content: e.now})
		_, err = r.Content.Write(body[1<<20+i<<18 : 1<<20+(i+1)<<18])
		e.ok(err)
	}
	out, err := e.s.Enqueue(e.ctx, r)
	e.ok(err)
	e.sweepAll(queue.Retention{Now: e.now, Sent: e.now, Bounced: e.now, Content: e.now})
	e.want(string(e.read(out.ID)) == string(body), "the content differs")
	e.reopen()
	e.sweepAll(queue.Retention{Now: e.now.Add(time.Hour), Sent: e.now, Bounced: e.now, Content: e.now})
	e.want(string(e.read(out.ID)) == string(body), "the content differs after a restart")
}

func sweepConcurrent(e *env) {
	n := e.scaled(20)
	stop := make(chan struct{})
	swept := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				swept <- nil
				return
			default:
			}
			// Everything that is final may go at once.
			late := epoch.Add(9999 * time.Hour)
			if _, err := e.s.Sweep(e.ctx, queue.Retention{Now: epoch, Sent: late, Bounced: late, Content: late, Max: 50}); err != nil {
				swept <- err
				return
			}
		}
	}()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = sweepWork(e, i, n) })
	}
	wg.Wait()
	close(stop)
	e.ok(<-swept)
	for _, err := range errs {
		e.ok(err)
	}
	e.recount()
	vs, err := e.list(queue.Filter{}, 100)
	e.ok(err)
	for _, v := range vs {
		for _, r := range v.Recipients {
			if !r.State.Final() {
				e.read(v.Message.ID)
			}
		}
	}
}

// sweepWork delivers mail in a lane of its own, and reads it before.
func sweepWork(e *env, i, n int) error {
	lane := queue.Lane(fmt.Sprint("lane", i))
	large := noise(300<<10, uint64(i))
	for j := range n {
		size := 100
		if j%10 == 0 {
			size = 300 << 10
		}
		out, err := e.try(mail{to: []rcpt{{lane: lane}, {lane: lane}}, body: large[:size], lease: e.ask(1)})
		if err != nil {
			return err
		}
		if len(out.Leases) != 1 {
			return fmt.Errorf("%d leases", len(out.Leases))
		}
		l := out.Leases[0]
		ss := e.settlements(l, queue.StateDelivered, time.Time{})
		if err := e.s.Settle(e.ctx, l, ss[:1]); err != nil {
			return err
		}
		c, err := e.s.OpenContent(e.ctx, l.Message.Content)
		if err != nil {
			return fmt.Errorf("content of what is leased: %w", err)
		}
		p := make([]byte, size)
		if _, err := c.ReadAt(p, 0); err != nil || !bytes.Equal(p, large[:size]) {
			return fmt.Errorf("content of what is leased differs: %w", err)
		}
		if err := c.Close(); err != nil {
			return err
		}
		if j%5 != 0 {
			ss = e.settlements(l, queue.StateBounced, time.Time{})
		} else {
			ss = e.settlements(l, queue.StateHeld, time.Time{})
		}
		if err := e.s.Settle(e.ctx, l, ss[1:]); err != nil {
			return err
		}
	}
	return nil
}
