package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
)

// TestClocksDiffer has a node that is ten minutes ahead, and passes such times.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	right := openOn(t, on)
	o := impatient(redisstore.Options{Addrs: []string{on.Addr()}})
	ahead := func() time.Time { return time.Now().Add(10 * time.Minute) }
	o.Now = ahead
	wrong := open(t, o)

	if _, err := right.Enqueue(t.Context(), request(1, time.Now(), 1)); err != nil {
		t.Fatal(err)
	}
	if n := leases(t, right, time.Now(), 1); n != 1 {
		t.Fatalf("%d leases, want 1", n)
	}
	if n := leases(t, wrong, ahead(), 1); n != 0 {
		t.Error("the lease of the other node was taken over")
	}
	// What it enqueues is due for all, but for what a look at a clock takes.
	if _, err := wrong.Enqueue(t.Context(), request(2, ahead(), 1)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, func() error {
		if leases(t, right, time.Now(), 1) == 0 {
			return errors.New("what the node enqueued that is ahead is not due")
		}
		return nil
	})
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v until it was due", took)
	}
	if _, err := right.Claim(t.Context(), "work", "a", time.Now(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Claim(t.Context(), "work", "b", ahead(), time.Minute); !errors.Is(err, queue.ErrClaimed) {
		t.Errorf("claim: %v, want that another has it", err)
	}
	rate := queue.Rate{Count: 1, Per: time.Minute, Burst: 2}
	for i := range 2 {
		if ok, _, err := right.TakeRate(t.Context(), "k", time.Now(), rate, 1); !ok || err != nil {
			t.Fatalf("take %d: %t, %v", i, ok, err)
		}
	}
	if ok, wait, err := wrong.TakeRate(t.Context(), "k", ahead(), rate, 1); ok || err != nil || wait > time.Minute {
		t.Errorf("the node that is ahead takes more: %t, %v, %v", ok, wait, err)
	}
	if ok, err := right.AcquireSlot(t.Context(), "s", "a", time.Now(), 1, time.Minute); !ok || err != nil {
		t.Fatalf("slot: %t, %v", ok, err)
	}
	if ok, err := wrong.AcquireSlot(t.Context(), "s", "b", ahead(), 1, time.Minute); ok || err != nil {
		t.Errorf("the node that is ahead takes a slot that another has: %t, %v", ok, err)
	}
}

func leases(t *testing.T, s *redisstore.Store, now time.Time, limit int) int {
	t.Helper()
	ls, err := s.Lease(t.Context(), queue.LeaseRequest{Now: now, Holder: "node", TTL: time.Minute, Max: limit})
	if err != nil {
		t.Fatal(err)
	}
	return len(ls)
}

func TestFairnessHoldsOverNodes(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	nodes := []*redisstore.Store{openOn(t, on), openOn(t, on)}
	for i := range 60 {
		r := request(uint64(i), time.Now(), 1)
		r.Message.Account = "big"
		if i >= 50 {
			r.Message.Account = "small"
		}
		if _, err := nodes[0].Enqueue(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for i := range 20 {
		ls, err := nodes[i%2].Lease(t.Context(), queue.LeaseRequest{Now: time.Now(), Holder: fmt.Sprint("node", i%2), TTL: time.Minute, Max: 1})
		if err != nil || len(ls) != 1 {
			t.Fatalf("%d leases, %v", len(ls), err)
		}
		got[ls[0].Message.Account]++
	}
	if got["small"] < 9 {
		t.Errorf("of 20 leases the small account has %d", got["small"])
	}
}

func TestParkedLaneIsServedByAnIdleNode(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	a, b := openOn(t, on), openOn(t, on)
	now := time.Now()
	if err := a.Park(t.Context(), "lane0", now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enqueue(t.Context(), request(1, now, 1)); err != nil {
		t.Fatal(err)
	}
	if n := leases(t, a, time.Now(), 5); n != 0 {
		t.Errorf("the node that parked the lane has %d leases of it", n)
	}
	if due, ok, err := a.NextDue(t.Context(), time.Now()); err != nil || ok && due.Before(now.Add(time.Minute)) {
		t.Errorf("for it something is due at %v, %t, %v", due, ok, err)
	}
	if n := leases(t, b, time.Now(), 5); n != 1 {
		t.Errorf("the other node has %d leases, want 1", n)
	}
}

func TestNodesAreSignalled(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	a, b := openOn(t, on), openOn(t, on)
	wake, stop := b.Wake()
	defer stop()
	notify, stop := b.Notify()
	defer stop()
	// What it sees first is what it compares with.
	eventually(t, func() error {
		if _, err := a.Enqueue(t.Context(), request(uint64(time.Now().UnixNano()), time.Now(), 1)); err != nil {
			return err
		}
		select {
		case <-wake:
			return nil
		default:
			return errors.New("no signal yet")
		}
	})
	for range 3 {
		drain(wake, notify)
		start := time.Now()
		if _, err := a.Enqueue(t.Context(), request(uint64(start.UnixNano()), start, 1)); err != nil {
			t.Fatal(err)
		}
		await(t, wake, "wake")
		await(t, notify, "notify")
		if took := time.Since(start); took > 2*time.Second { // a second, on a machine that is not busy
			t.Errorf("the signals took %v", took)
		}
	}
}

func drain(cs ...<-chan struct{}) {
	for _, c := range cs {
		select {
		case <-c:
		default:
		}
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Second):
		t.Fatalf("no signal to %s", what)
	}
}

func TestFormatsOfNodes(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	o := impatient(redisstore.Options{Addrs: []string{on.Addr()}, Node: "the old one"})
	old := open(t, o)
	o.Node = "the new one"
	if err := redisstore.RegisterAs(t.Context(), o, 3); err == nil || !strings.Contains(err.Error(), "the old one") || !strings.Contains(err.Error(), "stop them first") {
		t.Fatalf("a node of a newer version, while an older one runs: %v", err)
	}
	resumes(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := redisstore.RegisterAs(t.Context(), o, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := redisstore.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "format 3") || !strings.Contains(err.Error(), "upgrade this node") {
		t.Fatalf("a node of an older version: %v", err)
	}
}

// TestNodeIsOvertaken has a node that sleeps while a newer version takes over:
// it finds out by its next sign of life.
func TestNodeIsOvertaken(t *testing.T) {
	t.Parallel()
	on := redistest.StartServer(t)
	s := openOn(t, on)
	resumes(t, s)
	if err := on.Client().HSet(t.Context(), "pr{meta}", "format", 3).Err(); err != nil {
		t.Fatal(err)
	}
	s.BeatAs(t.Context(), 2)
	_, err := s.Enqueue(t.Context(), request(1, time.Now(), 1))
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "upgrade this node") {
		t.Fatalf("enqueue by a node of an older version: %v", err)
	}
	if c := s.Condition(t.Context()); c.Accepting || !strings.Contains(c.Reason, "upgrade this node") {
		t.Errorf("its condition is %+v", c)
	}
}
