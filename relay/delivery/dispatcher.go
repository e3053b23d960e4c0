package delivery

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
)

// errDraining is why attempts that have not reached the dot are broken off.
var errDraining = errors.New("the relay is stopping")

// Dispatcher delivers what the store has queued. Its methods are safe for
// concurrent use.
type Dispatcher struct {
	o          Options
	lanes      *lanes
	resting    *resting
	signatures *signatures

	// parking is held while a lane is entered in the book of those that wait and
	// parked, or taken out and unparked: one that is parked without being in the
	// book would sleep until its park ends.
	parking sync.Mutex

	waiters atomic.Int32 // workers that wait for a DKIM key

	favour bool        // of the lessor: an odd worker goes to those that wait
	dry    atomic.Bool // no lane that is not parked has anything due, until the store or its time says so

	jobs chan job      // one place for each worker: sending never blocks
	kick chan struct{} // the lessor should look again
	quit chan struct{} // closed when the workers are to end

	stop  context.CancelFunc // ends the lessor
	cut   context.CancelFunc // ends what workers still ask of the store
	loops sync.WaitGroup     // lessor and extender
	hands sync.WaitGroup     // workers

	mu       sync.Mutex
	started  bool
	draining bool
	broken   bool // attempts are broken off
	ended    bool
	free     int  // workers nobody counts on
	hungry   bool // the lessor waits for a free worker
	home     chan struct{}
	active   map[*run]struct{}
}

// job is a lease on its way to a worker, which counts on it.
type job struct {
	lease  queue.Lease
	permit throttle.Permit
}

// New makes a Dispatcher. It panics if a required option is missing.
func New(o Options) *Dispatcher {
	if o.Store == nil || o.Router == nil || o.Sender == nil || o.Classifier == nil {
		panic("delivery: Store, Router, Sender and Classifier are required")
	}
	o.setDefaults()
	d := &Dispatcher{
		o:       o,
		lanes:   newLanes(),
		resting: newResting(),
		jobs:    make(chan job, o.Workers),
		kick:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		home:    make(chan struct{}, 1),
		active:  make(map[*run]struct{}, o.Workers),
	}
	if o.Signer != nil {
		d.signatures = newSignatures(o.Signer, o.Keys)
	}
	return d
}

// Start begins to deliver. It is called once; Drain must follow. ctx bounds the
// store's calls of the lessor only: when it ends nothing more is leased, and
// what is in the air goes on until Drain.
func (d *Dispatcher) Start(ctx context.Context) {
	var working context.Context
	working, d.cut = context.WithCancel(context.WithoutCancel(ctx))
	ctx, d.stop = context.WithCancel(ctx)
	for range d.o.Workers {
		d.hands.Go(func() { d.work(working) })
	}
	d.mu.Lock()
	d.started, d.free = true, d.o.Workers
	d.mu.Unlock()
	d.loops.Go(func() { d.lessor(ctx) })
	d.loops.Go(func() { d.extender(working) })
	if d.o.Suspensions != nil {
		d.loops.Go(func() { d.watchResting(working) })
	}
}

// settleGrace is how long, after a drain has run out, outcomes are still
// offered to the store.
const settleGrace = time.Second

// Drain stops leasing and waits for the attempts in the air. When ctx ends
// first, those before the dot are broken off and released unattempted, those
// behind it are cut and settled in doubt. It drains the senders too, settles
// what it knows, and returns ctx's error if it ran out, at most about a second
// later.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.mu.Lock()
	if !d.started || d.draining {
		d.mu.Unlock()
		return nil
	}
	d.draining = true
	d.mu.Unlock()
	d.stop()
	err := d.waitHome(ctx)
	if err != nil {
		d.breakOff()
	}
	d.drainSenders(ctx)
	if err != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
		_ = d.waitHome(grace)
		cancel()
	}
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	close(d.quit)
	d.cut()
	d.hands.Wait()
	d.loops.Wait()
	d.releaseUnstarted(context.WithoutCancel(ctx))
	return err
}

