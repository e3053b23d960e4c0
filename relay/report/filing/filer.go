package filing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postrider/queue"
	"postrider/queue/claim"
	"postrider/queue/folders"
	"postrider/relay/report/skeleton"
)

// Store is what a Filer needs of the queue's store.
type Store interface {
	queue.Events
	queue.Claims
	Message(ctx context.Context, id queue.MessageID) (queue.Entry, error)
	History(ctx context.Context, id queue.MessageID) ([]queue.Event, error)
	List(ctx context.Context, f queue.Filter, c queue.Cursor, limit int) ([]queue.Entry, queue.Cursor, error)
	OpenContent(ctx context.Context, ref queue.ContentRef) (queue.Content, error)
}

// Options of a Filer. Store, Book, Hostname and Holder are required.
type Options struct {
	Store    Store
	Book     *folders.Book
	Hostname string // of this relay: reports are from it
	Holder   string // this node, for the claim

	// FolderLimit is how many entries INBOX, Sent and Bounced show each, the
	// newest ones; the others stay in the views below. 0: all.
	FolderLimit int
	// QueuedAfter is how old a message is when it is shown as queued: most are
	// delivered sooner. 0: 5 s.
	QueuedAfter time.Duration

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
	Retry  time.Duration    // pause after the store's trouble; 0: 5 s
	Pause  time.Duration    // between rounds, so that busy times are read in batches; 0: 250 ms
}

// Filer files messages. Its methods are not safe for concurrent use: either it is
// started once and drained, or Round and Trim are called.
type Filer struct {
	o    Options
	done chan struct{}
	stop context.CancelFunc

	claim   *claim.Held
	reading reading
	trim    trimming
	failed  map[queue.MessageID]int // how often a message could not be read
	body    []byte                  // of the message that is being filed
	parser  skeleton.Parser

	walkBudget int // entries that one pass of Trim looks at, beside the oldest
}

const (
	claimName  = "folders"
	readerName = queue.ReaderFolders
	claimTTL   = 30 * time.Second
	trimEvery  = time.Minute

	defaultQueuedAfter = 5 * time.Second
)

// New returns a Filer.
func New(o Options) *Filer {
	if o.QueuedAfter <= 0 {
		o.QueuedAfter = defaultQueuedAfter
	}
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
	return &Filer{
		o: o, done: make(chan struct{}), failed: map[queue.MessageID]int{}, walkBudget: walkBudget,
		claim: claim.New(claim.Options{Store: o.Store, Name: claimName, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger}),
	}
}

// Start begins to file, from where the last Filer of any node left off.
func (f *Filer) Start(ctx context.Context) {
	ctx, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	go f.run(ctx)
}

// Drain stops in the middle of what is being done: it is done again by whoever
// follows. It must follow Start.
func (f *Filer) Drain(ctx context.Context) error {
	f.stop()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Filer) run(ctx context.Context) {
	defer close(f.done)
	news, stop := f.o.Store.Notify()
	defer stop()
	defer f.claim.Leave(ctx)
	var trimAt time.Time
	for {
		more, err := f.Round(ctx)
		if now := f.o.Now(); err == nil && !now.Before(trimAt) {
			var again bool
			if again, err = f.Trim(ctx); !again {
				trimAt = now.Add(trimEvery)
			}
			more = more || again
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, queue.ErrClaimed) {
			f.o.Logger.Error("folders fall behind", "error", err)
		}
		if more && err == nil {
			continue
		}
		wait := f.idle(trimAt)
		if err != nil {
			wait = f.o.Retry
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-time.After(wait):
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.o.Pause):
		}
	}
}

// idle is how long there may be nothing to do if nothing happens.
func (f *Filer) idle(trimAt time.Time) time.Duration {
	now := f.o.Now()
	wait := min(claimTTL/3, trimAt.Sub(now))
	if due, ok := f.reading.young.due(); ok {
		wait = min(wait, due.Sub(now))
	}
	return max(wait, 0)
}
