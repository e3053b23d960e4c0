package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"postrider/api/feed"
	"postrider/queue/claim"
)

// Options of a Sender. Store, Book, Messages and Holder are required.
type Options struct {
	Store        Store
	Book         *Book
	Messages     *feed.Messages
	Tail         *feed.Tail // shared with other readers of events; nil: its own
	Holder       string     // this process, for claims: no other has this name
	AllowPrivate bool       // as in BookOptions
	UserAgent    string     // empty: "Postrider"

	Schedule     []time.Duration // pauses after failed attempts; nil: DefaultSchedule
	MaxAge       time.Duration   // after which an event is given up, if others came through; 0: 72 h
	DisableAfter time.Duration   // of nothing but failures; 0: 5 days
	Timeout      time.Duration   // of one request; 0: 15 s
	BreakAfter   int             // events that fail one after the other before the endpoint is only probed; 0: 5
	MaxParked    int             // events of an endpoint that wait for another try, and that were given up; 0: 256 each
	Poll         time.Duration   // how often other nodes' changes are looked for; 0: 2 s
	Retry        time.Duration   // pause after the store's trouble; 0: 5 s

	Now    func() time.Time // nil: time.Now
	After  AfterFunc        // nil: time.NewTimer
	Random func() float64   // in [0,1), for jitter; nil: math/rand
	Logger *slog.Logger     // nil: discard
	Notify func(Notice)     // tells an operator; nil: the log alone does
	Hooks  Hooks
}

// Hooks are called with what happens, from many goroutines; nil ones are not.
// They must not block.
type Hooks struct {
	Posted  func(ok bool, took time.Duration) // an endpoint took an event, or did not
	GivenUp func()                            // an event is not tried again
}

// AfterFunc returns a channel that receives after d, and stop, which gives it
// back.
type AfterFunc func(d time.Duration) (c <-chan time.Time, stop func())

// Notice tells an operator that an endpoint was disabled.
type Notice struct {
	Endpoint Endpoint
	Reason   string
}

const claimTTL = time.Minute

// Sender tells endpoints of events. Start it once, then Drain it.
type Sender struct {
	o      Options
	client *http.Client

	stop  context.CancelFunc // takes nothing new
	abort context.CancelFunc // ends requests under way
	work  context.Context    // until abort
	done  chan struct{}

	workers map[string]*running // by endpoint; the supervisor's
}

type running struct {
	version uint64
	stop    context.CancelFunc
	done    chan struct{}
	poke    chan struct{}
}

// New returns a Sender.
func New(o Options) *Sender {
	if o.Tail == nil {
		o.Tail = feed.NewTail(o.Store)
	}
	if o.UserAgent == "" {
		o.UserAgent = "Postrider"
	}
	if len(o.Schedule) == 0 {
		o.Schedule = DefaultSchedule()
	}
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&o.MaxAge, 72*time.Hour)
	set(&o.DisableAfter, 5*24*time.Hour)
	set(&o.Timeout, 15*time.Second)
	set(&o.Poll, 2*time.Second)
	set(&o.Retry, 5*time.Second)
	if o.BreakAfter <= 0 {
		o.BreakAfter = 5
	}
	if o.MaxParked <= 0 {
		o.MaxParked = 256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sender{o: o, client: newClient(o.AllowPrivate, o.Timeout), done: make(chan struct{}), workers: make(map[string]*running)}
}

// Start begins to serve the endpoints that no other node serves.
func (s *Sender) Start(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	s.work, s.abort = context.WithCancel(ctx)
	ctx, s.stop = context.WithCancel(ctx)
	go s.run(ctx)
}

// Drain takes up nothing new and waits for the requests under way; those that
// ctx ends before they are answered are made again by whoever serves the endpoint
// next. It must follow Start.
func (s *Sender) Drain(ctx context.Context) error {
	s.stop()
	defer s.client.CloseIdleConnections()
	defer s.abort()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.abort()
		<-s.done
		return fmt.Errorf("end webhook requests: %w", ctx.Err())
	}
}

func (s *Sender) run(ctx context.Context) {
	defer close(s.done)
	defer s.stopAll()
	var seen uint64
	for {
		v, err := s.look(ctx, seen)
		if err != nil && ctx.Err() == nil {
			s.o.Logger.Error("webhooks are not looked after", "error", err)
		}
		if err == nil {
			seen = v
		}
		timer, stop := s.o.After(s.o.Poll)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-s.o.Book.changed:
		case <-timer:
		}
		stop()
	}
}

// look starts and stops workers as the registry says, if it changed.
func (s *Sender) look(ctx context.Context, seen uint64) (version uint64, err error) {
	version, err = s.o.Store.RegistryVersion(ctx)
	if err != nil || version == seen {
		return version, err
	}
	all, err := s.o.Book.list(ctx, "")
	if err != nil {
		return seen, err
	}
	wanted := make(map[string]*stored, len(all))
	there := make(map[string]bool, len(all))
	for _, e := range all {
		there[e.ID] = true
		if e.Enabled {
			wanted[e.ID] = e
		}
	}
	for id, r := range s.workers {
		e := wanted[id]
		if e != nil && e.version == r.version {
			signal(r.poke) // a replay may have been asked for
			continue
		}
		s.end(id)
		if !there[id] {
			err = errors.Join(err, s.o.Book.clean(ctx, id))
		}
	}
	for id, e := range wanted {
		if s.workers[id] == nil {
			s.begin(ctx, e)
		}
	}
	return version, err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Sender) begin(ctx context.Context, e *stored) {
	ctx, stop := context.WithCancel(ctx)
	r := &running{version: e.version, stop: stop, done: make(chan struct{}), poke: make(chan struct{}, 1)}
	s.workers[e.ID] = r
	log := s.o.Logger.With("webhook", e.ID, "account", e.Account)
	w := &worker{s: s, e: e, poke: r.poke, log: log, claim: claim.New(claim.Options{
		Store: s.o.Store, Name: readerName(e.ID), Holder: s.o.Holder, TTL: claimTTL, Now: s.o.Now, Logger: log,
	})}
	go func() {
		defer close(r.done)
		w.run(ctx)
	}()
}

func (s *Sender) end(id string) {
	r := s.workers[id]
	r.stop()
	<-r.done
	delete(s.workers, id)
}

func (s *Sender) stopAll() {
	var wg sync.WaitGroup
	for _, r := range s.workers {
		r.stop()
		wg.Go(func() { <-r.done })
	}
	wg.Wait()
}

// Test tells an endpoint of an event that did not happen, "webhook.test", and
// returns what came of it. It works for a disabled endpoint too.
func (s *Sender) Test(ctx context.Context, account, id string) (Delivery, error) {
	e, err := s.o.Book.get(ctx, account, id)
	if err != nil {
		return Delivery{}, err
	}
	m, err := testMessage(e, s.o.Now())
	if err != nil {
		return Delivery{}, err
	}
	d := s.post(ctx, e, m, 1)
	if err := appendTrail(ctx, s.o.Store, e.ID, s.o.Now(), []Delivery{d}); err != nil {
		s.o.Logger.Debug("a test is not in the list of deliveries", "webhook", e.ID, "error", err)
	}
	return d, nil
}
