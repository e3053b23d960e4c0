package queue

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors of a store. Callers ask with errors.Is.
var (
	// ErrNotFound: there is no such message, record, content or cache entry.
	ErrNotFound = errors.New("not found")
	// ErrExists: the message id is taken by another message.
	ErrExists = errors.New("already exists")
	// ErrIdempotencyConflict: the key is known with another fingerprint.
	ErrIdempotencyConflict = errors.New("idempotency key was used for another message")
	// ErrLeaseLost: the lease expired and was granted again, or was settled.
	ErrLeaseLost = errors.New("lease lost")
	// ErrVersion: the record changed since the version that was given.
	ErrVersion = errors.New("record was changed by someone else")
	// ErrClaimed: another holder has the claim.
	ErrClaimed = errors.New("claimed by another holder")
	// ErrFull: there is no room for more mail; delivery goes on. SMTP 452 4.3.1.
	ErrFull = errors.New("store is full")
	// ErrUnavailable: the store cannot answer now. SMTP 451 4.3.0.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrPosition: the event position is not of this store, or no longer kept.
	ErrPosition = errors.New("event position is not known")
	// ErrFilter: the filter or cursor makes no sense.
	ErrFilter = errors.New("filter is not valid")
)

// Store is all roles of an engine together.
type Store interface {
	Contents
	Enqueuer
	Leaser
	Lanes
	Reader
	Operator
	Events
	Registry
	Limits
	Cache
	Claims
	Folders
	Keeper

	// Close ends the store after the calls under way; leases end with it. Calls
	// made later return ErrUnavailable.
	Close() error
}

// Contents keeps the octets of messages.
type Contents interface {
	// CreateContent starts a content. It belongs to nobody, and is swept away
	// after a crash, until an Enqueue names it.
	CreateContent(ctx context.Context) (ContentWriter, error)
	// OpenContent opens the content of an accepted message: ErrNotFound once it
	// was removed. The returned reader stays readable until closed, whatever is
	// removed meanwhile.
	OpenContent(ctx context.Context, ref ContentRef) (Content, error)
	// RemoveContent forgets the content of a message whose recipients are all
	// final; its entry and history stay. It is no error if it is gone.
	RemoveContent(ctx context.Context, m MessageID) error
}

// ContentWriter takes a content as a stream, holding a bounded part of it in
// memory. It is not safe for concurrent use. Exactly one of Enqueue and Abort
// ends it; Abort after either does nothing.
type ContentWriter interface {
	// Write fails with ErrFull as soon as it is clear that there is no room.
	io.Writer
	Abort()
}

// Content is a stored content. Its methods are safe for concurrent use but for
// Read, which has one cursor.
type Content interface {
	io.Reader
	io.ReaderAt
	io.Closer
	Size() int64
}

// Enqueuer accepts mail.
type Enqueuer interface {
	// Enqueue makes message, recipients, content, idempotency key and the
	// EventQueued one durable commit. Recipients may start as queued,
	// scheduled, held, or final (with their event, which has their Last attempt).
	//
	// A key known with the same fingerprint returns the first message's id and
	// Duplicate, stores nothing and aborts the content; with another
	// fingerprint the error is ErrIdempotencyConflict.
	Enqueue(ctx context.Context, r EnqueueRequest) (Enqueued, error)
}

// EnqueueRequest is one message to keep. Message.Content.Key is set by the
// engine; its sizes by the caller.
type EnqueueRequest struct {
	Message     Message
	Recipients  []Recipient // 1 to MaxRecipients, ids by Message.ID.Recipient(i)
	Content     ContentWriter
	Idempotency Idempotency
	Now         time.Time

	// Lease, if not nil, asks for leases of the recipients that are due, which
	// are granted in the same commit for the lanes in which nothing else is
	// due and which are not parked, at most Lease.Max; the rest is queued.
	Lease *LeaseRequest
}

