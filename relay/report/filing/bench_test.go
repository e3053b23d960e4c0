package filing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

// BenchmarkFile files mail of 4 KB: b.N messages that were delivered, bounced or
// deferred. An op is one message.
func BenchmarkFile(b *testing.B) {
	body := "Received: from a by b; Sun, 22 Nov 2026 20:00:01 +0000\r\nFrom: Shop <shop@site.example>\r\nTo: cust@example.net\r\n" +
		"Subject: Your order #12345\r\nMessage-ID: <1@web1>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 25) +
		"--b\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 25) + "--b--\r\n"
	for name, outcome := range map[string]queue.Settlement{
		"delivered": {Outcome: queue.StateDelivered},
		"bounced":   {Outcome: queue.StateBounced, Class: queue.ClassRcptUnknown},
		"deferred":  {Outcome: queue.StateDeferred, Class: queue.ClassGreylist},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.round()
			for i := range b.N {
				w.enqueue(mail{content: body, to: []string{fmt.Sprintf("a@d%d.example", i)}})
				outcome.Due = w.now.Add(time.Hour)
				outcome.Attempt = w.attempt(250, queue.Enhanced{2, 0, 0}, "so it is")
				w.settle(fmt.Sprintf("d%d.example", i), outcome)
			}
			b.ReportAllocs()
			b.ResetTimer()
			w.round()
			b.StopTimer()
			if n := w.view().Set(map[string]string{"delivered": "Sent", "bounced": "Bounced", "deferred": "Deferred"}[name]).Len(); n != b.N {
				b.Fatalf("%d entries of %d messages", n, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
