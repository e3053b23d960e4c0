package delivery_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/delivery"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

// BenchmarkCycle accepts messages of 4 KB from 64 clients and delivers them over
// reused connections to one next hop: store on disk, every commit synced, no
// DKIM, no log.
func BenchmarkCycle(b *testing.B) {
	for _, handoff := range []bool{true, false} {
		for _, connections := range []int{10, 40} {
			b.Run(fmt.Sprintf("handoff=%v/connections=%d", handoff, connections), func(b *testing.B) {
				benchmarkCycle(b, handoff, connections)
			})
		}
	}
}

func benchmarkCycle(b *testing.B, handoff bool, connections int) {
	dir := b.TempDir() // before the world, so that it outlives the store
	w := newWorld(b)
	store, err := logstore.Open(context.Background(), logstore.Options{Dir: dir, FS: vfs.Default})
	if err != nil {
		b.Fatal(err)
	}
	_ = w.store.Close()
	w.store = store
	w.hop(addrA, smtpsim.Options{Keep: smtpsim.KeepCounters})
	var done sync.WaitGroup
	var bad atomic.Int64
	w.options.Hooks.Outcome = func(s queue.State, _ queue.Class) {
		if s != queue.StateDelivered {
			bad.Add(1)
		}
		done.Done()
	}
	w.options.Workers = 64
	w.options.Recheck = 0
	w.options.Logger = nil
	w.options.Limits = throttle.New(throttle.Options{Connections: connections})
	w.start()
	body := "From: shop@sender.test\r\nSubject: hello\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64)
	var next atomic.Int64
	done.Add(b.N)
	b.ResetTimer()
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			for next.Add(1) <= int64(b.N) {
				w.acceptFast(b, body, handoff)
			}
		})
	}
	clients.Wait()
	done.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
	if n := bad.Load(); n > 0 {
		b.Errorf("%d messages were not delivered at once", n)
	}
}

func (w *world) acceptFast(b testing.TB, body string, handoff bool) {
	ctx := context.Background()
	now := w.clock.Now()
	cw, err := w.store.CreateContent(ctx)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.WriteString(cw, body)
	from := queue.Address{Local: "shop", Domain: "sender.test"}
	id := queue.NewMessageID()
	req := queue.EnqueueRequest{
		Message: queue.Message{
			ID: id, Account: "shop", Envelope: queue.Envelope{ReversePath: from}, Header: queue.Header{From: from},
			Priority: queue.PriorityNormal, AcceptedAt: now, ExpiresAt: now.AddDate(0, 0, 3),
			Content: queue.ContentRef{Size: int64(len(body)), HeaderSize: 46},
		},
		Recipients: []queue.Recipient{{ID: id.Recipient(0), Address: queue.Address{Local: "joe", Domain: "a.test"}, State: queue.StateQueued, Lane: "a.test", Due: now}},
		Content:    cw, Now: now,
	}
	take := func([]queue.Lease) {}
	if handoff {
		if r, t, ok := w.d.Reserve(); ok {
			req.Lease, take = &r, t
		}
	}
	enqueued, err := w.store.Enqueue(ctx, req)
	take(enqueued.Leases)
	if err != nil {
		b.Error(err)
	}
}

var _ delivery.Store = (*logstore.Store)(nil)
