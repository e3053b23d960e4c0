package intake

import (
	"context"
	"slices"
	"time"

	"postrider/queue"
)

// Check says whether Submit would let a submission in as far as that can be told
// without its content: with the same errors, but without taking anything from
// the rate of a key.
func (d *Door) Check(ctx context.Context, s queue.Submission) error {
	e := &entering{door: d, s: &s, now: d.o.Now()}
	return e.check(ctx)
}

// admit holds all that is known before the content against the policies of
// account and key, the list of suppressed addresses, and reason.
func (e *entering) admit(ctx context.Context) error {
	if err := e.check(ctx); err != nil {
		return err
	}
	if e.policy.RatePerMinute > 0 {
		return refusalError(e.door.checkRate(ctx, e.policy, len(e.s.Recipients), e.now))
	}
	return nil
}

func (e *entering) check(ctx context.Context) error {
	if err := e.admitSender(ctx); err != nil {
		return err
	}
	for _, check := range []func() *queue.Refusal{e.checkRecipients, e.checkStream, e.checkTimes} {
		if r := check(); r != nil {
			return r
		}
	}
	return e.checkSuppressed(ctx)
}

func (e *entering) admitSender(ctx context.Context) (err error) {
	if e.policy, err = e.door.policyFor(ctx, e.s); err != nil {
		return err
	}
	e.s.Sandbox = e.s.Sandbox || e.policy.Sandbox
	if e.s.Source.Kind != internal {
		e.s.Envelope.ReversePath = e.door.masquerade(e.s.Envelope.ReversePath)
	}
	var refusal *queue.Refusal
	e.s.Envelope.ReversePath, refusal = envelopeSender(e.s.Account, e.policy, e.s.Envelope.ReversePath)
	return refusalError(refusal)
}

func (e *entering) checkRecipients() *queue.Refusal {
	rs := e.s.Recipients
	switch {
	case len(rs) == 0:
		return refuse(queue.RefusedAddress, 554, queue.Enhanced{5, 5, 1}, "The message has no recipients.", "Name at least one recipient.")
	case len(rs) == queue.MaxRecipients && e.redirects() && !e.included():
		return refuse(queue.RefusedRecipientMax, 452, queue.Enhanced{4, 5, 3}, "The message has 1000 recipients, and this relay adds one: it is set to staging.", "Send it in several messages.")
	case len(rs) > queue.MaxRecipients:
		return refuse(queue.RefusedRecipientMax, 452, queue.Enhanced{4, 5, 3}, "The message has more than 1000 recipients.", "Send it in several messages.")
	case len(rs) == 1 && rs[0].Raw != "":
		return refuse(queue.RefusedAddress, 501, queue.Enhanced{5, 1, 3}, "The recipient's address cannot be read.", "Check its spelling.")
	}
	for _, r := range rs {
		if r.Raw == "" && !e.policy.Recipients.Allow(r.Address) {
			return refuseRecipient(r.Address)
		}
	}
	return nil
}

// checkStream also gives mail that names no stream the key's own.
func (e *entering) checkStream() *queue.Refusal {
	allowed, stream := e.policy.Streams, &e.s.Labels.Stream
	switch {
	case len(allowed) == 0 || slices.Contains(allowed, *stream):
		return nil
	case *stream == "":
		*stream = allowed[0]
		return nil
	}
	return refuse(queue.RefusedStream, 550, queue.Enhanced{5, 7, 1},
		"The key may not be used for this stream.", "Use a stream that the key allows, or add this one to its allowed streams.")
}

// farthest is how far ahead a message may be scheduled.
const farthest = 90 * 24 * time.Hour

// checkTimes also settles when the message expires. The lifetime of a scheduled
// one begins when it is due.
func (e *entering) checkTimes() *queue.Refusal {
	due := e.now
	if e.s.NotBefore.After(due) {
		due = e.s.NotBefore
	}
	end, wanted := due.Add(e.door.o.Lifetime), e.s.ExpiresAt
	switch {
	case due.Sub(e.now) > farthest:
		return refuse(queue.RefusedOther, 554, queue.Enhanced{5, 5, 4}, "The message is scheduled for more than 90 days ahead.", "Choose an earlier time, or send it later.")
	case wanted.IsZero():
	case !wanted.After(e.now):
		return refuse(queue.RefusedOther, 554, queue.Enhanced{5, 5, 4}, "The message would expire before now.", "Choose a later time to expire, or none.")
	case !wanted.After(due):
		return refuse(queue.RefusedOther, 554, queue.Enhanced{5, 5, 4}, "The message would expire before it is to be sent.", "Choose a later time to expire, or an earlier one to send it.")
	case wanted.Before(end):
		end = wanted
	}
	e.expires = end
	return nil
}
