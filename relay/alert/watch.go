package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
)

// Store is what a Watch needs of the queue's store.
type Store interface {
	queue.Events
	queue.Claims
	queue.Registry
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
}

// Options of a Watch. Store, Holder, Hostname and Alerts are required.
type Options struct {
	Store    Store
	Holder   string // this process, for the claim: no other has this name
	Hostname string // of this relay, for texts and headers

	// Alerts says which classes the operator should hear of.
	Alerts func(c queue.Class) bool
	// Usual says how many recipients of an account came to an end in a time, and
	// how many of these failed; nil: rising failures are not looked for.
	Usual func(ctx context.Context, account string, from, to time.Time) (ended, failed int64, err error)

	// How to tell; the log is told in any case.
	Submitter queue.Submitter // for mail; needed with Address
	Account   string          // whose message the mail is
	Address   queue.Address   // who gets it; null: nobody
	From      queue.Address   // null: MAILER-DAEMON@Hostname
	Command   []string        // a program and its arguments; empty: none

	Every   time.Duration // between two messages about one cause; 0: 1 h
	Gather  time.Duration // before the first; 0: 1 min
	Timeout time.Duration // of the command; 0: 20 s

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
	Retry  time.Duration    // pause after trouble; 0: 5 s
	Pause  time.Duration    // between rounds, so that busy times are read in batches; 0: 250 ms
}

// Watch looks for what the operator should hear of. Start it once, then Drain it.
type Watch struct {
	o     Options
	claim *claim.Held
	done  chan struct{}
	stop  context.CancelFunc

	mu     sync.Mutex
	raised map[string]Raised // by cause, until they are told
	poke   chan struct{}

	// What follows is the goroutine's. As read under the claim:
	at, kept   queue.Position
	matters    map[string]*matter
	facts      map[queue.MessageID]*queue.Message // of this batch: see sent
	endings    []*queue.Event                     // of this batch, for the tallies
	tallies    map[string]*tally
	remembered int       // failures of all tallies
	lookedAt   time.Time // at the tallies
	sweptAt    time.Time
	fullAt     time.Time // when there were too many causes, last

	told []time.Time // messages within Options.Every
}

const (
	name     = "alert" // of the claim and of the reader
	claimTTL = time.Minute
	batch    = 500

	maxMatters = 200
	maxTold    = 30 // messages within Options.Every
	maxRaised  = 64
)

// New returns a Watch.
func New(o Options) *Watch {
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.Every, time.Hour)
	set(&o.Gather, time.Minute)
	set(&o.Timeout, 20*time.Second)
	set(&o.Retry, 5*time.Second)
	set(&o.Pause, 250*time.Millisecond)
	if o.From.IsNull() {
		o.From = queue.Address{Local: "MAILER-DAEMON", Domain: o.Hostname}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watch{
		o: o, done: make(chan struct{}), raised: make(map[string]Raised), poke: make(chan struct{}, 1), tallies: make(map[string]*tally),
		claim: claim.New(claim.Options{Store: o.Store, Name: name, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger}),
	}
}

// Raised is a condition that somebody found.
type Raised struct {
	Name   string // such as "port25"; with Node it tells conditions apart
	Node   string // where it holds; empty: for the relay as a whole
	Title  string // what is wrong, in one line
	Advice string // what it means, and what to do
	Detail string // what was seen, verbatim
}

// Raise has the operator told of a condition, if that was not done within the
// hour. Whoever finds it again should raise it again. It returns at once and may
// be called from anywhere, also before Start.
func (w *Watch) Raise(r Raised) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := r.cause().ID()
	if _, known := w.raised[id]; !known && len(w.raised) >= maxRaised {
		w.o.Logger.Warn("an alert is left out: too many conditions were raised", "title", r.Title)
		return
	}
	w.raised[id] = r
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

func (r Raised) cause() Cause { return Cause{Kind: Condition, Name: r.Name, Node: r.Node} }

// Start begins to look, from where the last Watch of any node left off.
func (w *Watch) Start(ctx context.Context) {
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	go w.run(ctx)
}

