package submission

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Errors of a transport. Once one was returned by fill, fill returns it always:
// a content that broke off is never followed by a command.
var (
	errDraining = errors.New("server is draining")
	errTooLong  = errors.New("line too long")
)

const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

// transport is one client's connection, which may carry two dialogues: one
// before STARTTLS and one after. Replies are kept until the next read from the
// network, so that a pipelined group is answered in one write. It belongs to
// one goroutine at a time, but for drain and abort.
type transport struct {
	s       *Server
	socket  net.Conn
	conn    net.Conn // the wire, or TLS over it
	tls     *tls.Conn
	from    Security // of the listener
	local   bool     // came by the Unix socket
	trusted bool
	remote  netip.Addr
	peer    string // for the log
	user    string // peer credentials of the Unix socket
	started time.Time

	// ctx ends when the connection does or a drain runs out. go-smtp's
	// interfaces pass none, as net/http before its ConnContext.
	ctx    context.Context
	cancel context.CancelFunc

	in     []byte
	r, w   int
	large  *[]byte // in, if it came from the pool
	out    []byte
	failed error
	linger bool   // the client may still be sending: let it read our last reply
	final  string // said last, after all replies

	mu        sync.Mutex
	draining  bool
	inContent bool
}

// fill sends what we owe and reads more, at most until the deadline.
func (t *transport) fill(deadline time.Time) error {
	if t.failed != nil {
		return t.failed
	}
	if t.failed = t.flush(); t.failed != nil {
		return t.failed
	}
	if t.r > 0 {
		t.w = copy(t.in, t.in[t.r:t.w])
		t.r = 0
	}
	if t.w == len(t.in) {
		t.in = append(t.in, make([]byte, len(t.in)+smallBuffer)...)
	}
	t.armRead(deadline)
	n, err := t.conn.Read(t.in[t.w:])
	t.w += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && t.mustEnd() {
		err = errDraining
	}
	t.failed = err
	return err
}

func (t *transport) flush() error {
	if len(t.out) == 0 {
		return nil
	}
	if err := t.conn.SetWriteDeadline(time.Now().Add(t.s.o.WriteTimeout)); err != nil {
		return err
	}
	_, err := t.conn.Write(t.out)
	t.out = t.out[:0]
	return err
}

func (t *transport) say(line string) {
	t.out = append(append(t.out, line...), '\r', '\n')
}

// line returns the next command line with its end. It is valid until the next
// call of line or fill. The deadline is for the whole line.
func (t *transport) line(deadline time.Time) ([]byte, error) {
	for seen := 0; ; {
		if t.mustEnd() {
			return nil, errDraining
		}
		if i := bytes.IndexByte(t.in[t.r+seen:t.w], '\n'); i >= 0 {
			l := t.in[t.r : t.r+seen+i+1]
			t.r += len(l)
			if len(l) > maxCommand {
				return nil, errTooLong
			}
			return l, nil
		}
		if seen = t.w - t.r; seen > maxCommand {
			return nil, errTooLong
		}
		if err := t.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// beginContent marks that a drain must wait, and makes room.
func (t *transport) beginContent() {
	t.mu.Lock()
	t.inContent = true
	t.mu.Unlock()
	if t.large == nil {
		t.large = largeBuffers.Get().(*[]byte)
		t.w = copy(*t.large, t.in[t.r:t.w])
		t.r, t.in = 0, *t.large
	}
}

func (t *transport) endContent() {
	t.mu.Lock()
	t.inContent = false
	t.mu.Unlock()
	if t.large != nil {
		rest := t.in[t.r:t.w]
		t.in = make([]byte, max(smallBuffer, len(rest)))
		t.w = copy(t.in, rest)
		t.r = 0
		largeBuffers.Put(t.large)
		t.large = nil
	}
}

func (t *transport) mustEnd() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.draining && !t.inContent
}

func (t *transport) armRead(deadline time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining && !t.inContent {
		deadline = past
	}
	_ = t.conn.SetReadDeadline(deadline) // a closed socket says so at the Read
}

// drain ends the connection as soon as no content is under way.
func (t *transport) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	if !t.inContent {
		_ = t.socket.SetReadDeadline(past)
	}
}

// abort ends the connection now.
func (t *transport) abort() {
	t.cancel()
	_ = t.socket.Close()
}

var past = time.Unix(1, 0)

// handshake starts TLS. After an error the connection must be closed: what a
// failed handshake leaves behind is not to be trusted (RFC 3207 §4).
func (t *transport) handshake() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.s.o.HandshakeTimeout)
	defer cancel()
	c := tls.Server(t.conn, t.s.o.TLS)
	if err := c.HandshakeContext(ctx); err != nil {
		t.s.stats.handshakeFailures.Add(1)
		t.failed = err
		return err
	}
	t.conn, t.tls = c, c
	return nil
}

// close sends what is left and ends the connection.
func (t *transport) close() {
	if t.tls == nil && t.from == ImplicitTLS {
		t.out = nil // no plaintext where TLS was expected
	}
	_ = t.flush()
	if t.failed == nil && t.tls != nil {
		_ = t.tls.CloseWrite() // close_notify: the end is no truncation
	}
	if t.large != nil {
		t.endContent()
	}
	if tcp, ok := t.socket.(*net.TCPConn); ok && t.linger {
		// Closing with octets unread sends a reset, which may overtake the reply.
		_ = tcp.CloseWrite()
		_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, tcp, lingerOctets)
	}
	t.abort()
}

const (
	lingerTime   = 500 * time.Millisecond
	lingerOctets = 1 << 20
)
