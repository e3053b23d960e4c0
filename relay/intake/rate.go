package intake

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
)

// checkRate takes recipients from what a key may send to in a minute, at all
// nodes together. A store that cannot be asked is no reason to refuse mail.
func (d *Door) checkRate(ctx context.Context, p Policy, recipients int, now time.Time) *queue.Refusal {
	if recipients > p.RatePerMinute {
		return refuse(queue.RefusedRecipientMax, 550, queue.Enhanced{5, 5, 3},
			fmt.Sprintf("The key may send to %d recipients a minute, and this message has more.", p.RatePerMinute),
			"Send it in several messages, or raise the key's rate.")
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	rate := queue.Rate{Count: p.RatePerMinute, Per: time.Minute, Burst: p.RatePerMinute}
	ok, wait, err := d.o.Store.TakeRate(ctx, "key/"+p.RateKey, now, rate, recipients)
	switch {
	case err != nil:
		d.o.Logger.Warn("cannot count a key's mail: its rate is not kept", "key", p.RateKey, "error", err)
		return nil
	case ok:
		return nil
	}
	r := refuse(queue.RefusedRate, 450, queue.Enhanced{4, 7, 0},
		fmt.Sprintf("The key may send to %d recipients a minute, and has done so.", p.RatePerMinute), "Try again in a minute.")
	r.RetryAfter = max(wait, time.Second)
	return r
}
