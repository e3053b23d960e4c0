package logstore

import (
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options sets up a store. Only Dir must be given.
type Options struct {
	// Dir is the data directory; it is made if it is missing.
	Dir string
	// FS is where Dir lies; default vfs.Default.
	FS vfs.FS

	// MinFree is the free space, in bytes, below which mail is refused with
	// queue.ErrFull while delivery and clean-up go on; default 256 MiB,
	// negative for none.
	MinFree int64
	// ReserveBytes is kept allocated for delivery and clean-up on a disk that
	// others filled up; default 16 MiB, negative for none.
	ReserveBytes int64

	// SegmentSize is the size of a log file in bytes; default 64 MiB. It is
	// the step in which space is given back.
	SegmentSize int64
	// InlineLimit is the size in bytes up to which a content is held in memory
	// until its message is enqueued, and written with it; larger ones go to the
	// log in pieces of this size as they come. Default 256 KiB, at most 16 MiB.
	InlineLimit int

	// CacheSize is for blocks of the index, in bytes; default 32 MiB.
	CacheSize int64
	// MemTableSize is how much of the index is written at once, in bytes;
	// default 8 MiB. Up to four of them are in memory under load.
	MemTableSize int64
	// MaxOpenFiles limits the files of index and log that are kept open, each;
	// default 64.
	MaxOpenFiles int

	// Logger gets a line for each change of condition; default discards.
	Logger *slog.Logger
	// Observe is called after every commit that was waited for, by the call that
	// waited; it must be safe for concurrent use and must not call the store.
	// Nil: nobody looks.
	Observe func(CommitStats)
	// Exit ends the process when the index cannot go on, which is when a write
	// of its own manifest failed: nothing that was acknowledged is lost, since
	// the log has it, and the next Open recovers. It must not return. Default
	// os.Exit.
	Exit func(code int)
}

// CommitStats tells how a commit went.
type CommitStats struct {
	Took  time.Duration // until it was durable and applied
	Group int           // records that were made durable together with it, or just after
}

const (
	defaultMinFree      = 256 << 20
	defaultReserve      = 16 << 20
	defaultSegmentSize  = 64 << 20
	defaultInlineLimit  = 256 << 10
	maxInlineLimit      = 16 << 20
	defaultCacheSize    = 32 << 20
	defaultMemTableSize = 8 << 20
	defaultMaxOpenFiles = 64
	// flushEvery is how many bytes of log may have to be read again at Open.
	flushEvery = 256 << 20
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	size := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
		*v = max(*v, 0)
	}
	size(&o.MinFree, defaultMinFree)
	size(&o.ReserveBytes, defaultReserve)
	size(&o.SegmentSize, defaultSegmentSize)
	size(&o.CacheSize, defaultCacheSize)
	size(&o.MemTableSize, defaultMemTableSize)
	if o.InlineLimit <= 0 {
		o.InlineLimit = defaultInlineLimit
	}
	o.InlineLimit = min(o.InlineLimit, maxInlineLimit)
	if o.MaxOpenFiles <= 0 {
		o.MaxOpenFiles = defaultMaxOpenFiles
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	return o
}
