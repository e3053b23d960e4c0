package commitlog

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reserveSteps is in how many files, and so steps, the reserve is kept.
const reserveSteps = 8

const reservePrefix = "reserve-"

// Space is how the log stands with the disk.
type Space struct {
	// Free is what the file system has left, in bytes; -1 if it cannot tell.
	Free int64
	// Reserve is what the reserve files hold, in bytes.
	Reserve int64
	// Low means that ordinary appends are refused with ErrNoSpace.
	Low bool
}

// Space asks the file system. Intake can look here before it takes a body.
func (l *Log) Space() Space {
	free := freeBytes(l.opts.FS, l.dir)
	return Space{
		Free:    free,
		Reserve: l.reserve.Load(),
		Low:     free >= 0 && free < l.opts.LowWater,
	}
}

// freeBytes returns -1 where the file system does not say.
func freeBytes(fs vfs.FS, dir string) int64 {
	u, err := fs.GetDiskUsage(dir)
	if err != nil {
		return -1
	}
	return int64(min(u.AvailBytes, 1<<62))
}

// space is the committer's view of the disk and its reserve files.
type space struct {
	l    *Log
	step int64 // bytes per reserve file
	held [reserveSteps]bool

	low   bool // below the low-water mark
	tight bool // the disk was full: write nothing but records
}

func (s *space) name(i int) string {
	return s.l.opts.FS.PathJoin(s.l.dir, fmt.Sprintf("%s%d-%d", reservePrefix, i, s.step))
}

// open takes over the reserve files there are, drops those of another size and
// fills up what is missing.
func (s *space) open() error {
	s.step = s.l.opts.ReserveBytes / reserveSteps
	fs := s.l.opts.FS
	names, err := fs.List(s.l.dir)
	if err != nil {
		return fmt.Errorf("list log directory: %w", err)
	}
	mine := map[string]int{}
	if s.step > 0 {
		for i := range reserveSteps {
			mine[fs.PathBase(s.name(i))] = i
		}
	}
	for _, name := range names {
		if !strings.HasPrefix(name, reservePrefix) {
			continue
		}
		if i, ok := mine[name]; ok && s.allocate(i) == nil {
			s.hold(i, true)
		} else if err := removeIfThere(fs, fs.PathJoin(s.l.dir, name)); err != nil {
			return err
		}
	}
	for range reserveSteps {
		s.check()
	}
	return nil
}

func (s *space) hold(i int, held bool) {
	s.held[i] = held
	if held {
		s.l.reserve.Add(s.step)
	} else {
		s.l.reserve.Add(-s.step)
	}
}

// check looks at the free space and takes one missing step of the reserve back
// if that leaves enough.
func (s *space) check() {
	if s.l.opts.LowWater <= 0 && s.step == 0 {
		s.tight = false
		return
	}
	free := freeBytes(s.l.opts.FS, s.l.dir)
	low := free >= 0 && free < s.l.opts.LowWater
	if low != s.low {
		s.l.opts.Logger.Warn("log space changed", "low", low, "free", free)
	}
	s.low = low
	s.tight = low
	if s.step == 0 || (free >= 0 && free < s.l.opts.LowWater+2*s.step) {
		return
	}
	for i, held := range s.held {
		if held {
			continue
		}
		if err := s.allocate(i); err != nil {
			_ = removeIfThere(s.l.opts.FS, s.name(i)) // the next Open does it else
			return
		}
		s.hold(i, true)
		return
	}
}

// allocate makes sure that reserve file i holds its blocks.
func (s *space) allocate(i int) error {
	f, err := s.l.opts.FS.OpenReadWrite(s.name(i), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open reserve file: %w", err)
	}
	defer f.Close()
	err = f.Preallocate(0, s.step)
	if err != nil && !isNoSpace(err) {
		err = writeZeros(f, 0, s.step)
	}
	if err != nil {
		return fmt.Errorf("allocate reserve file: %w", err)
	}
	return f.Sync()
}

// writeZeros writes n zeros at off.
func writeZeros(f vfs.File, off, n int64) error {
	zeros := make([]byte, min(n, blockSize))
	for end := off + n; off < end; {
		m, err := f.WriteAt(zeros[:min(end-off, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off += int64(m)
	}
	return nil
}

// release gives one step of the reserve back to the disk.
func (s *space) release() bool {
	for i, held := range s.held {
		if !held {
			continue
		}
		if err := removeIfThere(s.l.opts.FS, s.name(i)); err != nil {
			return false
		}
		s.hold(i, false)
		s.l.opts.Logger.Warn("log reserve used", "left", s.l.reserve.Load())
		return true
	}
	return false
}

// preallocate says how much a new segment may claim ahead: all of it, or
// nothing when that would push ordinary appends below the low-water mark.
func (s *space) preallocate() int64 {
	size := s.l.opts.SegmentSize
	free := freeBytes(s.l.opts.FS, s.l.dir)
	if s.tight || (free >= 0 && free < s.l.opts.LowWater+2*size) {
		return 0
	}
	return size
}

func removeIfThere(fs vfs.FS, path string) error {
	if err := fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

func isSyncError(err error) bool {
	var s syncError
	return errors.As(err, &s)
}
