package delivery_test

import (
	"strings"
	"testing"

	"postrider/queue"
	"postrider/relay/smtpsim"
)

// What was accepted before a rule that forbids it must not leave, and must not be
// lost either: it is held, also when it is released while the rule holds.
func TestWhatMustNotLeaveIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.hop(addrA, smtpsim.Options{})
	w.options.KeepBack = func(_ *queue.Message, to queue.Address) string {
		if to.Local == "real" {
			return "staging: no"
		}
		return ""
	}
	w.start()
	id := w.queue("real@a.test", "test@a.test")
	held := func(rs []queue.Recipient) bool {
		return rs[0].State == queue.StateHeld && rs[1].State == queue.StateDelivered
	}
	r := w.until(id, "held", held)[0]
	if r.Class != queue.ClassLocalStaging || r.Attempts != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := w.store.Apply(t.Context(), queue.Operation{Action: queue.ActionRelease, Now: w.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	w.until(id, "held again", held)
	only := w.queue("real@a.test")
	w.until(only, "held", func(rs []queue.Recipient) bool { return rs[0].State == queue.StateHeld })
	for _, m := range a.Messages() {
		for _, to := range m.Rcpts {
			if strings.HasPrefix(to.Address, "real@") {
				t.Errorf("it left, to %s", to.Address)
			}
		}
	}
}
