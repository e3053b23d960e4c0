package stats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postrider/api/feed"
	"postrider/queue"
	"postrider/queue/claim"
)

// Store is what this package needs of the queue's store.
type Store interface {
	queue.Events
	queue.Registry
	queue.Claims
}

// Options of Stats. Store, Messages and Holder are required.
type Options struct {
	Store    Store
	Messages *feed.Messages
	Holder   string // this process, for the claim: no other has this name

	Flush time.Duration // how long counts are gathered before they are kept; 0: 10 s
	Keep  time.Duration // how long counts are kept; 0: 400 days
	Retry time.Duration // pause after the store's trouble; 0: 5 s

	Now    func() time.Time                                        // nil: time.Now
	After  func(d time.Duration) (c <-chan time.Time, stop func()) // nil: time.NewTimer
	Logger *slog.Logger                                            // nil: discard
}

const (
	name       = "stats" // of the claim and of the reader
	bookName   = "position"
	claimTTL   = 30 * time.Second
	leaveTime  = 5 * time.Second
	readBatch  = 250
	maxBatch   = 32 << 10 // octets, roughly, from which a batch is kept
	cacheDays  = 512      // records that are remembered
	sweepEvery = time.Hour
	sweepPage  = 200
	gatherTime = 250 * time.Millisecond // after news, so that a busy log is read in batches
)

// Stats counts events, and tells the counts. Query needs no Start.
type Stats struct {
	o    Options
	stop context.CancelFunc
	done chan struct{}

	// What follows is the counting goroutine's.
	claim *claim.Held
	book  book
	at    queue.Position // behind what the batch has
	batch *batch
	kept  time.Time // when the last batch was
	swept time.Time
	days  map[dayKey]*day
}

// book is the record from which counting goes on.
type book struct {
	Seq      uint64           `json:"seq"`
	Position queue.Position   `json:"position"`
	Batch    map[dayKey]table `json:"batch"` // of this number, up to this position

	version uint64
}

// New returns Stats.
func New(o Options) *Stats {
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.Flush, 10*time.Second)
	set(&o.Keep, 400*24*time.Hour)
	set(&o.Retry, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Stats{
		o: o, done: make(chan struct{}), batch: newBatch(),
		claim: claim.New(claim.Options{Store: o.Store, Name: name, Holder: o.Holder, TTL: claimTTL, Now: o.Now, Logger: o.Logger}),
	}
}

// Start begins to count, while no other node does.
func (s *Stats) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	go s.run(ctx)
}

// Drain keeps what was counted and stops. It must follow Start.
func (s *Stats) Drain(ctx context.Context) error {
	s.stop()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end counting: %w", ctx.Err())
	}
}

func (s *Stats) run(ctx context.Context) {
	defer close(s.done)
	work := context.WithoutCancel(ctx) // what was begun is ended
	defer s.leave(work)
	news, stop := s.o.Store.Notify()
	defer stop()
	for ctx.Err() == nil {
		more, err := s.round(work)
		if more && err == nil {
			continue
		}
		wait := min(s.o.Flush, claimTTL/3)
		if err != nil {
			s.claim.Forget() // read all again
			if wait = claimTTL / 3; !errors.Is(err, queue.ErrClaimed) {
				s.o.Logger.Error("events are not counted", "error", err)
				wait = s.o.Retry
			}
		}
		if s.wait(ctx, wait, news, err == nil) {
			s.wait(ctx, gatherTime, nil, false)
		}
	}
}

// wait waits for time to pass, or for news, which it reports.
func (s *Stats) wait(ctx context.Context, d time.Duration, news <-chan struct{}, listen bool) bool {
	if !listen {
		news = nil
	}
	timer, stop := s.o.After(d)
	defer stop()
	select {
	case <-ctx.Done():
	case <-timer:
	case <-news:
		return true
	}
	return false
}

// leave keeps what was counted and lets the next node begin at once.
func (s *Stats) leave(ctx context.Context) {
	defer s.claim.Leave(ctx)
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		s.o.Logger.Debug("counting goes on elsewhere", "error", err)
	}
}

// begin takes the claim, or renews it in time. If another node may have counted
// since, what this one knows is out of date, and read again.
func (s *Stats) begin(ctx context.Context) error {
	anew, err := s.claim.Keep(ctx)
	if err != nil {
		return fmt.Errorf("take the claim on counting: %w", err)
	}
	if anew {
		return s.load(ctx)
	}
	return nil
}

// keep renews the claim in the middle of a round, which is out of date if another
// node counted meanwhile.
func (s *Stats) keep(ctx context.Context) error {
	if err := s.claim.Still(ctx); err != nil {
		return fmt.Errorf("keep the claim on counting: %w", err)
	}
	return nil
}

