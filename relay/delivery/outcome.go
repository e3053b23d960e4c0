package delivery

import (
	"context"
	"errors"
	"time"

	"postrider/queue"
	"postrider/relay/bounce"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
)

// conclude settles what sending came to, tells the limits what it says about the
// site, and gives back whoever was not attempted.
func (d *Dispatcher) conclude(ctx context.Context, r *run, next hops, results []outbound.RecipientResult, err error) {
	now := d.o.Now()
	var left []*queue.Recipient
	var opinion siteOpinion
	decided := make([]*queue.Recipient, 0, len(r.open))
	ss := make([]queue.Settlement, 0, len(r.open))
	for i, rc := range r.open {
		res := &results[i]
		if res.Outcome == outbound.NotAttempted || err != nil && ourDoing(res, err) {
			left = append(left, rc)
			continue
		}
		s, rest := d.outcome(r, rc, next, res)
		opinion.hear(res, s.Class, rest)
		decided = append(decided, rc)
		ss = append(ss, s)
	}
	paused := d.tellSite(ctx, r, opinion, now)
	r.warm = err == nil && opinion.reached && !paused
	if r.warm && len(left) == 0 {
		r.outcomes, r.settled = ss, true
		return
	}
	if len(ss) > 0 {
		d.settle(ctx, r, decided, ss)
	}
	if len(left) > 0 {
		d.abandon(ctx, r, left, err)
	}
	r.settled = true
}

// ourDoing reports a result that says nothing but that the content was no good.
func ourDoing(res *outbound.RecipientResult, err error) bool {
	return errors.Is(err, outbound.ErrContent) && res.Outcome == outbound.Temporary && res.Attempt.Reply.Code == 0
}

// outcome makes a settlement of a result. rest is how long its class asks to
// wait.
func (d *Dispatcher) outcome(r *run, rc *queue.Recipient, next hops, res *outbound.RecipientResult) (s queue.Settlement, rest time.Duration) {
	a := res.Attempt
	a.Number, a.Site = rc.Attempts+1, next.site
	if res.Outcome == outbound.Accepted {
		a.Reports = res.DSNPassed
		s = queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDelivered, Attempt: &a,
			Delayed: rc.Notify&queue.NotifySuccess != 0 && !res.DSNPassed,
		}
		if next.relay {
			s.Outcome = queue.StateRelayed
		}
		return s, 0
	}
	return d.judge(r, rc, &a, next.relay)
}

// judge settles a failed attempt as the classifier says.
func (d *Dispatcher) judge(r *run, rc *queue.Recipient, a *queue.Attempt, smartHost bool) (s queue.Settlement, rest time.Duration) {
	m := &r.lease.Message
	v := d.o.Classifier.Classify(a, bounce.History{Tries: a.Number, Age: d.o.Now().Sub(m.AcceptedAt), SmartHost: smartHost})
	if m.Envelope.RequireTLS && a.Stage == queue.StageTLS {
		// It is the sender that asks for TLS: the site may offer it one day, and
		// takes other mail meanwhile.
		v.Class, v.Final = queue.ClassTLSRequired, false
	}
	if v.Final && !a.InDoubt {
		return queue.Settlement{Recipient: rc.ID, Outcome: queue.StateBounced, Attempt: a, Class: v.Class}, 0
	}
	return d.deferral(r, rc, a, v.Class, d.nextTry(m, a.Number, v.MinDelay)), v.MinDelay
}

// deferral settles a recipient to be tried again; a is nil if this was no
// attempt.
func (d *Dispatcher) deferral(r *run, rc *queue.Recipient, a *queue.Attempt, class queue.Class, due time.Time) queue.Settlement {
	m := &r.lease.Message
	if due.After(m.ExpiresAt) {
		due = m.ExpiresAt
	}
	return queue.Settlement{
		Recipient: rc.ID, Outcome: queue.StateDeferred, Due: due, Attempt: a, Class: class,
		Delayed: !rc.Delayed && d.o.DelayNotice > 0 && d.o.Now().Sub(m.AcceptedAt) >= d.o.DelayNotice,
	}
}

// lastTry is how long before its end a message is tried for the last time.
const lastTry = 5 * time.Minute

