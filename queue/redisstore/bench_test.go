package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

func openBench(b *testing.B, settings ...string) (queue.Store, *redistest.Server) {
	b.Helper()
	on := redistest.StartServer(b, settings...)
	s, err := redisstore.Open(context.Background(), redisstore.Options{Addrs: []string{on.Addr()}, Relaxed: len(settings) > 0})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s, on
}

// benchMail builds a message of one recipient, with its content written.
func benchMail(s queue.Store, body []byte, lane queue.Lane, account string, due, now time.Time) (queue.EnqueueRequest, error) {
	id := queue.NewMessageID()
	from := queue.Address{Local: "shop", Domain: "example.com"}
	state := queue.StateQueued
	if due.After(now) {
		state = queue.StateScheduled
	}
	r := queue.EnqueueRequest{
		Message: queue.Message{
			ID: id, Account: account, Priority: queue.PriorityNormal, AcceptedAt: now, ExpiresAt: now.Add(72 * time.Hour),
			Envelope: queue.Envelope{ReversePath: from},
			Header:   queue.Header{From: from, Subject: "Your order of today", MessageID: "4f2a91c3d7@example.com"},
			Source:   queue.Source{Kind: "smtp", Peer: "web1", Auth: "PLAIN"},
			Content:  queue.ContentRef{Size: int64(len(body)), HeaderSize: int64(len(body) / 4)},
		},
		Recipients: []queue.Recipient{{
			ID: id.Recipient(0), Address: queue.Address{Local: "some.customer", Domain: string(lane)},
			State: state, Lane: lane, Due: due,
		}},
		Now: now,
	}
	w, err := s.CreateContent(context.Background())
	if err != nil {
		return r, err
	}
	r.Content = w
	_, err = w.Write(body)
	return r, err
}

// BenchmarkCycle is a message's whole life, handed to a worker at once: enqueue
// with lease, mark, settle.
func BenchmarkCycle(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s, on := openBench(b)
			body := []byte(strings.Repeat("x", 4096))
			before := on.CPU(b)
			start := time.Now()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, clients)
			for range clients {
				go func() {
					for left.Add(-1) >= 0 {
						if err := cycle(s, body); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range clients {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "msg/s")
			b.ReportMetric(float64((on.CPU(b)-before).Microseconds())/float64(b.N), "redis-µs/msg")
		})
	}
}

func cycle(s queue.Store, body []byte) error {
	ctx, now := context.Background(), time.Now()
	r, err := benchMail(s, body, "example.org", "shop", now, now)
	if err != nil {
		return err
	}
	r.Lease = &queue.LeaseRequest{Now: now, Holder: "bench", TTL: time.Minute, Max: 1}
	out, err := s.Enqueue(ctx, r)
	if err != nil || len(out.Leases) == 0 {
		return err
	}
	l := out.Leases[0]
	if err := s.Mark(ctx, l, []queue.RecipientID{l.Recipients[0].ID}); err != nil {
		return err
	}
	return s.Settle(ctx, l, []queue.Settlement{{Recipient: l.Recipients[0].ID, Outcome: queue.StateDelivered, Attempt: &queue.Attempt{
		Number: 1, Start: now, Took: 100 * time.Millisecond, Site: "mx.example.org", Host: "mx1.example.org", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256",
		TLSPeer: "verified", Stage: queue.StageDot, Reply: queue.Reply{Code: 250, Text: "2.0.0 Ok: queued as 4f2a91c3d7", Command: "."},
	}}})
}

// fill queues n recipients, perMessage to a message, over lanes that are many;
// they are due later, but for every tenth message, whose lane is parked.
func fill(b *testing.B, s queue.Store, n, perMessage int, body []byte) {
	b.Helper()
	ctx, now := context.Background(), time.Now()
	if err := s.Park(ctx, "parked.example", now, now.Add(24*time.Hour)); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	const ways = 32
	errs := make(chan error, ways)
	for range ways {
		go func() {
			for {
				i := next.Add(1) - 1
				if i*int64(perMessage) >= int64(n) {
					errs <- nil
					return
				}
				lane, due := queue.Lane(fmt.Sprintf("domain%05d.example", i%20_000)), now.Add(time.Hour+time.Duration(i%14_400)*time.Second)
				if i%10 == 0 {
					lane, due = "parked.example", now
				}
				r, err := benchMail(s, body, lane, fmt.Sprint("account", i%50), due, now)
				for k := 1; err == nil && k < perMessage; k++ {
					rc := r.Recipients[0]
					rc.ID = r.Message.ID.Recipient(k)
					rc.Address.Local = fmt.Sprint("some.customer", k)
					r.Recipients = append(r.Recipients, rc)
				}
				if err == nil {
					_, err = s.Enqueue(ctx, r)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range ways {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBacklog is whole lives of messages while many others are queued, and
// what one queued recipient takes of the server's memory. Its bodies are empty.
func BenchmarkBacklog(b *testing.B) {
	for _, c := range []struct{ queued, perMessage int }{{1000, 10}, {100_000, 10}, {1_000_000, 10}, {100_000, 1}} {
		b.Run(fmt.Sprintf("queued=%d/each=%d", c.queued, c.perMessage), func(b *testing.B) {
			s, on := openBench(b, "appendfsync no") // what counts here is the queue, not the disk
			empty := usedMemory(b, on)
			fill(b, s, c.queued, c.perMessage, nil)
			size := usedMemory(b, on) - empty
			before := on.CPU(b)
			b.ResetTimer()
			for range b.N {
				if err := lifeInBacklog(s); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(size)/float64(c.queued), "B/recipient")
			b.ReportMetric(float64((on.CPU(b)-before).Microseconds())/float64(b.N), "redis-µs/msg")
		})
	}
}

// lifeInBacklog is enqueue, lease, deferral, retry and delivery of one message.
func lifeInBacklog(s queue.Store) error {
	ctx, now := context.Background(), time.Now()
	r, err := benchMail(s, nil, "fresh.example", "shop", now, now)
	if err != nil {
		return err
	}
	if _, err := s.Enqueue(ctx, r); err != nil {
		return err
	}
	for _, outcome := range []queue.State{queue.StateDeferred, queue.StateDelivered} {
		ls, err := s.Lease(ctx, queue.LeaseRequest{Now: time.Now().Add(time.Millisecond), Holder: "bench", TTL: time.Minute, Max: 1})
		if err != nil {
			return err
		}
		if len(ls) != 1 || ls[0].Message.ID != r.Message.ID {
			return fmt.Errorf("leased %d, want the fresh one", len(ls))
		}
		err = s.Settle(ctx, ls[0], []queue.Settlement{{Recipient: ls[0].Recipients[0].ID, Outcome: outcome, Due: time.Now(), Attempt: &queue.Attempt{Start: now}}})
		if err != nil {
			return err
		}
	}
	return nil
}

func usedMemory(b *testing.B, on *redistest.Server) int64 {
	b.Helper()
	info, err := on.Info(context.Background(), "memory")
	if err != nil {
		b.Fatal(err)
	}
	var n int64
	if _, err := fmt.Sscan(info["used_memory"], &n); err != nil {
		b.Fatal(err)
	}
	return n
}
