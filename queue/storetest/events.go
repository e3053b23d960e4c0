package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

func eventTests(h Harness) []test {
	ts := []test{
		{"every change once, in order per message, as the history says", eventsOnce},
		{"reading goes on from the position of any event", eventsPositions},
		{"positions are good after a restart", func(e *env) { eventsSurvive(e, e.reopen) }},
		{"a reader misses nothing while sixteen write", eventsTail},
		{"a position that is none is refused", eventsBadPosition},
		{"what a reader acknowledged is kept", eventsAcknowledge},
		{"new events notify", eventsNotify},
		{"ids are derived, and differ", eventsIDs},
	}
	if h.Crash != nil {
		ts = append(ts, test{"positions are good after a power cut", func(e *env) {
			eventsSurvive(e, func() { e.s = h.Crash(e.T, e.s) })
		}})
	}
	return ts
}

// busy makes some history.
func (e *env) busy(n int) (ids []queue.MessageID) {
	e.Helper()
	for i := range n {
		ids = append(ids, e.put(mail{account: fmt.Sprint(i % 3), to: lanes("a", "b", "b")}))
		for j, l := range e.lease(2) {
			o := []queue.State{queue.StateDeferred, queue.StateDelivered, queue.StateBounced}[(i+j)%3]
			e.ok(e.outcome(l, o, e.now.Add(time.Minute)))
		}
		switch i % 5 {
		case 1:
			e.act(queue.ActionRetry, ids[i/2])
		case 2:
			e.act(queue.ActionHold, ids[i])
		case 3:
			e.act(queue.ActionRelease, ids[i-1])
		}
		e.pass(time.Second)
	}
	return ids
}

// agree demands that the log is what the histories say, and returns it.
func (e *env) agree(ids []queue.MessageID) []queue.Event {
	e.Helper()
	vs, _ := e.events("")
	e.histories(ids, vs)
	return vs
}

func (e *env) histories(ids []queue.MessageID, vs []queue.Event) {
	e.Helper()
	per := map[queue.MessageID][]string{}
	seen := map[queue.EventID]bool{}
	for _, v := range vs {
		e.want(!seen[v.ID], "event %s twice", v.ID)
		seen[v.ID] = true
		per[v.Message] = append(per[v.Message], eventLine(v))
	}
	e.want(len(per) == len(ids), "events of %d messages, want %d", len(per), len(ids))
	for _, id := range ids {
		hs, err := e.s.History(e.ctx, id)
		e.ok(err)
		var lines []string
		counts := map[queue.RecipientID]uint32{}
		for _, v := range hs {
			lines = append(lines, eventLine(v))
			counts[v.Recipient]++
		}
		e.want(slices.Equal(lines, per[id]), "%s: history is\n%q, the log has\n%q", id, lines, per[id])
		for _, r := range e.entry(id).Recipients {
			e.want(r.Events == counts[r.ID], "%s has %d events and counts %d", r.ID, counts[r.ID], r.Events)
		}
	}
}

func eventLine(v queue.Event) string {
	v.At, v.Due, v.Position = v.At.UTC(), v.Due.UTC(), ""
	at := canonicalAttempt(v.Attempt)
	v.Attempt = nil
	return fmt.Sprintf("%+v %+v", v, at)
}

func eventsOnce(e *env) {
	vs := e.agree(e.busy(60))
	queued := 0
	for _, v := range vs {
		if v.Kind == queue.EventQueued {
			queued++
		}
	}
	e.want(queued == 60 && len(vs) > 150, "%d queued of %d events", queued, len(vs))
}

