package redisstore

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
	"postrider/queue/rules"
)

// Status of a record: what scripts know of its lease.
const (
	statusNone    = 0
	statusLeased  = 1
	statusLapsed  = 2 // the lease's time is over; nobody else was granted it yet
	statusSettled = 3 // under the token it has
	statusKeep    = 255
)

// Flags of a record. Those that wait are counted in their lanes; before format 2
// they were not.
const (
	flagDoubt   = 1
	flagCounted = 2
)

// front is what stands before the state in a record: rev, token, status.
const front = 4 + 8 + 1

// head is the part of a record that scripts read, from the state to the lane.
const head = 1 + 1 + 1 + 6 + 2

// stored is a recipient with what only the engine knows of it.
type stored struct {
	queue.Recipient // its State is as if it were not leased
	rev             uint32
	token           queue.Token
	status          byte
}

// active reports whether it appears as leased.
func (r *stored) active() bool { return r.status == statusLeased }

// shown is the recipient as others see it.
func (r *stored) shown() queue.Recipient {
	c := r.Recipient
	if r.active() {
		c.State = queue.StateActive
	}
	return c
}

// ceilMS is the first millisecond that is not before t. Scripts count in them;
// the rest of the time is kept for those who read it.
func ceilMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return min(max(ms, 0), 1<<47)
}

// dueMS is when r may be leased, by the servers' clock.
func (s *Store) dueMS(r *queue.Recipient) int64 {
	if r.Due.IsZero() {
		return 0
	}
	return ceilMS(r.Due.Add(s.skew()))
}

// Facts of the rest of a record that need no room where they are usual.
const (
	usualDomain  = 1 << iota // the domain is the lane
	usualORCPT               // ORCPT is "rfc822;" and the address
	hasLast                  // there was an attempt
	usualUpdated             // it was updated when it was accepted
	hasDelayed
	usualDue // due at the full millisecond that scripts know, or never
)

// tail writes a record from its state on.
func (s *Store) tail(m *queue.Message, r *queue.Recipient) []byte {
	due := s.dueMS(r)
	b := make([]byte, head, head+len(r.Lane)+64)
	b[0], b[1] = byte(r.State), byte(r.Pending)
	if r.InDoubt {
		b[2] = flagDoubt
	}
	if rules.Waits(r.State) {
		b[2] |= flagCounted
	}
	putUint48(b[3:], uint64(due))
	binary.BigEndian.PutUint16(b[9:], uint16(len(r.Lane)))
	b = append(b, r.Lane...)
	e := codec.Encoder{B: b}
	facts := factsOf(m, r, due)
	e.Byte(facts)
	e.String(r.Address.Local)
	if facts&usualDomain == 0 {
		e.String(r.Address.Domain)
	}
	if facts&usualORCPT == 0 {
		e.String(r.ORCPT)
	}
	e.Byte(byte(r.Notify))
	if facts&usualDue == 0 {
		e.Time(r.Due)
	}
	e.Uint(uint64(r.Attempts))
	e.String(string(r.Class))
	if facts&usualUpdated == 0 {
		e.Time(r.UpdatedAt)
	}
	e.Uint(uint64(r.Events))
	if r.Last != nil {
		e.Attempt(r.Last)
	}
	return e.B
}

func factsOf(m *queue.Message, r *queue.Recipient, due int64) (f byte) {
	if r.Address.Domain == string(r.Lane) {
		f |= usualDomain
	}
	if r.ORCPT != "" && strings.HasPrefix(r.ORCPT, orcptPrefix) && r.ORCPT[len(orcptPrefix):] == r.Address.String() {
		f |= usualORCPT
	}
	if r.Last != nil {
		f |= hasLast
	}
	if r.UpdatedAt.Equal(m.AcceptedAt) {
		f |= usualUpdated
	}
	if r.Delayed {
		f |= hasDelayed
	}
	if due != 0 && r.Due.Equal(time.UnixMilli(due)) || due == 0 && r.Due.IsZero() {
		f |= usualDue
	}
	return f
}

