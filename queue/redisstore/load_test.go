package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
)

// load is mail that goes through some nodes while their servers have trouble. It
// notes what it was told, and knows in the end what must not be.
type load struct {
	t     *testing.T
	nodes []*redisstore.Store
	seq   atomic.Uint64
	stop  atomic.Bool
	wg    sync.WaitGroup

	mu       sync.Mutex
	accepted map[queue.MessageID]int // recipients
	ended    map[queue.RecipientID]bool
	refused  int
	twice    []queue.RecipientID
	errs     []error
}

// leaseTime is short, so that what a lost answer leased comes back soon.
const leaseTime = 2 * time.Second

func startLoad(t *testing.T, nodes ...*redisstore.Store) *load {
	l := &load{t: t, nodes: nodes, accepted: map[queue.MessageID]int{}, ended: map[queue.RecipientID]bool{}}
	for i, s := range nodes {
		for k := range 3 {
			l.wg.Go(func() { l.produce(s, i) })
			l.wg.Go(func() { l.work(s, rand.New(rand.NewPCG(uint64(i), uint64(k)))) })
		}
	}
	return l
}

// request is a message to three recipients in two lanes.
func (l *load) request(now time.Time) queue.EnqueueRequest { return request(l.seq.Add(1), now, 3) }

func request(n uint64, now time.Time, recipients int) queue.EnqueueRequest {
	var id queue.MessageID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	id[6], id[7] = 0x70, byte(n>>24)
	id[8], id[9], id[10], id[11] = 0x80, byte(n>>16), byte(n>>8), byte(n)
	r := queue.EnqueueRequest{Now: now, Message: queue.Message{
		ID: id, Account: fmt.Sprint("account", n%3), Priority: queue.PriorityNormal, AcceptedAt: now, ExpiresAt: now.Add(time.Hour),
	}}
	for i := range recipients {
		a, err := queue.ParseAddress(fmt.Sprintf("user%d@example.org", i))
		if err != nil {
			panic(err)
		}
		r.Recipients = append(r.Recipients, queue.Recipient{
			ID: id.Recipient(i), Address: a, State: queue.StateQueued, Lane: queue.Lane(fmt.Sprint("lane", i%2)), Due: now,
		})
	}
	return r
}

func withContent(t *testing.T, s *redisstore.Store, r *queue.EnqueueRequest, body []byte) {
	t.Helper()
	w, err := s.CreateContent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	r.Message.Content = queue.ContentRef{Size: int64(len(body)), HeaderSize: int64(len(body))}
	r.Content = w
}

func (l *load) produce(s *redisstore.Store, node int) {
	for !l.stop.Load() {
		r := l.request(time.Now())
		out, err := s.Enqueue(context.Background(), r)
		l.mu.Lock()
		switch {
		case err == nil:
			l.accepted[out.ID] = len(r.Recipients)
		case errors.Is(err, queue.ErrUnavailable):
			l.refused++
		default:
			l.errs = append(l.errs, fmt.Errorf("node %d: %w", node, err))
		}
		l.mu.Unlock()
		time.Sleep(2 * time.Millisecond) // as mail comes in
	}
}

func (l *load) work(s *redisstore.Store, rng *rand.Rand) {
	for !l.stop.Load() {
		if l.step(s, rng) == 0 {
			time.Sleep(5 * time.Millisecond) // as a node waits for what is due
		}
	}
}

// step leases and settles, and returns how much it leased.
func (l *load) step(s *redisstore.Store, rng *rand.Rand) int {
	now := time.Now()
	ls, err := s.Lease(context.Background(), queue.LeaseRequest{Now: now, Holder: "node", TTL: leaseTime, Max: 8})
	if err != nil && !errors.Is(err, queue.ErrUnavailable) {
		l.fail(err)
	}
	l.granted(ls)
	for _, x := range ls {
		var ss []queue.Settlement
		for _, r := range x.Recipients {
			st := queue.Settlement{Recipient: r.ID, Outcome: queue.StateDelivered, Attempt: &queue.Attempt{Number: r.Attempts + 1, Start: now, Stage: queue.StageDot}}
			if r.Attempts == 0 && rng.IntN(3) == 0 {
				st.Outcome, st.Due, st.Class = queue.StateDeferred, now.Add(50*time.Millisecond), queue.ClassGreylist
			}
			ss = append(ss, st)
		}
		l.settle(s, x, ss)
	}
	return len(ls)
}

