package logstore

import (
	"time"

	"postrider/queue"
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
