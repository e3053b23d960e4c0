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
		s, v := d.outcome(r, rc, next, res)
		opinion.hear(res, &v)
		decided = append(decided, rc)
		ss = append(ss, s)
	}
	opinion.overhear(d.o.Classifier, r.setbacks)
	opinion.count(d.o.Classifier, r.endings)
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

// outcome makes a settlement of a result, with the verdict if it was a failure.
func (d *Dispatcher) outcome(r *run, rc *queue.Recipient, next hops, res *outbound.RecipientResult) (s queue.Settlement, v bounce.Verdict) {
	a := res.Attempt
	a.Number, a.Site = rc.Attempts+1, next.site
	a.Setbacks = setbacksOf(r.setbacks, &a)
	if res.Outcome == outbound.Accepted {
		a.Reports = res.DSNPassed
		s = queue.Settlement{
			Recipient: rc.ID, Outcome: queue.StateDelivered, Attempt: &a,
			Delayed: rc.Notify&queue.NotifySuccess != 0 && !res.DSNPassed,
		}
		if !r.way.route().ByMX() {
			s.Outcome = queue.StateRelayed
		}
		return s, bounce.Verdict{}
	}
	return d.judge(r, rc, &a)
}

// judge settles a failed attempt as the classifier says.
func (d *Dispatcher) judge(r *run, rc *queue.Recipient, a *queue.Attempt) (s queue.Settlement, v bounce.Verdict) {
	v = d.verdict(r, rc, a)
	final := v.Final && !a.InDoubt
	if s, ok := d.advance(r, rc, a, v.Class, final); ok {
		return s, v
	}
	if final {
		return queue.Settlement{Recipient: rc.ID, Outcome: queue.StateBounced, Attempt: a, Class: v.Class}, v
	}
	schedule := d.o.Schedule
	if len(v.Schedule) > 0 {
		schedule = v.Schedule
	}
	return d.deferral(r, rc, a, v.Class, d.nextTry(&r.lease.Message, schedule.After(a.Number, d.o.Rand()), v.MinDelay)), v
}

