package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"postrider/queue"
)

func closeTests() []test {
	return []test{
		{"every call to a closed store is unavailable", closeAll},
		{"a second close does no harm", closeTwice},
		{"a close waits for those who are under way", closeUnderWay},
		{"a cancelled call returns at once", closeCancelled},
		{"a healthy store accepts", closeCondition},
	}
}

// calls are all methods that take a context, on a leased message.
func (e *env) calls(s queue.Store, l queue.Lease, r func() queue.EnqueueRequest) map[string]func(ctx context.Context) error {
	rs := []queue.RecipientID{l.Recipients[0].ID}
	rec := queue.Record{Kind: queue.RecordSetting, Name: "x", Value: []byte("v")}
	return map[string]func(ctx context.Context) error{
		"CreateContent": func(ctx context.Context) error {
			w, err := s.CreateContent(ctx)
			if err == nil {
				w.Abort()
			}
			return err
		},
		"OpenContent": func(ctx context.Context) error {
			c, err := s.OpenContent(ctx, l.Message.Content)
			if err == nil {
				err = c.Close()
			}
			return err
		},
		"RemoveContent": func(ctx context.Context) error { return s.RemoveContent(ctx, l.Message.ID) },
		"Enqueue":       func(ctx context.Context) error { _, err := s.Enqueue(ctx, r()); return err },
		"Lease":         func(ctx context.Context) error { _, err := s.Lease(ctx, *e.ask(1)); return err },
		"Extend":        func(ctx context.Context) error { _, err := s.Extend(ctx, e.now, ttl, l); return err },
		"Mark":          func(ctx context.Context) error { return s.Mark(ctx, l, rs) },
		"Settle": func(ctx context.Context) error {
			return s.Settle(ctx, l, e.settlements(l, queue.StateDelivered, time.Time{}))
		},
		"Release": func(ctx context.Context) error { return s.Release(ctx, l, e.now, rs) },
		"Park":    func(ctx context.Context) error { return s.Park(ctx, "x", e.now, e.now.Add(time.Second)) },
		"NextDue": func(ctx context.Context) error { _, _, err := s.NextDue(ctx, e.now); return err },
		"Message": func(ctx context.Context) error { _, err := s.Message(ctx, l.Message.ID); return err },
		"List":    func(ctx context.Context) error { _, _, err := s.List(ctx, queue.Filter{}, "", 10); return err },
		"Counts":  func(ctx context.Context) error { _, err := s.Counts(ctx); return err },
		"History": func(ctx context.Context) error { _, err := s.History(ctx, l.Message.ID); return err },
		"Apply": func(ctx context.Context) error {
			_, err := s.Apply(ctx, queue.Operation{Action: queue.ActionHold, Now: e.now})
			return err
		},
		"ReadEvents":      func(ctx context.Context) error { _, _, err := s.ReadEvents(ctx, "", 10); return err },
		"Acknowledge":     func(ctx context.Context) error { return s.Acknowledge(ctx, "r", "") },
		"Acknowledged":    func(ctx context.Context) error { _, err := s.Acknowledged(ctx, "r"); return err },
		"GetRecord":       func(ctx context.Context) error { _, err := s.GetRecord(ctx, rec.Kind, rec.Name); return err },
		"PutRecord":       func(ctx context.Context) error { _, err := s.PutRecord(ctx, rec); return err },
		"DeleteRecord":    func(ctx context.Context) error { return s.DeleteRecord(ctx, rec) },
		"ListRecords":     func(ctx context.Context) error { _, err := s.ListRecords(ctx, rec.Kind, "", "", 10); return err },
		"RegistryVersion": func(ctx context.Context) error { _, err := s.RegistryVersion(ctx); return err },
		"TakeRate": func(ctx context.Context) error {
			_, _, err := s.TakeRate(ctx, "k", e.now, queue.Rate{Count: 1, Per: time.Second, Burst: 1}, 1)
			return err
		},
		"AcquireSlot": func(ctx context.Context) error {
			_, err := s.AcquireSlot(ctx, "k", "h", e.now, 1, time.Second)
			return err
		},
		"ReleaseSlot": func(ctx context.Context) error { return s.ReleaseSlot(ctx, "k", "h") },
		"CacheGet":    func(ctx context.Context) error { _, err := s.CacheGet(ctx, "k", e.now); return err },
		"CachePut":    func(ctx context.Context) error { return s.CachePut(ctx, "k", nil, e.now, time.Second) },
		"Claim":       func(ctx context.Context) error { _, err := s.Claim(ctx, "c", "h", e.now, time.Second); return err },
		"Unclaim":     func(ctx context.Context) error { return s.Unclaim(ctx, "c", "h") },
		"Sweep": func(ctx context.Context) error {
			_, err := s.Sweep(ctx, queue.Retention{Now: e.now, Max: 1})
			return err
		},
	}
}

func closeAll(e *env) {
	id := e.put(mail{})
	l := e.one()
	r, err := e.request(mail{})
	e.ok(err)
	calls := e.calls(e.s, l, func() queue.EnqueueRequest { return r })
	old := e.s
	e.reopen()
	if old == e.s {
		e.Fatal("Reopen returned the closed store")
	}
	for name, call := range calls {
		if err := call(e.ctx); !errors.Is(err, queue.ErrUnavailable) {
			e.Errorf("%s on a closed store: %v", name, err)
		}
	}
	e.want(!old.Condition(e.ctx).Accepting, "a closed store says that it accepts")
	_, err = r.Content.Write([]byte("more"))
	r.Content.Abort()
	_ = err // it may still have had room in memory
	for _, listen := range []func() (<-chan struct{}, func()){old.Wake, old.Notify} {
		_, stop := listen()
		stop()
	}
	e.states(id, queue.StateQueued)
	_, err = e.s.Message(e.ctx, r.Message.ID)
	e.is(err, queue.ErrNotFound)
}

