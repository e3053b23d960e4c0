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

// Version stands before every stored value. Readers know all versions up
// to it.
const Version = 1

// Encoder appends values to a buffer. Integers are varints, strings and bytes
// are preceded by their length.
type Encoder struct{ B []byte }

func (e *Encoder) Version()        { e.B = append(e.B, Version) }
func (e *Encoder) Byte(v byte)     { e.B = append(e.B, v) }
func (e *Encoder) Uint(v uint64)   { e.B = binary.AppendUvarint(e.B, v) }
func (e *Encoder) Int(v int64)     { e.B = binary.AppendVarint(e.B, v) }
func (e *Encoder) Fixed(v []byte)  { e.B = append(e.B, v...) }
func (e *Encoder) String(v string) { e.Uint(uint64(len(v))); e.B = append(e.B, v...) }
func (e *Encoder) Bytes(v []byte)  { e.Uint(uint64(len(v))); e.B = append(e.B, v...) }

// time keeps the instant to the nanosecond over all years, and the zero time.
func (e *Encoder) Time(t time.Time) {
	if t.IsZero() {
		e.Uint(0)
		return
	}
	sec := t.Unix()
	e.Uint(uint64(sec)<<1 ^ uint64(sec>>63) + 1)
	e.Uint(uint64(t.Nanosecond()))
}

func (e *Encoder) Address(a queue.Address) { e.String(a.Local); e.String(a.Domain) }

// Decoder reads what Encoder wrote. After the first mistake it only returns
// zero values, and err says so.
type Decoder struct {
	B   []byte
	Err error
}

func (d *Decoder) Fail() {
	d.B = nil
	if d.Err == nil {
		d.Err = ErrCodec
	}
}

func (d *Decoder) Version() {
	if v := d.Byte(); v == 0 || v > Version {
		d.Fail()
	}
}

func (d *Decoder) Byte() byte {
	if len(d.B) == 0 {
		d.Fail()
		return 0
	}
	v := d.B[0]
	d.B = d.B[1:]
	return v
}

func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.B)
	if n <= 0 {
		d.Fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// count reads the length of a list whose elements take at least one byte each,
// so that a damaged length cannot ask for more memory than the input has.
func (d *Decoder) Count() int {
	n := d.Uint()
	if n > uint64(len(d.B)) {
		d.Fail()
		return 0
	}
	return int(n)
}

// fixed fills dst.
func (d *Decoder) Fixed(dst []byte) {
	if len(d.B) < len(dst) {
		d.Fail()
		return
	}
	d.B = d.B[copy(dst, d.B):]
}

func (d *Decoder) Raw() []byte {
	n := d.Count()
	v := d.B[:n:n]
	d.B = d.B[n:]
	return v
}

func (d *Decoder) String() string { return string(d.Raw()) }

// bytes returns a copy; nil for an empty value.
func (d *Decoder) Bytes() []byte { return append([]byte(nil), d.Raw()...) }

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

func (d *Decoder) Address() queue.Address {
	return queue.Address{Local: d.String(), Domain: d.String()}
}

// done returns the error of the whole, which trailing bytes are too.
func (d *Decoder) Done() error {
	if len(d.B) > 0 {
		d.Fail()
	}
	return d.Err
}

// bits joins facts into one byte; the first is the lowest bit.
func Bits(facts ...bool) (b byte) {
	for i, f := range facts {
		if f {
			b |= 1 << i
		}
	}
	return b
}