// Idempotency names a submission so that its repetition is recognised. The zero
// value is none. Keys are scoped by the message's account.
type Idempotency struct {
	Key         string
	Fingerprint [32]byte
	ExpiresAt   time.Time
}

// Enqueued is the outcome of Enqueue.
type Enqueued struct {
	ID        MessageID
	Duplicate bool
	Leases    []Lease
}

// Token fences a lease: it grows with every lease of the same recipient.
type Token uint64

// Lease is the exclusive right to attempt some recipients of one message in one
// lane until Expires. They are at most MaxLeaseRecipients and in order of index.
type Lease struct {
	Message    Message
	Recipients []Recipient // as they were when leased, State active
	Lane       Lane
	Token      Token
	Holder     string
	Expires    time.Time
}

// LeaseRequest asks for work.
type LeaseRequest struct {
	Now    time.Time
	Holder string        // the node
	TTL    time.Duration // from Now
	Max    int           // leases, not recipients; never more are granted
	Lane   Lane          // empty: any lane that is not parked
}

// Settlement is what became of one recipient of a lease.
type Settlement struct {
	Recipient RecipientID
	Outcome   State     // deferred, held or a final state
	Due       time.Time // next attempt, for deferred
	Lane      Lane      // where it waits from now on; empty: as before
	Attempt   *Attempt  // nil if none was made (routing failed before): then none is counted
	Class     Class
	// Delayed asks for a notice short of failure: of the delay, with deferred,
	// which is noted in Recipient.Delayed; of success, with delivered and
	// relayed. The event carries it.
	Delayed bool
	Reason  string // for the event; at most 512 bytes
}

// Leaser hands out work.
type Leaser interface {
	// Lease grants up to r.Max leases of recipients whose Due has come: fair
	// between accounts, within an account by priority, within a lane due first.
	// An engine that spreads the queue over partitions keeps this within each,
	// and lets them take turns.
	// It returns at once, with none if nothing is due. Its cost does not depend
	// on how much is queued or parked.
	Lease(ctx context.Context, r LeaseRequest) ([]Lease, error)
	// Extend moves the leases' end to now+ttl and returns those that were lost.
	Extend(ctx context.Context, now time.Time, ttl time.Duration, ls ...Lease) (lost []Lease, err error)
	// Mark records, before the final dot is sent, that these recipients may be
	// taken by the next hop. The mark survives the death of the process; it is
	// not waited for that it survives the loss of power. It ends with Settle,
	// unless the settlement's attempt is in doubt. ErrLeaseLost: send no dot.
	Mark(ctx context.Context, l Lease, rs []RecipientID) error
	// Settle records what became of recipients of the lease and ends it for
	// them, with one event each. A settlement is refused as a whole, with
	// ErrLeaseLost and without any change, if any of its recipients is no
	// longer held under this token. An expired lease that nobody was granted
	// meanwhile may still be settled. If an action is pending and the outcome
	// is deferred, the action is done instead.
	Settle(ctx context.Context, l Lease, s []Settlement) error
	// Release gives recipients back unattempted: their state, due time and
	// count are as before the lease. rs nil: all that are still held.
	Release(ctx context.Context, l Lease, now time.Time, rs []RecipientID) error
}

// Lanes steers which lanes are leased.
type Lanes interface {
	// Park keeps a lane from being leased until the given time; a time not
	// after now unparks. It is not durable: a restart unparks all. It is this
	// node's word: where several share the queue, others may serve the lane.
	Park(ctx context.Context, lane Lane, now, until time.Time) error
	// NextDue returns the earliest time at which Lease may find work in a lane
	// that is not parked by then: not after now if there is some already. ok is
	// false if nothing waits at all.
	NextDue(ctx context.Context, now time.Time) (due time.Time, ok bool, err error)
	// Wake returns a channel that receives after work may have become due
	// earlier than NextDue said, within a second if another node saw to it; it
	// holds one signal and is never closed. stop gives it back.
	Wake() (c <-chan struct{}, stop func())
}

// Cursor continues a listing; opaque, empty at the start and at the end.
type Cursor string

