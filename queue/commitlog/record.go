package commitlog

import (
	"context"
	"fmt"
	"strconv"
)

// MaxBatchBytes limits a batch with its headers. Larger content is appended as
// several batches with NoSync, followed by a synced one that names them.
const MaxBatchBytes = 64 << 20

// Position is a place in the log. Positions ascend in log order over all
// segments and are never used twice. Zero stands before the first record.
// Readers keep them and hand them back; only the log knows what they count.
type Position uint64

// String returns the position as in the names of segment files.
func (p Position) String() string { return fmt.Sprintf("%016x", uint64(p)) }

// ParsePosition reads what [Position.String] wrote.
func ParsePosition(s string) (Position, error) {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("position %q: want 16 hex digits", s)
	}
	return Position(v), nil
}

// Record is one record to append.
type Record struct {
	// Type tells kinds of records apart. It is the caller's; 0 is reserved.
	Type byte
	// Payload and Body are stored one after the other as one payload. Two
	// parts spare the caller from joining a header and a body. Neither may be
	// changed until the append has returned.
	Payload, Body []byte
	// Value is handed to Apply with the entry and is not stored. It lets Apply
	// skip decoding, and give an outcome back.
	Value any
	// Position is set by the log, before Apply sees the record. It holds if
	// the append returned nil.
	Position Position
}

// Entry is a record as it lies in the log.
type Entry struct {
	Position Position
	// Next is the position after this entry: where to go on reading.
	Next Position
	Type byte
	// Payload is Payload and Body of the record, joined. Unless said
	// otherwise it may be used only until the callback returns.
	Payload []byte
	// Value is what the append carried; nil when the entry was read from disk.
	Value any
}

// Batch is a set of records that is appended atomically, and the ticket to
// wait for it. A Batch is used by one goroutine at a time and may be used again
// after Wait or Append returned. A batch without records is a barrier: it
// returns when everything before it is durable and applied.
type Batch struct {
	Records []Record
	// NoSync makes the append return as soon as the records are ordered and
	// written to the file: they survive the death of the process, but not
	// power loss, until the next sync. That comes with the next durable append
	// or after Options.MaxUnsynced. They are applied after that sync.
	NoSync bool
	// Critical records may use the space below Options.LowWater and the
	// reserve: what frees space or keeps a promise, such as outcomes.
	Critical bool

	log     *Log
	done    chan error
	sums    []uint32
	size    int64
	control control
}

// control marks batches that carry no records but an order for the committer.
type control uint8

const (
	controlNone control = iota
	controlRoll
)

// Wait returns when the started batch is durable and applied (or, with NoSync,
// written). If ctx ends while the batch is still in the queue it is withdrawn
// and the error of ctx returned; once the committer has taken it, Wait stays
// until the outcome is known. Any error but [ErrFailed] means that nothing of
// the batch is in the log. Call it exactly once for each Start.
func (b *Batch) Wait(ctx context.Context) error {
	if ctx.Done() == nil {
		return <-b.done
	}
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		if b.log.withdraw(b) {
			return ctx.Err()
		}
		return <-b.done
	}
}

// prepare checks the batch and computes sizes and block sums, outside of any
// lock.
func (b *Batch) prepare(l *Log) error {
	b.log = l
	if b.done == nil {
		b.done = make(chan error, 1)
	}
	b.size, b.sums = 0, b.sums[:0]
	for i := range b.Records {
		r := &b.Records[i]
		if r.Type == 0 {
			return ErrReservedType
		}
		n := int64(len(r.Payload)) + int64(len(r.Body))
		if b.size += frameSize(n); b.size > MaxBatchBytes {
			return fmt.Errorf("%w: over %d bytes", ErrTooLarge, MaxBatchBytes)
		}
		b.sums = appendSums(b.sums, r.Payload, r.Body)
	}
	return nil
}
