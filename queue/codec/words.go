package codec

import (
	"net/netip"
	"time"

	"postrider/queue"
)

// Message writes all of m but its id and the key of its content, which are in
// the key of the value or change. Of the content it writes the sizes.
func (e *Encoder) Message(m *queue.Message) {
	e.String(m.Account)
	e.Address(m.Envelope.ReversePath)
	e.String(m.Envelope.EnvID)
	more := moreOf(m)
	e.Byte(Bits(m.Envelope.SMTPUTF8, m.Envelope.EightBit, more != 0, m.Envelope.StrictTLS))
	e.Byte(byte(m.Envelope.Ret))
	e.Address(m.Header.From)
	e.String(m.Header.Subject)
	e.String(m.Header.MessageID)
	e.String(m.Source.Kind)
	e.Bytes(appendAddr(nil, m.Source.Remote))
	e.String(m.Source.Peer)
	e.String(m.Source.Auth)
	e.String(m.Source.TLS)
	e.Byte(byte(m.Priority))
	e.Time(m.AcceptedAt)
	e.Time(m.ExpiresAt)
	e.Int(m.Content.Size)
	e.Int(m.Content.HeaderSize)
	if more != 0 {
		e.more(m, more)
	}
}

// Message reads into m all that Encoder.Message writes; the id and the key of the
// content stay as they are. States, priorities and the like are not checked.
func (d *Decoder) Message(m *queue.Message) {
	m.Account = d.String()
	m.Envelope.ReversePath = d.Address()
	m.Envelope.EnvID = d.String()
	flags := d.Byte()
	m.Envelope.SMTPUTF8, m.Envelope.EightBit, m.Envelope.StrictTLS = flags&1 != 0, flags&2 != 0, flags&8 != 0
	if flags > 15 {
		d.Fail() // a later version knows what that is
	}
	m.Envelope.Ret = queue.Ret(d.Byte())
	m.Header.From = d.Address()
	m.Header.Subject = d.String()
	m.Header.MessageID = d.String()
	m.Source.Kind = d.String()
	if err := m.Source.Remote.UnmarshalBinary(d.Raw()); err != nil {
		d.Fail()
	}
	m.Source.Peer = d.String()
	m.Source.Auth = d.String()
	m.Source.TLS = d.String()
	m.Priority = queue.Priority(d.Byte())
	m.AcceptedAt = d.Time()
	m.ExpiresAt = d.Time()
	m.Content.Size = d.Int()
	m.Content.HeaderSize = d.Int()
	if flags&4 != 0 {
		d.more(m)
	}
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b, _ = a.AppendBinary(b) // never fails
	return b
}

// Recipient writes all of r but its id.
func (e *Encoder) Recipient(r *queue.Recipient) {
	e.Address(r.Address)
	e.String(r.ORCPT)
	e.Byte(byte(r.Notify))
	e.Byte(byte(r.State))
	e.String(string(r.Lane))
	e.Time(r.Due)
	e.Int(int64(r.Attempts))
	e.Byte(byte(r.Pending))
	e.Byte(Bits(r.InDoubt, r.Delayed, r.Last != nil))
	e.String(string(r.Class))
	e.Time(r.UpdatedAt)
	e.Uint(uint64(r.Events))
	if r.Last != nil {
		e.Attempt(r.Last)
	}
}

// Recipient reads into r all that Encoder.Recipient writes; the id stays as it is,
// and so does Last if there was none. The state and the like are not checked.
func (d *Decoder) Recipient(r *queue.Recipient) {
	r.Address = d.Address()
	r.ORCPT = d.String()
	r.Notify = queue.Notify(d.Byte())
	r.State = queue.State(d.Byte())
	r.Lane = queue.Lane(d.String())
	r.Due = d.Time()
	r.Attempts = int(d.Int())
	r.Pending = queue.Action(d.Byte())
	flags := d.Byte()
	r.InDoubt, r.Delayed = flags&1 != 0, flags&2 != 0
	r.Class = queue.Class(d.String())
	r.UpdatedAt = d.Time()
	r.Events = uint32(d.Uint())
	if flags&4 != 0 {
		r.Last = d.Attempt()
	}
}

