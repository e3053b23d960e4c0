package submission

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestQuickACKIsArmedAroundEveryRead: without it, a client that writes line by
// line waits 40 ms for each mail. The kernel clears the option by itself, so it
// is cleared here before each Read.
func TestQuickACKIsArmedAroundEveryRead(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := newWire(c)
	option := func(set bool) (v int) {
		err := w.control.Control(func(fd uintptr) {
			if set {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
				return
			}
			v, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK)
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for range 20 {
		option(true)
		if v := option(false); v != 0 {
			t.Fatalf("cannot clear TCP_QUICKACK: %d", v)
		}
		if _, err := client.Write([]byte("a line\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if v := option(false); v != 1 {
			t.Fatal("TCP_QUICKACK is off after a Read")
		}
	}
}
