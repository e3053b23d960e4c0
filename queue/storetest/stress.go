package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"postrider/queue"
)

func stressTests() []test {
	return []test{
		{"nothing is lost and nothing final twice", stressRun},
	}
}

// stress is many producers and workers on one store. Time passes when workers
// say so: some are stalled longer than their lease.
type stress struct {
	e     *env
	clock atomic.Int64 // since epoch

	mu        sync.Mutex
	accepted  map[queue.MessageID]int // and how many recipients
	ended     map[queue.RecipientID]queue.State
	attempts  map[queue.RecipientID]int
	granted   map[queue.RecipientID]map[queue.Token]bool
	refused   int
	late      int
	producing atomic.Int64
}

func (s *stress) now() time.Time { return epoch.Add(time.Duration(s.clock.Load())) }

func (s *stress) pass(d time.Duration) { s.clock.Add(int64(d)) }

func stressRun(e *env) {
	const producers, workers = 16, 16
	s := &stress{
		e: e, accepted: map[queue.MessageID]int{}, ended: map[queue.RecipientID]queue.State{},
		attempts: map[queue.RecipientID]int{}, granted: map[queue.RecipientID]map[queue.Token]bool{},
	}
	var wg sync.WaitGroup
	errs := make([]error, producers+workers+1)
	s.producing.Store(producers)
	for i := range producers {
		wg.Go(func() {
			defer s.producing.Add(-1)
			errs[i] = s.produce(rand.New(rand.NewPCG(1, uint64(i))), i, e.scaled(40))
		})
	}
	for i := range workers {
		wg.Go(func() { errs[producers+i] = s.work(rand.New(rand.NewPCG(2, uint64(i))), fmt.Sprint("worker", i)) })
	}
	wg.Go(func() { errs[producers+workers] = s.operate(rand.New(rand.NewPCG(3, 3))) })
	wg.Wait()
	e.ok(errors.Join(errs...))
	e.ok(s.drain())
	s.check()
}

func (s *stress) produce(rng *rand.Rand, who, n int) error {
	w := *s.e
	for i := range n {
		w.now = s.now()
		m := mail{account: fmt.Sprint("account", who%5), priority: queue.Priority(1 + rng.IntN(3))}
		for range 1 + rng.IntN(4) {
			m.to = append(m.to, rcpt{lane: queue.Lane(fmt.Sprint("lane", rng.IntN(6)))})
		}
		m.idem = queue.Idempotency{Key: fmt.Sprint(who, i), ExpiresAt: epoch.Add(10000 * time.Hour)}
		if rng.IntN(2) == 0 {
			m.lease = &queue.LeaseRequest{Now: w.now, Holder: "producer", TTL: 30 * time.Second, Max: 2}
		}
		out, err := w.try(m)
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		s.mu.Lock()
		s.accepted[out.ID] = len(m.to)
		s.mu.Unlock()
		for _, l := range out.Leases {
			if err := s.deliver(rng, l); err != nil {
				return err
			}
		}
		if rng.IntN(5) == 0 { // the client did not hear it
			again, err := w.try(m)
			if err != nil || !again.Duplicate || again.ID != out.ID || len(again.Leases) > 0 {
				return fmt.Errorf("repeated: %+v, %w", again, err)
			}
		}
	}
	return nil
}

