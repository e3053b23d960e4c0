package app

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
)

const (
	// lastMail is how long those who are handing mail in have, when no more is
	// taken and the queue is waited for.
	lastMail = 8 * time.Second
	// emptyLook is how often it is looked whether the queue is empty, and
	// emptyAgain how often what is deferred is tried again, and the log says what
	// is left. Mail that is handed in last is deferred after the stop has begun,
	// and greylisting may be over soon.
	emptyLook  = 100 * time.Millisecond
	emptyAgain = 10 * time.Second
)

// Retire is what comes before Drain, if the configuration asks for it: a time in
// which the relay is not ready and takes mail all the same, then one in which it
// takes none and delivers what waits. It ends early when ctx does.
func (a *App) Retire(ctx context.Context) {
	if d := a.cfg.Shutdown.Delay; d > 0 {
		a.serving.Store(false)
		a.log.Info("not ready any more; mail is still taken", "for", d)
		until(ctx, d)
	}
	if d := a.cfg.Shutdown.Drain; d > 0 && a.cfg.Store.Embedded() {
		a.serving.Store(false)
		a.stopTaking(ctx)
		a.awaitEmpty(ctx, d)
	}
}

// stopTaking ends the doors through which mail comes in.
func (a *App) stopTaking(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastMail)
	defer cancel()
	if err := drainAll(ctx, map[string]func(context.Context) error{"submission": a.submission.Drain, "http": a.http.Drain}); err != nil {
		a.log.Warn("some who were handing mail in were cut off", "error", err)
	}
}

// awaitEmpty waits until nothing waits to be delivered. Held and scheduled mail
// would wait for longer than any stop.
func (a *App) awaitEmpty(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	a.retryDeferred(ctx)
	look, again := time.NewTicker(emptyLook), time.NewTicker(emptyAgain)
	defer look.Stop()
	defer again.Stop()
	for {
		waiting, kept, err := a.left(context.WithoutCancel(ctx))
		if err == nil && waiting == 0 {
			a.log.Info("the queue is empty", "kept", kept)
			return
		}
		select {
		case <-look.C:
		case <-again.C:
			if err != nil {
				a.log.Warn("the queue cannot be counted", "error", err)
			}
			a.log.Info("waiting for the queue to empty", "waiting", waiting)
			a.retryDeferred(ctx)
		case <-ctx.Done():
			a.log.Warn("the queue is not empty: what waits is lost if the storage is", "waiting", waiting, "kept", kept)
			return
		}
	}
}

// retryDeferred makes what is deferred due at once.
func (a *App) retryDeferred(ctx context.Context) {
	if _, err := a.store.Apply(ctx, queue.Operation{
		Action: queue.ActionRetry, Filter: queue.Filter{States: []queue.State{queue.StateDeferred}}, Now: a.now(), Actor: "relay", Reason: "the relay stops",
	}); err != nil {
		a.log.Warn("deferred mail is not tried again before the stop", "error", err)
	}
}

// left counts recipients that delivery works on, and those that wait for
// somebody's word or for their day.
func (a *App) left(ctx context.Context) (waiting, kept int64, err error) {
	counts, err := a.store.Counts(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("count the queue: %w", err)
	}
	for _, s := range []queue.State{queue.StateQueued, queue.StateActive, queue.StateDeferred} {
		waiting += counts[s].Recipients
	}
	return waiting, counts[queue.StateHeld].Recipients + counts[queue.StateScheduled].Recipients, nil
}

// until waits for d, or for the end of ctx.
func until(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
