package feedback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
	"postrider/queue/suppression"
)

// Store is what a Reader needs of the queue's store.
type Store interface {
	queue.Events
	queue.Claims
	queue.Registry
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
}

// List is where addresses are put. It is implemented by suppression.Book.
type List interface {
	Add(ctx context.Context, e suppression.Entry) (now suppression.Entry, added bool, err error)
}

// Options of a Reader. Store, List, After and Holder are required.
type Options struct {
	Store  Store
	List   List
	Holder string // this process, for the claim: no other has this name

	// After says how many bounces of a class, within what time, put an address on
	// the list; 0 times: none ever do.
	After func(c queue.Class) (times int, within time.Duration)
	// Off lets events pass without looking at them, so that they do not pile up.
	Off bool

	Expire     time.Duration // how long an address stays that one bounce put there; 0: for ever
	ExpireSoft time.Duration // and one that needed several; 0: for ever

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
	Retry  time.Duration    // pause after the store's trouble; 0: 5 s
	Pause  time.Duration    // between rounds, so that busy times are read in batches; 0: 250 ms
}

// Reader reads bounces. Start it once, then Drain it; or call Round.
type Reader struct {
	o     Options
	claim *claim.Held
	done  chan struct{}
	stop  context.CancelFunc

	// As read under the claim.
	head   head
	counts *counts
	at     queue.Position           // read up to here
	kept   queue.Position           // as acknowledged
	facts  map[queue.MessageID]bool // of this batch: see sent
}

const (
	name     = "feedback" // of the claim and of the reader
	claimTTL = 30 * time.Second
	batch    = 500
)

// New returns a Reader.
func New(o Options) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 250 * time.Millisecond
	}
	return &Reader{
		o: o, done: make(chan struct{}),
		claim: claim.New(claim.Options{Store: o.Store, Name: name, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger}),
	}
}

// Start begins to read, from where the last Reader of any node left off.
func (r *Reader) Start(ctx context.Context) {
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go r.run(ctx)
}

// Drain stops in the middle of what is being done: it is done again by whoever
// follows. It must follow Start.
func (r *Reader) Drain(ctx context.Context) error {
	r.stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the reading of bounces: %w", ctx.Err())
	}
}

func (r *Reader) run(ctx context.Context) {
	defer close(r.done)
	news, stop := r.o.Store.Notify()
	defer stop()
	defer r.claim.Leave(ctx)
	for {
		more, err := r.Round(ctx)
		if ctx.Err() != nil {
			return
		}
		if more && err == nil {
			continue
		}
		wait := claimTTL / 3
		if err != nil && !errors.Is(err, queue.ErrClaimed) {
			r.o.Logger.Error("bounces do not reach the suppression list", "error", err)
			wait = r.o.Retry
		}
		if err != nil {
			pause(ctx, wait, nil)
			continue
		}
		pause(ctx, wait, news)
		pause(ctx, r.o.Pause, nil)
	}
}

// pause waits for time to pass, for news, or for the end.
func pause(ctx context.Context, d time.Duration, news <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-timer.C:
	}
}

// Round reads one batch of events and does what they call for. more says that
// there are others to read at once. It returns queue.ErrClaimed while another
// node reads.
func (r *Reader) Round(ctx context.Context) (more bool, err error) {
	defer func() {
		if err != nil {
			r.claim.Forget() // what was not written is read again
		}
	}()
	anew, err := r.claim.Keep(ctx)
	if err != nil {
		return false, err
	}
	if anew {
		if err := r.load(ctx); err != nil {
			return false, err
		}
	}
	events, next, err := r.o.Store.ReadEvents(ctx, r.at, batch)
	if errors.Is(err, queue.ErrPosition) && r.at != "" {
		return true, r.startOver(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	if err := r.follow(ctx, events, next); err != nil {
		return false, err
	}
	return len(events) == batch, nil
}

// load learns from the store what the last Reader knew.
func (r *Reader) load(ctx context.Context) (err error) {
	if r.at, err = r.o.Store.Acknowledged(ctx, name); err != nil {
		return fmt.Errorf("read position of bounces: %w", err)
	}
	r.kept = r.at
	if r.head, err = readHead(ctx, r.o.Store); err != nil {
		return err
	}
	if r.head.Since.IsZero() {
		// What bounced before anybody asked for it is no reason to send less.
		r.head.Since, r.head.dirty = r.o.Now(), true
		if err := r.head.keep(ctx, r.o.Store); err != nil {
			return err
		}
	}
	r.counts, err = readCounts(ctx, r.o.Store, r.o.After, r.o.Logger)
	return err
}

// startOver goes back to the oldest event, since the position is no longer kept;
// what was seen is passed over, so that nobody comes back on the list who was
// taken off it.
func (r *Reader) startOver(ctx context.Context) error {
	r.o.Logger.Warn("bounces are read from the oldest event: their position is no longer kept")
	r.at = ""
	if r.head.Last.Before(r.head.Since) {
		return nil
	}
	r.head.Since, r.head.dirty = r.head.Last.Add(time.Millisecond), true
	return r.head.keep(ctx, r.o.Store)
}

// follow looks at events and keeps how far it came, also if that was not to the
// end.
func (r *Reader) follow(ctx context.Context, events []queue.Event, next queue.Position) error {
	r.facts = make(map[queue.MessageID]bool)
	var trouble error
	for i := range events {
		if r.o.Off {
			break
		}
		if trouble = r.look(ctx, &events[i]); trouble != nil {
			next = r.at
			break
		}
		r.at = events[i].Position
	}
	r.at = next
	return errors.Join(trouble, r.keep(ctx))
}

// keep writes what was counted, then the position behind it.
func (r *Reader) keep(ctx context.Context) error {
	if r.at == r.kept {
		return nil
	}
	if err := r.still(ctx); err != nil {
		return err
	}
	if err := r.counts.keep(ctx, r.o.Store, r.o.Now()); err != nil {
		return err
	}
	if err := r.head.keep(ctx, r.o.Store); err != nil {
		return err
	}
	if err := r.o.Store.Acknowledge(ctx, name, r.at); err != nil {
		return fmt.Errorf("keep position of bounces: %w", err)
	}
	r.kept = r.at
	return nil
}

// still renews the claim in time: a node that stood still must not write what
// another one went on from.
func (r *Reader) still(ctx context.Context) error {
	if err := r.claim.Still(ctx); err != nil {
		return fmt.Errorf("keep the claim on bounces: %w", err)
	}
	return nil
}
