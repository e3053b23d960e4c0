package intake

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
)

// Rate returns how many recipients a minute a key may send to, how many of these
// are left, and when it may send to the most again; ok is false if there is no
// such limit, or it cannot be told now.
func (d *Door) Rate(ctx context.Context, account, credential string) (limit, left int, reset time.Duration, ok bool) {
	p, err := d.o.Policies.Policy(ctx, account, credential)
	if err != nil || p.RatePerMinute <= 0 {
		return 0, 0, 0, false
	}
	left, reset, ok = d.rateLeft(ctx, p)
	return p.RatePerMinute, left, reset, ok
}

func (d *Door) rateLeft(ctx context.Context, p Policy) (left int, reset time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	// More than there can be is never taken: the wait for it tells what is there.
	ok, wait, err := d.o.Store.TakeRate(ctx, "key/"+p.RateKey, d.o.Now(), rateOf(p), p.RatePerMinute+1)
	if ok || err != nil {
		return 0, 0, false
	}
	each := time.Minute / time.Duration(p.RatePerMinute)
	used := int((wait - each + each - 1) / each)
	return max(p.RatePerMinute-used, 0), max(wait-each, 0), true
}

// checkRateLeft says at MAIL FROM that nothing is left, where the client shows it
// to a person: of what is said at the final dot, WordPress shows nothing.
func (d *Door) checkRateLeft(ctx context.Context, p Policy) *queue.Refusal {
	if p.RatePerMinute <= 0 {
		return nil
	}
	if left, reset, ok := d.rateLeft(ctx, p); ok && left == 0 {
		return refuseRate(p, reset)
	}
	return nil
}

func rateOf(p Policy) queue.Rate {
	return queue.Rate{Count: p.RatePerMinute, Per: time.Minute, Burst: p.RatePerMinute}
}

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
	ok, wait, err := d.o.Store.TakeRate(ctx, "key/"+p.RateKey, now, rateOf(p), recipients)
	switch {
	case err != nil:
		d.o.Logger.Warn("cannot count a key's mail: its rate is not kept", "key", p.RateKey, "error", err)
		return nil
	case ok:
		return nil
	}
	return refuseRate(p, wait)
}

func refuseRate(p Policy, wait time.Duration) *queue.Refusal {
	r := refuse(queue.RefusedRate, 450, queue.Enhanced{4, 7, 0},
		fmt.Sprintf("The key may send to %d recipients a minute, and has done so.", p.RatePerMinute), "Try again in a minute.")
	r.RetryAfter = max(wait, time.Second)
	return r
}
