package logstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
)

func openBench(b *testing.B) *Store {
	b.Helper()
	return openTest(b, Options{FS: vfs.Default, Dir: b.TempDir(), SegmentSize: 64 << 20})
}

// clients runs fn b.N times from n goroutines.
func clients(b *testing.B, n int, fn func(i int64)) {
	b.Helper()
	var next atomic.Int64
	done := make(chan struct{})
	b.ResetTimer()
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				fn(i)
			}
		}()
	}
	for range n {
		<-done
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func percentile(d []time.Duration, p float64) float64 {
	slices.Sort(d)
	return float64(d[int(float64(len(d)-1)*p)].Microseconds())
}

func BenchmarkEnqueue(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		body := strings.Repeat("x", size)
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dKB/%d", size>>10, n), func(b *testing.B) {
				s := openBench(b)
				b.SetBytes(int64(size))
				took := make([]time.Duration, b.N)
				clients(b, n, func(i int64) {
					start := time.Now()
					enqueue(b, s, mail{account: fmt.Sprint(i % 10), lane: queue.Lane(fmt.Sprint(i%100, ".example")), body: body})
					took[i-1] = time.Since(start)
				})
				b.ReportMetric(percentile(took, .99), "p99-µs")
			})
		}
	}
}

func BenchmarkCycle(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		body := strings.Repeat("x", size)
		for _, direct := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKB/direct=%v", size>>10, direct), func(b *testing.B) {
				s := openBench(b)
				clients(b, 64, func(i int64) {
					m := mail{account: fmt.Sprint(i % 10), lane: queue.Lane(fmt.Sprint(i, ".example")), body: body}
					if direct {
						r := request(t0, 1)
						m.lease = &r
					}
					ls := enqueue(b, s, m).Leases
					if !direct {
						ls = leaseAll(b, s, request(t0, 1))
					}
					for _, l := range ls {
						ids := []queue.RecipientID{l.Recipients[0].ID}
						readContent(b, s, l.Message.Content)
						if err := s.Mark(context.Background(), l, ids); err != nil {
							b.Error(err)
						}
						settle(b, s, l, queue.StateDelivered, t0)
					}
				})
			})
		}
	}
}

// fillQueue queues n messages, nine of ten in one lane.
func fillQueue(b testing.TB, s *Store, n int) {
	b.Helper()
	var next atomic.Int64
	done := make(chan struct{})
	for range 64 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				m := mail{account: fmt.Sprint("a", i%10), lane: "stalled.example"}
				if i%10 == 0 {
					m.lane = queue.Lane(fmt.Sprintf("d%d.example", i%1000))
				}
				enqueue(b, s, m)
			}
		}()
	}
	for range 64 {
		<-done
	}
}

// BenchmarkLease shows that a lease costs the same whatever is queued.
func BenchmarkLease(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openBench(b)
			fillQueue(b, s, n)
			ctx := context.Background()
			if err := s.Park(ctx, "stalled.example", t0, t0.Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				l := leaseOne(b, s, t0)
				took = append(took, time.Since(start))
				if l.Lane == "stalled.example" {
					b.Fatal("a parked lane was leased")
				}
				if err := s.Release(ctx, l, t0, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(percentile(took, .5), "p50-µs")
			b.ReportMetric(percentile(took, .99), "p99-µs")
		})
	}
}
