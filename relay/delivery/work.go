package delivery

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
)

// A worker that has just delivered goes on with the same lane, whose connection
// is warm, for warmRuns leases or warmTime; then the others have their turn.
const (
	warmRuns = 8
	warmTime = 100 * time.Millisecond
)

// run is one lease in the hands of a worker.
type run struct {
	lease  queue.Lease
	permit throttle.Permit
	cancel context.CancelCauseFunc

	// expires is guarded by Dispatcher.mu.
	expires time.Time

	start   time.Time
	way     way                // of those in open
	open    []*queue.Recipient // those to be settled
	stage   queue.Stage        // how far it came
	marked  bool               // the dot may have been sent
	settled bool               // settling has begun, or nothing is to be settled
	warm    bool               // the site answered and may be sent more

	setbacks []outbound.Setback // sessions that came to nothing, whatever came after
	endings  []outbound.Ending  // connections that the peer ended
	outcomes []queue.Settlement // of open, if they are still to be recorded
}

// work serves jobs until the end. ctx ends when nothing more may be asked of
// the store.
func (d *Dispatcher) work(ctx context.Context) {
	for {
		select {
		case j := <-d.jobs:
			d.serve(ctx, j)
		case <-d.quit:
			return
		}
	}
}

// serve runs a job, and more of its lane while that is warm. What warm runs came
// to is recorded while the next one is sent, so that the site does not wait for
// our disk; the worker is free when all of it is recorded.
func (d *Dispatcher) serve(ctx context.Context, j job) {
	defer d.freeWorkers(1)
	var recording sync.WaitGroup
	defer recording.Wait()
	began := time.Now()
	for n := 1; ; n++ {
		r := d.begin(j)
		d.try(ctx, r)
		var l queue.Lease
		more := r.warm && n < warmRuns && time.Since(began) < warmTime
		if more {
			l, more = d.another(ctx, r)
		}
		permit := r.permit
		if !more {
			d.dropPermit(ctx, &permit)
		}
		recording.Go(func() { d.record(ctx, r) })
		if !more {
			return
		}
		j = job{lease: l, permit: permit}
	}
}

// record settles what a warm run left to settle, and ends the run.
func (d *Dispatcher) record(ctx context.Context, r *run) {
	defer d.finish(r)
	if len(r.outcomes) > 0 {
		d.settle(ctx, r, r.open, r.outcomes)
	}
}

func (d *Dispatcher) begin(j job) *run {
	r := &run{lease: j.lease, permit: j.permit, expires: j.lease.Expires, start: d.o.Now(), stage: queue.StageRoute}
	r.open = make([]*queue.Recipient, len(j.lease.Recipients))
	for i := range r.open {
		r.open[i] = &j.lease.Recipients[i]
	}
	return r
}

func (d *Dispatcher) finish(r *run) {
	d.mu.Lock()
	delete(d.active, r)
	d.mu.Unlock()
	r.cancel(nil)
}

// another leases once more from the lane of a run, if its site may have one more
// message now.
func (d *Dispatcher) another(ctx context.Context, r *run) (queue.Lease, bool) {
	d.mu.Lock()
	stop := d.draining
	d.mu.Unlock()
	if stop {
		return queue.Lease{}, false
	}
	// The limits are asked first: what a lease costs is not spent in vain, and a
	// message that is not sent after all is given back with the permit.
	if r.permit.Held() && !d.o.Limits.Again(ctx, r.permit, d.o.Now()) {
		return queue.Lease{}, false
	}
	q := d.leaseRequest(1)
	q.Lane = r.lease.Lane
	// The lessor reports the store's errors.
	leases, _ := d.o.Store.Lease(ctx, q)
	if len(leases) == 0 {
		return queue.Lease{}, false
	}
	return leases[0], true
}

// try attempts a lease. A panic on the way is our own trouble: the lease is
// settled as such, so that one message cannot occupy us for ever.
func (d *Dispatcher) try(ctx context.Context, r *run) {
	attempt, cancel := context.WithCancelCause(ctx)
	r.cancel = cancel
	d.mu.Lock()
	d.active[r] = struct{}{}
	broken := d.broken
	d.mu.Unlock()
	if broken {
		cancel(errDraining)
	}
	defer func() {
		if p := recover(); p != nil {
			r.warm = false
			d.o.Logger.Error("panic in delivery; the message is deferred", "id", r.lease.Message.ID,
				"lane", string(r.lease.Lane), "stage", string(r.stage), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if !r.settled {
				d.deferOwn(ctx, r, r.open, "internal error: "+fmt.Sprint(p))
			}
		}
	}()
	d.attempt(attempt, ctx, r)
}

// attempt takes a lease through its phases. Under ctx it can be broken off; keep
// lasts longer, for what must be recorded all the same.
func (d *Dispatcher) attempt(ctx, keep context.Context, r *run) {
	if !r.start.Before(r.lease.Message.ExpiresAt) {
		d.expire(keep, r)
		return
	}
	if !d.keepBack(keep, r) || !d.holdBack(keep, r) {
		return
	}
	d.sortOut(keep, r)
	if len(r.open) == 0 {
		return
	}
	next, ok := d.findRoute(ctx, keep, r)
	if !ok || !d.admit(keep, r, next.key) {
		return
	}
	prefix, ok := d.sign(ctx, keep, r)
	if !ok {
		return
	}
	r.stage = queue.StageConnect
	began := time.Now()
	results, err := d.deliver(ctx, r, next, prefix)
	if d.o.Hooks.Site != nil {
		d.o.Hooks.Site(next.site, time.Since(began))
	}
	d.conclude(keep, r, next, results, err)
}

// admit sees that the run has a permit for the limits of that key; else its lane
// is put off.
func (d *Dispatcher) admit(ctx context.Context, r *run, key string) bool {
	if r.permit.Held() && r.permit.Site == key {
		return true
	}
	d.dropPermit(ctx, &r.permit) // the lane leads elsewhere now
	d.lanes.learn(r.lease.Lane, key)
	p, until, ok := d.o.Limits.Acquire(ctx, key, d.o.Now())
	switch {
	case ok:
	case d.leadsAway(&r.lease): // that site is closed, as we know now
		d.sortOut(ctx, r)
		return false
	default:
		d.putOff(ctx, r.lease, key, until)
		r.settled = true
		return false
	}
	r.permit = p
	return true
}
