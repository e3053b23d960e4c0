package imapview

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// wire is a client's socket, below TLS. A Write fails when the client took
// nothing for as long as the timeout, and only then: one command may have a long
// answer and a slow reader. Read deadlines are set by two goroutines: once the
// server drains, they have all passed.
type wire struct {
	net.Conn
	timeout time.Duration

	mu      sync.Mutex
	drained bool
}

func (w *wire) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := w.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return n, err
		}
		m, err := w.Conn.Write(p[n:])
		n += m
		if err != nil && (m == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, nil
}

// readBy sets when reading ends at the latest.
func (w *wire) readBy(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.drained {
		_ = w.Conn.SetReadDeadline(t) // of a closed connection, Read says it
	}
}

// drain wakes whoever reads, now and from now on.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = true
	_ = w.Conn.SetReadDeadline(time.Unix(1, 0))
}

func (w *wire) isDrained() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drained
}

// SetReadDeadline is for TLS, which must not undo drain.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.readBy(t)
	return nil
}

// SetDeadline is for TLS, too: writing has its own.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }
