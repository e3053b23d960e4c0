package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// storm is steady load on relays that share a store, and the account of it:
// what was acknowledged and what arrived.
type storm struct {
	nodes   []*e2etest.Relay
	acked   *ledger
	arrived *arrivals
	load    *load
	stop    context.CancelFunc
}

// startStorm starts relays on a store and lets sources send to each of them.
func startStorm(ctx context.Context, t *testing.T, store string, nodes, sourcesEach int, envs ...e2etest.Env) *storm {
	t.Helper()
	s := &storm{acked: newLedger(), arrived: &arrivals{copies: make(map[string][]string)}}
	world := e2etest.NewInternet(t)
	world.Domain(t, "sink.test", smtpsim.Options{
		Keep: smtpsim.KeepCounters, OnMessage: s.arrived.note,
		// A window in which the dot is sent and not yet answered.
		Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(3 * time.Millisecond))}},
	})
	var addrs []string
	for i := range nodes {
		env := append([]e2etest.Env{world.Env(), node(store, string(rune('a'+i)))}, envs...)
		s.nodes = append(s.nodes, e2etest.Start(t, env...))
		addrs = append(addrs, s.nodes[i].SMTP)
	}
	loading, stop := context.WithCancel(ctx)
	s.load, s.stop = startSteadyLoad(loading, addrs, nodes*sourcesEach, "sink.test", s.acked), stop
	t.Cleanup(func() {
		stop()
		s.load.wait()
	})
	return s
}

// progress waits until n more recipients were acknowledged.
func (s *storm) progress(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	before := s.acked.count()
	e2etest.Poll(ctx, t, func() error {
		if got := s.acked.count() - before; got < n {
			return fmt.Errorf("%d recipients of %d were acknowledged", got, n)
		}
		return nil
	})
}

// abate ends the load, waits until everything is delivered, and compares: all
// that was acknowledged arrived, second copies are in doubt, and the relays that
// are left count the same.
func (s *storm) abate(ctx context.Context, t *testing.T, left ...*e2etest.Relay) {
	t.Helper()
	s.stop()
	s.load.wait()
	began, waiting := time.Now(), s.acked.count()-s.arrived.count()
	awaitEmpty(ctx, t, left[0])
	t.Logf("the last %d were delivered in %v", waiting, time.Since(began))
	t.Logf("refusals: %v, the slowest after %v; %d sessions were cut", s.acked.refused, s.acked.slowest, s.acked.cut)
	for _, err := range s.acked.odd {
		t.Errorf("a source was refused for good: %v", err)
	}
	reconcile(ctx, t, left[0], s.acked, s.arrived)
	agree(ctx, t, s.arrived, left...)
	s.finals(ctx, t, left[0])
	filedOnce(ctx, t, left[0], s.acked.acked)
}

// historySample is how many recipients are looked at one by one.
const historySample = 300

// finals checks of some recipients that their history has one end.
func (s *storm) finals(ctx context.Context, t *testing.T, r *e2etest.Relay) {
	t.Helper()
	n := 0
	for rcpt, id := range s.acked.acked { // in no order
		if n++; n > historySample {
			return
		}
		m, err := r.Admin().Message(ctx, id)
		if err != nil {
			t.Errorf("look up %s: %v", id, err)
			continue
		}
		for _, one := range m.Recipients {
			if one.Address != rcpt {
				continue
			}
			ends := 0
			for _, e := range m.Events {
				if e.Recipient == one.ID && e.Kind == "delivered" {
					ends++
				}
			}
			if one.State != "delivered" || ends != 1 {
				t.Errorf("%s of %s is %s, and its history has %d ends", rcpt, id, one.State, ends)
			}
		}
	}
}

// agree checks that relays on one store count what arrived, and nothing else.
func agree(ctx context.Context, t *testing.T, arrived *arrivals, relays ...*e2etest.Relay) {
	t.Helper()
	for _, r := range relays {
		q, err := r.Admin().Queue(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for state, n := range q.States {
			want := 0
			if state == "delivered" {
				want = arrived.count()
			}
			if n.Recipients != int64(want) {
				t.Errorf("the relay in %s counts %d %s, want %d", r.Dir, n.Recipients, state, want)
			}
		}
	}
}

// allReady waits until relays say that they take mail.
func allReady(ctx context.Context, t *testing.T, relays ...*e2etest.Relay) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		var errs []error
		for _, r := range relays {
			_, err := e2etest.Fetch(ctx, "http://"+r.HTTP+"/readyz")
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}
