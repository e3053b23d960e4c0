package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"postrider/queue"
	"postrider/queue/signal"
)

// Store is an open store. All its methods are safe for concurrent use.
type Store struct {
	o     Options
	keys  keys
	sv    *servers
	parts []string // keys of the partitions
	node  string   // eight octets that no other opening has

	gate   sync.RWMutex // held for reading by every call
	closed bool
	done   chan struct{} // closed with the store
	tasks  sync.WaitGroup

	turn    atomic.Uint64          // of partitions, for leases
	offset  atomic.Int64           // of the servers' clock from ours, in ns
	barred  atomic.Pointer[string] // why this node may not work on the store any more
	unsafe  atomic.Pointer[string] // why mail would not be safe with the servers
	settler *gatherer              // of changes
	marker  *gatherer              // of marks
	leases  leaseBook
	readers openReaders
	wake    signal.Signal
	notify  signal.Signal
	parked  parking
	given   given
	exports exporting
}

var _ queue.Store = (*Store)(nil)

// Open connects to a store, and makes it if there is none. It refuses servers
// that could lose what they acknowledged (unless o.Relaxed), that evict keys, or
// that are older than Redis 7, and a store of a newer format.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := checkOptions(&o); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{o: o, keys: keys{o.Prefix}, sv: connect(o), done: make(chan struct{})}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s.node = string(id[:])
	s.settler = newGatherer(s, scripts.change, true)
	s.marker = newGatherer(s, scripts.mark, true) // or a fail-over makes second copies without a mark
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store at %v: %w", o.Addrs, err), s.sv.close())
	}
	return s, nil
}

// opening bounds how long Open waits for servers that do not answer.
const opening = 10 * time.Second

func (s *Store) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	if err := s.sv.ready(ctx); err != nil {
		return err
	}
	if err := s.checkServers(ctx); err != nil {
		return err
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	if err := s.measureClock(ctx); err != nil {
		return err
	}
	s.sv.watchReplicas(ctx)
	if err := s.startCounting(ctx); err != nil {
		return err
	}
	s.tasks.Go(s.watch)
	return nil
}

// enter begins a call: Close waits for it. It must be followed by s.leave.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.gate.RLock()
	if s.closed {
		s.gate.RUnlock()
		return fmt.Errorf("store is closed: %w", queue.ErrUnavailable)
	}
	if why := s.barred.Load(); why != nil {
		s.gate.RUnlock()
		return fmt.Errorf("%s: %w", *why, queue.ErrUnavailable)
	}
	return nil
}

func (s *Store) leave() { s.gate.RUnlock() }

// Close waits for the calls under way, gives the leases back and ends the store.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	s.gate.Unlock()
	close(s.done)
	s.tasks.Wait()
	s.settler.stop()
	s.marker.stop()
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Patience)
	defer cancel()
	if s.barred.Load() == nil {
		s.releaseAll(ctx)
		s.unparkAll(ctx)
		s.deregister(ctx)
	}
	if err := s.sv.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// skew is what the servers' clock is ahead of this node's. Small differences
// are taken for the time that a question takes.
func (s *Store) skew() time.Duration { return time.Duration(s.offset.Load()) }

// ms is a caller's time as the servers count it.
func (s *Store) ms(now time.Time) int64 { return now.Add(s.skew()).UnixMilli() }

// touch is what scripts are told about slots that may be moved.
func (s *Store) touch() int {
	if s.o.Topology == Cluster {
		return 1
	}
	return 0
}

// home returns the partition of a message that has no idempotency key.
func (s *Store) home(id queue.MessageID) string {
	return s.parts[spread(shortID(id), len(s.parts))]
}

// Wake returns a channel that receives after work may have become due earlier,
// at once if this node saw to it and within a second if another did.
func (s *Store) Wake() (<-chan struct{}, func()) { return s.wake.Listen() }

// Notify returns a channel that receives after new events were committed,
// likewise.
func (s *Store) Notify() (<-chan struct{}, func()) { return s.notify.Listen() }