// verdict is the classifier's, but for what it cannot know.
func (d *Dispatcher) verdict(r *run, rc *queue.Recipient, a *queue.Attempt) bounce.Verdict {
	m := &r.lease.Message
	smartHost := !r.way.route().ByMX()
	v := d.o.Classifier.Classify(a, bounce.History{
		Tries: a.Number, Age: d.o.Now().Sub(m.AcceptedAt), Last: rc.Class, SmartHost: smartHost,
	})
	switch {
	case smartHost && a.Stage == queue.StageRoute:
		v.Class = queue.ClassRouteBad
	case strictly(m, a):
		// It is the sender that asks for TLS: the site may offer it one day, and
		// takes other mail meanwhile.
		v.Class, v.Final = queue.ClassTLSRequired, false
	}
	return v
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

// nextTry says when to try again, after the delay that the schedule asks for and
// not before the least. If that is not before the message's end, there is one
// last try shortly before it, or the end itself if there is not enough time for
// one to be of use.
func (d *Dispatcher) nextTry(m *queue.Message, scheduled, least time.Duration) time.Time {
	now := d.o.Now()
	delay := max(scheduled, least)
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
		ss[i] = d.deferral(r, rc, a, queue.ClassLocalTemp, d.nextTry(&r.lease.Message, d.o.Schedule.After(a.Number, d.o.Rand()), 0))
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
	reached, failed, slowed bool

	connection int  // messages that a connection took before the site ended it
	enough     bool // they were as many as it takes, as it said

	rest  time.Duration // for which it is to be left alone
	class queue.Class   // why, or why nothing reached it
}

func (o *siteOpinion) hear(res *outbound.RecipientResult, v *bounce.Verdict) {
	if v.Site != bounce.SiteNothing && v.SiteRest >= o.rest {
		o.rest, o.class = v.SiteRest, v.Class
	}
	code := res.Attempt.Reply.Code
	switch {
	case v.Site == bounce.SiteSlow:
		o.slowed = true
	case v.Site == bounce.SitePause:
	case code != 0 && code != 421, res.Outcome == outbound.Accepted:
		o.reached = true
	case v.Class == queue.ClassTLSRequired:
	case res.Outcome == outbound.Temporary:
		o.failed = true
		if o.rest == 0 {
			o.class = v.Class
		}
	}
}

// overhear heeds that the site gets too much also where the mail got through in
// the end: over another connection, or at another host.
func (o *siteOpinion) overhear(c *bounce.Classifier, setbacks []outbound.Setback) {
	for i := range setbacks {
		b := &setbacks[i]
		if !b.Enough && c.Classify(&b.Attempt, bounce.History{Tries: 1}).Site == bounce.SiteSlow {
			o.slowed = true
		}
	}
}

// count heeds after how many messages the site ends connections. One that it
// ended since it gets too much at all says nothing of that.
func (o *siteOpinion) count(c *bounce.Classifier, endings []outbound.Ending) {
	for i := range endings {
		e := &endings[i]
		if !e.Said && e.Reply.Code != 0 {
			a := queue.Attempt{Stage: queue.StageMail, Reply: e.Reply}
			if c.Classify(&a, bounce.History{Tries: 1}).Site != bounce.SiteNothing {
				continue
			}
		}
		o.connection, o.enough = e.Messages, e.Said
	}
}

// setbacksOf is what the record of an attempt says of the sessions before the one
// that decided.
func setbacksOf(all []outbound.Setback, decided *queue.Attempt) (out []queue.Setback) {
	for i := range all {
		a := &all[i].Attempt
		if a.Addr == decided.Addr && a.Stage == decided.Stage && a.Reply == decided.Reply && a.Error == decided.Error {
			continue
		}
		said := a.Error
		if a.Reply.Code != 0 {
			said = a.Reply.String()
		}
		out = append(out, queue.Setback{
			Host: a.Host, Addr: a.Addr, Local: a.Local, Stage: a.Stage, TLSPolicy: a.TLSPolicy, TLSFault: a.TLSFault, Said: clip(said, 512),
		})
		if len(out) == queue.MaxSetbacks {
			break
		}
	}
	return out
}

func (o *siteOpinion) report() throttle.Report {
	r := throttle.Report{Rest: o.rest, Connection: o.connection, Enough: o.enough}
	switch {
	case o.slowed:
		r.Result = throttle.Slowed
	case o.rest > 0:
	case o.reached:
		r.Result = throttle.Reached
	case o.failed:
		r.Result = throttle.Failed
	}
	return r
}

// tellSite tells the limits, and lets the lanes of a site that is paused wait.
func (d *Dispatcher) tellSite(ctx context.Context, r *run, o siteOpinion, now time.Time) (paused bool) {
	if !r.permit.Held() {
		return false
	}
	report := o.report()
	until := d.o.Limits.Report(ctx, r.permit, report, now)
	if !until.After(now) {
		return false
	}
	if report.Result != throttle.Reached && (report.Result != throttle.Neutral || report.Rest > 0) {
		d.o.Logger.Warn("site is paused", "site", r.permit.Site, "until", until, "class", string(o.class), "asked", o.rest > 0)
		d.lanes.close(r.permit.Site, closure{class: o.class, until: until})
		d.rest(ctx, r, until)
	}
	return true
}

// rest lets the lanes of a run's site wait until the given time. Its own is left
// to the lessor if mail in it may go another way meanwhile.
func (d *Dispatcher) rest(ctx context.Context, r *run, until time.Time) {
	if !d.leadsAway(&r.lease) {
		d.parkLane(ctx, r.lease, r.permit.Site, until)
	}
	d.siteOpens(ctx, r.permit.Site, until)
}
