package smtpsim

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAck makes the kernel acknowledge the next segments at once. It wears
// off, so it is asked for before each read.
func quickAck(nc net.Conn) {
	withFD(nc, func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) // speed only
	})
}

func withFD(nc net.Conn, do func(fd uintptr)) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if rc, err := sc.SyscallConn(); err == nil {
		_ = rc.Control(do) // fails only on a closed socket
	}
}

// awaitHangUp waits until the peer has closed or nc is closed, and leaves
// unread what was sent. It returns false if nc is no socket.
func awaitHangUp(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	// The poller wakes this for every arrival and for the peer's FIN or RST.
	_ = rc.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return true
}
