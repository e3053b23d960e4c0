//go:build full && linux

package e2e_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// sniffer sees every connection that is asked for at port 25, answered or not.
type sniffer struct {
	mu    sync.Mutex
	names map[netip.Addr]string
	seen  map[attemptOnWire]bool
	order []attemptOnWire
}

type attemptOnWire struct {
	to   netip.Addr
	from uint16 // port
}

// watchWire listens at the loopback interface until the test ends.
func watchWire(t *testing.T) *sniffer {
	t.Helper()
	w := &sniffer{names: map[netip.Addr]string{}, seen: map[attemptOnWire]bool{}}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 128)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n, _, err := unix.Recvfrom(fd, buf, 0); err == nil {
				w.packet(buf[:n])
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done; unix.Close(fd) })
	return w
}

// packet notes the first packet of a connection.
func (w *sniffer) packet(b []byte) {
	var to netip.Addr
	var tcp []byte
	switch {
	case len(b) >= 40 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_TCP:
		to, tcp = netip.AddrFrom4([4]byte(b[16:20])), b[int(b[0]&15)*4:]
	case len(b) >= 60 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_TCP:
		to, tcp = netip.AddrFrom16([16]byte(b[24:40])), b[40:]
	}
	const syn, ack = 2, 16
	if len(tcp) < 20 || binary.BigEndian.Uint16(tcp[2:]) != 25 || tcp[13]&(syn|ack) != syn {
		return
	}
	a := attemptOnWire{to, binary.BigEndian.Uint16(tcp)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen[a] { // each is seen as it leaves and as it comes, and may be repeated
		w.seen[a] = true
		w.order = append(w.order, a)
	}
}

func (w *sniffer) name(addr, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[netip.MustParseAddr(addr)] = name
}

// take returns to which of these addresses connections were asked for, in order,
// since it was called last.
func (w *sniffer) take(addrs []netip.Addr) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.order = slices.DeleteFunc(w.order, func(a attemptOnWire) bool {
		ours := slices.Contains(addrs, a.to)
		if ours {
			names = append(names, w.names[a.to])
		}
		return ours
	})
	return names
}
