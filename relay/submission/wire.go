package submission

import (
	"net"
	"syscall"
)

// wire is a client's socket. On Linux it asks for immediate ACKs around every
// Read: PHPMailer writes a body line by line, and Nagle's algorithm at its end
// together with delayed ACKs at ours would stall each mail by 40 ms. The kernel
// forgets the wish, so that it must be said again and again.
type wire struct {
	net.Conn
	control syscall.RawConn // nil: not TCP
	arm     func(fd uintptr)
	wrote   bool // since the last Read; Read and Write are called by one goroutine
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, wrote: true}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			w.control, w.arm = raw, quickACK
		}
	}
	return w
}

func (w *wire) Read(b []byte) (int, error) {
	if w.wrote {
		w.quick()
		w.wrote = false
	}
	n, err := w.Conn.Read(b)
	w.quick()
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	w.wrote = true
	return w.Conn.Write(b)
}

func (w *wire) quick() {
	if w.control != nil {
		_ = w.control.Control(w.arm) // a hint: without it, mail is only slower
	}
}
