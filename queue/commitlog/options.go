package commitlog

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options sets up a log. The zero value is usable: a log on the real file
// system without an index and without a space policy.
type Options struct {
	// FS is where the log lies; default vfs.Default. Put the index on the same
	// one, so that both crash together in tests.
	FS vfs.FS

	// SegmentSize is how many bytes a segment file may grow to; default
	// 64 MiB, at least 4 KiB. A batch that is larger gets a segment of its own.
	SegmentSize int64

	// Apply updates the index. It is called by one goroutine at a time, in log
	// order, with whole batches, after they were synced and before their
	// appends return. The entries and payloads are valid until it returns. An
	// error fails the log: the records are durable and come again at the next
	// Open. Apply must not append to the log and wait. Nil means no index.
	Apply func([]Entry) error

	// Applied is called, by the same goroutine, after Applied has passed what
	// Apply was given by an append, before that append returns. Nil: not called.
	Applied func()

	// From is where the index stands: the Next of the last entry that it has
	// kept. Open hands everything from there on to Apply before it returns.
	// Zero means an empty index and starts at the oldest segment.
	From Position

	// MaxUnsynced limits how long a record appended with NoSync waits for its
	// sync; default 20 ms.
	MaxUnsynced time.Duration

	// LowWater is the free space, in bytes, that ordinary appends leave on the
	// file system; below it they get ErrNoSpace and only Critical ones go on.
	// Zero means no limit but the disk's own.
	LowWater int64

	// ReserveBytes is kept allocated in reserve files, which are given up step
	// by step for Critical appends when the disk is full, and taken again when
	// there is room for them above LowWater. Zero means no reserve.
	ReserveBytes int64

	// MaxOpenFiles limits the segment files kept open for reading, not
	// counting those in use; default 64.
	MaxOpenFiles int

	// Logger gets a line for each change of state; default discards.
	Logger *slog.Logger
}

const (
	defaultSegmentSize  = 64 << 20
	minSegmentSize      = 4 << 10
	defaultMaxUnsynced  = 20 * time.Millisecond
	defaultMaxOpenFiles = 64
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	o.SegmentSize = alignUp(max(o.SegmentSize, minSegmentSize))
	if o.MaxUnsynced <= 0 {
		o.MaxUnsynced = defaultMaxUnsynced
	}
	if o.MaxOpenFiles <= 0 {
		o.MaxOpenFiles = defaultMaxOpenFiles
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