func eventsPositions(e *env) {
	e.busy(15)
	all, end := e.events("")
	for i, v := range all {
		vs, _, err := e.s.ReadEvents(e.ctx, v.Position, len(all))
		e.ok(err)
		e.want(i == len(all)-1 || len(vs) > 0 && vs[0].ID == all[i+1].ID, "after event %d of %d: %v", i, len(all), vs)
	}
	for _, limit := range []int{1, 2, 3, 1000} {
		var got []queue.EventID
		p := queue.Position("")
		for len(got) < len(all) {
			vs, next, err := e.s.ReadEvents(e.ctx, p, limit)
			e.ok(err)
			e.want(len(vs) <= limit && (len(vs) > 0 || next != p), "limit %d: %d events, %q after %q", limit, len(vs), next, p)
			for _, v := range vs {
				e.want(v.ID == all[len(got)].ID, "limit %d: event %d is %s", limit, len(got), v.ID)
				got = append(got, v.ID)
			}
			p = next
		}
	}
	vs, p, err := e.s.ReadEvents(e.ctx, end, 10)
	e.want(err == nil && len(vs) == 0, "after the end: %v, %v", vs, err)
	id := e.put(mail{})
	vs, _, err = e.s.ReadEvents(e.ctx, p, 10)
	e.want(err == nil && len(vs) == 1 && vs[0].Message == id, "after the end and one more: %v, %v", vs, err)
}

func eventsSurvive(e *env, end func()) {
	ids := e.busy(20)
	all, _ := e.events("")
	middle := all[len(all)/2].Position
	last := all[len(all)-1].Position
	e.ok(e.s.Acknowledge(e.ctx, "webhook", middle))
	end()
	e.pass(time.Hour)
	again, _ := e.events(middle)
	e.want(len(again) == len(all)-len(all)/2-1, "%d events after the middle of %d", len(again), len(all))
	for i, v := range again {
		e.want(v.ID == all[len(all)/2+1+i].ID, "event %d differs", i)
	}
	ids = append(ids, e.put(mail{}))
	again, _ = e.events(last)
	e.want(len(again) == 1 && again[0].Message == ids[len(ids)-1], "after the last one: %v", again)
	e.agree(ids)
}

