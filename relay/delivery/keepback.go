package delivery

import (
	"context"

	"postrider/queue"
)

// keepBack holds those recipients of a run that must not be sent to, and reports
// whether any are left to be attempted. They wait for an operator: what was
// accepted before such a rule was made must neither leave by itself nor be lost.
func (d *Dispatcher) keepBack(ctx context.Context, r *run) bool {
	if d.o.KeepBack == nil {
		return true
	}
	var kept, stay []*queue.Recipient
	var ss []queue.Settlement
	for _, rc := range r.open {
		why := d.o.KeepBack(&r.lease.Message, rc.Address)
		if why == "" {
			stay = append(stay, rc)
			continue
		}
		kept = append(kept, rc)
		ss = append(ss, queue.Settlement{Recipient: rc.ID, Outcome: queue.StateHeld, Class: queue.ClassLocalStaging, Reason: clip(why, 512)})
	}
	r.open = stay
	if len(kept) > 0 {
		d.settle(ctx, r, kept, ss)
		r.settled = len(stay) == 0
	}
	return len(stay) > 0
}
