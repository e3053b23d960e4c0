package imapview

import (
	"net"
	"strconv"
	"sync"
)

// outSize is how much is gathered before it is sent.
const outSize = 32 << 10

// buffers are lent to connections that have something to say.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[outSize]byte {
	if o, ok := b.pool.Get().(*[outSize]byte); ok {
		return o
	}
	return new([outSize]byte)
}

func (b *buffers) put(o *[outSize]byte) { b.pool.Put(o) }

// output gathers what goes to the client. Errors are kept: after the first one,
// nothing is written. It has a buffer from the first octet until rest.
type output struct {
	to   net.Conn
	pool *buffers
	buf  *[outSize]byte
	n    int
	err  error

	before func() // is called before octets are sent, if it is set
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && o.err == nil; {
		if o.n == outSize {
			o.flush()
			continue
		}
		free := o.free()
		n := copy(free, rest)
		o.n += n
		rest = rest[n:]
	}
	return len(p), o.err
}

func (o *output) free() []byte {
	if o.buf == nil {
		o.buf = o.pool.get()
	}
	return o.buf[o.n:]
}

// spare returns at least n free octets, to be appended to and given to took.
func (o *output) spare(n int) []byte {
	if outSize-o.n < n {
		o.flush()
	}
	return o.free()[:0]
}

// took says that b, which began as spare, is to be written.
func (o *output) took(b []byte) {
	switch {
	case len(b) == 0:
	case len(b) > outSize-o.n || &b[0] != &o.buf[o.n]: // it outgrew the buffer
		_, _ = o.Write(b)
	default:
		o.n += len(b)
	}
}

func (o *output) WriteString(s string) (int, error) {
	for rest := s; len(rest) > 0 && o.err == nil; {
		if o.n == outSize {
			o.flush()
			continue
		}
		n := copy(o.free(), rest)
		o.n += n
		rest = rest[n:]
	}
	return len(s), o.err
}

// say writes all of its parts.
func (o *output) say(parts ...string) {
	for _, p := range parts {
		_, _ = o.WriteString(p)
	}
}

func (o *output) number(n uint64) {
	b := strconv.AppendUint(o.spare(20), n, 10)
	o.took(b)
}

// flush sends what was gathered.
func (o *output) flush() {
	if o.n > 0 && o.err == nil {
		if o.before != nil {
			o.before()
		}
		_, o.err = o.to.Write(o.buf[:o.n])
	}
	o.n = 0
}

// rest sends what was gathered, and gives the buffer back.
func (o *output) rest() {
	o.flush()
	if o.buf != nil {
		o.pool.put(o.buf)
		o.buf = nil
	}
}
