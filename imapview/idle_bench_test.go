package imapview_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"postrider/imapview"
)

// BenchmarkIdleConnections says how much memory a connection takes that waits in
// IDLE after it has read the flags of a folder. With TLS, it is that of both ends.
func BenchmarkIdleConnections(b *testing.B) {
	for _, name := range []string{"plain", "TLS"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				idleConnections(b, 500, name == "TLS")
			}
		})
	}
}

func idleConnections(b *testing.B, n int, secure bool) {
	w := newWorld(b, func(o *imapview.Options) {
		o.MaxPerAccount, o.MaxPerAddress = n, n
		if secure {
			o.TLS, o.Listen[0].Security = certificate(b), imapview.ImplicitTLS
		}
	})
	w.file("INBOX", strings.Split(strings.Repeat("x ", 2000), " ")...)
	before := inUse()
	for range n {
		nc, err := net.Dial("tcp", w.srv.Addrs()[0].String())
		if err != nil {
			b.Fatal(err)
		}
		if secure {
			nc = tls.Client(nc, clientTLS())
		}
		b.Cleanup(func() { _ = nc.Close() })
		if _, err := io.WriteString(nc, "a LOGIN shop secret\r\nb SELECT INBOX\r\nc FETCH 1:* FLAGS\r\nd FETCH 1:50 (ENVELOPE BODY.PEEK[])\r\ne IDLE\r\n"); err != nil {
			b.Fatal(err)
		}
		r := bufio.NewReader(nc)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			if line == "+ Idling\r\n" {
				break
			}
		}
	}
	b.ReportMetric(float64(inUse()-before)/float64(n), "B/conn")
}

func inUse() uint64 {
	for range 4 { // stacks shrink by half at each
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