// load learns how far counting has come, and ends what was begun.
func (s *Stats) load(ctx context.Context) error {
	s.book, s.batch, s.days = book{}, newBatch(), make(map[dayKey]*day)
	s.kept = s.o.Now()
	r, err := s.o.Store.GetRecord(ctx, queue.RecordStats, bookName)
	if err == nil {
		s.book.version = r.Version
		err = json.Unmarshal(r.Value, &s.book)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("read how far counting has come: %w", err)
	}
	s.at = s.book.Position
	return s.apply(ctx)
}

// round counts a batch of events. more says that there are others to read at once.
func (s *Stats) round(ctx context.Context) (more bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	events, next, err := s.o.Store.ReadEvents(ctx, s.at, readBatch)
	if errors.Is(err, queue.ErrPosition) && s.at != "" {
		s.o.Logger.Warn("counting starts over with the oldest event: its position is no longer kept")
		s.at = ""
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	if err := s.count(ctx, events); err != nil {
		return false, err
	}
	more = next != s.at
	s.at = next
	if s.batch.n > 0 && s.o.Now().Sub(s.kept) >= s.o.Flush {
		if err := s.flush(ctx); err != nil {
			return false, err
		}
	}
	return more, s.sweep(ctx)
}

func (s *Stats) count(ctx context.Context, events []queue.Event) error {
	ids := make([]queue.MessageID, len(events))
	for i := range events {
		ids[i] = events[i].Message
	}
	facts, err := s.o.Messages.Facts(ctx, ids)
	if err != nil {
		return err
	}
	for i := range events {
		s.batch.count(&events[i], facts[events[i].Message])
		s.at = events[i].Position
		if s.batch.size >= maxBatch {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes a batch down, with the position behind it, and adds it to its days.
func (s *Stats) flush(ctx context.Context) error {
	if s.batch.n == 0 {
		return nil
	}
	if err := s.keep(ctx); err != nil {
		return err
	}
	next := book{Seq: s.book.Seq + 1, Position: s.at, Batch: s.batch.days, version: s.book.version}
	b, err := encode(next, s.batch.fold)
	if err != nil {
		return fmt.Errorf("encode counts: %w", err)
	}
	next.version, err = s.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordStats, Name: bookName, Version: next.version, Value: b})
	if err != nil {
		return fmt.Errorf("keep counts: %w", err)
	}
	s.book, s.batch, s.kept = next, newBatch(), s.o.Now()
	return s.apply(ctx)
}

// apply adds the batch that was written down to those of its days that do not
// have it yet.
func (s *Stats) apply(ctx context.Context) error {
	for k, t := range s.book.Batch {
		if err := s.addTo(ctx, k, t); err != nil {
			return err
		}
	}
	s.book.Batch = nil
	if s.book.Seq == 0 {
		return nil
	}
	if err := s.o.Store.Acknowledge(ctx, name, s.book.Position); err != nil {
		return fmt.Errorf("keep the position of counting: %w", err)
	}
	return nil
}

func (s *Stats) addTo(ctx context.Context, k dayKey, t table) error {
	d, err := s.day(ctx, k)
	if err != nil {
		return err
	}
	if d.Seq >= s.book.Seq {
		return nil
	}
	d.add(s.book.Seq, t)
	b, err := d.encode()
	if err != nil {
		return fmt.Errorf("encode counts %s: %w", k, err)
	}
	d.version, err = s.o.Store.PutRecord(ctx, queue.Record{Kind: queue.RecordStats, Name: k.String(), Version: d.version, Value: b})
	if err != nil {
		return fmt.Errorf("keep counts %s: %w", k, err)
	}
	return nil
}

func (s *Stats) day(ctx context.Context, k dayKey) (*day, error) {
	if d := s.days[k]; d != nil {
		return d, nil
	}
	r, err := s.o.Store.GetRecord(ctx, queue.RecordStats, k.String())
	d := new(day)
	if err == nil {
		d, err = decodeDay(r)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	if len(s.days) >= cacheDays {
		clear(s.days)
	}
	s.days[k] = d
	return d, nil
}

// sweep forgets days that are too old, now and then.
func (s *Stats) sweep(ctx context.Context) error {
	now := s.o.Now()
	if now.Sub(s.swept) < sweepEvery {
		return nil
	}
	before := dayOf(now.Add(-s.o.Keep))
	rs, err := s.o.Store.ListRecords(ctx, queue.RecordStats, "", "", sweepPage)
	if err != nil {
		return fmt.Errorf("look for old counts: %w", err)
	}
	for i, r := range rs {
		k, err := parseDayKey(r.Name)
		if err != nil || k.day >= before {
			break
		}
		if err := s.o.Store.DeleteRecord(ctx, r); err != nil {
			return fmt.Errorf("forget old counts: %w", err)
		}
		delete(s.days, k)
		if i == sweepPage-1 {
			return nil // there may be more
		}
	}
	s.swept = now
	return nil
}
