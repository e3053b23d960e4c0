package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
	"postrider/queue/signal"
)

// Store is an open store. All its methods are safe for concurrent use.
//
// Locks are taken in this order: gate, importing, one of idems, names or claims
// of a key, stripes of messages, mu. A stripe is held from the look at the state of
// a message until what was decided is applied; mu never while anything is
// written.
type Store struct {
	opts    Options
	lock    io.Closer
	db      *pebble.DB
	log     *commitlog.Log
	epoch   uint64
	lineage string

	gate   sync.RWMutex // held for reading by every call
	closed bool

	messages stripes // by message id
	idems    stripes // by idempotency key
	names    stripes // by registry name
	sweeping sync.Mutex
	seen     lastEvent // guarded by sweeping

	importing sync.Mutex
	raising   sync.Mutex   // the format; nothing is locked while it is held
	format    atomic.Int64 // of the directory

	mu       sync.Mutex
	meta     meta
	schedule *schedule
	recent   recentIDs
	held     map[queue.RecipientID]*held
	leases   map[queue.Token]*lease
	expiring heap[*lease]
	active   [queue.StateSuppressed + 1]int64 // leased recipients by the state in the index
	token    uint64
	readers  map[string]queue.Position
	oldest   [queue.StateSuppressed + 1]queue.RecipientID // nothing in the state sorts before

	writers openContents
	wake    signal.Signal
	notify  signal.Signal
	limits  limits
	claims  claims
	group   atomic.Int64 // records of the last commit
	full    atomic.Bool  // the last append was refused for space
}

var _ queue.Store = (*Store)(nil)

// Open opens the store in o.Dir, which it makes if it is missing. It replays
// what the index does not have yet, and does what operators asked for while
// recipients were leased by a process that is gone. It refuses a directory
// that another process has open, or that a newer version wrote.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("open store: no directory is given")
	}
	lock, err := lockDir(o.FS, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", o.Dir, err), lock.Close())
	}
	s.lock = lock
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	format, err := checkFormat(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	db, err := openIndex(o, o.FS.PathJoin(o.Dir, "index"))
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, db: db,
		held:    make(map[queue.RecipientID]*held),
		leases:  make(map[queue.Token]*lease),
		readers: make(map[string]queue.Position),
	}
	s.format.Store(int64(format))
	s.schedule = newSchedule(s.loadFlow)
	s.expiring.less = func(a, b *lease) bool { return a.expires < b.expires }
	s.expiring.moved = func(l *lease, i int) { l.index = i }
	if err := s.start(ctx); err != nil {
		if s.log != nil {
			err = errors.Join(err, s.log.Close())
		}
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// start replays the log and builds what is kept in memory.
func (s *Store) start(ctx context.Context) error {
	a := &applier{s: s}
	err := get(s.db, metaKey, func(b []byte) (err error) {
		a.meta, err = decodeMeta(b)
		return err
	})
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("read the index's position: %w", err)
	}
	s.meta, a.flushed = a.meta, a.meta.next
	if a.lanes, err = s.findLanes(a.meta.next); err != nil {
		return err
	}
	s.log, err = commitlog.Open(ctx, s.opts.FS.PathJoin(s.opts.Dir, "log"), commitlog.Options{
		FS: s.opts.FS, SegmentSize: s.opts.SegmentSize, Apply: a.apply, Applied: a.announce, From: a.meta.next,
		LowWater: s.opts.MinFree, ReserveBytes: s.opts.ReserveBytes,
		MaxOpenFiles: s.opts.MaxOpenFiles, Logger: s.opts.Logger,
	})
	if err != nil {
		return err
	}
	// Tokens of this opening are above all earlier ones, also when the disk is
	// so full that nothing can be written.
	opened := &commitlog.Batch{Critical: true, Records: []commitlog.Record{{Type: recordOpen, Payload: []byte{codec.Version}}}}
	if err := s.findLineage(opened); err != nil {
		return err
	}
	if err := s.append(ctx, opened); err != nil {
		return err
	}
	s.epoch = s.meta.epoch
	s.token = s.epoch << 32
	if err := s.findNewest(); err != nil {
		return err
	}
	if err := s.findFlows(); err != nil {
		return err
	}
	if err := s.findReaders(); err != nil {
		return err
	}
	return s.finishPending(ctx)
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
	return nil
}

