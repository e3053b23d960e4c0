package send

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"time"

	"postrider/api/compose"
	"postrider/queue"
)

// fingerprint says what the idempotency key stands for. It is computed only when
// the relay asks, which it does if there is a key.
func (p *prepared) fingerprint() func() [32]byte {
	return func() [32]byte {
		c := canon{h: sha256.New()}
		c.text(p.r.Operation)
		switch {
		case p.r.Fingerprint != [32]byte{}:
			c.text(string(p.r.Fingerprint[:]))
		case p.raw != nil:
			c.text(string(p.raw.sum()))
			c.request(&p.r)
		default:
			c.message(p.r.Message)
			c.request(&p.r)
		}
		return c.sum()
	}
}

// canon hashes values, each with its length in front, so that no two requests run
// into the same octets.
type canon struct{ h hash.Hash }

func (c canon) sum() (s [32]byte) {
	c.h.Sum(s[:0])
	return s
}

func (c canon) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	c.h.Write(b[:])
}

func (c canon) octets(b []byte) {
	c.number(uint64(len(b)))
	c.h.Write(b)
}

func (c canon) text(s string) { c.octets([]byte(s)) }

func (c canon) flag(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	c.number(n)
}

func (c canon) time(t time.Time) {
	if t.IsZero() {
		c.text("")
		return
	}
	c.text(t.UTC().Format(time.RFC3339Nano))
}

func (c canon) address(a queue.Address) { c.text(a.Fold().String()) }

func (c canon) mailboxes(list []compose.Mailbox) {
	c.number(uint64(len(list)))
	for _, b := range list {
		c.text(b.Name)
		c.address(b.Address)
	}
}

func (c canon) message(m *compose.Message) {
	c.mailboxes([]compose.Mailbox{m.From})
	c.flag(m.Sender != nil)
	if m.Sender != nil {
		c.mailboxes([]compose.Mailbox{*m.Sender})
	}
	for _, list := range [][]compose.Mailbox{m.ReplyTo, m.To, m.Cc, m.Bcc} {
		c.mailboxes(list)
	}
	for _, s := range []string{m.Subject, m.Text, m.HTML, m.MessageID} {
		c.text(s)
	}
	c.time(m.Date)
	c.number(uint64(len(m.Fields)))
	for _, f := range m.Fields {
		c.text(f.Name)
		c.text(f.Value)
	}
	c.number(uint64(len(m.Attachments)))
	for _, a := range m.Attachments {
		c.text(a.Filename)
		c.text(a.ContentType)
		c.text(a.ContentID)
		c.flag(a.Inline)
		c.octets(a.Content)
	}
}

func (c canon) request(r *Request) {
	c.number(uint64(len(r.RawTo)))
	for _, a := range r.RawTo {
		c.address(a)
	}
	c.flag(r.EnvelopeFrom != nil)
	if r.EnvelopeFrom != nil {
		c.address(*r.EnvelopeFrom)
	}
	c.text(r.Labels.Stream)
	c.text(r.Labels.List)
	c.number(uint64(len(r.Labels.Tags)))
	for _, tag := range r.Labels.Tags {
		c.text(tag)
	}
	c.number(uint64(len(r.Labels.Metadata)))
	for _, name := range slices.Sorted(maps.Keys(r.Labels.Metadata)) {
		c.text(name)
		c.text(r.Labels.Metadata[name])
	}
	c.number(uint64(r.Priority))
	c.time(r.ScheduledAt)
	c.time(r.ExpiresAt)
	c.flag(r.RequireTLS)
	c.flag(r.Sandbox)
	c.flag(r.Unsubscribe != nil)
	if u := r.Unsubscribe; u != nil {
		for _, s := range []string{string(u.Mode), u.List, u.URL, u.Mailto} {
			c.text(s)
		}
	}
	if r.StrictTLS { // requests without it have the fingerprint that they always had
		c.text("requiretls")
	}
}
