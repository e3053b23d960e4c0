package delivery

import (
	"postrider/mx"
	"postrider/queue"
)

// Where returns the site that a lane led to when it was last tried here, as the
// limits call it, and whether the lane waits for it now; ok is false if that is
// not known.
func (d *Dispatcher) Where(lane queue.Lane) (site string, waits, ok bool) {
	return d.lanes.where(lane)
}

// Closed returns the class of failure for which a site is paused, if it is.
func (d *Dispatcher) Closed(site string) queue.Class {
	return d.lanes.whyClosed(site, d.o.Now())
}

// Way returns the way of a recipient that is not final, and the step of it that
// is tried next.
func (d *Dispatcher) Way(m *queue.Message, rc *queue.Recipient) (c mx.Chain, step int) {
	w, _ := d.wayOf(m, rc, rc.Lane)
	return w.chain, w.step
}

func (b *lanes) where(l queue.Lane) (site string, waits, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if site, waits = b.waiting[l]; waits {
		return site, true, true
	}
	site, ok = b.sites.get(l)
	return site, false, ok && site != ""
}