func (s *stress) work(rng *rand.Rand, who string) error {
	for idle := 0; idle < 20 || s.producing.Load() > 0; {
		ls, err := s.e.s.Lease(s.e.ctx, queue.LeaseRequest{Now: s.now(), Holder: who, TTL: 30 * time.Second, Max: 1 + rng.IntN(3)})
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		if len(ls) == 0 {
			idle++
			s.pass(time.Duration(rng.IntN(2000)) * time.Millisecond)
		}
		for _, l := range ls {
			idle = 0
			if err := s.deliver(rng, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stress) deliver(rng *rand.Rand, l queue.Lease) error {
	s.mu.Lock()
	for _, r := range l.Recipients {
		if s.granted[r.ID] == nil {
			s.granted[r.ID] = map[queue.Token]bool{}
		}
		if s.granted[r.ID][l.Token] {
			s.mu.Unlock()
			return fmt.Errorf("%s was granted twice with token %d", r.ID, l.Token)
		}
		s.granted[r.ID][l.Token] = true
	}
	s.mu.Unlock()
	st := s.e.s
	ids := make([]queue.RecipientID, len(l.Recipients))
	for i, r := range l.Recipients {
		ids[i] = r.ID
	}
	switch rng.IntN(10) {
	case 0, 1: // it dies, and time passes for the others
		s.pass(8 * time.Second)
		return nil
	case 2, 3: // it is stalled longer than its lease
		s.pass(40 * time.Second)
	case 4:
		return lost(st.Release(s.e.ctx, l, s.now(), nil))
	case 5:
		if _, err := st.Extend(s.e.ctx, s.now(), 30*time.Second, l); err != nil {
			return err
		}
	}
	if err := lost(st.Mark(s.e.ctx, l, ids)); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	times := 1 + rng.IntN(5)/4 // some say it twice
	for range times {
		if err := s.settle(rng, l); err != nil {
			return err
		}
	}
	return nil
}

// lost lets a lost lease be no error.
func lost(err error) error {
	if errors.Is(err, queue.ErrLeaseLost) {
		return nil
	}
	return err
}

func (s *stress) settle(rng *rand.Rand, l queue.Lease) error {
	now := s.now()
	ss := make([]queue.Settlement, len(l.Recipients))
	outcomes := []queue.State{queue.StateDelivered, queue.StateDelivered, queue.StateRelayed, queue.StateBounced, queue.StateDeferred, queue.StateDeferred}
	for i, r := range l.Recipients {
		ss[i] = queue.Settlement{Recipient: r.ID, Outcome: outcomes[rng.IntN(len(outcomes))], Due: now.Add(time.Duration(rng.IntN(20)) * time.Second), Attempt: &queue.Attempt{Number: r.Attempts + 1, Start: now}}
	}
	err := s.e.s.Settle(s.e.ctx, l, ss)
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, queue.ErrLeaseLost) {
		s.refused++
		return nil
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if now.After(l.Expires) {
		s.late++
	}
	for _, x := range ss {
		if was, twice := s.ended[x.Recipient]; twice && x.Outcome.Final() {
			return fmt.Errorf("%s was %s and is settled again as %s", x.Recipient, was, x.Outcome)
		}
		s.attempts[x.Recipient]++
		if x.Outcome.Final() {
			s.ended[x.Recipient] = x.Outcome
		}
	}
	return nil
}

// operate asks for retries at once, and keeps some mail back for a while.
func (s *stress) operate(rng *rand.Rand) error {
	for i := 0; s.producing.Load() > 0; i++ {
		op := queue.Operation{Action: queue.ActionRetry, Now: s.now(), Actor: "op"}
		switch i % 4 {
		case 1: // only what is leased
			op.Filter.States = []queue.State{queue.StateActive}
		case 2:
			op.Action, op.Filter.Lane = queue.ActionHold, queue.Lane(fmt.Sprint("lane", rng.IntN(6)))
		case 3:
			op.Action = queue.ActionRelease
		}
		if _, err := s.e.s.Apply(s.e.ctx, op); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
		if i%8 == 5 {
			if err := s.e.s.Park(s.e.ctx, "lane1", s.now(), s.now().Add(time.Duration(rng.IntN(9))*time.Second)); err != nil {
				return err
			}
		}
		if _, err := s.e.s.Counts(s.e.ctx); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers what is left.
func (s *stress) drain() error {
	e := s.e
	for range 50 {
		s.pass(time.Hour)
		if _, err := e.s.Apply(e.ctx, queue.Operation{Action: queue.ActionRelease, Now: s.now()}); err != nil {
			return err
		}
		for {
			ls, err := e.s.Lease(e.ctx, queue.LeaseRequest{Now: s.now(), Holder: "last", TTL: time.Minute, Max: 100})
			if err != nil {
				return err
			}
			if len(ls) == 0 {
				break
			}
			for _, l := range ls {
				var ss []queue.Settlement
				for _, r := range l.Recipients {
					ss = append(ss, queue.Settlement{Recipient: r.ID, Outcome: queue.StateDelivered, Attempt: &queue.Attempt{Start: s.now()}})
					s.attempts[r.ID]++
					if was, twice := s.ended[r.ID]; twice {
						return fmt.Errorf("%s was %s and is leased again", r.ID, was)
					}
					s.ended[r.ID] = queue.StateDelivered
				}
				if err := e.s.Settle(e.ctx, l, ss); err != nil {
					return fmt.Errorf("settle the last: %w", err)
				}
			}
		}
	}
	return nil
}

func (s *stress) check() {
	e := s.e
	events, _ := e.events("")
	finals, deferrals := map[queue.RecipientID]int{}, map[queue.RecipientID]int{}
	for _, v := range events {
		e.want(finals[v.Recipient] == 0, "%s has a %s event after its final one", v.Recipient, v.Kind)
		if st, err := queue.ParseState(string(v.Kind)); err == nil && st.Final() {
			finals[v.Recipient]++
		}
		if v.Attempt != nil {
			deferrals[v.Recipient]++
		}
	}
	total := 0
	for id, n := range s.accepted {
		v := e.entry(id)
		e.want(len(v.Recipients) == n, "%s has %d recipients, had %d", id, len(v.Recipients), n)
		for _, r := range v.Recipients {
			total++
			want, known := s.ended[r.ID]
			e.want(known, "%s is lost: %+v", r.ID, r)
			e.want(r.State == want, "%s is %s, was settled as %s", r.ID, r.State, want)
			e.want(r.Attempts == s.attempts[r.ID], "%s has %d attempts, %d were settled", r.ID, r.Attempts, s.attempts[r.ID])
			e.want(finals[r.ID] == 1, "%s has %d final events", r.ID, finals[r.ID])
			e.want(deferrals[r.ID] == r.Attempts, "%s has %d events of attempts, and %d attempts", r.ID, deferrals[r.ID], r.Attempts)
		}
	}
	sum := int64(0)
	for _, n := range e.total() {
		sum += n
	}
	e.want(sum == int64(total), "%d are counted, %d were accepted", sum, total)
	var ids []queue.MessageID
	for id := range s.accepted {
		ids = append(ids, id)
	}
	e.histories(ids, events)
	e.recount()
	e.want(s.refused > 0, "no zombie was refused: the test has no teeth")
	e.Logf("%d recipients, %d settlements refused, %d late ones taken", total, s.refused, s.late)
}
