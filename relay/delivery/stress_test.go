package delivery_test

import (
	"sync"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

// The clock stands still here, so a lane that was parked and forgotten would
// never be served again.
func TestNoLaneSleepsWhileItsSiteHasRoom(t *testing.T) {
	t.Parallel()
	const clients, each = 30, 60
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Keep: smtpsim.KeepCounters})
	var arrived sync.WaitGroup
	arrived.Add(clients * each)
	w.options.Hooks.Outcome = func(queue.State, queue.Class) { arrived.Done() }
	w.options.Workers = 64
	w.options.Limits = throttle.New(throttle.Options{Connections: 4})
	w.start()
	var accepted sync.WaitGroup
	for range clients {
		accepted.Go(func() {
			for range each {
				w.acceptFast(t, "From: shop@sender.test\r\nSubject: hello\r\n\r\nbody\r\n", true)
			}
		})
	}
	accepted.Wait()
	done := make(chan struct{})
	go func() { arrived.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		counts, err := w.store.Counts(t.Context())
		t.Fatalf("mail waits though its site has room: %v, %v; %+v", counts, err, w.d.Stats())
	}
}
