package storetest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"postrider/queue"
)

func crashTests(h Harness) []test {
	type trial struct {
		name string
		make func() Trial
	}
	trials := []trial{
		{"enqueue of a small message", func() Trial { return crashEnqueue(900, 3) }},
		{"enqueue of a large message", func() Trial { return crashEnqueue(300<<10, 2) }},
		{"enqueue to many", func() Trial { return crashEnqueue(900, 150) }},
		{"settle", crashSettle},
		{"mark", crashMark},
		{"apply", crashApply},
		{"rescheduling", crashReschedule},
		{"change of records", crashRegistry},
		{"a first commit to folders", crashFirstFolders},
		{"commit to folders", crashFolders},
		{"drop of folders", crashDrop},
		{"sweep", crashSweep},
		{"removal of a content", crashRemove},
		{"close", crashClose},
		{"a whole life", crashLife},
	}
	if h.Archive {
		trials = append(trials, trial{"import", crashImport})
	}
	var ts []test
	for _, c := range trials {
		ts = append(ts, test{"power lost at any step of " + c.name, func(e *env) { e.h.CrashPoints(e.T, c.make) }})
	}
	return ts
}

// crashEnqueue enqueues two messages under one power cut, with a key each.
func crashEnqueue(size, recipients int) Trial {
	var id queue.MessageID
	var acked [2]queue.MessageID
	idem := queue.Idempotency{Key: "k", ExpiresAt: epoch.Add(time.Hour)}
	body := noise(size, 1)
	return Trial{
		Before: func(t *testing.T, s queue.Store) { id = onStore(t, s).put(mail{}) },
		During: func(s queue.Store) {
			e := onStore(nil, s)
			e.seq.Store(10)
			for i := range acked {
				out, err := e.try(mail{to: many(recipients, queue.Lane(fmt.Sprint("lane", i))), body: body, idem: idem})
				if err != nil {
					return
				}
				acked[i] = out.ID
				idem.Key += "k"
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.states(id, queue.StateQueued)
			vs, err := e.list(queue.Filter{}, 10)
			e.ok(err)
			there := map[queue.MessageID]bool{}
			for _, v := range vs {
				there[v.Message.ID] = true
				if v.Message.ID == id {
					continue
				}
				e.want(len(v.Recipients) == recipients, "%d recipients, want all %d or none", len(v.Recipients), recipients)
				e.want(bytes.Equal(e.read(v.Message.ID), body), "the content differs")
				e.kinds(v.Message.ID, queue.EventQueued)
			}
			var ids []queue.MessageID
			for id := range there {
				ids = append(ids, id)
			}
			e.agree(ids)
			for _, id := range acked {
				e.want(id.IsZero() || there[id], "%s was acknowledged and is lost", id)
			}
			e.recount()
			leased := 0
			for _, l := range e.lease(100) {
				leased += len(l.Recipients)
			}
			e.want(leased == 1+(len(vs)-1)*recipients, "%d of %d are leased", leased, len(vs))
			// The client tries again, and nothing is there twice.
			e.seq.Store(50)
			out, err := e.try(mail{to: many(recipients, ""), body: body, idem: queue.Idempotency{Key: "k", ExpiresAt: epoch.Add(time.Hour)}})
			e.ok(err)
			e.want(out.Duplicate == (len(vs) > 1), "the repetition is %+v with %d there", out, len(vs)-1)
			e.want(acked[0].IsZero() || out.ID == acked[0], "the repetition is %s, was %s", out.ID, acked[0])
		},
	}
}

// afterLeases is the time at which no lease of before a crash lives.
func (e *env) afterLeases() { e.pass(ttl + time.Second) }

func crashSettle() Trial {
	var id queue.MessageID
	var l queue.Lease
	acked := 0
	outcomes := []queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateBounced}
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			id = e.put(mail{to: many(6, "a")})
			l = e.one()
		},
		During: func(s queue.Store) {
			e := onStore(nil, s)
			ss := e.settlements(l, 0, epoch.Add(time.Hour))
			for i := range ss {
				ss[i].Outcome = outcomes[i%3]
			}
			for half := range 2 {
				if e.s.Settle(e.ctx, l, ss[3*half:3*half+3]) != nil {
					return
				}
				acked++
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.afterLeases()
			rs := e.entry(id).Recipients
			settled := 0
			for half := range 2 {
				done := 0
				for i, r := range rs[3*half : 3*half+3] {
					if r.State == outcomes[i] && r.Attempts == 1 {
						done++
					} else {
						e.want(r.Attempts == 0 && r.Events == 0, "half settled: %+v", r)
					}
				}
				e.want(done == 0 || done == 3, "%d of 3 are settled", done)
				e.want(done == 3 || half >= acked, "an acknowledged settlement is lost")
				settled += done
			}
			hs, err := e.s.History(e.ctx, id)
			e.want(err == nil && len(hs) == 1+settled, "%d events for %d settled, %v", len(hs), settled, err)
			e.agree([]queue.MessageID{id})
			e.recount()
			open := 0
			for _, l := range e.lease(9) {
				open += len(l.Recipients)
			}
			e.want(open == 6-settled, "%d are due, %d are settled", open, settled)
		},
	}
}

