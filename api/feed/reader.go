package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"postrider/queue"
)

// Store is what a Reader needs of the queue's store.
type Store interface {
	queue.Events
	MessageReader
	// History returns the events of one message, oldest first.
	History(ctx context.Context, id queue.MessageID) ([]queue.Event, error)
}

// Options of a Reader. Store is required.
type Options struct {
	Store    Store
	Messages *Messages // shared with other readers of events; nil: its own
	Tail     *Tail     // likewise

	// Hints are names of readers of the log that keep up with it: the search for
	// its end begins where they stand. Nil: "stats" and "dsn".
	Hints []string

	MaxScan         int           // events that one call looks at; 0: 10,000
	MaxStreams      int           // streams and waiting requests at once; 0: 256
	MaxStreamsEach  int           // of one account; 0: 16
	Keepalive       time.Duration // 0: 15 s
	WriteTimeout    time.Duration // of one write to a stream; 0: 10 s
	LagAfter        time.Duration // a stream whose reader takes longer for a write is ended; 0: 5 s
	MaxStreamLength time.Duration // after which a stream ends, so that its key is looked at again; 0: 30 min

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

const (
	defaultLimit = 50
	maxLimit     = 500
	maxWait      = 30 * time.Second
	gatherTime   = 50 * time.Millisecond // after news, so that a busy log is read in batches
)

// Reader reads events for callers. Its methods are safe for concurrent use. Drain
// it once, before or while the HTTP server shuts down.
type Reader struct {
	o       Options
	stopped chan struct{}
	stop    sync.Once

	mu      sync.Mutex
	waiting map[string]int // streams and waiting requests by account
	total   int
	tail    queue.Position // the end of the log, as it was last seen
	active  sync.WaitGroup
}

// New returns a Reader.
func New(o Options) *Reader {
	if o.Messages == nil {
		o.Messages = NewMessages(o.Store, 0)
	}
	if o.Tail == nil {
		o.Tail = NewTail(o.Store)
	}
	if o.Hints == nil {
		o.Hints = []string{"stats", "dsn"}
	}
	setInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	setInt(&o.MaxScan, 10_000)
	setInt(&o.MaxStreams, 256)
	setInt(&o.MaxStreamsEach, 16)
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.Keepalive, 15*time.Second)
	set(&o.WriteTimeout, 10*time.Second)
	set(&o.LagAfter, 5*time.Second)
	set(&o.MaxStreamLength, 30*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{o: o, stopped: make(chan struct{}), waiting: make(map[string]int)}
}

// Drain ends all streams and lets waiting requests answer at once.
func (r *Reader) Drain(ctx context.Context) error {
	r.stop.Do(func() {
		r.mu.Lock() // nobody joins from here on
		defer r.mu.Unlock()
		close(r.stopped)
	})
	done := make(chan struct{})
	go func() { r.active.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end event streams: %w", ctx.Err())
	}
}

// Query asks for a page of events.
type Query struct {
	Filter
	Message queue.MessageID // only of this one; an Account that it is not of gets queue.ErrNotFound
	After   string          // cursor; empty: from the oldest that is kept; or Latest
	Limit   int             // 0: 50; at most 500
	Wait    time.Duration   // for the first event, if there is none; at most 30 s
}

// Page is some events, oldest first.
type Page struct {
	Data       []Event `json:"data"`
	NextCursor string  `json:"next_cursor" doc:"Where to go on from. It moves also when data is empty."`
	HasMore    bool    `json:"has_more" doc:"There may be more to read at once."`
}

// Read returns events after a cursor. Its errors are *Error for what the caller
// can mend, and queue.ErrNotFound for a message that is not there; any other is
// our own trouble. A Wait ends early when the Reader is drained.
func (r *Reader) Read(ctx context.Context, q Query) (Page, error) {
	at, err := r.begin(ctx, &q)
	if err != nil {
		return Page{}, err
	}
	if q.Wait <= 0 || !r.join(q.Account) {
		items, next, more, err := r.read(ctx, &q, at)
		return page(items, next, more), err
	}
	defer r.leave(q.Account)
	news, stop := r.o.Store.Notify()
	defer stop()
	over := time.NewTimer(q.Wait)
	defer over.Stop()
	for {
		items, next, more, err := r.read(ctx, &q, at)
		if err != nil || len(items) > 0 || more {
			return page(items, next, more), err
		}
		at = next
		select {
		case <-news:
			r.gather(ctx)
		case <-over.C:
			return page(nil, at, false), nil
		case <-r.stopped:
			return page(nil, at, false), nil
		case <-ctx.Done():
			return Page{}, ctx.Err()
		}
	}
}

func page(items []item, next cursor, more bool) Page {
	p := Page{Data: make([]Event, len(items)), NextCursor: next.String(), HasMore: more}
	for i := range items {
		p.Data[i] = items[i].event
	}
	return p
}

// gather waits a moment, so that what is committed together is read together.
func (r *Reader) gather(ctx context.Context) {
	select {
	case <-time.After(gatherTime):
	case <-r.stopped:
	case <-ctx.Done():
	}
}

// join counts a stream or a waiting request, if there is room for it.
func (r *Reader) join(account string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.stopped:
		return false
	default:
	}
	if r.total >= r.o.MaxStreams || r.waiting[account] >= r.o.MaxStreamsEach {
		return false
	}
	r.total++
	r.waiting[account]++
	r.active.Add(1)
	return true
}