// breakOff cancels the attempts in the air; those behind the dot do not heed it.
func (d *Dispatcher) breakOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = true
	for r := range d.active {
		r.cancel(errDraining)
	}
}

func (d *Dispatcher) drainSenders(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { _ = d.o.Sender.Drain(ctx) })
	if d.o.PrivateSender != d.o.Sender {
		both.Go(func() { _ = d.o.PrivateSender.Drain(ctx) })
	}
	both.Wait()
}

// waitHome waits until every worker is free.
func (d *Dispatcher) waitHome(ctx context.Context) error {
	for {
		d.mu.Lock()
		all := d.free == d.o.Workers
		d.mu.Unlock()
		if all {
			return nil
		}
		select {
		case <-d.home:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Dispatcher) releaseUnstarted(ctx context.Context) {
	for {
		select {
		case j := <-d.jobs:
			d.giveBack(ctx, j)
		default:
			return
		}
	}
}

// giveBack ends a job that no worker has begun.
func (d *Dispatcher) giveBack(ctx context.Context, j job) {
	d.dropPermit(ctx, &j.permit)
	d.release(ctx, j.lease, nil)
	d.freeWorkers(1)
}

// reserve counts on up to n free workers.
func (d *Dispatcher) reserve(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining || !d.started {
		return 0
	}
	n = min(n, d.free)
	d.free -= n
	d.hungry = d.hungry || n == 0
	return n
}

func (d *Dispatcher) freeWorkers(n int) {
	d.mu.Lock()
	d.free += n
	wake := d.hungry && d.free > 0
	if wake {
		d.hungry = false
	}
	all := d.draining && d.free == d.o.Workers
	d.mu.Unlock()
	if wake {
		d.nudge()
	}
	if all {
		select {
		case d.home <- struct{}{}:
		default:
		}
	}
}

func (d *Dispatcher) nudge() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// give passes a job to a worker that was counted on.
func (d *Dispatcher) give(ctx context.Context, j job) {
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		d.giveBack(ctx, j)
		return
	}
	d.jobs <- j // has room for every worker
	d.mu.Unlock()
}

// Reserve implements intake's hand-off: it counts on a worker for mail that is
// about to be accepted, if one is free.
func (d *Dispatcher) Reserve() (r queue.LeaseRequest, take func([]queue.Lease), ok bool) {
	d.mu.Lock()
	ok = d.started && !d.draining && d.free > 0
	if ok {
		d.free--
	}
	d.mu.Unlock()
	if !ok {
		return queue.LeaseRequest{}, nil, false
	}
	return d.leaseRequest(1), d.take, true
}

func (d *Dispatcher) take(leases []queue.Lease) {
	if len(leases) == 0 {
		d.freeWorkers(1)
		return
	}
	ctx := context.Background() // the leases end here, whoever gives up waiting
	d.give(ctx, job{lease: leases[0]})
	for _, l := range leases[1:] {
		if d.reserve(1) == 1 {
			d.give(ctx, job{lease: l})
			continue
		}
		d.release(ctx, l, nil)
	}
}

func (d *Dispatcher) leaseRequest(n int) queue.LeaseRequest {
	return queue.LeaseRequest{Now: d.o.Now(), Holder: d.o.Holder, TTL: d.o.LeaseTTL, Max: n}
}

// Stats says what is going on.
type Stats struct {
	Active int // leases being worked on
	Free   int // workers
	Parked int // lanes parked because their site is busy
}

// Stats returns the counts of now.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	s := Stats{Active: len(d.active), Free: d.free}
	d.mu.Unlock()
	s.Parked = d.lanes.parked()
	return s
}

// sender is the one for a plan.
func (d *Dispatcher) sender(private bool) Sender {
	if private {
		return d.o.PrivateSender
	}
	return d.o.Sender
}

var _ Sender = (*outbound.Pool)(nil)
