package logstore

import (
	"postrider/queue"
	"postrider/queue/codec"
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
	var e codec.Encoder
	e.Version()
	e.Uint(uint64(len(x.set)))
	for _, kv := range x.set {
		e.Bytes(kv[0])
		e.Bytes(kv[1])
	}
	e.Uint(uint64(len(x.delete)))
	for _, k := range x.delete {
		e.Bytes(k)
	}
	e.Uint(uint64(len(x.counts)))
	for s, n := range x.counts {
		e.Byte(byte(s))
		e.Int(n)
	}
	e.Int(x.live)
	e.Uint(uint64(x.forgotten))
	e.Uint(uint64(x.forgottenEvents))
	return e.B
}

func decodeEdits(b []byte) (*edits, error) {
	x := new(edits)
	d := codec.Decoder{B: b}
	d.Version()
	for range d.Count() {
		x.put(d.Raw(), d.Raw())
	}
	for range d.Count() {
		x.drop(d.Raw())
	}
	for range d.Count() {
		s := queue.State(d.Byte())
		n := d.Int()
		if !s.Valid() {
			d.Fail()
		}
		x.count(s, n)
	}
	x.live = d.Int()
	x.forgotten = commitlog.Position(d.Uint())
	x.forgottenEvents = int(d.Uint())
	return x, d.Done()
}

// moveRecord says that the bodies before it in the batch are these pieces of
// the message's content from now on.
type moveRecord struct {
	message queue.MessageID
	value   storedMessage // with the old place
	pieces  []int
}

func (r *moveRecord) encode() []byte {
	var e codec.Encoder
	e.Version()
	e.Fixed(r.message[:])
	e.Bytes(r.value.encode(nil))
	e.Uint(uint64(len(r.pieces)))
	for _, p := range r.pieces {
		e.Uint(uint64(p))
	}
	return e.B
}

func decodeMove(b []byte) (*moveRecord, error) {
	r := new(moveRecord)
	d := codec.Decoder{B: b}
	d.Version()
	d.Fixed(r.message[:])
	v, err := decodeMessage(r.message, d.Raw())
	if err != nil {
		return nil, err
	}
	r.value = *v
	for range d.Count() {
		p := d.Uint()
		if p >= uint64(len(r.value.content.at)) {
			d.Fail()
		}
		r.pieces = append(r.pieces, int(p))
	}
	return r, d.Done()
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
	var e codec.Encoder
	e.Version()
	e.String(string(r.kind))
	e.String(r.name)
	e.Byte(codec.Bits(r.deleted))
	e.Bytes(r.value)
	return e.B
}

func decodeRegistry(b []byte) (*registryRecord, error) {
	d := codec.Decoder{B: b}
	d.Version()
	r := &registryRecord{kind: queue.RecordKind(d.String()), name: d.String()}
	r.deleted = d.Byte()&1 != 0
	r.value = d.Bytes()
	return r, d.Done()
}
