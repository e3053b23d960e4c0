package commitlog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Log is an open commit log. All methods are safe for concurrent use.
type Log struct {
	dir    string
	opts   Options
	segs   segments
	blocks blockPool

	durable atomic.Uint64
	applied atomic.Uint64
	reserve atomic.Int64 // bytes held in reserve files

	mu     sync.Mutex
	queue  []*Batch
	err    error
	closed bool

	wake    chan struct{}
	toApply chan *group
	free    chan *group
	stopped sync.WaitGroup
}

// SegmentInfo describes a segment file.
type SegmentInfo struct {
	First Position // names the segment
	End   Position // position after its last durable record
	Size  int64    // bytes from First to End
	// Active is true for the newest segment, which still grows.
	Active bool
}

// Append appends the batch and returns when it is durable and applied (with
// NoSync: written). It is Start and Wait; see there for errors.
func (l *Log) Append(ctx context.Context, b *Batch) error {
	l.Start(b)
	return b.Wait(ctx)
}

// Start gives the batch its place in the order of the log and returns at once;
// Wait tells the outcome. Batches started one after the other by callers that
// exclude each other are written and applied in that order. Every Start must
// be followed by one Wait.
func (l *Log) Start(b *Batch) {
	b.control = controlNone
	l.start(b)
}

func (l *Log) start(b *Batch) {
	if err := b.prepare(l); err != nil {
		b.done <- err
		return
	}
	l.mu.Lock()
	err := l.err
	if l.closed {
		err = ErrClosed
	}
	if err == nil {
		l.queue = append(l.queue, b)
	}
	l.mu.Unlock()
	if err != nil {
		b.done <- err
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// withdraw takes b out of the queue and reports whether it was still there.
func (l *Log) withdraw(b *Batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, b)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// Sync returns when everything appended before it is durable and applied.
func (l *Log) Sync(ctx context.Context) error {
	return l.Append(ctx, &Batch{Critical: true})
}

// Roll seals the active segment and begins another, unless it is empty.
func (l *Log) Roll(ctx context.Context) error {
	b := &Batch{Critical: true, control: controlRoll}
	l.start(b)
	if err := b.Wait(ctx); err != nil {
		return fmt.Errorf("roll log segment: %w", err)
	}
	return nil
}

// Remove unlinks the segment that begins at first and syncs the directory. It
// must be the oldest one and not the active one, else ErrInUse is returned; a
// segment already gone is ErrRemoved. Readers that are in it, or have pinned
// it, go on; to others its positions are ErrRemoved. After any other error the
// segment may be back at the next Open.
func (l *Log) Remove(first Position) error {
	if err := l.segs.remove(first); err != nil {
		return err
	}
	l.opts.Logger.Info("log segment removed", "segment", first.String())
	return syncDir(l.opts.FS, l.dir)
}

// Segments lists the segments, oldest first, the active one last.
func (l *Log) Segments() []SegmentInfo {
	durable := l.End()
	l.segs.mu.Lock()
	defer l.segs.mu.Unlock()
	infos := make([]SegmentInfo, 0, len(l.segs.live))
	for _, s := range l.segs.live {
		end := max(durable, s.first)
		if s.sealed {
			end = s.end
		}
		infos = append(infos, SegmentInfo{First: s.first, End: end, Size: int64(end - s.first), Active: !s.sealed})
	}
	return infos
}

// First returns where the oldest segment begins: the place to read all from.
func (l *Log) First() Position {
	l.segs.mu.Lock()
	defer l.segs.mu.Unlock()
	return l.segs.live[0].first
}

// End returns the position after the last durable record.
func (l *Log) End() Position { return Position(l.durable.Load()) }

// Applied returns the position after the last record that Apply has taken.
func (l *Log) Applied() Position { return Position(l.applied.Load()) }

// Err returns why the log takes no more appends, or nil while it works. It
// wraps ErrFailed; reading goes on. The owner closes the log and opens it
// again.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail puts the log into the failed state; the first cause stays.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = fmt.Errorf("%w: %w", ErrFailed, cause)
	}
	err := l.err
	l.mu.Unlock()
	if first {
		l.opts.Logger.Error("log failed, reopen it", "error", cause)
	}
	return err
}

// Close writes, syncs and applies what was started, stops and closes the
// files. Later appends get ErrClosed; readers that are in the log finish. It
// returns the error the log had failed with, if any.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return ErrClosed
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	l.stopped.Wait()
	l.segs.closeAll()
	return l.Err()
}
