package logstore

import (
	"net/netip"
	"time"

	"postrider/queue"
)

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
