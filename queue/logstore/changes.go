package logstore

import (
	"time"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/rules"
)

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
	asked     *rules.Asked // who asked for an action that is pending from now on
}

// encodeAsked is the value of a pending action in the index.
func encodeAsked(b []byte, a *rules.Asked) []byte {
	e := codec.Encoder{B: b}
	e.Version()
	e.String(a.Actor)
	e.String(a.Reason)
	e.Time(a.At)
	return e.B
}

func decodeAsked(b []byte) (a rules.Asked, err error) {
	d := codec.Decoder{B: b}
	d.Version()
	a.Actor, a.Reason, a.At = d.String(), d.String(), d.Time()
	return a, d.Done()
}

// changeSet is the changes of one message, with what the index needs to know of
// it.
type changeSet struct {
	message    queue.MessageID
	account    string
	priority   queue.Priority
	acceptedAt time.Time
	changes    []change
	value      []byte // of the message in the index, if its facts change too
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
	e := codec.Encoder{B: make([]byte, 0, 512)}
	e.Version()
	e.Uint(uint64(len(sets)))
	for i := range sets {
		c := &sets[i]
		e.Fixed(c.message[:])
		e.String(c.account)
		e.Byte(byte(c.priority))
		e.Time(c.acceptedAt)
		e.Uint(uint64(len(c.changes)))
		for j := range c.changes {
			encodeChange(&e, &c.changes[j])
		}
	}
	encodeValues(&e, sets)
	return e.B
}

// encodeValues writes, behind all else, the messages whose facts change; nothing
// if there are none.
func encodeValues(e *codec.Encoder, sets []changeSet) {
	for i := range sets {
		if len(sets[i].value) > 0 {
			e.Uint(uint64(i))
			e.Bytes(sets[i].value)
		}
	}
}

func encodeChange(e *codec.Encoder, ch *change) {
	e.Fixed(ch.recipient.ID[14:])
	e.Byte(byte(ch.old.state))
	e.String(string(ch.old.lane))
	e.Int(ch.old.due)
	e.Byte(codec.Bits(ch.old.pending, ch.event != nil, ch.asked != nil))
	e.Bytes(ch.value)
	if ch.event != nil {
		e.Event(ch.event)
	}
	if ch.asked != nil {
		e.Bytes(encodeAsked(nil, ch.asked))
	}
}

func decodeChanges(b []byte) ([]changeSet, error) {
	d := codec.Decoder{B: b}
	d.Version()
	sets := make([]changeSet, d.Count())
	for i := range sets {
		c := &sets[i]
		d.Fixed(c.message[:])
		c.account = d.String()
		c.priority = queue.Priority(d.Byte())
		c.acceptedAt = d.Time()
		for range d.Count() {
			c.changes = append(c.changes, decodeChange(&d, c))
		}
	}
	for len(d.B) > 0 && d.Err == nil {
		n := d.Uint()
		if value := d.Raw(); n < uint64(len(sets)) {
			sets[n].value = value
		} else {
			d.Fail()
		}
	}
	return sets, d.Done()
}

func decodeChange(d *codec.Decoder, c *changeSet) (ch change) {
	id := queue.RecipientID(c.message)
	d.Fixed(id[14:])
	ch.old.state = queue.State(d.Byte())
	ch.old.lane = queue.Lane(d.String())
	ch.old.due = d.Int()
	flags := d.Byte()
	ch.old.pending = flags&1 != 0
	ch.value = d.Raw()
	var err error
	if ch.recipient, err = decodeRecipient(id, ch.value); err != nil {
		d.Fail()
	}
	if flags&2 != 0 {
		v := d.Event(c.message)
		v.Account = c.account
		ch.event = &v
	}
	if flags&4 != 0 {
		a, err := decodeAsked(d.Raw())
		if err != nil {
			d.Fail()
		}
		ch.asked = &a
	}
	return ch
}
