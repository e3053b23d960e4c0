package delivery

import "postrider/queue"

// Where returns the site that a lane led to when it was last tried here, and
// whether the lane waits for it now; ok is false if that is not known.
func (d *Dispatcher) Where(lane queue.Lane) (site string, waits, ok bool) {
	return d.lanes.where(lane)
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
