package commitlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the log in dir, which it makes if it is missing. It checks the
// chain of segments and all records from Options.From on (and in the last
// segment all it must to find the end), cuts the torn tail off, makes the rest
// durable, and hands everything from Options.From on to Apply before it
// returns. It fails with a *CorruptError when acknowledged records are damaged
// or missing, and with a *FormatError when a newer version wrote them.
//
// Nothing else may have dir open; the caller holds a lock.
func Open(ctx context.Context, dir string, opts Options) (*Log, error) {
	l := &Log{dir: dir, opts: opts.withDefaults(), wake: make(chan struct{}, 1)}
	l.segs.fs, l.segs.maxOpen = l.opts.FS, l.opts.MaxOpenFiles
	c, err := l.open(ctx)
	if err != nil {
		if c != nil && c.seg != nil {
			l.segs.release(c.seg)
		}
		l.segs.closeAll()
		return nil, fmt.Errorf("open commit log: %w", err)
	}
	l.toApply, l.free = make(chan *group, 1), make(chan *group, groups)
	for range groups - 1 {
		l.free <- new(group)
	}
	c.g = new(group)
	l.stopped.Go(l.apply)
	l.stopped.Go(c.run)
	return l, nil
}

func (l *Log) open(ctx context.Context) (*committer, error) {
	fs := l.opts.FS
	if err := fs.MkdirAll(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	if err := syncDir(fs, fs.PathDir(l.dir)); err != nil {
		return nil, err
	}
	c := &committer{l: l, space: space{l: l}}
	if err := l.openSegments(c); err != nil {
		return c, err
	}
	if err := c.recover(ctx); err != nil {
		return c, err
	}
	if err := syncDir(fs, l.dir); err != nil {
		return c, err
	}
	if err := l.replay(ctx); err != nil {
		return c, err
	}
	return c, c.space.open()
}

// openSegments reads the headers, checks the chain and opens the last segment
// for writing.
func (l *Log) openSegments(c *committer) error {
	names, err := l.opts.FS.List(l.dir)
	if err != nil {
		return fmt.Errorf("list log directory: %w", err)
	}
	var firsts []Position
	for _, name := range names {
		if first, ok := parseSegmentName(name); ok {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	for i := 0; i+1 < len(firsts); i++ {
		s, err := l.openSealed(firsts[i], firsts[i+1])
		if err != nil {
			return err
		}
		if err := l.follow(s); err != nil {
			return err
		}
	}
	var last, prev Position
	if n := len(firsts); n > 0 {
		last = firsts[n-1]
		prev = firsts[max(n-2, 0)]
	} else if last = l.opts.From; last != 0 {
		return fmt.Errorf("the index stands at position %s but %s holds no log; "+
			"restore the log, or remove the index to begin anew", last, l.dir)
	}
	s, err := l.openLast(last, prev, len(firsts) > 0, c.space.preallocate())
	if err != nil {
		return err
	}
	if err := l.follow(s); err != nil {
		_ = s.file.Close()
		return err
	}
	s.refs, l.segs.open = 1, 1 // the writer's
	c.seg, c.off, c.filled = s, segmentHeaderSize, segmentHeaderSize
	return nil
}

// follow appends s to the segments, if it is the one that must follow.
func (l *Log) follow(s *segment) error {
	if n := len(l.segs.live); n > 0 && s.prev != l.segs.live[n-1].first {
		return s.corrupt(0, badRecord{fmt.Sprintf("the segment before it, %s, is missing", segmentName(s.prev))})
	}
	l.segs.live = append(l.segs.live, s)
	return nil
}

// openSealed checks the header and the size of a segment that is followed by
// another.
func (l *Log) openSealed(first, next Position) (*segment, error) {
	fs := l.opts.FS
	s := &segment{first: first, path: fs.PathJoin(l.dir, segmentName(first)), end: next, sealed: true}
	f, err := fs.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("open log segment: %w", err)
	}
	defer f.Close()
	err = s.readHeader(f)
	if errors.Is(err, errBadSegmentHeader) {
		return nil, s.corrupt(0, badRecord{err.Error()})
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat log segment: %w", err)
	}
	if info.Size() < int64(next-first) {
		return nil, s.corrupt(info.Size(), badRecord{"file ends before the next segment begins"})
	}
	return s, nil
}

// openLast opens the last segment for writing. It is made when there is none,
// or when the crash came before its header was complete.
func (l *Log) openLast(first, prev Position, exists bool, preallocate int64) (*segment, error) {
	fs := l.opts.FS
	if !exists {
		return createSegment(fs, l.dir, first, prev, preallocate)
	}
	s := &segment{first: first, path: fs.PathJoin(l.dir, segmentName(first))}
	f, err := fs.OpenReadWrite(s.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open log segment: %w", err)
	}
	if err = s.readHeader(f); err == nil {
		s.file = f
		return s, nil
	}
	var written bool
	if errors.Is(err, errBadSegmentHeader) {
		// The header is synced before the first record is written.
		written, err = hasDataBehindHeader(f)
		if err == nil && written {
			err = s.corrupt(0, badRecord{errBadSegmentHeader.Error()})
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return createSegment(fs, l.dir, first, prev, preallocate)
}
