// Package commitlog is an append-only log of records in segment files: the
// truth under a store whose index can be rebuilt by reading it again.
//
// It promises:
//
//   - An [Log.Append] that returned nil is on stable storage and was handed to
//     the index ([Options.Apply]); it survives power loss.
//   - The log is a prefix: if a record survives a crash, so does every record
//     before it. There are no gaps.
//   - The records of one [Batch] appear together or not at all.
//   - Damage is reported, never skipped. Only what a crash can leave behind,
//     an unproven tail of the last segment, is cut off by [Open].
//   - An append refused with [ErrNoSpace] left nothing behind and the log
//     stays usable.
//
// It leaves to others: the lock that keeps a second process away from the
// directory, what the payloads mean, when a segment may be removed.
//
// # Commit
//
// Appends wait in a queue. One goroutine takes all that wait, writes them with
// one write and syncs once; a second one hands them to Apply in log order and
// releases the callers, while the first is already writing the next group.
//
// # Format
//
// A segment file is named by its first position, in hex. Positions count the
// bytes of all segments, headers included, so a position less the segment's
// first is an offset in its file. The file starts with a header of 64 bytes
// (magic, version, first position, random salt, first position of the segment
// before, CRC); records follow, aligned to 8 bytes. All integers are
// little-endian:
//
//	0  crc32c over the rest of this header and the block sums, started from
//	   a hash of salt and position
//	4  length of the payload
//	8  type
//	9  flags: 1 = the batch goes on with the next record
//	10 magic 0x5052
//	12 distance back from this record to where the log was synced when this
//	   record was written
//	16 a crc32c for each 64 KiB block of the payload
//	   payload, then zeros up to a multiple of 8
//
// Since salt and position are in the checksum, stale bytes never pass for
// a record. The distance proves what was durable: a bad record is a torn write
// if no later record says that it was synced, and corruption if one does.
package commitlog