func crashMark() Trial {
	var id queue.MessageID
	var l queue.Lease
	delivered := false
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			id = e.put(mail{to: many(2, "a")})
			l = e.one()
		},
		During: func(s queue.Store) {
			e := onStore(nil, s)
			if e.s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0)}) != nil {
				return
			}
			delivered = e.s.Settle(e.ctx, l, e.settlements(l, queue.StateDelivered, time.Time{})[:1]) == nil
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.afterLeases()
			rs := e.entry(id).Recipients
			e.want(!rs[1].InDoubt && !rs[1].State.Final(), "the other one is %+v", rs[1])
			e.want(!delivered || rs[0].State == queue.StateDelivered, "an acknowledged settlement is lost")
			e.want(rs[0].State != queue.StateDelivered || !rs[0].InDoubt, "delivered, and in doubt")
			e.agree([]queue.MessageID{id})
			e.recount()
			n := len(e.one().Recipients)
			e.want((n == 1) == (rs[0].State == queue.StateDelivered), "%d are due", n)
		},
	}
}

func crashApply() Trial {
	var ids []queue.MessageID
	var changed int
	return Trial{
		Before: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			for range 3 {
				ids = append(ids, e.put(mail{to: many(100, "a")}))
			}
		},
		During: func(s queue.Store) {
			a, _ := s.Apply(onStore(nil, s).ctx, queue.Operation{Action: queue.ActionHold, Now: epoch, Actor: "op"})
			changed = a.Changed // durable also if there is an error
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.afterLeases()
			held := e.total()[queue.StateHeld]
			e.want(held >= int64(changed), "%d were changed, %d are held", changed, held)
			e.agree(ids)
			e.recount()
			due := 0
			for _, l := range e.lease(100) {
				due += len(l.Recipients)
			}
			e.want(int64(due)+held == 300, "%d are due and %d held", due, held)
		},
	}
}

// crashLife is one message from enqueue to delivery, with a lease in between.
func crashLife() Trial {
	var id queue.MessageID
	steps := 0
	return Trial{
		Before: func(*testing.T, queue.Store) {},
		During: func(s queue.Store) {
			e := onStore(nil, s)
			out, err := e.try(mail{lease: e.ask(1)})
			if err != nil || len(out.Leases) != 1 {
				return
			}
			id, steps = out.ID, 1
			for i, o := range []queue.State{queue.StateDeferred, queue.StateDelivered} {
				l := out.Leases[0]
				if i > 0 {
					ls, err := s.Lease(e.ctx, *e.ask(1))
					if err != nil || len(ls) != 1 {
						return
					}
					l = ls[0]
				}
				if s.Mark(e.ctx, l, []queue.RecipientID{id.Recipient(0)}) != nil || e.outcome(l, o, e.now) != nil {
					return
				}
				steps++
			}
		},
		After: func(t *testing.T, s queue.Store) {
			e := onStore(t, s)
			e.afterLeases()
			vs, err := e.list(queue.Filter{}, 10)
			e.ok(err)
			if len(vs) == 0 {
				e.want(steps == 0, "an acknowledged message is lost")
				return
			}
			r := vs[0].Recipients[0]
			e.want(r.Attempts >= steps-1 && r.Attempts <= 2, "%d attempts after %d steps", r.Attempts, steps)
			e.want((r.State == queue.StateDelivered) == (r.Attempts == 2), "recipient is %+v", r)
			e.agree([]queue.MessageID{vs[0].Message.ID})
			e.recount()
			e.want(len(e.lease(9)) == 1 != r.State.Final(), "leased after %s", r.State)
		},
	}
}
