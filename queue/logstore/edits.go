package logstore

import (
	"postrider/queue"
	"postrider/queue/commitlog"
)

// edits are plain changes of the index, for what has no meaning of its own in
// the log.
type edits struct {
	set    [][2][]byte
	delete [][]byte
	counts map[queue.State]int64 // to be added
	live   int64                 // octets of content to be added

	forgotten       commitlog.Position // record of the last event that is removed
	forgottenEvents int                // how many events that record has
}

func (x *edits) put(key, value []byte) { x.set = append(x.set, [2][]byte{key, value}) }
func (x *edits) drop(key []byte)       { x.delete = append(x.delete, key) }
func (x *edits) empty() bool           { return len(x.set)+len(x.delete) == 0 }

func (x *edits) count(s queue.State, n int64) {
	if x.counts == nil {
		x.counts = make(map[queue.State]int64)
	}
	x.counts[s] += n
}

func (x *edits) encode() []byte {
	var e encoder
	e.version()
	e.uint(uint64(len(x.set)))
	for _, kv := range x.set {
		e.bytes(kv[0])
		e.bytes(kv[1])
	}
	e.uint(uint64(len(x.delete)))
	for _, k := range x.delete {
		e.bytes(k)
	}
	e.uint(uint64(len(x.counts)))
	for s, n := range x.counts {
		e.byte(byte(s))
		e.int(n)
	}
	e.int(x.live)
	e.uint(uint64(x.forgotten))
	e.uint(uint64(x.forgottenEvents))
	return e.b
}

func decodeEdits(b []byte) (*edits, error) {
	x := new(edits)
	d := decoder{b: b}
	d.version()
	for range d.count() {
		x.put(d.raw(), d.raw())
	}
	for range d.count() {
		x.drop(d.raw())
	}
	for range d.count() {
		s := queue.State(d.byte())
		n := d.int()
		if !s.Valid() {
			d.fail()
		}
		x.count(s, n)
	}
	x.live = d.int()
	x.forgotten = commitlog.Position(d.uint())
	x.forgottenEvents = int(d.uint())
	return x, d.done()
}

// moveRecord says that the bodies before it in the batch are these pieces of
// the message's content from now on.
type moveRecord struct {
	message queue.MessageID
	value   storedMessage // with the old place
	pieces  []int
}

func (r *moveRecord) encode() []byte {
	var e encoder
	e.version()
	e.fixed(r.message[:])
	e.bytes(r.value.encode(nil))
	e.uint(uint64(len(r.pieces)))
	for _, p := range r.pieces {
		e.uint(uint64(p))
	}
	return e.b
}

func decodeMove(b []byte) (*moveRecord, error) {
	r := new(moveRecord)
	d := decoder{b: b}
	d.version()
	d.fixed(r.message[:])
	v, err := decodeMessage(r.message, d.raw())
	if err != nil {
		return nil, err
	}
	r.value = *v
	for range d.count() {
		p := d.uint()
		if p >= uint64(len(r.value.content.at)) {
			d.fail()
		}
		r.pieces = append(r.pieces, int(p))
	}
	return r, d.done()
}

// registryRecord is a change of the registry; its version is given when it is
// applied, so that versions ascend as changes become visible.
type registryRecord struct {
	kind    queue.RecordKind
	name    string
	value   []byte
	deleted bool

	version uint64
}

func (r *registryRecord) encode() []byte {
	var e encoder
	e.version()
	e.string(string(r.kind))
	e.string(r.name)
	e.byte(bits(r.deleted))
	e.bytes(r.value)
	return e.b
}

func decodeRegistry(b []byte) (*registryRecord, error) {
	d := decoder{b: b}
	d.version()
	r := &registryRecord{kind: queue.RecordKind(d.string()), name: d.string()}
	r.deleted = d.byte()&1 != 0
	r.value = d.bytes()
	return r, d.done()
}