const orcptPrefix = "rfc822;"

// record writes a whole record, as it is before any lease.
func (s *Store) record(m *queue.Message, r *queue.Recipient) []byte {
	t := s.tail(m, r)
	b := make([]byte, front, front+len(t))
	binary.BigEndian.PutUint32(b, 1)
	return append(b, t...)
}

func decodeRecord(m *queue.Message, id queue.RecipientID, b string) (r stored, err error) {
	if len(b) < front+head {
		return r, damaged("recipient", id)
	}
	raw := []byte(b)
	r.ID = id
	r.rev = binary.BigEndian.Uint32(raw)
	r.token = queue.Token(binary.BigEndian.Uint64(raw[4:]))
	r.status = raw[12]
	raw = raw[front:]
	r.State, r.Pending = queue.State(raw[0]), queue.Action(raw[1])
	r.InDoubt = raw[2]&flagDoubt != 0
	due := int64(uint48(raw[3:]))
	n := int(binary.BigEndian.Uint16(raw[9:]))
	if len(raw) < head+n || !r.State.Valid() {
		return r, damaged("recipient", id)
	}
	r.Lane = queue.Lane(raw[head : head+n])
	d := codec.Decoder{B: raw[head+n:]}
	facts := d.Byte()
	r.Address.Local = d.String()
	if r.Address.Domain = string(r.Lane); facts&usualDomain == 0 {
		r.Address.Domain = d.String()
	}
	if facts&usualORCPT == 0 {
		r.ORCPT = d.String()
	} else {
		r.ORCPT = orcptPrefix + r.Address.String()
	}
	r.Notify = queue.Notify(d.Byte())
	switch {
	case facts&usualDue == 0:
		r.Due = d.Time()
	case due != 0:
		r.Due = time.UnixMilli(due).UTC()
	}
	r.Attempts = int(d.Uint())
	r.Class = queue.Class(d.String())
	if r.UpdatedAt = m.AcceptedAt; facts&usualUpdated == 0 {
		r.UpdatedAt = d.Time()
	}
	r.Events = uint32(d.Uint())
	r.Delayed = facts&hasDelayed != 0
	if facts&hasLast != 0 {
		r.Last = d.Attempt()
	}
	if d.Done() != nil {
		return r, damaged("recipient", id)
	}
	return r, nil
}

