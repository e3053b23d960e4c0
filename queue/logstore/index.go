package logstore

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/commitlog"
)

// meta is what the index keeps about itself, written with every batch: so it
// is exactly as old as the rest.
type meta struct {
	next            commitlog.Position // where the log goes on behind what is applied
	epoch           uint64             // of this opening
	registry        uint64             // version of the registry
	live            int64              // octets of content that somebody may read
	forgotten       commitlog.Position // record of the last event that was removed
	forgottenEvents int                // how many events that record had
	// By how much AcceptedAt is after the time in the id, in nanoseconds: the
	// least and the most of all messages so far, and zero. So a time bounds ids.
	skewMin, skewMax int64
	counts           [queue.StateSuppressed + 1]int64
}

func (m *meta) encode(b []byte) []byte {
	e := codec.Encoder{B: b[:0]}
	e.Version()
	e.Uint(uint64(m.next))
	e.Uint(m.epoch)
	e.Uint(m.registry)
	e.Int(m.live)
	e.Uint(uint64(m.forgotten))
	e.Uint(uint64(m.forgottenEvents))
	e.Int(m.skewMin)
	e.Int(m.skewMax)
	for _, n := range m.counts {
		e.Int(n)
	}
	return e.B
}

func decodeMeta(b []byte) (m meta, err error) {
	d := codec.Decoder{B: b}
	d.Version()
	m.next = commitlog.Position(d.Uint())
	m.epoch = d.Uint()
	m.registry = d.Uint()
	m.live = d.Int()
	m.forgotten = commitlog.Position(d.Uint())
	m.forgottenEvents = int(d.Uint())
	m.skewMin = d.Int()
	m.skewMax = d.Int()
	for i := range m.counts {
		m.counts[i] = d.Int()
	}
	return m, d.Done()
}

// openIndex opens Pebble without a log of its own: what it has not written to
// its tables yet comes again from ours, from the position that it kept. Its
// memory tables are written whole and in order, so that the tables always are
// the state at some position.
func openIndex(o Options, dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(o.CacheSize)
	defer cache.Unref()
	log := indexLogger{o.Logger, o.Exit}
	po := &pebble.Options{
		FS:                          o.FS,
		Cache:                       cache,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                uint64(o.MemTableSize),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                o.MaxOpenFiles,
		Logger:                      log,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				o.Logger.Error("index cannot be written, will try again: see that the disk has room", "error", err)
			},
		},
	}
	// What lies below is old: pages of folders are read there, and searches go
	// through all of it, at half the cost with blocks of this size.
	po.Levels[5].BlockSize = 32 << 10 // and of level 6
	if err := makePrivate(o.FS, dir); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	db, err := pebble.Open(dir, po)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	return db, nil
}

// indexLogger passes on what an operator must know.
type indexLogger struct {
	log  *slog.Logger
	exit func(int)
}

func (l indexLogger) Infof(string, ...any) {}

func (l indexLogger) Errorf(format string, args ...any) {
	l.log.Error("index trouble", "error", fmt.Sprintf(format, args...))
}

// Fatalf is called when Pebble cannot know any more what is on the disk. It
// holds its locks then and must not go on.
func (l indexLogger) Fatalf(format string, args ...any) {
	l.log.Error("index failed: the process ends, and recovers when it is started again", "error", fmt.Sprintf(format, args...))
	l.exit(70)
	select {}
}

// get reads a value and lets use look at it while it is valid. It is
// queue.ErrNotFound if there is none.
func get(r pebble.Reader, key []byte, use func([]byte) error) error {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return queue.ErrNotFound
	}
	if err != nil {
		return unavailable("read index", err)
	}
	err = use(v)
	return errors.Join(err, closer.Close())
}

// each calls fn for the keys from lower to before upper until it returns false.
func each(r pebble.Reader, lower, upper []byte, fn func(it *pebble.Iterator) (bool, error)) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return unavailable("read index", err)
	}
	more := true
	for ok := it.First(); ok && more && err == nil; ok = it.Next() {
		more, err = fn(it)
	}
	if cerr := it.Close(); err == nil && cerr != nil {
		err = unavailable("read index", cerr)
	}
	return err
}

// damaged says that a stored value makes no sense.
func damaged(what string, err error) error {
	return fmt.Errorf("read %s from the index: %w: %w; remove the directory \"index\" on a stopped store only if the log still goes back to its beginning", what, err, queue.ErrUnavailable)
}

func (s *Store) readMessage(r pebble.Reader, id queue.MessageID) (m *storedMessage, err error) {
	var k [1 + 16]byte
	err = get(r, messageKey(k[:0], id), func(b []byte) error {
		if m, err = decodeMessage(id, b); err != nil {
			return damaged("message "+id.String(), err)
		}
		return nil
	})
	return m, err
}

func (s *Store) readRecipient(r pebble.Reader, id queue.RecipientID) (rcpt queue.Recipient, err error) {
	var k [1 + 16]byte
	err = get(r, recipientKey(k[:0], id), func(b []byte) error {
		if rcpt, err = decodeRecipient(id, b); err != nil {
			return damaged("recipient "+id.String(), err)
		}
		return nil
	})
	return rcpt, err
}

func (s *Store) hasMessage(id queue.MessageID) (bool, error) {
	var k [1 + 16]byte
	err := get(s.db, messageKey(k[:0], id), func([]byte) error { return nil })
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
