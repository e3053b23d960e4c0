package queue

import (
	"context"
	"time"
)

// Archive moves the whole of a store: an engine gives it out and takes it in
// item by item, so that a queue can go from one engine to another, or into a
// file and back. It is for a store that no relay uses meanwhile: leases, parked
// lanes, limits, claims and the cache stay behind, and leased recipients are
// exported as they were before their lease.
type Archive interface {
	// Export returns up to limit items after a cursor, and the cursor to go on
	// from, which is empty at the end. The order is: records, messages by id,
	// idempotency keys, then events in log order with, between them, the places
	// up to which readers have acknowledged. A cursor stays good while nothing
	// changes the store, also when it is closed and opened again.
	Export(ctx context.Context, c Cursor, limit int) ([]Item, Cursor, error)
	// Import adds items, in the order of an Export; it is durable when it
	// returns nil. To import the same items again, in the same order, changes
	// nothing: whoever was interrupted goes on from any earlier cursor. A
	// message or a record that is there but differs is ErrExists.
	Import(ctx context.Context, items []Item) error
}

// Item is one thing of an Archive: exactly one field is set.
type Item struct {
	Record  *Record // its version is not kept
	Message *ArchivedMessage
	Key     *ArchivedKey
	Event   *Event // of a message that was imported before; its position is not kept
	Reader  *ArchivedReader
}

// ArchivedMessage is a message with its recipients, whatever their states.
type ArchivedMessage struct {
	Entry Entry
	// Content is for Import: the content, written in full, that belongs to the
	// message from then on; nil if it has been removed. Import ends it also
	// when it fails. Export leaves it nil: OpenContent reads the one that
	// Entry.Message.Content names, if that has a key.
	Content ContentWriter
}

// ArchivedKey is an idempotency key that is still known.
type ArchivedKey struct {
	Account     string
	Key         string
	Fingerprint [32]byte
	Message     MessageID
	ExpiresAt   time.Time
}

// ArchivedReader says that a reader has acknowledged all events before this
// item, and none after it.
type ArchivedReader struct{ Name string }
