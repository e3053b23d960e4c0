package smtpsim_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"postrider/relay/smtpsim"
)

// BenchmarkReused sends 4 KB messages, pipelined, over one connection for
// each of the parallel clients.
func BenchmarkReused(b *testing.B) {
	s, err := smtpsim.Start(smtpsim.Options{Keep: smtpsim.KeepCounters})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64) + ".\r\n")
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		fmt.Fprint(conn, "HELO x\r\n")
		lines := 2
		envelope := []byte("MAIL FROM:<a@from.test>\r\nRCPT TO:<r1@to.test>\r\nDATA\r\n")
		for pb.Next() {
			conn.Write(envelope)
			for range lines + 3 {
				if _, err := r.ReadSlice('\n'); err != nil {
					b.Error(err)
					return
				}
			}
			lines = 0
			conn.Write(body)
			if _, err := r.ReadSlice('\n'); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
