package pop3view

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// pieceSize is what is written at once, and so what a slow reader must take
// before the time runs out.
const pieceSize = 16 << 10

// wire is a connection that answers in as few pieces as it can: what was written
// goes out when the next command has to be waited for (RFC 2449 §6.6). It has a
// buffer only while there is something in it.
type wire struct {
	conn    net.Conn
	stall   time.Duration
	buffers *sync.Pool // of *bufio.Writer
	out     *bufio.Writer
}

// Read sends what waits before it waits itself.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	return w.conn.Read(p)
}

func (w *wire) Write(p []byte) (int, error) { return w.buffer().Write(p) }

func (w *wire) say(lines ...string) {
	b := w.buffer()
	for _, line := range lines {
		_, _ = b.WriteString(line) // the error stays with the buffer until flush
		_, _ = b.WriteString("\r\n")
	}
}

func (w *wire) buffer() *bufio.Writer {
	if w.out == nil {
		w.out = w.buffers.Get().(*bufio.Writer)
		w.out.Reset(impatient{w.conn, w.stall})
	}
	return w.out
}

func (w *wire) flush() error {
	if w.out == nil {
		return nil
	}
	err := w.out.Flush()
	w.out.Reset(nil)
	w.buffers.Put(w.out)
	w.out = nil
	return err
}

// impatient gives each piece its own time.
type impatient struct {
	conn  net.Conn
	stall time.Duration
}

func (w impatient) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if err = w.conn.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			break
		}
		var m int
		m, err = w.conn.Write(p[n:min(n+pieceSize, len(p))])
		n += m
	}
	return n, err
}