func (l *load) granted(ls []queue.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range ls {
		for _, r := range x.Recipients {
			if l.ended[r.ID] {
				l.twice = append(l.twice, r.ID)
			}
		}
	}
}

// settle asks again, as a relay does, until it is told something.
func (l *load) settle(s *redisstore.Store, x queue.Lease, ss []queue.Settlement) {
	for range 200 {
		err := s.Settle(context.Background(), x, ss)
		switch {
		case err == nil:
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, st := range ss {
				if st.Outcome.Final() {
					if l.ended[st.Recipient] {
						l.twice = append(l.twice, st.Recipient)
					}
					l.ended[st.Recipient] = true
				}
			}
			return
		case errors.Is(err, queue.ErrLeaseLost):
			return
		case !errors.Is(err, queue.ErrUnavailable):
			l.fail(err)
			return
		}
		time.Sleep(20 * time.Millisecond) // the back-off of those who settle
	}
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// count is how many messages were accepted so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// await waits until so many more were accepted.
func (l *load) await(more int) {
	l.t.Helper()
	from := l.count()
	eventually(l.t, func() error {
		if n := l.count() - from; n < more {
			return fmt.Errorf("%d messages were accepted, want %d", n, more)
		}
		return nil
	})
}

// eventually asks until there is no error, for half a minute at most.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// finish stops the load, delivers what is left and compares.
func (l *load) finish() {
	l.t.Helper()
	l.stop.Store(true)
	l.wg.Wait()
	s := l.nodes[0]
	rng := rand.New(rand.NewPCG(9, 9))
	eventually(l.t, func() error {
		for l.step(s, rng) > 0 {
		}
		cs, err := s.Counts(context.Background())
		if err != nil {
			return err
		}
		for st, c := range cs {
			if !st.Final() && c.Recipients != 0 {
				return fmt.Errorf("%d are still %s", c.Recipients, st)
			}
		}
		return nil
	})
	if len(l.errs) > 0 {
		l.t.Fatal(errors.Join(l.errs...))
	}
	if len(l.twice) > 0 {
		l.t.Fatalf("%d recipients were leased or settled after their end, such as %s", len(l.twice), l.twice[0])
	}
	l.t.Logf("%d messages accepted, %d refused", len(l.accepted), l.refused)
	l.compare(s)
}

// compare demands that everything accepted is there once, and that counts and
// events agree with it.
func (l *load) compare(s *redisstore.Store) {
	l.t.Helper()
	there, recount := map[queue.MessageID]int{}, int64(0)
	for c := queue.Cursor(""); ; {
		es, next, err := s.List(context.Background(), queue.Filter{}, c, 500)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, e := range es {
			there[e.Message.ID] += len(e.Recipients)
			for _, r := range e.Recipients {
				recount++
				if r.State != queue.StateDelivered {
					l.t.Fatalf("%s is %s", r.ID, r.State)
				}
			}
		}
		if c = next; c == "" {
			break
		}
	}
	for id, n := range l.accepted {
		if there[id] != n {
			l.t.Fatalf("%s was accepted for %d recipients, %d are there", id, n, there[id])
		}
	}
	cs, err := s.Counts(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	if n := cs[queue.StateDelivered].Recipients; n != recount {
		l.t.Fatalf("%d are counted as delivered, %d are", n, recount)
	}
	if ds, err := s.Destinations(context.Background(), "", 100); err != nil || len(ds) > 0 {
		l.t.Fatalf("nothing waits, and there are %d destinations, such as %+v, %v", len(ds), ds, err)
	}
	delivered := map[queue.RecipientID]int{}
	for p := queue.Position(""); ; {
		vs, next, err := s.ReadEvents(context.Background(), p, 500)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, v := range vs {
			if v.Kind == queue.EventDelivered {
				delivered[v.Recipient]++
			}
		}
		if len(vs) == 0 && next == p {
			break
		}
		p = next
	}
	if int64(len(delivered)) != recount {
		l.t.Fatalf("%d recipients have an event of delivery, %d are delivered", len(delivered), recount)
	}
	for id, n := range delivered {
		if n != 1 {
			l.t.Fatalf("%s was delivered %d times", id, n)
		}
	}
}
