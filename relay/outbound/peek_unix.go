//go:build unix

package outbound

import (
	"net"
	"syscall"
)

// peek looks at what the peer has sent, without waiting and without taking it.
func peek(nc net.Conn) peeked {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return peekQuiet
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return peekClosed
	}
	result := peekClosed
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		switch n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); {
		case n > 0:
			result = peekData
		case err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR:
			result = peekQuiet
		}
	})
	if err != nil {
		return peekClosed
	}
	return result
}