// nextTry says when to try again after so many attempts. If that is not before
// the message's end, there is one last try shortly before it, or the end itself
// if there is not enough time for one to be of use.
func (d *Dispatcher) nextTry(m *queue.Message, tries int, least time.Duration) time.Time {
	now := d.o.Now()
	delay := max(d.o.Schedule.After(tries, d.o.Rand()), least)
	due := now.Add(delay)
	if due.Before(m.ExpiresAt) {
		return due
	}
	left := m.ExpiresAt.Sub(now)
	wait := left - min(left/4, lastTry)
	if wait < max(least, min(lastTry, delay/2)) {
		return m.ExpiresAt
	}
	return now.Add(wait)
}

// deferOwn settles an attempt that failed by our own trouble.
func (d *Dispatcher) deferOwn(ctx context.Context, r *run, rs []*queue.Recipient, text string) {
	ss := make([]queue.Settlement, len(rs))
	for i, rc := range rs {
		a := &queue.Attempt{
			Number: rc.Attempts + 1, Start: r.start, Took: d.o.Now().Sub(r.start),
			Site: r.permit.Site, Stage: r.stage, Error: clip(text, 512), InDoubt: r.marked,
		}
		ss[i] = d.deferral(r, rc, a, queue.ClassLocalTemp, d.nextTry(&r.lease.Message, a.Number, 0))
	}
	d.settle(ctx, r, rs, ss)
}

// expire ends recipients whose time is over.
func (d *Dispatcher) expire(ctx context.Context, r *run) {
	ss := make([]queue.Settlement, len(r.open))
	for i, rc := range r.open {
		ss[i] = queue.Settlement{Recipient: rc.ID, Outcome: queue.StateExpired, Class: rc.Class, Reason: "its lifetime has ended"}
		if rc.Class == queue.ClassNone {
			ss[i].Class = queue.ClassExpired
		}
	}
	d.settle(ctx, r, r.open, ss)
}

// abandon ends the lease for recipients of whom nothing was decided. Without a
// cause others of theirs were, so they may be tried at once.
func (d *Dispatcher) abandon(ctx context.Context, r *run, rs []*queue.Recipient, cause error) {
	switch {
	case errors.Is(cause, queue.ErrLeaseLost):
		d.o.Logger.Warn("lease lost; the attempt was broken off before the dot", "id", r.lease.Message.ID,
			"lane", string(r.lease.Lane), "lease", uint64(r.lease.Token), "rcpts", len(rs))
		r.settled = true
	case cause == nil, errors.Is(cause, errDraining), errors.Is(cause, outbound.ErrClosed), errors.Is(cause, context.Canceled):
		ids := make([]queue.RecipientID, len(rs))
		for i, rc := range rs {
			ids[i] = rc.ID
		}
		d.release(ctx, r.lease, ids)
		r.settled = true
	default:
		d.o.Logger.Warn("attempt failed by our own trouble", "id", r.lease.Message.ID, "lane", string(r.lease.Lane), "error", cause)
		r.marked = false // the dot was not sent
		d.deferOwn(ctx, r, rs, cause.Error())
	}
}

// siteOpinion is what the results of one attempt say about its site.
type siteOpinion struct {
	reached, failed bool
	rest            time.Duration // asked for by a site that gets too much, or refuses our login
}

func (o *siteOpinion) hear(res *outbound.RecipientResult, class queue.Class, rest time.Duration) {
	code := res.Attempt.Reply.Code
	switch {
	case class == queue.ClassRateSite, class == queue.ClassRouteAuth:
		o.rest = max(o.rest, rest)
	case code != 0 && code != 421, res.Outcome == outbound.Accepted:
		o.reached = true
	case class == queue.ClassTLSRequired:
	case res.Outcome == outbound.Temporary:
		o.failed = true
	}
}

// tellSite tells the limits, and parks the lanes of a site that is paused.
func (d *Dispatcher) tellSite(ctx context.Context, r *run, o siteOpinion, now time.Time) (paused bool) {
	if !r.permit.Held() {
		return false
	}
	result := throttle.Neutral
	switch {
	case o.rest > 0:
		d.o.Limits.Pause(ctx, r.permit.Site, now, now.Add(o.rest))
	case o.reached:
		result = throttle.Reached
	case o.failed:
		result = throttle.Failed
	}
	until := d.o.Limits.Report(ctx, r.permit, result, now)
	if !until.After(now) {
		return false
	}
	if result != throttle.Neutral || o.rest > 0 {
		d.o.Logger.Warn("site is paused", "site", r.permit.Site, "until", until, "asked", o.rest > 0)
		d.park(ctx, r.lease.Lane, now, until)
		d.parkAll(ctx, r.permit.Site, until)
	}
	return true
}
