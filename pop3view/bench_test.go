package pop3view_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"postrider/pop3view"
	"postrider/queue/folders"
)

// BenchmarkPoll is what a client does every few minutes: log in to a full
// maildrop, look for what is new, and go.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			for range n / 10 {
				w.fileSome("shop", 10)
			}
			b.ReportAllocs()
			for b.Loop() {
				c := w.login("shop", "secret")
				c.multi("UIDL")
				c.do("QUIT", "+OK")
				_ = c.Close()
			}
		})
	}
}

// BenchmarkRetrieve sends messages of 256 KB.
func BenchmarkRetrieve(b *testing.B) {
	w := newWorld(b)
	w.fileLarge("shop", 256<<10)
	c := w.login("shop", "secret")
	c.do("STAT", "+OK")
	b.SetBytes(256 << 10)
	for b.Loop() {
		c.send("RETR 1\r\n")
		for line := ""; line != ".\r\n"; {
			l, err := c.r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			line = string(l)
		}
	}
}

// BenchmarkIdle reports what an idle session takes, with its client beside it.
func BenchmarkIdle(b *testing.B) {
	cert, pool := certificate(b)
	for _, security := range []string{"clear", "TLS"} {
		for _, n := range []int{0, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", security, n), func(b *testing.B) {
				w := newWorld(b, func(o *pop3view.Options) { o.TLS, o.MaxPerAddress, o.MaxPerAccount = cert, 1000, 1000 })
				for range n / 100 {
					items := make([]folders.Item, 100)
					for i := range items {
						items[i] = w.item("Subject: x\r\n\r\n"+strings.Repeat("x", i*50)+"\r\n", "", "", folders.FolderInbox)
					}
					w.file("shop", items...)
				}
				w.login("shop", "secret").do("QUIT", "+OK")
				before := inUse()
				for b.Loop() {
					c := w.dial()
					if security == "TLS" {
						c.startTLS(pool)
					}
					c.do("USER shop", "+OK")
					c.do("PASS secret", "+OK")
				}
				b.ReportMetric(float64(inUse()-before)/float64(w.srv.Stats().Open), "octets/session")
			})
		}
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