func (r *Reader) leave(account string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	if r.waiting[account]--; r.waiting[account] == 0 {
		delete(r.waiting, account)
	}
	r.active.Done()
}

// begin checks a query and finds where it starts.
func (r *Reader) begin(ctx context.Context, q *Query) (cursor, error) {
	if err := q.check(); err != nil {
		return cursor{}, err
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	q.Wait = min(q.Wait, maxWait)
	kind := byte(inLog)
	if !q.Message.IsZero() {
		kind = inHistory
	}
	switch q.After {
	case "":
		return cursor{kind: kind, message: q.Message}, nil
	case Latest:
		return r.latest(ctx, q)
	}
	at, err := parseCursor(q.After)
	if err != nil {
		return cursor{}, err
	}
	if at.kind != kind || at.message != q.Message {
		return cursor{}, errCursor()
	}
	return at, nil
}

func (r *Reader) latest(ctx context.Context, q *Query) (cursor, error) {
	if !q.Message.IsZero() {
		events, err := r.history(ctx, q)
		return cursor{kind: inHistory, message: q.Message, offset: uint64(len(events))}, err
	}
	p, err := r.End(ctx)
	return cursor{kind: inLog, position: p}, err
}

// item is an event and the cursor that goes on after it.
type item struct {
	event Event
	after cursor
}

// read looks at a bounded part of what comes after a cursor. more says that there
// may be others to read at once.
func (r *Reader) read(ctx context.Context, q *Query, at cursor) (items []item, next cursor, more bool, err error) {
	if at.kind == inHistory {
		return r.readHistory(ctx, q, at)
	}
	return r.readLog(ctx, q, at)
}

func (r *Reader) readLog(ctx context.Context, q *Query, at cursor) (items []item, next cursor, more bool, err error) {
	for looked := 0; looked < r.o.MaxScan; looked += batchSize {
		events, p, err := r.o.Tail.Read(ctx, at.position)
		if err != nil {
			return nil, at, false, positionError(err)
		}
		if len(events) == 0 && p == at.position {
			r.sawEnd(p)
			return items, at, false, nil
		}
		found, err := r.o.Messages.Select(ctx, &q.Filter, events)
		if err != nil {
			return nil, at, false, err
		}
		for _, s := range found {
			at.position = s.Position
			items = append(items, item{s.Event, at})
			if len(items) == q.Limit {
				return items, at, true, nil
			}
		}
		at.position = p
	}
	return items, at, true, nil
}

func positionError(err error) error {
	if !errors.Is(err, queue.ErrPosition) {
		return fmt.Errorf("read events: %w", err)
	}
	return &Error{Status: http.StatusGone, Code: "cursor_gone", cause: err,
		Detail: "The events after this cursor are no longer kept, or it is of another store. Start again without a cursor for the oldest event that is kept, or with \"latest\"."}
}