// Count is how many recipients are in a state, and since when the oldest is
// waiting (the zero time for final states and when there is none).
type Count struct {
	Recipients int64
	Oldest     time.Time // AcceptedAt of the oldest message that has one
}

// Reader looks at the queue.
type Reader interface {
	// Message returns a message and its recipients: ErrNotFound after retention.
	Message(ctx context.Context, id MessageID) (Entry, error)
	// List returns up to limit entries that have a matching recipient, newest
	// message first, each with its matching recipients only, and the cursor
	// for more. It may return fewer, with a cursor, to bound its work.
	List(ctx context.Context, f Filter, c Cursor, limit int) ([]Entry, Cursor, error)
	// Counts returns the recipients by state; states without any may be absent.
	Counts(ctx context.Context) (map[State]Count, error)
	// History returns the events of one message, oldest first.
	History(ctx context.Context, id MessageID) ([]Event, error)
	// Destinations returns up to limit lanes after one, by name, in which
	// something waits. Its cost does not depend on how much.
	Destinations(ctx context.Context, after Lane, limit int) ([]Destination, error)
}

// Destination is a lane in which something waits.
type Destination struct {
	Lane Lane
	// Waiting is how many recipients are queued, deferred or scheduled in it,
	// with those of them that are active. AtLeast says that there may be more,
	// and other lanes: what an older version left is still being counted.
	Waiting int64
	AtLeast bool
	NextDue time.Time // when something in it is due that is not active; zero: never, or not known
	Parked  time.Time // until when this node keeps it parked, which may be over; zero: not parked
}

// Operator changes what waits.
type Operator interface {
	// Apply does an action to all recipients that match, with one event each. A
	// large selection may be committed in several steps: what is counted in
	// Applied.Changed is durable also if an error is returned with it.
	Apply(ctx context.Context, op Operation) (Applied, error)
}

// Events is the log of changes, for readers with durable positions.
type Events interface {
	// ReadEvents returns up to limit durable events after a position, in an
	// order that is kept per message, and the position to go on from, which also
	// passes over what is no event. It returns at once. Whoever goes on from the
	// position of an event, or from one that was returned, gets each event that
	// the reading so far did not have, once. Between messages of different
	// partitions, if an engine has some, two readings may differ in their order.
	// ErrPosition: start from the empty position.
	ReadEvents(ctx context.Context, after Position, limit int) ([]Event, Position, error)
	// Acknowledge keeps a reader's position; events that some reader has not
	// acknowledged are kept, within retention.
	Acknowledge(ctx context.Context, reader string, p Position) error
	// Acknowledged returns what was kept; the empty position for a new reader.
	Acknowledged(ctx context.Context, reader string) (Position, error)
	// Notify returns a channel that receives after new events were committed, by
	// another node within a second; it holds one signal and is never closed. stop
	// gives it back.
	Notify() (c <-chan struct{}, stop func())
}

// RecordKind names a family of registry records.
type RecordKind string

// The families so far.
const (
	RecordAccount    RecordKind = "account"
	RecordCredential RecordKind = "credential"
	RecordDKIMKey    RecordKind = "dkim-key"
	RecordDomain     RecordKind = "domain"
	RecordSetting    RecordKind = "setting"

	RecordSuppression RecordKind = "suppression"
	RecordSuspension  RecordKind = "suspension"
	RecordStream      RecordKind = "stream"
	RecordWebhook     RecordKind = "webhook"
	RecordDelivery    RecordKind = "webhook-delivery"
	RecordStats       RecordKind = "stats"
	RecordFeedback    RecordKind = "feedback" // see relay/feedback
	RecordAlert       RecordKind = "alert"    // see relay/alert
	RecordACME        RecordKind = "acme"     // see cmd/internal/acme
)

// Record is a small versioned value, at most 64 KiB.
type Record struct {
	Kind    RecordKind
	Name    string // at most 512 bytes
	Version uint64 // grows with every change; 0: does not exist
	Value   []byte
}

