package delivery

import (
	"context"
	"sync"
	"time"

	"postrider/queue"
	"postrider/queue/suspension"
)

// restFor is how long a suspended lane is parked at a time.
const restFor = 30 * time.Second

// resting are the lanes that this node parked because they are suspended. What
// holds: a lane is in the book from before it is parked until after it is
// unparked or its park is over.
type resting struct {
	mu    sync.Mutex
	lanes map[queue.Lane]rest
}

// rest says how to ask whether a lane is suspended still.
type rest struct {
	mail  suspension.Mail
	until time.Time
}

func newResting() *resting { return &resting{lanes: make(map[queue.Lane]rest)} }

func (b *resting) put(l queue.Lane, r rest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lanes[l] = r
}

func (b *resting) all() map[queue.Lane]rest {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[queue.Lane]rest, len(b.lanes))
	for l, r := range b.lanes {
		all[l] = r
	}
	return all
}

// drop takes a lane out and reports whether it was there as r says.
func (b *resting) drop(l queue.Lane, r rest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lanes[l] != r {
		return false
	}
	delete(b.lanes, l)
	return true
}

// layToRest releases a lease whose whole lane is suspended and parks the lane.
func (d *Dispatcher) layToRest(ctx context.Context, l queue.Lease) bool {
	if d.o.Suspensions == nil || len(l.Recipients) == 0 || !d.o.Now().Before(l.Message.ExpiresAt) {
		return false
	}
	m := mailOf(&l, l.Recipients[0].Address.Domain)
	match, ok := d.o.Suspensions.Suspended(ctx, m)
	if !ok || !match.Lane {
		return false
	}
	d.parkResting(ctx, m, match)
	d.release(ctx, l, nil)
	return true
}

// holdBack keeps those recipients of a run back whose destination is suspended,
// and reports whether any are left to be attempted. A lease may come to a worker
// past the lessor: from intake, or by a warm connection.
func (d *Dispatcher) holdBack(ctx context.Context, r *run) bool {
	if d.o.Suspensions == nil {
		return true
	}
	if d.layToRest(ctx, r.lease) {
		r.settled = true
		return false
	}
	if _, aside := suspension.OfLane(r.lease.Lane); aside {
		d.goOn(ctx, r)
		return false
	}
	return d.setAside(ctx, r)
}

// setAside moves the recipients that are suspended to the lane of their
// suspension, since others in this one are not.
func (d *Dispatcher) setAside(ctx context.Context, r *run) bool {
	var gone []*queue.Recipient
	var moves []queue.Settlement
	var stay []*queue.Recipient
	domain, match, held := "", suspension.Match{}, false
	for i, rc := range r.open {
		if i == 0 || rc.Address.Domain != domain {
			domain = rc.Address.Domain
			match, held = d.o.Suspensions.Suspended(ctx, mailOf(&r.lease, domain))
		}
		if !held {
			stay = append(stay, rc)
			continue
		}
		gone = append(gone, rc)
		moves = append(moves, queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDeferred, Due: r.start, Lane: suspension.Lane(match.ID),
			Class: rc.Class, Reason: clip("the destination is suspended: "+match.Reason, 512),
		})
	}
	r.open = stay
	if len(gone) > 0 {
		d.settle(ctx, r, gone, moves)
		r.settled = len(stay) == 0
	}
	return len(stay) > 0
}

// goOn moves all recipients of a run back from a suspension's lane to their own.
func (d *Dispatcher) goOn(ctx context.Context, r *run) {
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		_, lane := d.wayOf(&r.lease.Message, rc, r.lease.Lane)
		ss[i] = queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDeferred, Due: r.start, Lane: lane,
			Class: rc.Class, Reason: "the destination is no longer suspended",
		}
	}
	d.settle(ctx, r, r.open, ss)
}

func mailOf(l *queue.Lease, domain string) suspension.Mail {
	return suspension.Mail{Lane: l.Lane, Domain: domain, Account: l.Message.Account, Sender: l.Message.Envelope.ReversePath.Domain}
}

// parkResting enters a lane among those that rest and parks it. It waits for no
// site any longer: whoever waits for one is served although it is parked.
func (d *Dispatcher) parkResting(ctx context.Context, m suspension.Mail, match suspension.Match) {
	d.parking.Lock()
	defer d.parking.Unlock()
	d.lanes.leave(m.Lane)
	now := d.o.Now()
	until := now.Add(restFor)
	if !match.ExpiresAt.IsZero() && match.ExpiresAt.Before(until) {
		until = match.ExpiresAt
	}
	d.resting.put(m.Lane, rest{mail: m, until: until})
	d.park(ctx, m.Lane, now, until)
}

// watchResting unparks lanes that are no longer suspended, until the workers end.
func (d *Dispatcher) watchResting(ctx context.Context) {
	tick := time.NewTicker(d.o.SuspensionCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.quit:
			return
		}
		for lane, r := range d.resting.all() {
			d.rouse(ctx, lane, r)
		}
	}
}

// rouse unparks a lane that may go on. If its park is over there is nothing to
// undo: should it be suspended still, it is parked again with its next lease.
func (d *Dispatcher) rouse(ctx context.Context, lane queue.Lane, r rest) {
	now := d.o.Now()
	over := !now.Before(r.until)
	if _, held := d.o.Suspensions.Suspended(ctx, r.mail); held && !over {
		return
	}
	d.parking.Lock()
	defer d.parking.Unlock()
	if !d.resting.drop(lane, r) {
		return // it was parked anew meanwhile
	}
	if !over {
		d.park(ctx, lane, now, now)
		d.nudge()
	}
}