func closeTwice(e *env) {
	id := e.put(mail{})
	old := e.s
	e.reopen()
	_ = old.Close()
	e.states(id, queue.StateQueued)
	e.one()
}

func closeUnderWay(e *env) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := map[queue.MessageID]bool{}
	errs := make([]error, 8)
	first := make(chan struct{}, len(errs))
	for i := range errs {
		w := *e
		wg.Go(func() {
			for n := 0; ; n++ {
				out, err := w.try(mail{})
				if err != nil {
					errs[i] = err
					return
				}
				mu.Lock()
				accepted[out.ID] = true
				mu.Unlock()
				if n == 3 {
					first <- struct{}{}
				}
			}
		})
	}
	for range errs {
		<-first
	}
	e.reopen()
	wg.Wait()
	for _, err := range errs {
		e.is(err, queue.ErrUnavailable)
	}
	for id := range accepted {
		e.states(id, queue.StateQueued)
	}
	e.want(e.total()[queue.StateQueued] >= int64(len(accepted)), "%d accepted, counts %v", len(accepted), e.total())
}

func closeCancelled(e *env) {
	for range 20 {
		e.put(mail{})
	}
	ls := e.lease(2)
	l := ls[0]
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	var requests []queue.MessageID
	calls := e.calls(e.s, l, func() queue.EnqueueRequest {
		r, err := e.request(mail{})
		e.ok(err)
		requests = append(requests, r.Message.ID)
		return r
	})
	for name, call := range calls {
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		select {
		case err := <-done:
			// It may be done all the same; what it may not be is anything else.
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, queue.ErrLeaseLost) && !errors.Is(err, queue.ErrVersion) && !errors.Is(err, queue.ErrNotFound) && name != "RemoveContent" {
				e.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			e.Fatalf("%s does not return", name)
		}
	}
	e.recount()
	for _, id := range requests { // wholly or not at all
		if !e.gone(id) {
			e.read(id)
		}
	}
	vs, _ := e.events("")
	perRecipient := map[queue.RecipientID]int{}
	for _, v := range vs {
		perRecipient[v.Recipient]++
	}
	for _, v := range e.entries() {
		for _, r := range v.Recipients {
			e.want(int(r.Events) == perRecipient[r.ID], "%s counts %d events, the log has %d", r.ID, r.Events, perRecipient[r.ID])
		}
	}
}

func (e *env) entries() []queue.Entry {
	e.Helper()
	vs, err := e.list(queue.Filter{}, 500)
	e.ok(err)
	return vs
}

func closeCondition(e *env) {
	c := e.s.Condition(e.ctx)
	e.want(c.Accepting && c.Reason == "" && c.Free >= -1 && c.Used >= -1, "condition is %+v", c)
}

func fullTests() []test {
	return []test{
		{"a full store takes no mail, but delivers and cleans up", fullStore},
		{"a full store can be opened, and be full still", fullReopen},
	}
}

func fullStore(e *env) {
	var ids []queue.MessageID
	for range 6 {
		ids = append(ids, e.put(mail{idem: e.key(string(rune('a'+len(ids))), 1)}))
	}
	leased := e.lease(2)
	room := e.h.Full(e.T, e.s)
	refused := func() {
		e.Helper()
		_, err := e.try(mail{})
		e.is(err, queue.ErrFull)
		_, err = e.try(mail{body: noise(3<<20, 1)})
		e.is(err, queue.ErrFull)
		c := e.s.Condition(e.ctx)
		e.want(!c.Accepting && c.Reason != "", "condition is %+v", c)
	}
	refused()
	e.ok(e.s.Mark(e.ctx, leased[0], []queue.RecipientID{leased[0].Recipients[0].ID}))
	e.ok(e.outcome(leased[0], queue.StateDelivered, time.Time{}))
	e.ok(e.outcome(leased[1], queue.StateDeferred, e.now.Add(time.Hour)))
	e.want(e.act(queue.ActionHold, ids[5]).Changed == 1, "hold")
	e.want(e.act(queue.ActionCancel, ids[4]).Changed == 1, "cancel")
	e.end(queue.StateDelivered)
	refused()
	e.pass(time.Hour)
	e.want(e.sweepAll(queue.Retention{Now: e.now, Sent: e.now}).Entries > 0, "nothing was swept")
	e.recount()
	room()
	id := e.put(mail{body: noise(1<<20, 2)})
	c := e.s.Condition(e.ctx)
	e.want(c.Accepting && c.Reason == "", "condition is %+v", c)
	e.read(id)
	e.want(len(e.lease(9)) == 2, "the deferred one and the new one are due")
}

func fullReopen(e *env) {
	id := e.put(mail{})
	room := e.h.Full(e.T, e.s)
	e.reopen()
	_, err := e.try(mail{})
	e.is(err, queue.ErrFull)
	e.ok(e.outcome(e.one(), queue.StateDelivered, time.Time{}))
	e.states(id, queue.StateDelivered)
	room()
	e.put(mail{})
}