// Attempt writes all of a.
func (e *Encoder) Attempt(a *queue.Attempt) {
	e.Int(int64(a.Number))
	e.Time(a.Start)
	e.Int(int64(a.Took))
	e.String(a.Site)
	e.String(a.Host)
	addr, _ := a.Addr.AppendBinary(nil) // never fails
	e.Bytes(addr)
	e.String(a.TLS)
	e.String(a.TLSPeer)
	e.String(string(a.Stage))
	e.Int(int64(a.Reply.Code))
	for _, n := range a.Reply.Enhanced {
		e.Uint(uint64(n))
	}
	e.String(a.Reply.Text)
	e.String(a.Reply.Command)
	e.String(a.Error)
	more := a.Local.IsValid() || a.TLSPolicy != "" || a.TLSFault != ""
	e.Byte(Bits(a.InDoubt, a.Reports, more, len(a.Setbacks) > 0))
	if more {
		local, _ := a.Local.MarshalBinary() // never fails
		e.Bytes(local)
		e.String(a.TLSPolicy)
		e.String(a.TLSFault)
	}
	if len(a.Setbacks) > 0 {
		e.setbacks(a.Setbacks)
	}
}

func (e *Encoder) setbacks(all []queue.Setback) {
	e.Uint(uint64(len(all)))
	for i := range all {
		b := &all[i]
		e.String(b.Host)
		addr, _ := b.Addr.AppendBinary(nil) // never fails
		e.Bytes(addr)
		local, _ := b.Local.MarshalBinary() // never fails
		e.Bytes(local)
		e.String(string(b.Stage))
		e.String(b.TLSPolicy)
		e.String(b.TLSFault)
		e.String(b.Said)
	}
}

// Attempt reads an attempt. It is never nil; after a mistake fields are zero.
func (d *Decoder) Attempt() *queue.Attempt {
	a := &queue.Attempt{Number: int(d.Int()), Start: d.Time(), Took: time.Duration(d.Int())}
	a.Site = d.String()
	a.Host = d.String()
	if err := a.Addr.UnmarshalBinary(d.Raw()); err != nil {
		d.Fail()
	}
	a.TLS = d.String()
	a.TLSPeer = d.String()
	a.Stage = queue.Stage(d.String())
	a.Reply.Code = int(d.Int())
	for i := range a.Reply.Enhanced {
		a.Reply.Enhanced[i] = uint16(d.Uint())
	}
	a.Reply.Text = d.String()
	a.Reply.Command = d.String()
	a.Error = d.String()
	flags := d.Byte()
	a.InDoubt, a.Reports = flags&1 != 0, flags&2 != 0
	if flags&4 != 0 { // not written by version 1.2 and before
		if err := a.Local.UnmarshalBinary(d.Raw()); err != nil {
			d.Fail()
		}
		a.TLSPolicy = d.String()
		a.TLSFault = d.String()
	}
	if flags&8 != 0 { // not written by version 1.2 and before
		a.Setbacks = d.setbacks()
	}
	return a
}

func (d *Decoder) setbacks() []queue.Setback {
	n := d.Uint()
	if n == 0 || n > queue.MaxSetbacks {
		d.Fail()
		return nil
	}
	all := make([]queue.Setback, n)
	for i := range all {
		b := &all[i]
		b.Host = d.String()
		if b.Addr.UnmarshalBinary(d.Raw()) != nil {
			d.Fail()
		}
		if b.Local.UnmarshalBinary(d.Raw()) != nil {
			d.Fail()
		}
		b.Stage = queue.Stage(d.String())
		b.TLSPolicy = d.String()
		b.TLSFault = d.String()
		b.Said = d.String()
	}
	return all
}

// Event writes all of v but its message, account and position, which are known
// where it lies. Of the recipient's id it writes the last two octets, its index.
func (e *Encoder) Event(v *queue.Event) {
	e.Fixed(v.ID[:])
	e.String(string(v.Kind))
	e.Time(v.At)
	e.Fixed(v.Recipient[14:])
	e.Address(v.Address)
	e.String(string(v.Class))
	e.Time(v.Due)
	e.Byte(Bits(v.Delayed, v.InDoubt, v.Attempt != nil))
	e.Uint(uint64(v.Recipients))
	e.String(v.Actor)
	e.String(v.Reason)
	if v.Attempt != nil {
		e.Attempt(v.Attempt)
	}
}

// Event reads an event of the message m. An index of zero means that it is of
// the whole message: Recipient is zero then. Account and Position stay zero.
func (d *Decoder) Event(m queue.MessageID) (v queue.Event) {
	v.Message = m
	d.Fixed(v.ID[:])
	v.Kind = queue.EventKind(d.String())
	v.At = d.Time()
	rcpt := queue.RecipientID(m)
	d.Fixed(rcpt[14:])
	if rcpt[14]|rcpt[15] != 0 {
		v.Recipient = rcpt
	}
	v.Address = d.Address()
	v.Class = queue.Class(d.String())
	v.Due = d.Time()
	flags := d.Byte()
	v.Delayed, v.InDoubt = flags&1 != 0, flags&2 != 0
	v.Recipients = int(d.Uint())
	v.Actor = d.String()
	v.Reason = d.String()
	if flags&4 != 0 {
		v.Attempt = d.Attempt()
	}
	return v
}
