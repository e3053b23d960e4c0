package codec

import (
	"encoding/binary"
	"errors"
	"time"

	"postrider/queue"
)

// ErrCodec is the one error of decoding: the bytes are not what this version,
// or an earlier one, wrote.
var ErrCodec = errors.New("stored record cannot be decoded")

// Version stands before every stored value, in one octet. Readers know all
// versions from 1 up to it.
const Version = 1

// Encoder appends values to B, which may be given to it and taken at any time.
// The zero Encoder is ready. It is not safe for concurrent use.
type Encoder struct{ B []byte }

// Version writes Version. It comes first in every stored value.
func (e *Encoder) Version() { e.B = append(e.B, Version) }

// Byte writes one octet.
func (e *Encoder) Byte(v byte) { e.B = append(e.B, v) }

// Uint writes v as an unsigned varint, in 1 to 10 octets.
func (e *Encoder) Uint(v uint64) { e.B = binary.AppendUvarint(e.B, v) }

// Int writes v as a zigzag varint, in 1 to 10 octets.
func (e *Encoder) Int(v int64) { e.B = binary.AppendVarint(e.B, v) }

// Fixed writes v without its length, which the reader must know.
func (e *Encoder) Fixed(v []byte) { e.B = append(e.B, v...) }

// String writes v after its length in octets.
func (e *Encoder) String(v string) { e.Uint(uint64(len(v))); e.B = append(e.B, v...) }

// Bytes writes v after its length in octets. Nil and empty are the same.
func (e *Encoder) Bytes(v []byte) { e.Uint(uint64(len(v))); e.B = append(e.B, v...) }

// Time writes the instant to the nanosecond over all years, and the zero time.
// It forgets the location.
func (e *Encoder) Time(t time.Time) {
	if t.IsZero() {
		e.Uint(0)
		return
	}
	sec := t.Unix()
	e.Uint(uint64(sec)<<1 ^ uint64(sec>>63) + 1)
	e.Uint(uint64(t.Nanosecond()))
}

// Address writes the two parts of an address.
func (e *Encoder) Address(a queue.Address) { e.String(a.Local); e.String(a.Domain) }

// Decoder reads from B what Encoder wrote: each method reads what the method of
// Encoder with the same name wrote, and takes it off B. After the first mistake
// it only returns zero values. It is not safe for concurrent use.
type Decoder struct {
	B   []byte // what is left
	Err error  // ErrCodec after the first mistake, else nil
}

// Fail makes what was read so far a mistake, for readers that know more about
// it than the Decoder.
func (d *Decoder) Fail() {
	d.B = nil
	if d.Err == nil {
		d.Err = ErrCodec
	}
}

// Version reads a version and fails if it is not from 1 to Version.
func (d *Decoder) Version() {
	if v := d.Byte(); v == 0 || v > Version {
		d.Fail()
	}
}

// Byte reads one octet.
func (d *Decoder) Byte() byte {
	if len(d.B) == 0 {
		d.Fail()
		return 0
	}
	v := d.B[0]
	d.B = d.B[1:]
	return v
}

// Uint reads an unsigned varint. It fails beyond 64 bits.
func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Int reads a zigzag varint. It fails beyond 64 bits.
func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Count reads, with Uint, the length of a list whose elements take at least one
// octet each. It fails if there are fewer octets left, so that a damaged length
// cannot ask for more memory than the input has.
func (d *Decoder) Count() int {
	n := d.Uint()
	if n > uint64(len(d.B)) {
		d.Fail()
		return 0
	}
	return int(n)
}

// Fixed fills dst. It fails, and leaves dst alone, if there are fewer octets left.
func (d *Decoder) Fixed(dst []byte) {
	if len(d.B) < len(dst) {
		d.Fail()
		return
	}
	d.B = d.B[copy(dst, d.B):]
}

// Raw reads what Bytes or String wrote. The result is a part of the input, not a
// copy.
func (d *Decoder) Raw() []byte {
	n := d.Count()
	v := d.B[:n:n]
	d.B = d.B[n:]
	return v
}

// String reads a string.
func (d *Decoder) String() string { return string(d.Raw()) }

// Bytes reads octets and returns a copy; nil for an empty value.
func (d *Decoder) Bytes() []byte { return append([]byte(nil), d.Raw()...) }

// Time reads an instant, in UTC, or the zero time.
func (d *Decoder) Time() time.Time {
	v := d.Uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	nsec := d.Uint()
	if nsec >= uint64(time.Second) {
		d.Fail()
		return time.Time{}
	}
	return time.Unix(int64(v>>1)^-int64(v&1), int64(nsec)).UTC()
}

// Address reads an address. That it is a proper one is not checked.
func (d *Decoder) Address() queue.Address {
	return queue.Address{Local: d.String(), Domain: d.String()}
}

// Done returns the error of the whole, ErrCodec or nil. Octets that are left are
// a mistake too.
func (d *Decoder) Done() error {
	if len(d.B) > 0 {
		d.Fail()
	}
	return d.Err
}

// Bits joins facts, at most 8, into one octet; the first is the lowest bit.
func Bits(facts ...bool) (b byte) {
	for i, f := range facts {
		if f {
			b |= 1 << i
		}
	}
	return b
}
