package logstore

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"postrider/queue"
)

// errCodec is the one error of decoding: the bytes are not what this version,
// or an earlier one, wrote.
var errCodec = errors.New("stored record cannot be decoded")

// codecVersion stands before every stored value. Readers know all versions up
// to it.
const codecVersion = 1

// encoder appends values to a buffer. Integers are varints, strings and bytes
// are preceded by their length.
type encoder struct{ b []byte }

func (e *encoder) version()        { e.b = append(e.b, codecVersion) }
func (e *encoder) byte(v byte)     { e.b = append(e.b, v) }
func (e *encoder) uint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) fixed(v []byte)  { e.b = append(e.b, v...) }
func (e *encoder) string(v string) { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) bytes(v []byte)  { e.uint(uint64(len(v))); e.b = append(e.b, v...) }

// time keeps the instant to the nanosecond over all years, and the zero time.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.uint(0)
		return
	}
	sec := t.Unix()
	e.uint(uint64(sec)<<1 ^ uint64(sec>>63) + 1)
	e.uint(uint64(t.Nanosecond()))
}

func (e *encoder) address(a queue.Address) { e.string(a.Local); e.string(a.Domain) }

// decoder reads what encoder wrote. After the first mistake it only returns
// zero values, and err says so.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errCodec
	}
}