func eventsTail(e *env) {
	const writers = 16
	n := e.scaled(25)
	c, stop := e.s.Notify()
	defer stop()
	var mu sync.Mutex
	want := map[string]int{} // message and kind
	note := func(m queue.MessageID, k queue.EventKind, times int) {
		mu.Lock()
		defer mu.Unlock()
		want[fmt.Sprint(m, k)] += times
	}
	write := func(i int) error {
		w := *e
		for j := range n {
			out, err := w.try(mail{account: fmt.Sprint(i), to: many(1+j%3, queue.Lane(fmt.Sprint(i))), lease: w.ask(1)})
			if err != nil {
				return err
			}
			note(out.ID, queue.EventQueued, 1)
			ls := out.Leases
			if len(ls) == 0 {
				q := w.ask(1)
				q.Lane = queue.Lane(fmt.Sprint(i))
				if ls, err = w.s.Lease(w.ctx, *q); err != nil {
					return err
				}
			}
			for _, l := range ls {
				o := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateBounced}[j%3]
				if err := w.outcome(l, o, w.now.Add(time.Hour)); err != nil {
					return err
				}
				note(l.Message.ID, kindOf(o), len(l.Recipients))
			}
			if j%4 == 1 {
				a, err := w.s.Apply(w.ctx, queue.Operation{Action: queue.ActionHold, Filter: queue.Filter{Messages: []queue.MessageID{out.ID}}, Now: w.now})
				if err != nil {
					return err
				}
				note(out.ID, queue.EventHeld, a.Changed)
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() { errs[i] = write(i) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var got []queue.Event
	p := queue.Position("")
	read := func(limit int) {
		for {
			vs, next, err := e.s.ReadEvents(e.ctx, p, limit)
			e.ok(err)
			if len(vs) == 0 && next == p {
				return
			}
			got, p = append(got, vs...), next
		}
	}
	for running := true; running; {
		select {
		case <-c:
		case <-done:
			running = false
		}
		read(1 + len(got)%40)
	}
	e.ok(errors.Join(errs...))
	read(100)
	seen := map[string]int{}
	var ids []queue.MessageID
	for _, v := range got {
		seen[fmt.Sprint(v.Message, v.Kind)]++
		if v.Kind == queue.EventQueued {
			ids = append(ids, v.Message)
		}
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	for k, n := range want {
		e.want(seen[k] == n, "the reader saw %s %d times, it happened %d times", k, seen[k], n)
	}
	e.want(maps.Equal(seen, want), "the reader saw what did not happen")
	e.histories(ids, got)
	again, _ := e.events("") // and the order stays what it was
	if e.h.Partitions > 1 {  // they may come in another turn, each in its order
		e.want(len(got) == len(again), "a second reading has %d events, not %d", len(again), len(got))
		e.histories(ids, again)
		return
	}
	e.want(slices.EqualFunc(got, again, func(a, b queue.Event) bool { return a.ID == b.ID && a.Position == b.Position }), "a second reading differs")
}

func eventsBadPosition(e *env) {
	e.busy(3)
	for _, p := range []queue.Position{"garbage!", "999999999999999999999999999999", "\x00", queue.Position(noise(300, 2))} {
		_, _, err := e.s.ReadEvents(e.ctx, p, 10)
		e.is(err, queue.ErrPosition)
		e.want(e.s.Acknowledge(e.ctx, "r", p) != nil, "%.20q was acknowledged", p)
	}
	p, err := e.s.Acknowledged(e.ctx, "r")
	e.want(err == nil && p == "", "acknowledged is %q, %v", p, err)
}

func eventsAcknowledge(e *env) {
	ids := e.busy(8)
	all, _ := e.events("")
	p, err := e.s.Acknowledged(e.ctx, "new")
	e.want(err == nil && p == "", "a new reader stands at %q, %v", p, err)
	e.ok(e.s.Acknowledge(e.ctx, "dsn", all[2].Position))
	e.ok(e.s.Acknowledge(e.ctx, "hook/1", all[5].Position))
	e.ok(e.s.Acknowledge(e.ctx, "dsn", all[3].Position))
	for range 2 {
		for reader, i := range map[string]int{"dsn": 3, "hook/1": 5} {
			p, err := e.s.Acknowledged(e.ctx, reader)
			e.ok(err)
			vs, _, err := e.s.ReadEvents(e.ctx, p, 1)
			e.want(err == nil && len(vs) == 1 && vs[0].ID == all[i+1].ID, "%s goes on with %v, %v", reader, vs, err)
		}
		e.reopen()
	}
	// What is not acknowledged survives housekeeping within retention.
	e.sweepAll(queue.Retention{Now: e.now})
	e.want(len(e.agree(ids)) == len(all), "events are gone")
}

func eventsNotify(e *env) {
	c, stop := e.s.Notify()
	d, stopOther := e.s.Notify()
	e.put(mail{})
	e.signalled(c, "enqueue")
	e.signalled(d, "enqueue")
	stopOther()
	l := e.one()
	for received(c) {
	}
	e.ok(e.outcome(l, queue.StateDeferred, e.now))
	e.signalled(c, "settle")
	e.act(queue.ActionHold, l.Message.ID)
	e.signalled(c, "apply")
	e.put(mail{})
	e.put(mail{})
	e.signalled(c, "enqueue")
	stop()
	for received(c) {
	}
	e.put(mail{})
	select {
	case _, open := <-c:
		e.want(!open, "a channel that was given back got a signal")
		e.Fatal("the channel was closed")
	default:
	}
}

func eventsIDs(e *env) {
	ids := e.busy(20)
	seq := map[queue.RecipientID]uint32{}
	for _, v := range e.agree(ids) {
		of := v.Recipient
		if v.Kind == queue.EventQueued {
			of = queue.RecipientID(v.Message)
		}
		want := queue.NewEventID(v.At, of, seq[of])
		seq[of]++
		e.want(v.ID == want, "%s event %d of %s has id %s, want %s", v.Kind, seq[of], of, v.ID, want)
	}
}
