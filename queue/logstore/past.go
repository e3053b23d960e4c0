package logstore

import "postrider/queue"

// pastRecord is events of messages that were imported before, and readers that
// have acknowledged them and all before.
type pastRecord struct {
	events  []queue.Event
	readers []string

	end queue.Position // of the events; set when it is applied
}

func (r *pastRecord) encode() []byte {
	e := encoder{b: make([]byte, 0, 64+256*len(r.events))}
	e.version()
	e.uint(uint64(len(r.events)))
	for i := range r.events {
		v := &r.events[i]
		e.fixed(v.Message[:])
		e.string(v.Account)
		e.event(v)
	}
	e.uint(uint64(len(r.readers)))
	for _, name := range r.readers {
		e.string(name)
	}
	return e.b
}

func decodePast(b []byte) (*pastRecord, error) {
	r := new(pastRecord)
	d := decoder{b: b}
	d.version()
	for range d.count() {
		var m queue.MessageID
		d.fixed(m[:])
		account := d.string()
		v := d.event(m)
		v.Account = account
		r.events = append(r.events, v)
	}
	for range d.count() {
		r.readers = append(r.readers, d.string())
	}
	return r, d.done()
}

// applied lets the readers stand where they are put.
func (r *pastRecord) applied(s *Store) {
	for _, name := range r.readers {
		s.readers[name] = r.end
	}
}
