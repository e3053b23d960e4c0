package commitlog

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{512, 4 << 10, 100 << 10} {
		for _, clients := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("size=%d/clients=%d", size, clients), func(b *testing.B) {
				benchAppend(b, size, clients)
			})
		}
	}
}

func benchAppend(b *testing.B, size, clients int) {
	l, err := Open(b.Context(), b.TempDir(), Options{FS: vfs.Default, Apply: func([]Entry) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * 7)
	}
	// Old segments go, so that a long run does not fill the disk.
	clean := func() {
		for _, s := range l.Segments() {
			if s.Active || l.Remove(s.First) != nil {
				return
			}
		}
	}
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			batch := &Batch{Records: make([]Record, 1)}
			for {
				i := next.Add(1) - 1
				if i >= int64(b.N) {
					return
				}
				start := time.Now()
				batch.Records[0] = Record{Type: 1, Payload: body[:100], Body: body[100:]}
				if err := l.Append(context.Background(), batch); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
				if i%10000 == 0 {
					clean()
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	report(b, took)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRaw is what the disk gives one writer without any log.
func BenchmarkRaw(b *testing.B) {
	for _, size := range []int{512, 4 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			name := b.TempDir() + "/raw"
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				b.Fatal(err)
			}
			f, err := vfs.Default.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			buf := make([]byte, size)
			took := make([]time.Duration, b.N)
			b.ResetTimer()
			for i := range b.N {
				start := time.Now()
				if _, err := f.WriteAt(buf, int64(i)*int64(size)); err != nil {
					b.Fatal(err)
				}
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
				took[i] = time.Since(start)
			}
			b.StopTimer()
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
