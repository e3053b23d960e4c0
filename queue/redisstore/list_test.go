package redisstore_test

import (
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// TestListFindsWhatWasAcceptedOutOfOrder has nodes whose clocks differ: ids do
// not grow as messages come in. There are more of them than a segment holds.
func TestListFindsWhatWasAcceptedOutOfOrder(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	for _, parts := range []int{1, 3} {
		s := open(t, redisstore.Options{Addrs: []string{on.Addr()}, Partitions: parts, Prefix: "pr" + string(rune('0'+parts))})
		now := time.Now()
		want := map[queue.MessageID]bool{}
		for i := range 600 * parts {
			at := now
			if i%7 == 0 {
				at = now.Add(time.Duration(i%5) * time.Minute)
			}
			r := request(uint64(i), at, 1)
			r.Now = now
			if _, err := s.Enqueue(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			want[r.Message.ID] = true
		}
		for _, limit := range []int{1000, 7} {
			got := map[queue.MessageID]int{}
			for c := queue.Cursor(""); ; {
				es, next, err := s.List(t.Context(), queue.Filter{}, c, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range es {
					got[e.Message.ID]++
				}
				if c = next; c == "" {
					break
				}
			}
			for id := range want {
				if got[id] != 1 {
					t.Fatalf("%s is listed %d times, in pages of %d, with %d partitions", id, got[id], limit, parts)
				}
			}
		}
	}
}

// TestDueNow grants what is due when it comes, within whatever millisecond.
func TestDueNow(t *testing.T) {
	t.Parallel()
	s := openOn(t, redistest.StartServer(t))
	now := time.Now().Truncate(time.Millisecond).Add(time.Microsecond)
	r := request(1, now, 1)
	r.Lease = &queue.LeaseRequest{Now: now, Holder: "node", TTL: time.Minute, Max: 1}
	out, err := s.Enqueue(t.Context(), r)
	if err != nil || len(out.Leases) != 1 {
		t.Errorf("%d leases, %v", len(out.Leases), err)
	}
}
