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

// hasInput says whether the peer sent something that was not read yet.
func hasInput(nc net.Conn) (has bool) {
	withFD(nc, func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		has = err == nil && n > 0
	})
	return has
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