func (s *Store) leave() { s.gate.RUnlock() }

// Close waits for the calls under way, writes the index and ends the store.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	s.gate.Unlock()
	var errs []error
	if err := s.log.Close(); err != nil {
		errs = append(errs, err)
	} else if err := s.db.Flush(); err != nil {
		errs = append(errs, err) // only costs a longer replay, but tells of trouble
	}
	errs = append(errs, s.db.Close(), s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// append commits a batch and translates its errors.
func (s *Store) append(ctx context.Context, b *commitlog.Batch) error {
	start := time.Now()
	err := s.log.Append(ctx, b)
	switch {
	case err == nil:
		if s.opts.Observe != nil && !b.NoSync {
			s.opts.Observe(CommitStats{Took: time.Since(start), Group: int(s.group.Load())})
		}
		if s.full.Load() && !b.Critical {
			s.full.Store(false)
		}
		return nil
	case errors.Is(err, commitlog.ErrNoSpace):
		s.full.Store(true)
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return unavailable("append to the log", err)
}

// commit appends one record that is durable when it returns.
func (s *Store) commit(ctx context.Context, typ byte, payload []byte, e effect) error {
	b := &commitlog.Batch{Critical: true, Records: []commitlog.Record{{Type: typ, Payload: payload}}}
	if e != nil {
		b.Records[0].Value = e
	}
	return s.append(ctx, b)
}

func unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, queue.ErrUnavailable, err)
}

// findFlows learns which flows have something waiting: one look per flow.
func (s *Store) findFlows() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyDue}, UpperBound: []byte{keyDue + 1}})
	if err != nil {
		return unavailable("read index", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ok := it.First(); ok; {
		key, valid := readFlowKey(it.Key())
		if !valid {
			return errors.Join(damaged("a flow", codec.ErrCodec), it.Close())
		}
		f := s.schedule.flow(key)
		f.bound, f.complete = readItem(it.Key()), false
		s.schedule.place(f)
		ok = it.SeekGE(after(key.prefix(nil)))
	}
	if err := it.Close(); err != nil {
		return unavailable("read index", err)
	}
	return nil
}

// loadFlow reads on where the window of f ends. It is called with s.mu held.
func (s *Store) loadFlow(f *flow) error {
	prefix := f.key.prefix(nil)
	lower := appendOrdered(slices.Clone(prefix), f.bound.due)
	lower = append(lower, f.bound.id[:]...)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(prefix)})
	if err != nil {
		return unavailable("read index", err)
	}
	window := append(make([]item, 0, len(f.window)+windowLoad), f.window...)
	n := 0
	ok := it.First()
	for ; ok && n < windowLoad; ok = it.Next() {
		next := readItem(it.Key())
		if h := s.held[next.id]; h != nil && h.status != lapsed {
			continue
		}
		window = append(window, next)
		n++
	}
	if ok {
		f.bound = readItem(it.Key())
	}
	if err := it.Close(); err != nil {
		return unavailable("read index", err)
	}
	f.window, f.complete = window, !ok
	return nil
}

// stripes is a set of locks for keys that are too many for one each.
type stripes [4096]sync.RWMutex

func (s *stripes) of(hash uint64) *sync.RWMutex { return &s[hash%uint64(len(s))] }

// lockAll locks those of all the hashes, in an order that all agree on.
func (s *stripes) lockAll(hashes []uint64) (unlock func()) {
	list := make([]int, 0, len(hashes))
	for _, h := range hashes {
		list = append(list, int(h%uint64(len(s))))
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, i := range list {
		s[i].Lock()
	}
	return func() {
		for _, i := range list {
			s[i].Unlock()
		}
	}
}

// Wake returns a channel that receives after work may have become due earlier.
func (s *Store) Wake() (<-chan struct{}, func()) { return s.wake.Listen() }

// Notify returns a channel that receives after new events were committed.
func (s *Store) Notify() (<-chan struct{}, func()) { return s.notify.Listen() }
