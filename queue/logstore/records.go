package logstore

import (
	"slices"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
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

	// Since format 2.
	recordImport = 10 // a message as an archive has it: no event, any state
	recordPast   = 11 // events of such messages, and readers that are past them

	// Since format 4.
	recordFolder = 12 // a change of an account's shelf
)

// place is where a content lies: nowhere, or in pieces of the same size but for
// the last.
type place struct {
	exists bool
	size   int64 // octets in all
	piece  int64 // octets of a piece
	at     []commitlog.Position
}

func encodePlace(e *codec.Encoder, p place) {
	e.Byte(codec.Bits(p.exists))
	if !p.exists {
		return
	}
	e.Int(p.size)
	e.Int(p.piece)
	e.Uint(uint64(len(p.at)))
	var last commitlog.Position
	for _, at := range p.at {
		e.Int(int64(at - last)) // pieces that were copied forward may descend
		last = at
	}
}

func decodePlace(d *codec.Decoder) (p place) {
	if p.exists = d.Byte()&1 != 0; !p.exists {
		return p
	}
	p.size, p.piece = d.Int(), d.Int()
	n := d.Count()
	if n > 0 {
		p.at = make([]commitlog.Position, n)
	}
	var last commitlog.Position
	for i := range p.at {
		last += commitlog.Position(d.Int())
		p.at[i] = last
	}
	if p.size < 0 || p.size > 0 && (p.piece <= 0 || int64(n) != (p.size+p.piece-1)/p.piece) {
		d.Fail()
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
	e := codec.Encoder{B: make([]byte, 0, 512)}
	e.Version()
	e.Fixed(r.message.ID[:])
	e.Time(r.now)
	e.Bytes(r.facts)
	e.Uint(uint64(len(r.values)))
	for _, v := range r.values {
		e.Bytes(v)
	}
	e.Uint(uint64(len(r.events)))
	for i := range r.events {
		e.Event(&r.events[i])
	}
	e.String(r.idem.Key)
	if r.idem.Key != "" {
		e.Fixed(r.idem.Fingerprint[:])
		e.Time(r.idem.ExpiresAt)
	}
	e.Byte(codec.Bits(r.inline))
	if r.inline {
		e.Int(r.content.size) // its place is only known once it is in the log
	} else {
		encodePlace(&e, r.content)
	}
	return e.B
}

func decodeEnqueue(b []byte) (*enqueueRecord, error) {
	r := new(enqueueRecord)
	d := codec.Decoder{B: b}
	d.Version()
	d.Fixed(r.message.ID[:])
	r.now = d.Time()
	r.facts = d.Raw()
	f := codec.Decoder{B: r.facts}
	f.Message(&r.message)
	for i := range d.Count() {
		v := d.Raw()
		rcpt, err := decodeRecipient(r.message.ID.Recipient(i), v)
		if err != nil {
			d.Fail()
		}
		r.recipients = append(r.recipients, rcpt)
		r.values = append(r.values, v)
	}
	for range d.Count() {
		r.events = append(r.events, r.own(d.Event(r.message.ID)))
	}
	r.idem.Key = d.String()
	if r.idem.Key != "" {
		d.Fixed(r.idem.Fingerprint[:])
		r.idem.ExpiresAt = d.Time()
	}
	if r.inline = d.Byte()&1 != 0; r.inline {
		size := d.Int()
		r.content = place{exists: true, size: size, piece: max(size, 1)}
	} else {
		r.content = decodePlace(&d)
	}
	if r.content.exists {
		r.message.Content.Key = slices.Clone(r.message.ID[:])
	}
	if err := f.Done(); err != nil {
		return nil, err
	}
	return r, d.Done()
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
		Kind: queue.EventQueued, At: at, Account: m.Account, Message: m.ID, Due: m.NotBefore, Recipients: recipients,
	}
}

// encodeRecipient is the value of a recipient in the index.
func encodeRecipient(r *queue.Recipient) []byte {
	e := codec.Encoder{B: make([]byte, 0, 160)}
	e.Version()
	e.Recipient(r)
	return e.B
}

func decodeRecipient(id queue.RecipientID, b []byte) (queue.Recipient, error) {
	r := queue.Recipient{ID: id}
	d := codec.Decoder{B: b}
	d.Version()
	d.Recipient(&r)
	return r, d.Done()
}

// storedMessage is the value of a message in the index.
type storedMessage struct {
	message    queue.Message
	content    place
	at         commitlog.Position // of its enqueue record; 0 if it was imported
	enqueued   time.Time
	recipients int
	facts      []byte
}

func (m *storedMessage) encode(b []byte) []byte {
	e := codec.Encoder{B: b}
	e.Version()
	encodePlace(&e, m.content)
	e.Uint(uint64(m.at))
	e.Time(m.enqueued)
	e.Uint(uint64(m.recipients))
	e.Bytes(m.facts)
	return e.B
}

func decodeMessage(id queue.MessageID, b []byte) (*storedMessage, error) {
	m := &storedMessage{message: queue.Message{ID: id}}
	d := codec.Decoder{B: b}
	d.Version()
	m.content = decodePlace(&d)
	m.at = commitlog.Position(d.Uint())
	m.enqueued = d.Time()
	m.recipients = int(d.Uint())
	m.facts = d.Bytes()
	f := codec.Decoder{B: m.facts}
	f.Message(&m.message)
	if err := f.Done(); err != nil {
		return nil, err
	}
	if m.recipients < 0 || m.recipients > queue.MaxRecipients {
		d.Fail()
	}
	if m.content.exists {
		m.message.Content.Key = append([]byte(nil), id[:]...)
	}
	return m, d.Done()
}
