package codec_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/codec"
)

func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	var e codec.Encoder
	e.Version()
	e.Byte(200)
	e.Uint(math.MaxUint64)
	e.Int(math.MinInt64)
	e.Fixed([]byte{1, 2})
	e.String("ü")
	e.Bytes([]byte{3})
	e.Bytes(nil)
	e.Address(queue.Address{Local: "a b", Domain: "Example.org"})
	e.Byte(codec.Bits(true, false, true))

	d := codec.Decoder{B: e.B}
	d.Version()
	var fixed [2]byte
	if b, u, i := d.Byte(), d.Uint(), d.Int(); b != 200 || u != math.MaxUint64 || i != math.MinInt64 {
		t.Error(b, u, i)
	}
	d.Fixed(fixed[:])
	if s, b, none := d.String(), d.Bytes(), d.Bytes(); fixed != [2]byte{1, 2} || s != "ü" || !bytes.Equal(b, []byte{3}) || none != nil {
		t.Error(fixed, s, b, none)
	}
	if a, f := d.Address(), d.Byte(); a.Local != "a b" || a.Domain != "Example.org" || f != 5 {
		t.Error(a, f)
	}
	if err := d.Done(); err != nil {
		t.Error(err)
	}
}

func TestTimesKeepNanosecondsOverAllYears(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		{}, time.Time{}.Add(1), time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Unix(0, 0), time.Date(2030, 5, 17, 9, 0, 0, 1, time.FixedZone("", 7200)), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		var e codec.Encoder
		e.Time(at)
		d := codec.Decoder{B: e.B}
		got := d.Time()
		if err := d.Done(); err != nil || !got.Equal(at) || got.IsZero() != at.IsZero() || got.Location() != time.UTC {
			t.Errorf("%s became %s, %v", at, got, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b    []byte
		read func(d *codec.Decoder)
	}{
		"nothing":                    {nil, func(d *codec.Decoder) { d.Byte() }},
		"version 0":                  {[]byte{0}, func(d *codec.Decoder) { d.Version() }},
		"a later version":            {[]byte{codec.Version + 1}, func(d *codec.Decoder) { d.Version() }},
		"half a number":              {[]byte{0x80}, func(d *codec.Decoder) { d.Uint() }},
		"a number of 70 bits":        {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, func(d *codec.Decoder) { d.Int() }},
		"a list longer than all":     {[]byte{3, 0, 0}, func(d *codec.Decoder) { d.Count() }},
		"a string longer than all":   {[]byte{3, 'a', 'b'}, func(d *codec.Decoder) { _ = d.String() }},
		"too little":                 {[]byte{1}, func(d *codec.Decoder) { d.Fixed(make([]byte, 2)) }},
		"too much":                   {[]byte{1, 2}, func(d *codec.Decoder) { d.Byte() }},
		"a second of 1e9 ns":         {[]byte{1, 0x80, 0x94, 0xeb, 0xdc, 0x03}, func(d *codec.Decoder) { d.Time() }},
		"an address of three octets": {append(make([]byte, 7), 3, 1, 1, 1), func(d *codec.Decoder) { d.Attempt() }},
		"what the reader dislikes":   {[]byte{1}, func(d *codec.Decoder) { d.Byte(); d.Fail() }},
	} {
		d := codec.Decoder{B: c.b}
		c.read(&d)
		if err := d.Done(); !errors.Is(err, codec.ErrCodec) {
			t.Errorf("%s: %v", name, err)
		}
		if d.Byte() != 0 || d.Uint() != 0 || d.String() != "" || d.Bytes() != nil || !d.Time().IsZero() || d.Done() == nil {
			t.Errorf("%s: something comes after the mistake", name)
		}
	}
}

func TestRawIsNoCopyAndBytesIs(t *testing.T) {
	t.Parallel()
	in := []byte{1, 'a', 1, 'b'}
	d := codec.Decoder{B: in}
	raw, copied := d.Raw(), d.Bytes()
	in[1], in[3] = 'x', 'x'
	if string(raw) != "x" || string(copied) != "b" {
		t.Errorf("%q, %q", raw, copied)
	}
	if raw = append(raw, '!'); in[2] != 1 {
		t.Errorf("%q was written over what follows", raw)
	}
}
