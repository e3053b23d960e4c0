package folders

import (
	"math"

	"postrider/queue"
	"postrider/queue/codec"
)

// format begins every stored value but a chunk of a bitmap; see doc.go.
const format = 1

func encoder() codec.Encoder { return encoderFor(64) }

// encoderFor has room for about so many octets.
func encoderFor(octets int) codec.Encoder {
	return codec.Encoder{B: append(make([]byte, 0, octets), format)}
}

func decoder(b []byte) *codec.Decoder {
	d := &codec.Decoder{B: b}
	if d.Byte() != format {
		d.Fail()
	}
	return d
}

func (v *View) encodeHead() []byte {
	e := encoder()
	e.Uint(uint64(v.UIDValidity))
	e.Uint(uint64(v.UIDNext))
	e.Uint(v.ModSeq)
	e.String(v.head.Lineage)
	return e.B
}

// decodeHead reads what encodeHead wrote and returns the lineage in which it was.
func (v *View) decodeHead(b []byte) (lineage string, err error) {
	d := decoder(b)
	v.UIDValidity, v.UIDNext, v.ModSeq = uint32Of(d), uint32Of(d), d.Uint()
	lineage = d.String()
	if v.UIDValidity == 0 || v.UIDNext == 0 || v.ModSeq>>modSeqBits >= uint64(v.UIDNext) {
		d.Fail()
	}
	return lineage, d.Done()
}

func uint32Of(d *codec.Decoder) uint32 {
	n := d.Uint()
	if n > math.MaxUint32 {
		d.Fail()
		return 0
	}
	return uint32(n)
}

func (b box) encodeTotals() []byte {
	e := encoder()
	e.Int(b.bytes)
	e.Uint(uint64(b.last))
	return e.B
}

func decodeTotals(value []byte) (b box, err error) {
	d := decoder(value)
	b.bytes = d.Int()
	last := d.Uint()
	if last >= math.MaxUint32 {
		d.Fail()
	}
	b.last = UID(last)
	return b, d.Done()
}

func (h *history) encode() []byte {
	e := encoder()
	e.Uint(uint64(len(h.changes)))
	for _, c := range h.changes {
		e.Uint(c.modseq)
		e.Bytes(c.set.Chunk(h.chunk))
	}
	return e.B
}

func decodeHistory(chunk uint32, b []byte) (history, error) {
	h := history{chunk: chunk}
	d := decoder(b)
	last := uint64(0)
	for n := d.Count(); n > 0 && d.Err == nil; n-- {
		c := change{modseq: d.Uint()}
		var err error
		if c.set, err = c.set.SetChunk(chunk, d.Raw()); err != nil || c.set.IsEmpty() || c.modseq <= last || len(h.changes) == maxChanges {
			d.Fail()
		}
		last = c.modseq
		h.changes = append(h.changes, c)
	}
	if len(h.changes) == 0 {
		d.Fail()
	}
	return h, d.Done()
}

func encodeNames(names []string) []byte {
	e := encoder()
	e.Uint(uint64(len(names)))
	for _, name := range names {
		e.String(name)
	}
	return e.B
}

func decodeNames(b []byte) ([]string, error) {
	d := decoder(b)
	names := make([]string, d.Count())
	for i := range names {
		names[i] = d.String()
	}
	return names, d.Done()
}

// filed is what a message's row says of one entry; in which folders it is, the
// view says.
type filed struct {
	uid UID
	key string
}

func encodeFiled(list []filed) []byte {
	e := encoder()
	e.Uint(uint64(len(list)))
	for _, f := range list {
		e.Uint(uint64(f.uid))
		e.String(f.key)
	}
	return e.B
}

func decodeFiled(b []byte) ([]filed, error) {
	d := decoder(b)
	list := make([]filed, d.Count())
	for i := range list {
		list[i] = filed{uint32Of(d), d.String()}
	}
	return list, d.Done()
}

func (x *Entry) encode() []byte {
	e := encoderFor(128 + len(x.Front) + len(x.Back) + len(x.Envelope) + len(x.Body) + len(x.BodyStructure) + 24*len(x.Parts))
	e.Fixed(x.Message[:])
	e.Time(x.At)
	e.Bytes(x.Front)
	e.Bytes(x.Content.Key)
	e.Int(x.Content.Size)
	e.Int(x.Content.HeaderSize)
	e.Bytes(x.Back)
	e.Bytes(x.Envelope)
	e.Bytes(x.Body)
	e.Bytes(x.BodyStructure)
	e.Uint(uint64(len(x.Parts)))
	for _, p := range x.Parts {
		e.String(p.Path)
		e.Int(p.Header)
		e.Int(p.Body - p.Header)
		e.Int(p.End - p.Body)
		e.Int(p.Inner)
	}
	return e.B
}

func decodeEntry(b []byte) (*Entry, error) {
	d := decoder(b)
	x := &Entry{}
	d.Fixed(x.Message[:])
	x.At = d.Time()
	x.Front = d.Bytes()
	x.Content = queue.ContentRef{Key: d.Bytes(), Size: d.Int(), HeaderSize: d.Int()}
	x.Back, x.Envelope, x.Body, x.BodyStructure = d.Bytes(), d.Bytes(), d.Bytes(), d.Bytes()
	if n := d.Count(); n > 0 {
		x.Parts = make([]Part, n)
	}
	for i := range x.Parts {
		p := &x.Parts[i]
		p.Path, p.Header = d.String(), d.Int()
		p.Body = p.Header + d.Int()
		p.End = p.Body + d.Int()
		p.Inner = d.Int()
	}
	if x.Content.Size < 0 {
		d.Fail()
	}
	return x, d.Done()
}

// fact is what must be known of an entry to remove it; it stands in front of
// what is searched for.
type fact struct {
	more       int // further values of the entry's row
	moreSearch int // and of this one; not stored
	message    queue.MessageID
	size       int64
}

func encodeSearch(f fact, s *Search) []byte {
	room := 96
	for _, text := range s.texts() {
		room += len(*text)
	}
	e := encoderFor(room)
	e.Uint(uint64(f.more))
	e.Fixed(f.message[:])
	e.Int(s.Size)
	e.Time(s.At)
	e.Time(s.Sent)
	for _, text := range s.texts() {
		e.String(*text)
	}
	return e.B
}

// texts are in the order in which they are stored.
func (s *Search) texts() [8]*string {
	return [...]*string{&s.Subject, &s.From, &s.To, &s.Cc, &s.Bcc, &s.MessageID, &s.Recipients, &s.Other}
}

func decodeFact(d *codec.Decoder) (f fact) {
	more := d.Uint()
	if more > maxMore {
		d.Fail()
	}
	f.more = int(more)
	d.Fixed(f.message[:])
	f.size = d.Int()
	return f
}

// decodeSearch makes one string of all texts, since a search reads a million.
func decodeSearch(b []byte, s *Search) error {
	d := decoder(b)
	s.Size = decodeFact(d).size
	s.At, s.Sent = d.Time(), d.Time()
	all := string(d.B)
	for _, text := range s.texts() {
		n := len(d.Raw())
		end := len(all) - len(d.B)
		*text = all[end-n : end]
	}
	return d.Done()
}
