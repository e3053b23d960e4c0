package commitlog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	segmentHeaderSize = 64
	segmentMagic      = "prclog\r\n"
	segmentSuffix     = ".log"
	formatVersion     = 1
)

// segment is one file of the log. first, prev, path and salt never change; the rest
// is guarded by segments.mu, except that the holder of a reference may use
// file.
type segment struct {
	first Position
	prev  Position // first of the segment before, to notice when one is missing
	path  string
	salt  uint64

	end     Position // set when sealed
	sealed  bool
	removed bool
	file    vfs.File // nil when closed
	refs    int
	used    uint64
}

// segments is the set of segment files and the cache of their handles.
type segments struct {
	fs      vfs.FS
	maxOpen int

	mu    sync.Mutex
	live  []*segment // ascending; the last one is active
	gone  []*segment // removed, but still referenced
	open  int        // handles open among live
	clock uint64
}

func segmentName(first Position) string { return first.String() + segmentSuffix }

func parseSegmentName(name string) (Position, bool) {
	stem, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	p, err := ParsePosition(stem)
	return p, err == nil && p.String() == stem
}

func encodeHeader(s *segment, version uint32) []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], uint64(s.first))
	binary.LittleEndian.PutUint64(b[24:], s.salt)
	binary.LittleEndian.PutUint64(b[32:], uint64(s.prev))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

var errBadSegmentHeader = errors.New("segment header is damaged")

// readHeader fills in what the header tells. A header that fails its checksum, is cut
// short or belongs to another place is errBadSegmentHeader.
func (s *segment) readHeader(f vfs.File) error {
	b := make([]byte, segmentHeaderSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return errBadSegmentHeader
		}
		return fmt.Errorf("read header of log segment %s: %w", s.path, err)
	}
	if string(b[:8]) != segmentMagic || binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return errBadSegmentHeader
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return &FormatError{Path: s.path, Version: v}
	}
	if Position(binary.LittleEndian.Uint64(b[16:])) != s.first {
		return errBadSegmentHeader
	}
	s.salt = binary.LittleEndian.Uint64(b[24:])
	s.prev = Position(binary.LittleEndian.Uint64(b[32:]))
	return nil
}

// createSegment makes a durable, empty segment file, replacing one of that
// name. preallocate is advice: without it the file grows as it is written.
func createSegment(fs vfs.FS, dir string, first, prev Position, preallocate int64) (*segment, error) {
	s := &segment{first: first, prev: prev, path: fs.PathJoin(dir, segmentName(first))}
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.salt = binary.LittleEndian.Uint64(salt[:])
	f, err := fs.Create(s.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create log segment: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("create log segment %s: %w", s.path, err)
	}
	if s.file, err = fs.OpenReadWrite(s.path, vfs.WriteCategoryUnspecified); err != nil {
		return nil, fmt.Errorf("open log segment: %w", err)
	}
	if err := s.initialise(fs, dir, preallocate); err != nil {
		_ = s.file.Close()
		return nil, fmt.Errorf("initialise log segment %s: %w", s.path, err)
	}
	return s, nil
}

func (s *segment) initialise(fs vfs.FS, dir string, preallocate int64) error {
	if preallocate > 0 {
		// Some file systems cannot; then blocks are found as they are written.
		_ = s.file.Preallocate(0, preallocate)
	}
	if _, err := s.file.WriteAt(encodeHeader(s, formatVersion), 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return syncError{err}
	}
	return syncDir(fs, dir)
}

// syncError marks an error of a sync, after which nothing that was written
// through the same file may be trusted, not even when it is about space.
type syncError struct{ error }

func (e syncError) Unwrap() error { return e.error }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return syncError{fmt.Errorf("sync directory %s: %w", dir, err)}
	}
	return nil
}

// trim gives the preallocated rest of a sealed segment back where the file can.
// Nothing depends on it: the end of a sealed segment is the first position of
// the next.
func (s *segment) trim(size int64) {
	if t, ok := s.file.(interface{ Truncate(size int64) error }); ok {
		_ = t.Truncate(size)
	}
}

// add makes s the active segment. Its open file is referenced for the writer.
func (ss *segments) add(s *segment) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.refs++
	ss.open++
	ss.live = append(ss.live, s)
}

// seal ends the active segment and drops the writer's reference.
func (ss *segments) seal(s *segment, end Position) {
	ss.mu.Lock()
	s.end, s.sealed = end, true
	ss.mu.Unlock()
	ss.release(s)
}

// find returns the segment that holds pos, with ss.mu held.
func (ss *segments) find(pos Position) *segment {
	i, exact := slices.BinarySearchFunc(ss.live, pos, func(s *segment, p Position) int {
		switch {
		case s.first < p:
			return -1
		case s.first > p:
			return 1
		}
		return 0
	})
	if exact {
		return ss.live[i]
	}
	if i > 0 {
		return ss.live[i-1]
	}
	for _, s := range ss.gone {
		if s.first <= pos && pos < s.end {
			return s
		}
	}
	return nil
}

// acquire returns the segment that holds pos, open and referenced, and its end
// if it is sealed.
func (ss *segments) acquire(pos Position) (s *segment, end Position, sealed bool, err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s = ss.find(pos); s == nil {
		return nil, 0, false, fmt.Errorf("%w: %s", ErrRemoved, pos)
	}
	if s.file == nil {
		if s.file, err = ss.fs.Open(s.path); err != nil {
			s.file = nil
			return nil, 0, false, fmt.Errorf("open log segment: %w", err)
		}
		ss.open++
	}
	s.refs++
	ss.clock++
	s.used = ss.clock
	ss.evict()
	return s, s.end, s.sealed, nil
}

// release gives a reference back; the last one closes a removed segment.
func (ss *segments) release(s *segment) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.refs--
	if s.refs == 0 && s.removed {
		ss.gone = slices.DeleteFunc(ss.gone, func(g *segment) bool { return g == s })
		ss.closeFile(s)
		return
	}
	ss.evict()
}

// evict closes the least recently used handles above the limit, with ss.mu held.
func (ss *segments) evict() {
	for ss.open > ss.maxOpen {
		var oldest *segment
		for _, s := range ss.live {
			if s.file != nil && s.refs == 0 && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return
		}
		ss.closeFile(oldest)
	}
}

func (ss *segments) closeFile(s *segment) {
	if s.file != nil {
		_ = s.file.Close() // all that matters was synced before
		s.file = nil
		ss.open--
	}
}

// remove takes the oldest segment out of the set and unlinks it.
func (ss *segments) remove(first Position) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if first < ss.live[0].first {
		return fmt.Errorf("%w: segment %s", ErrRemoved, first)
	}
	s := ss.live[0]
	if s.first != first || !s.sealed {
		return fmt.Errorf("%w: %s", ErrInUse, first)
	}
	if err := ss.fs.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove log segment: %w", err)
	}
	ss.live = ss.live[1:]
	s.removed = true
	if s.refs > 0 {
		ss.gone = append(ss.gone, s)
	} else {
		ss.closeFile(s)
	}
	return nil
}

// closeAll closes every handle that no reader holds; readers close theirs.
func (ss *segments) closeAll() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.maxOpen = 0
	ss.evict()
}
