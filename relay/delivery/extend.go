package delivery

import (
	"context"
	"time"

	"postrider/queue"
)

// extendBatch is how many leases are extended in one call.
const extendBatch = 256

// leaseKey names a lease among those held here.
type leaseKey struct {
	first queue.RecipientID
	token queue.Token
}

func keyOf(l *queue.Lease) leaseKey {
	var k leaseKey
	k.token = l.Token
	if len(l.Recipients) > 0 {
		k.first = l.Recipients[0].ID
	}
	return k
}

// extender keeps the leases of all attempts, those that wait for the reply to
// the dot included, until the workers end. Attempts whose lease is lost are
// broken off.
func (d *Dispatcher) extender(ctx context.Context) {
	interval := d.o.LeaseTTL / 3
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.quit:
			return
		}
		next := interval
		if !d.extendAll(ctx) {
			next = interval / 4
		}
		timer.Reset(next)
	}
}

// extendAll reports whether the store answered for all.
func (d *Dispatcher) extendAll(ctx context.Context) (ok bool) {
	d.mu.Lock()
	held := make(map[leaseKey]*run, len(d.active))
	leases := make([]queue.Lease, 0, len(d.active))
	for r := range d.active {
		held[keyOf(&r.lease)] = r
		leases = append(leases, r.lease)
	}
	d.mu.Unlock()
	ok = true
	for len(leases) > 0 {
		batch := leases[:min(len(leases), extendBatch)]
		leases = leases[len(batch):]
		now := d.o.Now()
		lost, err := d.o.Store.Extend(ctx, now, d.o.LeaseTTL, batch...)
		for i := range lost {
			if r := held[keyOf(&lost[i])]; r != nil {
				r.cancel(queue.ErrLeaseLost)
				delete(held, keyOf(&lost[i]))
			}
		}
		if err != nil {
			ok = false
			d.o.Logger.Warn("cannot extend leases; trying again", "leases", len(batch), "error", err)
		}
		d.noteExtended(held, batch, now, err == nil)
	}
	return ok
}

// noteExtended keeps until when the leases last, and breaks off those that may
// have ended without our knowing.
func (d *Dispatcher) noteExtended(held map[leaseKey]*run, batch []queue.Lease, now time.Time, extended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batch {
		r := held[keyOf(&batch[i])]
		switch {
		case r == nil:
		case extended:
			r.expires = now.Add(d.o.LeaseTTL)
		case now.After(r.expires):
			r.cancel(queue.ErrLeaseLost)
		}
	}
}
