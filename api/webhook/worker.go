package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
)

const (
	scanBatch  = 20               // batches without anything to tell that one round passes over
	ackAfter   = 1000             // events that were passed over, before that is kept
	stateAfter = time.Minute      // of failures, before it is kept that there are some
	fullPause  = 30 * time.Second // while nothing more can be parked
	trailPause = time.Second
)

// worker serves one endpoint, as long as it has the claim. What it knows is read
// from the store when it gets the claim, and again after any trouble.
type worker struct {
	s    *Sender
	e    *stored
	poke chan struct{}
	log  *slog.Logger

	claim *claim.Held

	at     queue.Position // where to read on
	items  []*item        // read before at, not all told
	passed int            // events since the position was kept
	acked  queue.Position

	lot     lot
	st      state
	failing map[string]bool // events that failed since the last that did not
	lastOK  time.Time
	heard   bool      // since it was judged: an answer, or that there is none
	heardOK bool      // a good one
	stuck   time.Time // until when nothing of the log is tried, since nothing can be parked

	replay     Replay
	replayRec  queue.Record
	replaySeen bool

	trail     []Delivery
	trailTime time.Time
	ended     bool // it was disabled
}

func (w *worker) run(ctx context.Context) {
	defer w.claim.Leave(ctx)
	news, stop := w.s.o.Store.Notify()
	defer stop()
	for {
		wait, err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
			w.leave()
			return
		case errors.Is(err, queue.ErrClaimed):
			w.claim.Forget()
			wait = claimTTL / 3
		case err != nil:
			w.log.Error("webhook is not served", "error", err)
			w.claim.Forget() // read all again
			wait = w.s.o.Retry
		case wait <= 0:
			continue
		}
		wake := news
		if w.st.Open || w.ended || err != nil {
			wake = nil
		}
		timer, stop := w.s.o.After(min(wait, claimTTL/3))
		select {
		case <-ctx.Done():
		case <-w.poke:
			w.replaySeen = false
		case <-wake:
		case <-timer:
		}
		stop()
	}
}

// leave keeps how far the worker came, so that the next one need not look again.
func (w *worker) leave() {
	if w.ended {
		return
	}
	err := w.keep()
	if errors.Is(err, queue.ErrClaimed) {
		return
	}
	if err == nil {
		err = w.acknowledge(w.reached())
	}
	w.flushTrail()
	if err != nil {
		w.log.Debug("position not kept", "error", err)
	}
}

// begin takes the claim, or renews it in time. If another worker may have served
// the endpoint since, what this one knows is out of date, and read again.
func (w *worker) begin() error {
	anew, err := w.claim.Keep(w.s.work)
	if err != nil {
		return fmt.Errorf("take the claim on webhook %s: %w", w.e.ID, err)
	}
	if anew {
		return w.load()
	}
	return nil
}

// keep renews the claim in the middle of a round. If another worker served the
// endpoint meanwhile, what this one knows must not be written.
func (w *worker) keep() error {
	if err := w.claim.Still(w.s.work); err != nil {
		return fmt.Errorf("keep the claim on webhook %s: %w", w.e.ID, err)
	}
	return nil
}

// round does what there is to do, up to a batch of each kind, and returns how
// long there is nothing else; 0: there is.
func (w *worker) round(ctx context.Context) (wait time.Duration, err error) {
	if w.ended {
		return claimTTL, nil
	}
	if err := w.begin(); err != nil {
		return 0, err
	}
	now := w.s.o.Now()
	if w.st.Open && w.st.NextProbe.After(now) {
		w.flushTrail()
		return w.st.NextProbe.Sub(now), nil
	}
	defer func() {
		if wait > 0 || now.Sub(w.trailTime) >= trailPause {
			w.flushTrail()
		}
	}()
	if w.st.Open {
		return w.probe(ctx)
	}
	busy := false
	for _, step := range []func(context.Context) (bool, error){w.retryParked, w.tell, w.again} {
		more, err := step(ctx)
		if err != nil || w.st.Open || w.ended || ctx.Err() != nil {
			return 0, err
		}
		busy = busy || more
	}
	if busy {
		return 0, nil
	}
	return w.pause(), nil
}

// pause is how long nothing happens by itself.
func (w *worker) pause() time.Duration {
	wait := claimTTL / 3
	if at, ok := w.lot.next(); ok {
		wait = max(time.Millisecond, min(wait, at.Sub(w.s.o.Now())))
	}
	if len(w.items) > 0 {
		wait = max(time.Millisecond, min(wait, w.stuck.Sub(w.s.o.Now())))
	}
	return wait
}

