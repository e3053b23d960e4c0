package delivery_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

// A password reset overtakes the newsletter that is before it in the queue, at a
// site that takes three messages at a time, also where the newsletter goes to
// many domains of that site, which wait for it one after the other.
func TestPasswordResetOvertakesANewsletter(t *testing.T) {
	t.Parallel()
	many := 4000
	if testing.Short() {
		many = 1000
	}
	for _, domains := range []int{1, 10, many / 4} {
		t.Run(fmt.Sprintf("%d domains", domains), func(t *testing.T) {
			t.Parallel()
			overtakes(t, newWorld(t), many, domains)
		})
	}
}

func TestPasswordResetOvertakesANewsletterOnRedis(t *testing.T) {
	t.Parallel()
	for _, domains := range []int{1, 100} {
		t.Run(fmt.Sprintf("%d domains", domains), func(t *testing.T) {
			t.Parallel()
			overtakes(t, onRedis(newWorld(t)), 1000, domains)
		})
	}
}

// onRedis gives the world a store that nodes share.
func onRedis(w *world) *world {
	w.t.Helper()
	s, err := redisstore.Open(w.t.Context(), redisstore.Options{Addrs: []string{redistest.StartServer(w.t).Addr()}})
	if err != nil {
		w.t.Fatal(err)
	}
	_ = w.store.Close()
	w.store = s // closed as the one before it would have been
	return w
}

// overtakes delivers a newsletter of many messages to the domains of one site,
// and, once that is under way, resets to one of its domains and to another.
func overtakes(t *testing.T, w *world, many, domains int) {
	zone := strings.Builder{}
	for i := range domains + 1 {
		fmt.Fprintf(&zone, "d%d MX 10 mx.b.test.\n", i)
	}
	if err := w.dns.Load("many.test.", "@ SOA ns.test. h.test. 1 3600 600 86400 5\n"+zone.String()); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	places := make(chan int64, 100)
	sim := w.hop(addrB, smtpsim.Options{
		Keep:  smtpsim.KeepCounters,
		Rules: []smtpsim.Rule{{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Delay(time.Millisecond))}},
		OnMessage: func(m *smtpsim.Message) {
			n := sent.Add(1)
			if strings.HasPrefix(m.Rcpts[0].Address, "reset") {
				places <- n
			}
		},
	})
	w.options.Limits = throttle.New(throttle.Options{Connections: 3})
	w.options.Workers = 8
	w.options.Logger = nil
	w.prepare()
	for i := range many {
		w.accept(mail{to: []string{fmt.Sprintf("j%d@d%d.many.test", i, i%domains)}, priority: queue.PriorityLow})
	}
	w.d.Start(t.Context())
	t.Cleanup(func() { w.drain(10 * time.Second) })
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Messages >= 100 }); err != nil {
		t.Fatal(err)
	}
	worst := int64(0)
	for i, to := range []int{domains / 2, domains, domains / 2, 0} {
		before := sent.Load()
		lane := fmt.Sprintf("d%d.many.test", to)
		w.accept(mail{to: []string{fmt.Sprintf("reset%d@%s", i, lane)}, priority: queue.PriorityHigh})
		w.d.Urge(queue.Lane(lane))
		worst = max(worst, <-places-before)
	}
	// Behind it are what was in the air, and what the three connections go on
	// with for some messages.
	if worst > 100 {
		t.Errorf("%d messages of the newsletter were sent between a reset and its delivery", worst)
	}
	if n := sent.Load(); n >= int64(many) {
		t.Error("the newsletter was gone by then: the test says nothing")
	}
	t.Logf("newsletter of %d to %d domains: a reset was number %d after it was accepted, at worst; %d were sent by then", many, domains, worst, sent.Load())
}
