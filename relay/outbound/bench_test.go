package outbound_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// BenchmarkDeliver sends 4 KB messages one after the other.
func BenchmarkDeliver(b *testing.B) {
	body := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52)
	for _, mode := range []smtpsim.TLSMode{smtpsim.NoTLS, smtpsim.StartTLS} {
		for _, perConnection := range []int{1 << 30, 1} {
			b.Run(fmt.Sprintf("tls=%v/reused=%v", mode != smtpsim.NoTLS, perConnection > 1), func(b *testing.B) {
				s := sim(b, smtpsim.Options{TLS: mode, Keep: smtpsim.KeepCounters})
				p := pool(b, outbound.Options{RootCAs: s.RootCAs()})
				tg := target(s)
				tg.Limits.MessagesPerConnection = perConnection
				tx := messageOf(body, "b@rcpt.test")
				ctx := b.Context()
				b.ReportAllocs()
				b.SetBytes(tx.Size)
				for b.Loop() {
					if res := p.Deliver(ctx, tg, tx); res.Recipients[0].Outcome != outbound.Accepted {
						b.Fatalf("result %+v", res)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}
