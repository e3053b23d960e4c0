// Package archive moves a stopped queue: from one store to another, whatever
// their engines, or into one portable file and back.
//
// Copy reads a Source (a store, or a Reader of a file) and writes a Target (a
// store by way of Into, or a Writer of a file). It promises:
//
//   - What it says is complete was read back from both sides and compared, by
//     counts and by a digest over every item and every octet of content. If
//     something differs, the error names the first thing that does.
//   - An interruption at any moment loses nothing: the same call again goes on
//     from the last checkpoint. The checkpoint lies in the target, so that it
//     moves with what it speaks of, is lost with it, and marks it as
//     unfinished: a record of the registry in a store, a frame in a file. It is
//     gone when the copy is complete.
//   - A store that holds other mail is refused and not touched, and so is a
//     source that changed since an interrupted copy began.
//   - Memory is bounded, however many and however large the messages are.
//
// It leaves to others: that nobody uses the source or the target meanwhile, and
// which of the two is used afterwards. Leases, parked lanes, limits, claims and
// the cache are not moved.
//
// # The file
//
// A file is a line with its version and then frames: type (1 octet), length of
// the payload (4, little-endian), CRC-32C of type, length and payload (4), and
// the payload. The types are
//
//	'h'  first of all: JSON, when it was made and of what
//	'c'  a piece of a content, raw: 256 KiB, or less if it is the last one
//	'i'  an item as JSON; a message names the places of its pieces, before it
//	'k'  a checkpoint as JSON, for who resumes; readers pass over it
//	'e'  the end: JSON with the counts and the digest of all items
//
// after which comes the offset of the last frame (8) and a closing mark (8): a
// file that was cut short is recognised by its end. The pieces of a content,
// but for the last one, follow one another, so that ranges can be read.
//
// # The digest
//
// Each item has a SHA-256 of its JSON, without places, and of its content. They
// are added up as numbers of 256 bits, since engines may differ in the order in
// which they give items out. The order that matters is in the items: an event's
// id is made of its number, and a reader is hashed with the digest of the
// events before it.
package archive
