package delivery_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/queue/suspension"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
)

// suspending lets the dispatcher heed suspensions, and returns their book.
func (w *world) suspending() *suspension.Book {
	w.options.Suspensions = suspension.NewView(suspension.ViewOptions{Store: w.store, Freshness: time.Millisecond, Now: w.clock.Now})
	w.options.SuspensionCheck = 5 * time.Millisecond
	return suspension.NewBook(w.store, w.clock.Now)
}

func (w *world) suspend(b *suspension.Book, sel suspension.Selector, life time.Duration) suspension.Suspension {
	w.t.Helper()
	s := suspension.Suspension{Selector: sel, Reason: "they asked us to wait"}
	if life > 0 {
		s.ExpiresAt = w.clock.Now().Add(life)
	}
	s, err := b.Suspend(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// resume ends a suspension.
func (w *world) resume(b *suspension.Book, id string) {
	w.t.Helper()
	if _, err := b.Resume(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

func TestMailForASuspendedDomainWaitsAndTheOthersFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	a := w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	s := w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.options.Workers = 1
	w.start()
	var waiting []queue.MessageID
	for i := range 40 {
		waiting = append(waiting, w.queue(fmt.Sprintf("j%d@a.test", i)))
	}
	handed := w.accept(mail{to: []string{"joe@b.test"}, handoff: true})
	w.all(handed, queue.StateDelivered)
	for i := range 20 {
		w.all(w.queue(fmt.Sprintf("x%d@b.test", i)), queue.StateDelivered)
	}
	for _, id := range waiting {
		if r := w.tried(id, 0); r.State != queue.StateQueued || r.Attempts != 0 || r.Last != nil {
			t.Errorf("%s after %d attempts", r.State, r.Attempts)
		}
	}
	if n := a.Counters().Connections; n != 0 {
		t.Errorf("the suspended domain got %d connections", n)
	}
	w.resume(book, s.ID)
	for _, id := range waiting {
		if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 {
			t.Errorf("%d attempts", r.Attempts)
		}
	}
}

func TestMailHandedOverByIntakeIsHeldBackToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	a := w.hop(addrA, smtpsim.Options{})
	s := w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}, handoff: true})
	w.until(id, "given back", func(rs []queue.Recipient) bool { return rs[0].State == queue.StateQueued })
	if n := a.Counters().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
	w.resume(book, s.ID)
	w.all(id, queue.StateDelivered)
}

func TestASuspensionEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	w.suspend(book, suspension.Selector{Domain: "a.test"}, 10*time.Minute)
	w.start()
	id := w.queue("joe@a.test")
	w.all(w.queue("joe@b.test"), queue.StateDelivered)
	w.clock.add(5 * time.Minute) // its lane is served and parked anew
	w.all(w.queue("ann@b.test"), queue.StateDelivered)
	if r := w.tried(id, 0); r.State == queue.StateDelivered {
		t.Fatal("the suspension was not kept")
	}
	w.clock.add(5*time.Minute + time.Second)
	w.all(id, queue.StateDelivered)
}

func TestSuspendedMailExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrB, smtpsim.Options{})
	w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}, life: time.Hour})
	w.all(w.queue("joe@b.test"), queue.StateDelivered)
	w.clock.add(time.Hour + time.Minute)
	w.all(id, queue.StateExpired)
}

func TestOneDomainOfARouteIsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrB, smtpsim.Options{})
	routes, err := mx.NewRoutes([]mx.Rule{{Pattern: "*", Route: mx.Route{ID: "smarthost", Hosts: []mx.SmartHost{{Host: "mx.b.test", Port: 25, TLS: mx.TLSNone}}}}})
	if err != nil {
		t.Fatal(err)
	}
	w.options.Routes = routes
	s := w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test", "joe@b.test", "ann@a.test"}, lane: "smarthost"})
	rs := w.until(id, "sorted", func(rs []queue.Recipient) bool {
		return rs[1].State == queue.StateRelayed && rs[0].State == queue.StateDeferred && rs[2].State == queue.StateDeferred
	})
	if rs[0].Attempts != 0 || rs[0].Lane != queue.Lane("suspended/"+s.ID) || rs[0].Lane != rs[2].Lane {
		t.Errorf("%+v", rs[0])
	}
	w.all(w.accept(mail{to: []string{"bob@b.test"}, lane: "smarthost"}), queue.StateRelayed)
	w.resume(book, s.ID)
	for _, r := range w.all(id, queue.StateRelayed) {
		if r.Attempts != 1 || r.Lane != "smarthost" {
			t.Errorf("%s: %d attempts, lane %s", r.Address, r.Attempts, r.Lane)
		}
	}
}

func TestAnAccountIsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrA, smtpsim.Options{})
	s := w.suspend(book, suspension.Selector{Account: "bulk"}, 0)
	w.start()
	id := w.accept(mail{account: "bulk", to: []string{"joe@a.test"}})
	w.all(w.queue("ann@a.test"), queue.StateDelivered)
	if r := w.until(id, "aside", func(rs []queue.Recipient) bool { return rs[0].State == queue.StateDeferred })[0]; r.Attempts != 0 {
		t.Errorf("%+v", r)
	}
	w.resume(book, s.ID)
	w.all(id, queue.StateDelivered)
}

// A lane that waits for a busy site is served although it is parked: it must not
// go round in circles when it is suspended.
func TestALaneThatWaitsForItsSiteIsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	open := make(chan struct{})
	slow := w.hop(addrB, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Mail, Times: 1, Do: smtpsim.Do(smtpsim.WaitUntil(open))}}})
	w.options.Limits = throttle.New(throttle.Options{Connections: 1})
	w.start()
	var ids []queue.MessageID
	for i := range 20 {
		ids = append(ids, w.queue(fmt.Sprintf("j%d@b.test", i)))
	}
	if err := slow.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Open == 1 }); err != nil {
		t.Fatal(err)
	}
	for n := w.d.Stats(); n.Active != 1 || n.Parked != 1; n = w.d.Stats() { // the others have looked for their route
		runtime.Gosched()
	}
	s := w.suspend(book, suspension.Selector{Domain: "b.test"}, 0)
	for known := false; !known; { // by the view, which one caller at a time brings up to date
		_, known = w.options.Suspensions.Suspended(t.Context(), suspension.Mail{Lane: "b.test", Domain: "b.test"})
	}
	close(open)
	delivered := 0
	for _, id := range ids {
		r := w.until(id, "settled", func(rs []queue.Recipient) bool { return rs[0].State != queue.StateActive })[0]
		if r.State == queue.StateDelivered {
			delivered++
		}
	}
	if delivered > 2 {
		t.Errorf("%d were delivered after the suspension", delivered)
	}
	w.resume(book, s.ID)
	for _, id := range ids {
		w.all(id, queue.StateDelivered)
	}
}
