package commitlog

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrNoSpace means that the append was refused because the disk, the quota
	// or the space above [Options.LowWater] is used up. Nothing of it is in the
	// log and the log stays usable.
	ErrNoSpace = errors.New("no space left for the log")

	// ErrClosed means that the log was closed before the call.
	ErrClosed = errors.New("log is closed")

	// ErrFailed means that a write, a sync or Apply failed and the log takes no
	// more appends; the error wraps the cause as well. Whether the append is in
	// the log is known only after it was opened again.
	ErrFailed = errors.New("log has failed and must be reopened")

	// ErrRemoved means that the position lies before the oldest segment.
	ErrRemoved = errors.New("position was removed from the log")

	// ErrBeyondEnd means that the position lies at or after the durable end.
	ErrBeyondEnd = errors.New("position is beyond the end of the log")

	// ErrTooLarge means that a batch exceeds [MaxBatchBytes].
	ErrTooLarge = errors.New("batch is too large for the log")

	// ErrReservedType means that a record has type 0.
	ErrReservedType = errors.New("record type 0 is reserved")

	// ErrInUse means that the segment cannot be removed: it is the active one,
	// or an older one is still there.
	ErrInUse = errors.New("segment is active or not the oldest")
)

// CorruptError says where the log is damaged. The log is not repaired on its
// own, since that would drop records that were acknowledged.
type CorruptError struct {
	Path     string   // segment file
	Segment  Position // its first position
	Offset   int64    // byte offset in the file
	Position Position // Segment + Offset
	Reason   string
}

// Error names file, offset and reason and ends with what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("log segment %s is damaged at offset %d (position %s): %s; "+
		"check the disk, then restore this file from a backup or a snapshot before starting again",
		e.Path, e.Offset, e.Position, e.Reason)
}

// FormatError means that a segment was written in a format of a newer version.
type FormatError struct {
	Path    string
	Version uint32
}

// Error names the file and ends with what to do.
func (e *FormatError) Error() string {
	return fmt.Sprintf("log segment %s has format %d, this program knows up to %d; start the newer version again",
		e.Path, e.Version, formatVersion)
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