// load reads what the store knows of the endpoint.
func (w *worker) load() (err error) {
	ctx, r := w.s.work, w.s.o.Store
	if w.at, err = r.Acknowledged(ctx, readerName(w.e.ID)); err != nil {
		return fmt.Errorf("read the position of webhook %s: %w", w.e.ID, err)
	}
	w.acked, w.items, w.passed, w.replaySeen = w.at, nil, 0, false
	w.failing = make(map[string]bool)
	if w.lot.all, err = readParked(ctx, r, w.e.ID); err != nil {
		return err
	}
	w.st, err = readState(ctx, r, w.e.ID)
	return err
}

// reached is the position before which nothing is left to tell.
func (w *worker) reached() queue.Position {
	if len(w.items) > 0 {
		return w.acked
	}
	return w.at
}

func (w *worker) acknowledge(p queue.Position) error {
	if p == w.acked {
		return nil
	}
	if err := w.s.o.Store.Acknowledge(w.s.work, readerName(w.e.ID), p); err != nil {
		return fmt.Errorf("keep the position of webhook %s: %w", w.e.ID, err)
	}
	w.acked, w.passed = p, 0
	return nil
}

// fill reads on until there is something to tell. more says that there may be.
func (w *worker) fill(ctx context.Context) (more bool, err error) {
	for range scanBatch {
		if len(w.items) > 0 || ctx.Err() != nil {
			return true, nil
		}
		events, next, err := w.s.o.Tail.Read(w.s.work, w.at)
		if errors.Is(err, queue.ErrPosition) {
			w.log.Warn("webhook starts over with the oldest event: its position is no longer kept")
			w.at = ""
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read events: %w", err)
		}
		if len(events) == 0 && next == w.at {
			return false, nil
		}
		items, err := w.pick(w.s.work, w.e.filter(), events)
		if err != nil {
			return false, err
		}
		w.at, w.items = next, items
		if w.passed += len(events); len(items) == 0 && w.passed >= ackAfter {
			if err := w.acknowledge(w.at); err != nil {
				return false, err
			}
		}
		if err := w.keep(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// tell tells of what is next in the log. What fails is parked.
func (w *worker) tell(ctx context.Context) (more bool, err error) {
	if w.stuck.After(w.s.o.Now()) {
		return false, nil
	}
	if more, err = w.fill(ctx); err != nil || len(w.items) == 0 {
		return more, err
	}
	batch := w.items[:min(len(w.items), w.batch())]
	js := make([]*job, 0, len(batch))
	for _, it := range batch {
		if !it.done {
			js = append(js, &job{m: &it.message, attempt: 1, item: it})
		}
	}
	if err := w.deliver(ctx, js); err != nil {
		return false, err
	}
	return w.settle(js)
}

func (w *worker) batch() int { return 4 * w.e.Concurrency }

// settle parks what failed and moves the position over what is done with.
func (w *worker) settle(js []*job) (more bool, err error) {
	if err := w.keep(); err != nil {
		return false, err
	}
	stuck := false
	for _, j := range js {
		switch {
		case j.d == nil || w.ended: // not tried, or wanted by nobody until it is enabled
			stuck = true
		case j.d.OK:
			j.item.done = true
		case w.lot.waiting() >= w.s.o.MaxParked:
			stuck, w.stuck = true, w.s.o.Now().Add(fullPause)
		default:
			if err := w.park(j); err != nil {
				return false, err
			}
			j.item.done = true
		}
	}
	at := w.acked
	for len(w.items) > 0 && w.items[0].done {
		at, w.items = w.items[0].position, w.items[1:]
	}
	if len(w.items) == 0 {
		at = w.at
	}
	if err := w.acknowledge(at); err != nil {
		return false, err
	}
	return !stuck, w.judge()
}

// probe tries one event while all seem to fail: the next of the log, so that no
// single one can keep the endpoint shut, or else one that is parked.
func (w *worker) probe(ctx context.Context) (wait time.Duration, err error) {
	if _, err := w.fill(ctx); err != nil {
		return 0, err
	}
	var j *job
	switch p := w.lot.oldest(); {
	case len(w.items) > 0 && (p == nil || w.lot.waiting() < w.s.o.MaxParked):
		it := w.items[0]
		j = &job{m: &it.message, attempt: 1, item: it}
	case p != nil:
		j = &job{m: p.message(), attempt: p.Attempts + 1, parked: p}
	default: // there is nothing that could fail
		return 0, w.recover()
	}
	if err := w.deliver(ctx, []*job{j}); err != nil || j.d == nil {
		return 0, err
	}
	if j.item != nil {
		_, err = w.settle([]*job{j})
	} else {
		err = w.settleParked([]*job{j})
	}
	return 0, err
}

func (w *worker) flushTrail() {
	now := w.s.o.Now()
	w.trailTime = now
	if err := appendTrail(w.s.work, w.s.o.Store, w.e.ID, now, w.trail); err != nil {
		w.log.Debug("deliveries are not listed", "error", err)
	}
	w.trail = nil
}