// Registry keeps what is configured at run time.
type Registry interface {
	GetRecord(ctx context.Context, kind RecordKind, name string) (Record, error)
	// GetRecords returns those of the named records that exist, in the order of
	// names, in one round trip.
	GetRecords(ctx context.Context, kind RecordKind, names []string) ([]Record, error)
	// PutRecord writes r if the record's version is still r.Version, and
	// returns the new one; else ErrVersion.
	PutRecord(ctx context.Context, r Record) (version uint64, err error)
	// DeleteRecord likewise.
	DeleteRecord(ctx context.Context, r Record) error
	// ListRecords returns up to limit records of a kind whose names begin with
	// prefix and are greater than after, by name.
	ListRecords(ctx context.Context, kind RecordKind, prefix, after string, limit int) ([]Record, error)
	// RegistryVersion grows with every change of any record: a cheap question
	// for those who keep copies.
	RegistryVersion(ctx context.Context) (uint64, error)
}

// Rate is so many per period, of which Burst may come at once (at least 1).
type Rate struct {
	Count int
	Per   time.Duration
	Burst int
}

// Limits counts what nodes do together. It is not durable.
type Limits interface {
	// TakeRate takes n from a rate (generic cell rate algorithm). If they are
	// not to be had, nothing is taken and wait says when they would be.
	TakeRate(ctx context.Context, key string, now time.Time, rate Rate, n int) (ok bool, wait time.Duration, err error)
	// AcquireSlot takes or renews one of limit slots of key for holder until
	// now+ttl.
	AcquireSlot(ctx context.Context, key, holder string, now time.Time, limit int, ttl time.Duration) (ok bool, err error)
	// ReleaseSlot gives it back.
	ReleaseSlot(ctx context.Context, key, holder string) error
}

// Cache keeps small values for a while: keys up to 512 bytes, values up to
// 64 KiB. An engine may forget any of them early; what it returns is never older
// than its end. It survives restarts.
type Cache interface {
	// CacheGet returns ErrNotFound if there is none that lasts beyond now.
	CacheGet(ctx context.Context, key string, now time.Time) ([]byte, error)
	CachePut(ctx context.Context, key string, value []byte, now time.Time, ttl time.Duration) error
}

// Claims give one node at a time exclusive work.
type Claims interface {
	// Claim takes or renews the claim until now+ttl; ErrClaimed if another
	// holder has it. The fence grows whenever the holder changes.
	Claim(ctx context.Context, name, holder string, now time.Time, ttl time.Duration) (fence uint64, err error)
	// Unclaim gives it back, if it is still this holder's.
	Unclaim(ctx context.Context, name, holder string) error
}

// Retention says what may be forgotten. A zero time forgets nothing.
type Retention struct {
	Now     time.Time
	Sent    time.Time // entries without trouble whose last change was before
	Bounced time.Time // entries with a bounced, expired, cancelled or suppressed recipient, likewise
	Content time.Time // contents whose entry's last change was before
	Max     int       // messages to look at in one call, so that it stays short
}

// Swept says what a Sweep did.
type Swept struct {
	Entries  int
	Contents int
	Orphans  int   // contents that nobody named
	Bytes    int64 // given back to the file system
	More     bool  // call again
}

// Condition is how a store is.
type Condition struct {
	Accepting bool   // Enqueue may succeed
	Reason    string // why not, with what to do; empty if all is well
	Free      int64  // octets left for mail; -1 if unknown
	Used      int64  // octets used by the store; -1 if unknown
}

// Keeper is housekeeping.
type Keeper interface {
	// Sweep forgets entries, contents, idempotency keys and cache values whose
	// time is over, and orphans. It is safe to interrupt and to repeat.
	Sweep(ctx context.Context, r Retention) (Swept, error)
	// Condition is cheap enough for a readiness probe. It returns, with what it
	// could not find out as the reason, when ctx is over.
	Condition(ctx context.Context) Condition
}