func (d *decoder) version() {
	if v := d.byte(); v == 0 || v > codecVersion {
		d.fail()
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the length of a list whose elements take at least one byte each,
// so that a damaged length cannot ask for more memory than the input has.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// fixed fills dst.
func (d *decoder) fixed(dst []byte) {
	if len(d.b) < len(dst) {
		d.fail()
		return
	}
	d.b = d.b[copy(dst, d.b):]
}

func (d *decoder) raw() []byte {
	n := d.count()
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.raw()) }

// bytes returns a copy; nil for an empty value.
func (d *decoder) bytes() []byte { return append([]byte(nil), d.raw()...) }

func (d *decoder) time() time.Time {
	v := d.uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	nsec := d.uint()
	if nsec >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(int64(v>>1)^-int64(v&1), int64(nsec)).UTC()
}

func (d *decoder) address() queue.Address {
	return queue.Address{Local: d.string(), Domain: d.string()}
}

// done returns the error of the whole, which trailing bytes are too.
func (d *decoder) done() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

// bits joins facts into one byte; the first is the lowest bit.
func bits(facts ...bool) (b byte) {
	for i, f := range facts {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// message writes all of m but its id and its content, which change place or
// are in the key.
func (e *encoder) message(m *queue.Message) {
	e.string(m.Account)
	e.address(m.Envelope.ReversePath)
	e.string(m.Envelope.EnvID)
	e.byte(bits(m.Envelope.SMTPUTF8, m.Envelope.EightBit))
	e.byte(byte(m.Envelope.Ret))
	e.address(m.Header.From)
	e.string(m.Header.Subject)
	e.string(m.Header.MessageID)
	e.string(m.Source.Kind)
	e.bytes(appendAddr(nil, m.Source.Remote))
	e.string(m.Source.Peer)
	e.string(m.Source.Auth)
	e.string(m.Source.TLS)
	e.byte(byte(m.Priority))
	e.time(m.AcceptedAt)
	e.time(m.ExpiresAt)
	e.int(m.Content.Size)
	e.int(m.Content.HeaderSize)
}

func (d *decoder) message(m *queue.Message) {
	m.Account = d.string()
	m.Envelope.ReversePath = d.address()
	m.Envelope.EnvID = d.string()
	flags := d.byte()
	m.Envelope.SMTPUTF8, m.Envelope.EightBit = flags&1 != 0, flags&2 != 0
	m.Envelope.Ret = queue.Ret(d.byte())
	m.Header.From = d.address()
	m.Header.Subject = d.string()
	m.Header.MessageID = d.string()
	m.Source.Kind = d.string()
	if err := m.Source.Remote.UnmarshalBinary(d.raw()); err != nil {
		d.fail()
	}
	m.Source.Peer = d.string()
	m.Source.Auth = d.string()
	m.Source.TLS = d.string()
	m.Priority = queue.Priority(d.byte())
	m.AcceptedAt = d.time()
	m.ExpiresAt = d.time()
	m.Content.Size = d.int()
	m.Content.HeaderSize = d.int()
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b, _ = a.AppendBinary(b) // never fails
	return b
}

// recipient writes all of r but its id.
func (e *encoder) recipient(r *queue.Recipient) {
	e.address(r.Address)
	e.string(r.ORCPT)
	e.byte(byte(r.Notify))
	e.byte(byte(r.State))
	e.string(string(r.Lane))
	e.time(r.Due)
	e.int(int64(r.Attempts))
	e.byte(byte(r.Pending))
	e.byte(bits(r.InDoubt, r.Delayed, r.Last != nil))
	e.string(string(r.Class))
	e.time(r.UpdatedAt)
	e.uint(uint64(r.Events))
	if r.Last != nil {
		e.attempt(r.Last)
	}
}

func (d *decoder) recipient(r *queue.Recipient) {
	r.Address = d.address()
	r.ORCPT = d.string()
	r.Notify = queue.Notify(d.byte())
	r.State = queue.State(d.byte())
	r.Lane = queue.Lane(d.string())
	r.Due = d.time()
	r.Attempts = int(d.int())
	r.Pending = queue.Action(d.byte())
	flags := d.byte()
	r.InDoubt, r.Delayed = flags&1 != 0, flags&2 != 0
	r.Class = queue.Class(d.string())
	r.UpdatedAt = d.time()
	r.Events = uint32(d.uint())
	if flags&4 != 0 {
		r.Last = d.attempt()
	}
}

func (e *encoder) attempt(a *queue.Attempt) {
	e.int(int64(a.Number))
	e.time(a.Start)
	e.int(int64(a.Took))
	e.string(a.Site)
	e.string(a.Host)
	addr, _ := a.Addr.AppendBinary(nil) // never fails
	e.bytes(addr)
	e.string(a.TLS)
	e.string(a.TLSPeer)
	e.string(string(a.Stage))
	e.int(int64(a.Reply.Code))
	for _, n := range a.Reply.Enhanced {
		e.uint(uint64(n))
	}
	e.string(a.Reply.Text)
	e.string(a.Reply.Command)
	e.string(a.Error)
	e.byte(bits(a.InDoubt, a.Reports))
}

func (d *decoder) attempt() *queue.Attempt {
	a := &queue.Attempt{Number: int(d.int()), Start: d.time(), Took: time.Duration(d.int())}
	a.Site = d.string()
	a.Host = d.string()
	if err := a.Addr.UnmarshalBinary(d.raw()); err != nil {
		d.fail()
	}
	a.TLS = d.string()
	a.TLSPeer = d.string()
	a.Stage = queue.Stage(d.string())
	a.Reply.Code = int(d.int())
	for i := range a.Reply.Enhanced {
		a.Reply.Enhanced[i] = uint16(d.uint())
	}
	a.Reply.Text = d.string()
	a.Reply.Command = d.string()
	a.Error = d.string()
	flags := d.byte()
	a.InDoubt, a.Reports = flags&1 != 0, flags&2 != 0
	return a
}

// event writes what the message and the position do not say.
func (e *encoder) event(v *queue.Event) {
	e.fixed(v.ID[:])
	e.string(string(v.Kind))
	e.time(v.At)
	e.fixed(v.Recipient[14:])
	e.address(v.Address)
	e.string(string(v.Class))
	e.time(v.Due)
	e.byte(bits(v.Delayed, v.InDoubt, v.Attempt != nil))
	e.uint(uint64(v.Recipients))
	e.string(v.Actor)
	e.string(v.Reason)
	if v.Attempt != nil {
		e.attempt(v.Attempt)
	}
}

// event reads an event of the message m. An index of zero means that it is of
// the whole message.
func (d *decoder) event(m queue.MessageID) (v queue.Event) {
	v.Message = m
	d.fixed(v.ID[:])
	v.Kind = queue.EventKind(d.string())
	v.At = d.time()
	rcpt := queue.RecipientID(m)
	d.fixed(rcpt[14:])
	if rcpt[14]|rcpt[15] != 0 {
		v.Recipient = rcpt
	}
	v.Address = d.address()
	v.Class = queue.Class(d.string())
	v.Due = d.time()
	flags := d.byte()
	v.Delayed, v.InDoubt = flags&1 != 0, flags&2 != 0
	v.Recipients = int(d.uint())
	v.Actor = d.string()
	v.Reason = d.string()
	if flags&4 != 0 {
		v.Attempt = d.attempt()
	}
	return v
}
