package logstore

import (
	"encoding/binary"
	"errors"
	"time"

	"postrider/queue"
)

// errCodec is the one error of decoding: the bytes are not what this version,
// or an earlier one, wrote.
var errCodec = errors.New("stored record cannot be decoded")

// codecVersion stands before every stored value. Readers know all versions up
// to it.
const codecVersion = 1

// encoder appends values to a buffer. Integers are varints, strings and bytes
// are preceded by their length.
type encoder struct{ b []byte }

func (e *encoder) version()        { e.b = append(e.b, codecVersion) }
func (e *encoder) byte(v byte)     { e.b = append(e.b, v) }
func (e *encoder) uint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) fixed(v []byte)  { e.b = append(e.b, v...) }
func (e *encoder) string(v string) { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) bytes(v []byte)  { e.uint(uint64(len(v))); e.b = append(e.b, v...) }

// time keeps the instant to the nanosecond over all years, and the zero time.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.uint(0)
		return
	}
	sec := t.Unix()
	e.uint(uint64(sec)<<1 ^ uint64(sec>>63) + 1)
	e.uint(uint64(t.Nanosecond()))
}

func (e *encoder) address(a queue.Address) { e.string(a.Local); e.string(a.Domain) }

// decoder reads what encoder wrote. After the first mistake it only returns
// zero values, and err says so.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errCodec
	}
}

func (d *decoder) version() {
	if v := d.byte(); v == 0 || v > codecVersion {
		d.fail()
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the length of a list whose elements take at least one byte each,
// so that a damaged length cannot ask for more memory than the input has.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// fixed fills dst.
func (d *decoder) fixed(dst []byte) {
	if len(d.b) < len(dst) {
		d.fail()
		return
	}
	d.b = d.b[copy(dst, d.b):]
}

func (d *decoder) raw() []byte {
	n := d.count()
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.raw()) }

// bytes returns a copy; nil for an empty value.
func (d *decoder) bytes() []byte { return append([]byte(nil), d.raw()...) }

func (d *decoder) time() time.Time {
	v := d.uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	nsec := d.uint()
	if nsec >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(int64(v>>1)^-int64(v&1), int64(nsec)).UTC()
}

func (d *decoder) address() queue.Address {
	return queue.Address{Local: d.string(), Domain: d.string()}
}

// done returns the error of the whole, which trailing bytes are too.
func (d *decoder) done() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

// bits joins facts into one byte; the first is the lowest bit.
func bits(facts ...bool) (b byte) {
	for i, f := range facts {
		if f {
			b |= 1 << i
		}
	}
	return b
}
