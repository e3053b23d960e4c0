package logstore

import (
	"postrider/queue"
	"postrider/queue/codec"
)

// pastRecord is events of messages that were imported before, and readers that
// have acknowledged them and all before.
type pastRecord struct {
	events  []queue.Event
	readers []string

	end queue.Position // of the events; set when it is applied
}

func (r *pastRecord) encode() []byte {
	e := codec.Encoder{B: make([]byte, 0, 64+256*len(r.events))}
	e.Version()
	e.Uint(uint64(len(r.events)))
	for i := range r.events {
		v := &r.events[i]
		e.Fixed(v.Message[:])
		e.String(v.Account)
		e.Event(v)
	}
	e.Uint(uint64(len(r.readers)))
	for _, name := range r.readers {
		e.String(name)
	}
	return e.B
}

func decodePast(b []byte) (*pastRecord, error) {
	r := new(pastRecord)
	d := codec.Decoder{B: b}
	d.Version()
	for range d.Count() {
		var m queue.MessageID
		d.Fixed(m[:])
		account := d.String()
		v := d.Event(m)
		v.Account = account
		r.events = append(r.events, v)
	}
	for range d.Count() {
		r.readers = append(r.readers, d.String())
	}
	return r, d.Done()
}

// applied lets the readers stand where they are put.
func (r *pastRecord) applied(s *Store) {
	for _, name := range r.readers {
		s.readers[name] = r.end
	}
}
