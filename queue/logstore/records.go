package logstore

import (
	"slices"
	"time"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// The types of log records; the numbers are stored. Bodies and chunks stand
// before the record that names them, in the same batch or an earlier one.
const (
	recordBody       = 1 // a whole content, or a piece that was copied forward
	recordFirstChunk = 2 // the first piece of a content that came as a stream
	recordChunk      = 3 // another piece of it
	recordEnqueue    = 4 // a message
	recordChange     = 5 // new states of recipients
	recordIndex      = 6 // plain changes of the index
	recordMove       = 7 // the bodies before it are pieces of this message now
	recordRegistry   = 8 // a registry record
	recordOpen       = 9 // the store was opened: a new epoch
)

// place is where a content lies: nowhere, or in pieces of the same size but for
// the last.
type place struct {
	exists bool
	size   int64 // octets in all
	piece  int64 // octets of a piece
	at     []commitlog.Position
}

func (e *encoder) place(p place) {
	e.byte(bits(p.exists))
	if !p.exists {
		return
	}
	e.int(p.size)
	e.int(p.piece)
	e.uint(uint64(len(p.at)))
	var last commitlog.Position
	for _, at := range p.at {
		e.int(int64(at - last)) // pieces that were copied forward may descend
		last = at
	}
}

func (d *decoder) place() (p place) {
	if p.exists = d.byte()&1 != 0; !p.exists {
		return p
	}
	p.size, p.piece = d.int(), d.int()
	n := d.count()
	if n > 0 {
		p.at = make([]commitlog.Position, n)
	}
	var last commitlog.Position
	for i := range p.at {
		last += commitlog.Position(d.int())
		p.at[i] = last
	}
	if p.size < 0 || p.size > 0 && (p.piece <= 0 || int64(n) != (p.size+p.piece-1)/p.piece) {
		d.fail()
	}
	return p
}

// length returns the octets of piece i.
func (p place) length(i int) int64 { return min(p.piece, p.size-int64(i)*p.piece) }

// enqueueRecord is one accepted message.
type enqueueRecord struct {
	message    queue.Message
	facts      []byte // message, encoded
	recipients []queue.Recipient
	values     [][]byte // recipients, encoded as in the index
	now        time.Time
	events     []queue.Event // of recipients that are final already
	idem       queue.Idempotency
	content    place
	inline     bool // the content is the body before this record
}

func (r *enqueueRecord) encode() []byte {
	e := encoder{b: make([]byte, 0, 512)}
	e.version()
	e.fixed(r.message.ID[:])
	e.time(r.now)
	e.bytes(r.facts)
	e.uint(uint64(len(r.values)))
	for _, v := range r.values {
		e.bytes(v)
	}
	e.uint(uint64(len(r.events)))
	for i := range r.events {
		e.event(&r.events[i])
	}
	e.string(r.idem.Key)
	if r.idem.Key != "" {
		e.fixed(r.idem.Fingerprint[:])
		e.time(r.idem.ExpiresAt)
	}
	e.byte(bits(r.inline))
	if r.inline {
		e.int(r.content.size) // its place is only known once it is in the log
	} else {
		e.place(r.content)
	}
	return e.b
}

func decodeEnqueue(b []byte) (*enqueueRecord, error) {
	r := new(enqueueRecord)
	d := decoder{b: b}
	d.version()
	d.fixed(r.message.ID[:])
	r.now = d.time()
	r.facts = d.raw()
	f := decoder{b: r.facts}
	f.message(&r.message)
	for i := range d.count() {
		v := d.raw()
		rcpt, err := decodeRecipient(r.message.ID.Recipient(i), v)
		if err != nil {
			d.fail()
		}
		r.recipients = append(r.recipients, rcpt)
		r.values = append(r.values, v)
	}
	for range d.count() {
		r.events = append(r.events, r.own(d.event(r.message.ID)))
	}
	r.idem.Key = d.string()
	if r.idem.Key != "" {
		d.fixed(r.idem.Fingerprint[:])
		r.idem.ExpiresAt = d.time()
	}
	if r.inline = d.byte()&1 != 0; r.inline {
		size := d.int()
		r.content = place{exists: true, size: size, piece: max(size, 1)}
	} else {
		r.content = d.place()
	}
	if r.content.exists {
		r.message.Content.Key = slices.Clone(r.message.ID[:])
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	return r, d.done()
}

func (r *enqueueRecord) own(v queue.Event) queue.Event {
	v.Account = r.message.Account
	return v
}

// queued is the event of the message as a whole. It is not stored.
func (r *enqueueRecord) queued() queue.Event {
	return queuedEvent(&r.message, len(r.recipients), r.now)
}

func queuedEvent(m *queue.Message, recipients int, at time.Time) queue.Event {
	return queue.Event{
		ID:   queue.NewEventID(at, queue.RecipientID(m.ID), 0),
		Kind: queue.EventQueued, At: at, Account: m.Account, Message: m.ID, Recipients: recipients,
	}
}

// encodeRecipient is the value of a recipient in the index.
func encodeRecipient(r *queue.Recipient) []byte {
	e := encoder{b: make([]byte, 0, 160)}
	e.version()
	e.recipient(r)
	return e.b
}

func decodeRecipient(id queue.RecipientID, b []byte) (queue.Recipient, error) {
	r := queue.Recipient{ID: id}
	d := decoder{b: b}
	d.version()
	d.recipient(&r)
	return r, d.done()
}

// storedMessage is the value of a message in the index.
type storedMessage struct {
	message    queue.Message
	content    place
	at         commitlog.Position // of its enqueue record
	enqueued   time.Time
	recipients int
	facts      []byte
}

func (m *storedMessage) encode(b []byte) []byte {
	e := encoder{b: b}
	e.version()
	e.place(m.content)
	e.uint(uint64(m.at))
	e.time(m.enqueued)
	e.uint(uint64(m.recipients))
	e.bytes(m.facts)
	return e.b
}

func decodeMessage(id queue.MessageID, b []byte) (*storedMessage, error) {
	m := &storedMessage{message: queue.Message{ID: id}}
	d := decoder{b: b}
	d.version()
	m.content = d.place()
	m.at = commitlog.Position(d.uint())
	m.enqueued = d.time()
	m.recipients = int(d.uint())
	m.facts = d.bytes()
	f := decoder{b: m.facts}
	f.message(&m.message)
	if err := f.done(); err != nil {
		return nil, err
	}
	if m.recipients < 0 || m.recipients > queue.MaxRecipients {
		d.fail()
	}
	if m.content.exists {
		m.message.Content.Key = append([]byte(nil), id[:]...)
	}
	return m, d.done()
}

// change is a recipient's way from one state to another.
type change struct {
	old struct {
		state   queue.State
		lane    queue.Lane
		due     int64
		pending bool
	}
	recipient queue.Recipient
	value     []byte       // recipient, encoded
	event     *queue.Event // nil if it is none for the world
	asked     *asked       // who asked for an action that is pending from now on
}

// asked says who wants a pending action, why and since when.
type asked struct {
	actor, reason string
	at            time.Time
}

func (a *asked) encode(b []byte) []byte {
	e := encoder{b: b}
	e.version()
	e.string(a.actor)
	e.string(a.reason)
	e.time(a.at)
	return e.b
}

func decodeAsked(b []byte) (a asked, err error) {
	d := decoder{b: b}
	d.version()
	a.actor, a.reason, a.at = d.string(), d.string(), d.time()
	return a, d.done()
}

// changeSet is the changes of one message, with what the index needs to know of
// it.
type changeSet struct {
	message    queue.MessageID
	account    string
	priority   queue.Priority
	acceptedAt time.Time
	changes    []change
}

func newChangeSet(m *queue.Message) changeSet {
	return changeSet{message: m.ID, account: m.Account, priority: m.Priority, acceptedAt: m.AcceptedAt}
}

// add notes that old becomes r, with an event or without.
func (c *changeSet) add(old, r *queue.Recipient, event *queue.Event) {
	ch := change{recipient: *r, value: encodeRecipient(r), event: event}
	ch.old.state, ch.old.lane, ch.old.due = old.State, old.Lane, nanos(old.Due)
	ch.old.pending = old.Pending != queue.ActionNone
	c.changes = append(c.changes, ch)
}

func (c *changeSet) flow(lane queue.Lane) flowKey {
	return flowKey{lane: lane, priority: c.priority, account: c.account}
}

func encodeChanges(sets []changeSet) []byte {
	e := encoder{b: make([]byte, 0, 512)}
	e.version()
	e.uint(uint64(len(sets)))
	for i := range sets {
		c := &sets[i]
		e.fixed(c.message[:])
		e.string(c.account)
		e.byte(byte(c.priority))
		e.time(c.acceptedAt)
		e.uint(uint64(len(c.changes)))
		for j := range c.changes {
			e.change(&c.changes[j])
		}
	}
	return e.b
}

func (e *encoder) change(ch *change) {
	e.fixed(ch.recipient.ID[14:])
	e.byte(byte(ch.old.state))
	e.string(string(ch.old.lane))
	e.int(ch.old.due)
	e.byte(bits(ch.old.pending, ch.event != nil, ch.asked != nil))
	e.bytes(ch.value)
	if ch.event != nil {
		e.event(ch.event)
	}
	if ch.asked != nil {
		e.bytes(ch.asked.encode(nil))
	}
}

func decodeChanges(b []byte) ([]changeSet, error) {
	d := decoder{b: b}
	d.version()
	sets := make([]changeSet, d.count())
	for i := range sets {
		c := &sets[i]
		d.fixed(c.message[:])
		c.account = d.string()
		c.priority = queue.Priority(d.byte())
		c.acceptedAt = d.time()
		for range d.count() {
			c.changes = append(c.changes, d.change(c))
		}
	}
	return sets, d.done()
}

func (d *decoder) change(c *changeSet) (ch change) {
	id := queue.RecipientID(c.message)
	d.fixed(id[14:])
	ch.old.state = queue.State(d.byte())
	ch.old.lane = queue.Lane(d.string())
	ch.old.due = d.int()
	flags := d.byte()
	ch.old.pending = flags&1 != 0
	ch.value = d.raw()
	var err error
	if ch.recipient, err = decodeRecipient(id, ch.value); err != nil {
		d.fail()
	}
	if flags&2 != 0 {
		v := d.event(c.message)
		v.Account = c.account
		ch.event = &v
	}
	if flags&4 != 0 {
		a, err := decodeAsked(d.raw())
		if err != nil {
			d.fail()
		}
		ch.asked = &a
	}
	return ch
}

// edits are plain changes of the index, for what has no meaning of its own in
// the log.
type edits struct {
	set    [][2][]byte
	delete [][]byte
	counts map[queue.State]int64 // to be added
	live   int64                 // octets of content to be added

	forgotten       commitlog.Position // record of the last event that is removed
	forgottenEvents int                // how many events that record has
}

func (x *edits) put(key, value []byte) { x.set = append(x.set, [2][]byte{key, value}) }
func (x *edits) drop(key []byte)       { x.delete = append(x.delete, key) }
func (x *edits) empty() bool           { return len(x.set)+len(x.delete) == 0 }

func (x *edits) count(s queue.State, n int64) {
	if x.counts == nil {
		x.counts = make(map[queue.State]int64)
	}
	x.counts[s] += n
}

func (x *edits) encode() []byte {
	var e encoder
	e.version()
	e.uint(uint64(len(x.set)))
	for _, kv := range x.set {
		e.bytes(kv[0])
		e.bytes(kv[1])
	}
	e.uint(uint64(len(x.delete)))
	for _, k := range x.delete {
		e.bytes(k)
	}
	e.uint(uint64(len(x.counts)))
	for s, n := range x.counts {
		e.byte(byte(s))
		e.int(n)
	}
	e.int(x.live)
	e.uint(uint64(x.forgotten))
	e.uint(uint64(x.forgottenEvents))
	return e.b
}

func decodeEdits(b []byte) (*edits, error) {
	x := new(edits)
	d := decoder{b: b}
	d.version()
	for range d.count() {
		x.put(d.raw(), d.raw())
	}
	for range d.count() {
		x.drop(d.raw())
	}
	for range d.count() {
		s := queue.State(d.byte())
		n := d.int()
		if !s.Valid() {
			d.fail()
		}
		x.count(s, n)
	}
	x.live = d.int()
	x.forgotten = commitlog.Position(d.uint())
	x.forgottenEvents = int(d.uint())
	return x, d.done()
}

// moveRecord says that the bodies before it in the batch are these pieces of
// the message's content from now on.
type moveRecord struct {
	message queue.MessageID
	value   storedMessage // with the old place
	pieces  []int
}

func (r *moveRecord) encode() []byte {
	var e encoder
	e.version()
	e.fixed(r.message[:])
	e.bytes(r.value.encode(nil))
	e.uint(uint64(len(r.pieces)))
	for _, p := range r.pieces {
		e.uint(uint64(p))
	}
	return e.b
}

func decodeMove(b []byte) (*moveRecord, error) {
	r := new(moveRecord)
	d := decoder{b: b}
	d.version()
	d.fixed(r.message[:])
	v, err := decodeMessage(r.message, d.raw())
	if err != nil {
		return nil, err
	}
	r.value = *v
	for range d.count() {
		p := d.uint()
		if p >= uint64(len(r.value.content.at)) {
			d.fail()
		}
		r.pieces = append(r.pieces, int(p))
	}
	return r, d.done()
}

// registryRecord is a change of the registry; its version is given when it is
// applied, so that versions ascend as changes become visible.
type registryRecord struct {
	kind    queue.RecordKind
	name    string
	value   []byte
	deleted bool

	version uint64
}

func (r *registryRecord) encode() []byte {
	var e encoder
	e.version()
	e.string(string(r.kind))
	e.string(r.name)
	e.byte(bits(r.deleted))
	e.bytes(r.value)
	return e.b
}

func decodeRegistry(b []byte) (*registryRecord, error) {
	d := decoder{b: b}
	d.version()
	r := &registryRecord{kind: queue.RecordKind(d.string()), name: d.string()}
	r.deleted = d.byte()&1 != 0
	r.value = d.bytes()
	return r, d.done()
}