// Drain stops; what was not told is told by whoever follows. It must follow Start.
func (w *Watch) Drain(ctx context.Context) error {
	w.stop()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the watch for alerts: %w", ctx.Err())
	}
}

func (w *Watch) run(ctx context.Context) {
	defer close(w.done)
	news, stop := w.o.Store.Notify()
	defer stop()
	defer w.claim.Leave(ctx)
	for {
		more, err := w.Round(ctx)
		if ctx.Err() != nil {
			return
		}
		wait, wake := w.idle(), news
		switch {
		case err != nil && errors.Is(err, queue.ErrClaimed):
			wait, wake = min(wait, claimTTL/3), nil
		case err != nil:
			w.o.Logger.Error("alerts are not told", "error", err)
			wait, wake = w.o.Retry, nil
		case more:
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-w.poke:
		case <-wake:
			timer.Reset(w.o.Pause)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		case <-timer.C:
		}
		timer.Stop()
	}
}

// idle is how long there is nothing to do if nothing happens.
func (w *Watch) idle() time.Duration {
	now, wait := w.o.Now(), claimTTL/3
	w.mu.Lock()
	if len(w.raised) > 0 {
		wait = w.o.Retry
	}
	w.mu.Unlock()
	for _, m := range w.matters {
		if due, ok := w.due(m); ok {
			wait = min(wait, due.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// Round tells what was raised on this node, reads one batch of events and tells
// what is due of what it learned. more says that there are other events to read
// at once. It returns queue.ErrClaimed while another node reads them.
func (w *Watch) Round(ctx context.Context) (more bool, err error) {
	if err := w.tellRaised(ctx); err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			w.claim.Forget() // what was not written is read again
		}
	}()
	anew, err := w.claim.Keep(ctx)
	if err != nil {
		return false, err
	}
	if anew {
		if err := w.load(ctx); err != nil {
			return false, err
		}
	}
	if more, err = w.follow(ctx); err != nil {
		return false, err
	}
	if err := w.lookAtTallies(ctx); err != nil {
		return false, err
	}
	for _, m := range w.matters {
		if err := w.tellIfDue(ctx, m); err != nil {
			return false, err
		}
	}
	return more, w.sweep(ctx)
}

// load learns from the store what the last Watch knew.
func (w *Watch) load(ctx context.Context) (err error) {
	if w.at, err = w.o.Store.Acknowledged(ctx, name); err != nil {
		return fmt.Errorf("read position of alerts: %w", err)
	}
	w.kept = w.at
	w.matters, err = readMatters(ctx, w.o.Store, w.o.Logger)
	return err
}

// follow reads on in the log.
func (w *Watch) follow(ctx context.Context) (more bool, err error) {
	events, next, err := w.o.Store.ReadEvents(ctx, w.at, batch)
	if errors.Is(err, queue.ErrPosition) && w.at != "" {
		w.o.Logger.Warn("alerts start over with the oldest event: their position is no longer kept")
		w.at = ""
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	w.facts, w.endings = make(map[queue.MessageID]*queue.Message), nil
	for i := range events {
		if err := w.look(ctx, &events[i]); err != nil {
			return false, err
		}
	}
	w.at = next
	if err := w.keep(ctx); err != nil {
		return false, err
	}
	for _, e := range w.endings { // now that they are not read again
		w.tally(e)
	}
	return len(events) == batch, nil
}

// keep writes causes that are new, then the position behind them.
func (w *Watch) keep(ctx context.Context) error {
	if w.at == w.kept {
		return nil
	}
	if err := w.still(ctx); err != nil {
		return err
	}
	for _, m := range w.matters {
		if !m.dirty {
			continue
		}
		if err := m.put(ctx, w.o.Store); err != nil {
			return err
		}
	}
	if err := w.o.Store.Acknowledge(ctx, name, w.at); err != nil {
		return fmt.Errorf("keep position of alerts: %w", err)
	}
	w.kept = w.at
	return nil
}

// still renews the claim in time.
func (w *Watch) still(ctx context.Context) error {
	if err := w.claim.Still(ctx); err != nil {
		return fmt.Errorf("keep the claim on alerts: %w", err)
	}
	return nil
}
