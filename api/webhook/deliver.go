package webhook

import (
	"context"
	"errors"
	"sync"
	"time"
)

// job is one event to be told, of the log or a parked one.
type job struct {
	m       *message
	attempt int
	item    *item   // of the log; nil for others
	parked  *parked // nil for others
	replay  bool
	d       *Delivery // nil: not tried
}

// deliver tries jobs, several at once, until so many in a row have failed that
// the endpoint is taken to be down.
func (w *worker) deliver(ctx context.Context, js []*job) error {
	if err := w.keep(); err != nil {
		return err
	}
	var mu sync.Mutex
	next := 0
	take := func() *job {
		mu.Lock()
		defer mu.Unlock()
		down := len(w.failing) >= w.s.o.BreakAfter && !w.st.Open
		stale := !w.claim.Lasts() // another node may have begun
		if next == len(js) || down || stale || w.ended || ctx.Err() != nil {
			return nil
		}
		next++
		return js[next-1]
	}
	var wg sync.WaitGroup
	for range min(w.e.Concurrency, len(js)) {
		wg.Go(func() {
			for j := take(); j != nil; j = take() {
				d := w.s.post(w.s.work, w.e, j.m, j.attempt)
				if !d.OK && w.s.work.Err() != nil {
					return // we ended it ourselves
				}
				d.Replay = j.replay
				if w.s.o.Hooks.Posted != nil {
					w.s.o.Hooks.Posted(d.OK, time.Duration(d.TookMS)*time.Millisecond)
				}
				mu.Lock()
				j.d = &d
				w.note(&d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, j := range js {
		if j.d != nil {
			w.trail = append(w.trail, *j.d)
		}
	}
	w.trail = w.trail[max(0, len(w.trail)-trailLen):]
	return nil
}

// note learns how the endpoint fares.
func (w *worker) note(d *Delivery) {
	w.heard = true
	if d.OK {
		w.heardOK, w.lastOK, w.st.FailingSince = true, d.At, time.Time{}
		clear(w.failing)
		return
	}
	w.ended = w.ended || d.gone
	w.failing[d.EventID] = true
	w.st.LastError = d.Error
	if w.st.FailingSince.IsZero() {
		w.st.FailingSince = d.At
	}
}

// judge draws the conclusions of what was noted: the endpoint is served, probed,
// or disabled.
func (w *worker) judge() error {
	if !w.heard {
		return nil
	}
	ok := w.heardOK
	w.heard, w.heardOK = false, false
	if w.ended {
		return w.disable("It answered with status 410: it wants no more events. Enable it to go on from where it stopped.")
	}
	if ok {
		if err := w.recover(); err != nil {
			return err
		}
	}
	now, o := w.s.o.Now(), &w.s.o
	switch {
	case len(w.failing) == 0:
		return nil
	case now.Sub(w.st.FailingSince) >= o.DisableAfter:
		return w.disable("Nothing came through since " + w.st.FailingSince.UTC().Format(time.RFC3339) + ". " + w.st.LastError +
			" Mend it and enable it: it goes on from where it stopped.")
	case w.st.Open, len(w.failing) >= o.BreakAfter:
		if !w.st.Open {
			w.st.Open, w.st.Probes = true, 0
			w.log.Warn("webhook fails, and is only probed from now on", "error", w.st.LastError)
		}
		w.st.Probes++
		w.st.NextProbe = now.Add(o.delay(w.st.Probes, w.asked()))
		return w.st.keep(w.s.work, o.Store, w.e.ID)
	case w.st.version == 0 && now.Sub(w.st.FailingSince) >= stateAfter:
		return w.st.keep(w.s.work, o.Store, w.e.ID)
	}
	return nil
}

// recover serves an endpoint that answered as any other again. What was parked
// while it failed as a whole is tried at once.
func (w *worker) recover() error {
	now, since, last := w.s.o.Now(), w.st.FailingSince, w.st.LastError
	if w.st.Open {
		w.log.Info("webhook answers again")
		for _, p := range w.lot.all {
			if p.Next.After(now) {
				p.Next = now
			}
		}
	}
	if err := w.st.clear(w.s.work, w.s.o.Store, w.e.ID); err != nil {
		return err
	}
	w.st.FailingSince, w.st.LastError = since, last // of what failed since
	return nil
}

// asked is the pause that the endpoint asked for last.
func (w *worker) asked() time.Duration {
	if len(w.trail) == 0 {
		return 0
	}
	return w.trail[len(w.trail)-1].retry
}

func (w *worker) disable(reason string) error {
	w.ended = true
	w.flushTrail()
	if err := w.s.o.Book.disable(w.s.work, w.e.Account, w.e.ID, reason); err != nil {
		w.ended = false
		return err
	}
	w.log.Warn("webhook disabled", "reason", reason)
	if w.s.o.Notify != nil {
		e := w.e.Endpoint
		e.Enabled, e.DisabledReason = false, reason
		w.s.o.Notify(Notice{Endpoint: e, Reason: reason})
	}
	return w.st.clear(w.s.work, w.s.o.Store, w.e.ID)
}

// park keeps an event that failed for another try.
func (w *worker) park(j *job) error {
	if w.lot.find(j.m.id) != nil {
		return nil // it waits already
	}
	now := w.s.o.Now()
	p := &parked{
		Event: j.m.id, Type: j.m.kind, Body: j.m.body, Attempts: 1, First: j.d.At, Status: j.d.Status, Error: j.d.Error,
		Next: now.Add(w.s.o.delay(1, j.d.retry)), name: parkedName(w.e.ID, j.m.id),
	}
	if j.item != nil {
		p.At = j.item.at
	}
	if err := p.keep(w.s.work, w.s.o.Store); err != nil {
		return err
	}
	w.lot.all = append(w.lot.all, p)
	return nil
}

// retryParked tries parked events whose time has come.
func (w *worker) retryParked(ctx context.Context) (more bool, err error) {
	due := w.lot.due(w.s.o.Now(), w.batch())
	if len(due) == 0 {
		return false, nil
	}
	js := make([]*job, len(due))
	for i, p := range due {
		js[i] = &job{m: p.message(), attempt: p.Attempts + 1, parked: p}
	}
	if err := w.deliver(ctx, js); err != nil {
		return false, err
	}
	return true, w.settleParked(js)
}

func (w *worker) settleParked(js []*job) error {
	if err := w.keep(); err != nil {
		return err
	}
	for _, j := range js {
		if err := w.settleOne(j); err != nil {
			return err
		}
	}
	return errors.Join(w.prune(), w.judge())
}

func (w *worker) settleOne(j *job) error {
	p, now := j.parked, w.s.o.Now()
	switch {
	case j.d == nil:
		return nil
	case j.d.OK:
		w.lot.remove(p)
		return p.drop(w.s.work, w.s.o.Store)
	}
	p.Attempts++
	p.Status, p.Error = j.d.Status, j.d.Error
	p.Next = now.Add(w.s.o.delay(p.Attempts, j.d.retry))
	// Of an endpoint that took nothing since, an event is not given up: that
	// would be a loss by outage.
	if p.Next.Sub(p.First) > w.s.o.MaxAge && w.lastOK.After(p.First) {
		p.GivenUp = true
		for i := range w.trail {
			w.trail[i].GivenUp = w.trail[i].GivenUp || w.trail[i].EventID == p.Event
		}
		if w.s.o.Hooks.GivenUp != nil {
			w.s.o.Hooks.GivenUp()
		}
		w.log.Warn("webhook event given up", "event", p.Event, "attempts", p.Attempts, "status", p.Status, "error", p.Error)
	}
	return p.keep(w.s.work, w.s.o.Store)
}

// prune forgets the oldest events that were given up, when there are too many.
func (w *worker) prune() error {
	for _, p := range w.lot.surplus(w.s.o.MaxParked) {
		w.lot.remove(p)
		if err := p.drop(w.s.work, w.s.o.Store); err != nil {
			return err
		}
	}
	return nil
}