func putUint48(b []byte, v uint64) {
	binary.BigEndian.PutUint16(b, uint16(v>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(v))
}

func uint48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func damaged(what string, id fmt.Stringer) error {
	return fmt.Errorf("%s %s cannot be read: %w: %w", what, id, queue.ErrUnavailable, codec.ErrCodec)
}

// header writes what is known of a message but for its recipients and content:
// priority and account, which scripts read, and the rest. Only
// queue.ActionReschedule changes it.
func header(m *queue.Message) string {
	e := codec.Encoder{B: make([]byte, 0, 256)}
	e.Byte('0' + byte(m.Priority))
	e.B = binary.BigEndian.AppendUint16(e.B, uint16(len(m.Account)))
	e.B = append(e.B, m.Account...)
	e.Version()
	c := *m
	c.Account = ""
	e.Message(&c)
	return string(e.B)
}

// decodeHeader reads a message of a partition, with the content that it has.
func decodeHeader(id queue.MessageID, h, ref string, part int) (m queue.Message, err error) {
	if len(h) < 3 || len(h) < 3+int(binary.BigEndian.Uint16([]byte(h[1:3]))) {
		return m, damaged("message", id)
	}
	n := int(binary.BigEndian.Uint16([]byte(h[1:3])))
	d := codec.Decoder{B: []byte(h[3+n:])}
	d.Version()
	d.Message(&m)
	if d.Done() != nil {
		return m, damaged("message", id)
	}
	m.ID, m.Account = id, h[3:3+n]
	if ref != "" {
		m.Content.Key = contentKey(ref, part, id)
	}
	return m, nil
}

// priority is what scripts call a message's priority: one of three digits.
func priority(m *queue.Message) string {
	switch m.Priority {
	case queue.PriorityHigh, queue.PriorityLow:
		return string('0' + rune(m.Priority))
	}
	return string('0' + rune(queue.PriorityNormal))
}

// facts are what Go reads of what scripts keep of a message (see prelude.lua).
type facts struct {
	recipients int
	events     uint32
}

func decodeFacts(id queue.MessageID, s string) (f facts, err error) {
	if len(s) != 14 {
		return f, damaged("facts of message", id)
	}
	b := []byte(s)
	f.recipients = int(binary.BigEndian.Uint16(b[7:]))
	f.events = binary.BigEndian.Uint32(b[10:])
	return f, nil
}

// message is one with all its recipients, as it is stored.
type message struct {
	queue.Message
	facts      facts
	rawFacts   string
	ref        string // to its content; empty once that was removed
	recipients []stored
}

// entry is the message as others see it.
func (m *message) entry() queue.Entry {
	e := queue.Entry{Message: m.Message, Recipients: make([]queue.Recipient, len(m.recipients))}
	for i := range m.recipients {
		e.Recipients[i] = m.recipients[i].shown()
	}
	return e
}

// last is when the last of its recipients changed.
func (m *message) last() (t time.Time) {
	for i := range m.recipients {
		if at := m.recipients[i].UpdatedAt; at.After(t) {
			t = at
		}
	}
	return t
}

func (m *message) final() bool {
	for i := range m.recipients {
		if !m.recipients[i].State.Final() {
			return false
		}
	}
	return true
}

// decodeMessage reads what page.lua returns of one message of a partition; ok is
// false if it is gone.
func decodeMessage(id queue.MessageID, part int, v []any) (m message, ok bool, err error) {
	if len(v) == 0 {
		return m, false, nil
	}
	texts := make([]string, len(v))
	for i := range v {
		if texts[i], ok = v[i].(string); !ok {
			return m, false, damaged("message", id)
		}
	}
	if len(v) < 3 {
		return m, false, damaged("message", id)
	}
	if m.Message, err = decodeHeader(id, texts[0], texts[1], part); err != nil {
		return m, false, err
	}
	m.ref, m.rawFacts = texts[1], texts[2]
	if m.facts, err = decodeFacts(id, m.rawFacts); err != nil {
		return m, false, err
	}
	m.recipients = make([]stored, len(v)-3)
	for i := range m.recipients {
		if m.recipients[i], err = decodeRecord(&m.Message, id.Recipient(i), texts[3+i]); err != nil {
			return m, false, err
		}
	}
	return m, true, nil
}

// encodeEvent and decodeEvent leave out what the message says.
func encodeEvent(v *queue.Event) string {
	e := codec.Encoder{B: make([]byte, 0, 128)}
	e.Version()
	e.Event(v)
	return string(e.B)
}

func decodeEvent(m queue.MessageID, account, s string) (queue.Event, error) {
	d := codec.Decoder{B: []byte(s)}
	d.Version()
	v := d.Event(m)
	v.Account = account
	if d.Done() != nil {
		return v, damaged("event of", m)
	}
	return v, nil
}

func encodeAsked(a rules.Asked) string {
	e := codec.Encoder{}
	e.Version()
	e.String(a.Actor)
	e.String(a.Reason)
	e.Time(a.At)
	return string(e.B)
}

// decodeAsked returns no more than words for people: what cannot be read is
// left out.
func decodeAsked(s string) (a rules.Asked) {
	d := codec.Decoder{B: []byte(s)}
	d.Version()
	a.Actor, a.Reason, a.At = d.String(), d.String(), d.Time()
	if d.Done() != nil {
		return rules.Asked{}
	}
	return a
}
