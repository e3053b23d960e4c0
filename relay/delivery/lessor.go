package delivery

import (
	"context"
	"errors"
	"time"

	"postrider/queue"
	"postrider/relay/throttle"
)

const (
	// leaseBatch is how many leases are asked for at a time.
	leaseBatch = 32
	// A store that says something is due and grants nothing is asked again after
	// idlePause at the earliest.
	idlePause = 5 * time.Millisecond
	// After an error of the store the pauses double between these.
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// lessor leases work for free workers until ctx ends. It waits for what can
// bring some: a signal of the store, the time of the next work, a worker or a
// site's permit that became free.
func (d *Dispatcher) lessor(ctx context.Context) {
	wake, stop := d.o.Store.Wake()
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	opening := time.NewTimer(d.o.Recheck)
	defer opening.Stop()
	pause := time.Duration(0)
	for ctx.Err() == nil {
		select { // sites that always have permits must not keep us from seeing other work
		case <-wake:
			d.dry.Store(false)
		case <-timer.C:
			d.dry.Store(false)
		default:
		}
		if next := d.lanes.open(d.o.Now()); !next.IsZero() {
			opening.Reset(min(max(next.Sub(d.o.Now()), 0), d.o.Recheck))
		}
		more, err := d.leaseOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if pause == 0 {
				d.o.Logger.Warn("cannot lease from the store; trying again", "error", err)
			}
			pause = min(max(2*pause, firstPause), lastPause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		case pause > 0:
			d.o.Logger.Info("leasing from the store again")
			pause = 0
		}
		if more {
			continue
		}
		if !d.dry.Swap(true) {
			timer.Reset(d.untilDue(ctx))
		}
		select {
		case <-wake:
			d.dry.Store(false)
		case <-d.kick: // a worker or a site's permit; there is no other work than before
		case <-opening.C: // a site that had its rate used up
		case <-timer.C:
			d.dry.Store(false)
		case <-ctx.Done():
		}
	}
}

// untilDue is how long to sleep if nothing else happens.
func (d *Dispatcher) untilDue(ctx context.Context) time.Duration {
	now := d.o.Now()
	due, ok, err := d.o.Store.NextDue(ctx, now)
	if err != nil || !ok {
		return d.o.Recheck
	}
	return min(max(due.Sub(now), idlePause), d.o.Recheck)
}

// leaseOnce leases for the workers that are free, and reports whether to go on
// at once: there may be more work, and there is a worker.
func (d *Dispatcher) leaseOnce(ctx context.Context) (more bool, err error) {
	n := d.reserve(leaseBatch)
	if n == 0 {
		// freeWorkers nudges; NextDue must not wake us for nothing before.
		select {
		case <-d.kick:
		case <-ctx.Done():
		}
		return true, nil
	}
	left := n
	defer func() { d.freeWorkers(left) }()
	// Sites that had to wait and all the others get half each, and what the
	// other half leaves over.
	share := n / 2
	if n%2 == 1 && d.favour {
		share++
	}
	d.favour = !d.favour
	targeted, err := d.leaseWaiting(ctx, share, &left)
	if err != nil {
		return false, err
	}
	if !d.dry.Load() {
		ask := left
		leases, err := d.o.Store.Lease(ctx, d.leaseRequest(ask))
		for _, l := range leases {
			if d.dispatch(ctx, l) {
				left--
			}
		}
		if err != nil || len(leases) == ask {
			return true, err
		}
	}
	again, err := d.leaseWaiting(ctx, left, &left)
	return targeted+again > 0 && left == 0, err
}

// leaseWaiting leases from lanes that wait for a site, for as many permits as
// are to be had, and returns how many leases it passed on.
func (d *Dispatcher) leaseWaiting(ctx context.Context, n int, left *int) (passed int, err error) {
	for passed < n {
		site, ok := d.lanes.nextReady()
		if !ok {
			return passed, nil
		}
		got, err := d.leaseSite(ctx, site, n-passed)
		passed += got
		*left -= got
		if err != nil || passed == n {
			d.lanes.freed(site) // there may be another permit
		}
		if err != nil {
			return passed, err
		}
	}
	return passed, nil
}

// leaseSite leases from the lanes that wait for one site, whose turn it is, as
// much as it has permits for: a store may be a way off, and is asked once for
// what is to be had of a lane.
func (d *Dispatcher) leaseSite(ctx context.Context, site string, n int) (passed int, err error) {
	permits := d.permits(ctx, site, n)
	defer func() {
		for _, p := range permits {
			d.o.Limits.Release(ctx, p)
		}
	}()
	for len(permits) > 0 {
		lane, _, ok := d.lanes.turn(site)
		if !ok {
			break
		}
		share := (len(permits) + d.lanes.waitingFor(site) - 1) / max(d.lanes.waitingFor(site), 1)
		granted, err := d.leaseLane(ctx, lane, permits[:max(share, 1)])
		permits = permits[granted:]
		passed += granted
		if err != nil {
			return passed, err
		}
	}
	return passed, nil
}

// permits takes up to n permits of a site. If that gives none for a time its
// lanes wait until then.
func (d *Dispatcher) permits(ctx context.Context, site string, n int) (ps []throttle.Permit) {
	for len(ps) < n {
		p, until, ok := d.o.Limits.Acquire(ctx, site, d.o.Now())
		if !ok {
			if !until.IsZero() {
				d.siteOpens(ctx, site, until)
			}
			break
		}
		ps = append(ps, p)
	}
	return ps
}

// leaseLane leases from a lane that waits, one lease for each permit, and
// returns how many it passed on. A lane that has less waits no longer.
func (d *Dispatcher) leaseLane(ctx context.Context, lane queue.Lane, permits []throttle.Permit) (granted int, err error) {
	r := d.leaseRequest(len(permits))
	r.Lane = lane
	leases, err := d.o.Store.Lease(ctx, r)
	for i, l := range leases {
		d.give(ctx, job{lease: l, permit: permits[i]})
	}
	if len(leases) < len(permits) && err == nil {
		d.unpark(ctx, lane)
	}
	return len(leases), err
}

// dispatch gives a lease to a worker, unless its site is known to be busy or
// paused.
func (d *Dispatcher) dispatch(ctx context.Context, l queue.Lease) bool {
	if ctx.Err() != nil {
		d.release(ctx, l, nil)
		return false
	}
	if d.layToRest(ctx, l) {
		return false
	}
	j := job{lease: l}
	now := d.o.Now()
	if site, known := d.lanes.siteOf(l.Lane); known && now.Before(l.Message.ExpiresAt) && !d.leadsAway(&l) {
		var ok bool
		var until time.Time
		if j.permit, until, ok = d.o.Limits.Acquire(ctx, site, now); !ok {
			d.putOff(ctx, l, site, until)
			return false
		}
	}
	d.give(ctx, j)
	return true
}

// putOff lets the lane of a lease wait whose site is busy, or gives nothing until
// then, and releases the lease.
func (d *Dispatcher) putOff(ctx context.Context, l queue.Lease, site string, until time.Time) {
	d.parkLane(ctx, l, site, until)
	d.release(ctx, l, nil)
	switch {
	case !until.IsZero():
		d.siteOpens(ctx, site, until)
	case d.lanes.freed(site): // a permit may have been released since it was refused
		d.nudge()
	}
}

// parkLane enters the lane of a lease among those that wait for the site and
// parks it for as long as that may last; or parks it until then, if it is a while
// until the site gives anything.
func (d *Dispatcher) parkLane(ctx context.Context, l queue.Lease, site string, until time.Time) {
	d.parking.Lock()
	defer d.parking.Unlock()
	now := d.o.Now()
	if soon(now, until) {
		until = now.Add(d.lanes.wait(l.Lane, site, l.Message.Account, l.Message.Priority == queue.PriorityHigh))
	}
	d.park(ctx, l.Lane, now, until)
}

// soon reports that lanes had better wait for a site than be parked: it is busy
// (the zero time), or its rate is used up until a moment that is not far.
func soon(now, until time.Time) bool { return until.Sub(now) <= parkedFor }

// siteOpens notes that a site gives nothing until then. The lanes that wait for
// it go on waiting if that is soon, and are parked else.
func (d *Dispatcher) siteOpens(ctx context.Context, site string, until time.Time) {
	now := d.o.Now()
	switch {
	case soon(now, until):
		if d.lanes.opensAt(site, until) {
			d.nudge()
		}
	case d.o.Routes.Leads(string(d.lanes.whyClosed(site, now))):
		// Some of what waits may go another way: each lane is looked at once more.
		d.parkAll(ctx, site, now)
		d.nudge()
	default:
		d.parkAll(ctx, site, until)
	}
}

// Reopen lets the lanes of a site go on whose pause was ended by somebody else: see
// throttle.Sites.Lift.
func (d *Dispatcher) Reopen(ctx context.Context, site string) {
	d.parking.Lock()
	defer d.parking.Unlock()
	now := d.o.Now()
	for _, lane := range d.lanes.reopen(site) {
		d.park(ctx, lane, now, now)
	}
	d.nudge()
}

// Urge implements intake's hand-off: mail that goes before other mail was queued
// in a lane. If that waits for its site, it has the next turn of its account.
func (d *Dispatcher) Urge(lane queue.Lane) { d.lanes.urge(lane) }

// unpark ends the waiting of a lane in which nothing was found.
func (d *Dispatcher) unpark(ctx context.Context, lane queue.Lane) {
	d.parking.Lock()
	defer d.parking.Unlock()
	if d.lanes.leave(lane) {
		now := d.o.Now()
		d.park(ctx, lane, now, now)
	}
}

// parkAll parks all lanes that wait for a site, since that is paused.
func (d *Dispatcher) parkAll(ctx context.Context, site string, until time.Time) {
	d.parking.Lock()
	defer d.parking.Unlock()
	now := d.o.Now()
	for _, lane := range d.lanes.leaveAll(site) {
		d.park(ctx, lane, now, until)
	}
}

func (d *Dispatcher) park(ctx context.Context, lane queue.Lane, now, until time.Time) {
	d.dry.Store(false) // when there is work next has changed
	if err := d.o.Store.Park(ctx, lane, now, until); err != nil && ctx.Err() == nil {
		d.o.Logger.Warn("cannot park a lane", "lane", string(lane), "error", err)
	}
}

// release gives recipients back unattempted; nil: all.
func (d *Dispatcher) release(ctx context.Context, l queue.Lease, rs []queue.RecipientID) {
	err := d.o.Store.Release(context.WithoutCancel(ctx), l, d.o.Now(), rs)
	if err != nil && !errors.Is(err, queue.ErrLeaseLost) {
		// It ends by itself when its time is over.
		d.o.Logger.Warn("cannot release a lease", "id", l.Message.ID, "lane", string(l.Lane), "error", err)
	}
}

// dropPermit gives a permit back, if it is one, and lets whoever waits for its
// site have it.
func (d *Dispatcher) dropPermit(ctx context.Context, p *throttle.Permit) {
	if !p.Held() {
		return
	}
	d.o.Limits.Release(ctx, *p)
	site := p.Site
	*p = throttle.Permit{}
	if d.lanes.freed(site) {
		d.nudge()
	}
}
