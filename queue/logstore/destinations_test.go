package logstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/commitlog"
)

// laned makes a store with something in many lanes.
func laned(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s := openTest(t, Options{FS: fs})
	for i := range 40 {
		enqueue(t, s, mail{rcpts: 1 + i%3, lane: queue.Lane(fmt.Sprint("lane", i%7))})
	}
	for range 9 {
		settle(t, s, leaseOne(t, s, t0), queue.StateDelivered, t0)
	}
	checkIndex(t, s)
	return s
}

// An older version does not know of the counts, and leaves them as they were
// while the index goes on.
func TestLanesAreCountedAgainAfterAnOlderVersion(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(s *Store) error{
		"it never knew them": func(s *Store) error {
			return s.db.DeleteRange([]byte{keyLane}, []byte{keyLane + 1}, pebble.NoSync)
		},
		"it went on without them": func(s *Store) error {
			c := laneCounts{counts: map[queue.Lane]int64{"gone": 3, "lane1": 99}, changed: map[queue.Lane]struct{}{"gone": {}, "lane1": {}}}
			b := s.db.NewBatch()
			c.write(b, s.meta.next-1)
			return b.Commit(pebble.NoSync)
		},
	} {
		fs := vfs.NewMem()
		s := laned(t, fs)
		if err := breaks(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, Options{FS: fs})
		checkIndex(t, s)
		if t.Failed() {
			t.Fatal(name)
		}
		enqueue(t, s, mail{lane: "new"})
		checkIndex(t, s)
	}
}

func TestDamagedLaneCountsAreToldOf(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := laned(t, fs)
	if _, err := s.findLanes(commitlog.Position(0)); err != nil { // they are counted
		t.Error(err)
	}
	if err := s.db.Set([]byte{keyLane}, []byte{99}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, err := s.findLanes(s.meta.next); err == nil {
		t.Error("damaged counts are read")
	}
	if err := s.db.Set(nameKey(nil, keyLane, "lane1"), nil, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Destinations(t.Context(), "", 10); err == nil {
		t.Error("a damaged count is listed")
	}
}

// What waits is not read for it, so that its cost does not follow the backlog.
func BenchmarkDestinations(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n, " in 50 lanes"), func(b *testing.B) {
			s := openTest(b, Options{FS: vfs.NewMem()})
			for i := range n / 20 {
				enqueue(b, s, mail{rcpts: 20, lane: queue.Lane(fmt.Sprint("lane", i%50)), due: t0.Add(time.Hour)})
			}
			for b.Loop() {
				if _, err := s.Destinations(b.Context(), "", 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
