package delivery_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mx"
	"postrider/queue"
	"postrider/queue/suspension"
	"postrider/relay/delivery"
	"postrider/relay/smtpsim"
	"postrider/relay/throttle"
	"postrider/relay/tlspolicy"
)

// hubLane is that of the smart host at addrB.
const hubLane = "via:" + addrB + ":587"

func (w *world) smartHost(url string) mx.Route {
	w.t.Helper()
	via, err := mx.ParseSmartHost(url)
	if err != nil {
		w.t.Fatal(err)
	}
	return mx.Route{Hosts: []mx.SmartHost{via}}
}

// hub is the smart host at addrB.
func (w *world) hub() mx.Route { return w.smartHost("smtp://" + addrB + ":587?tls=none") }

func (w *world) routes(rules ...mx.Rule) *mx.Routes {
	w.t.Helper()
	routes, err := mx.NewRoutes(rules)
	if err != nil {
		w.t.Fatal(err)
	}
	return routes
}

// then leads all mail from the mail exchangers to the smart host at addrB.
func (w *world) then(s mx.Step) {
	w.t.Helper()
	s.Route = w.hub()
	w.options.Routes = w.routes(mx.Rule{Pattern: "*", Then: []mx.Step{s}})
}

func refusing(stage smtpsim.Stage, code int, enhanced, text string) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: stage, Do: smtpsim.Do(smtpsim.Reply(code, enhanced, text))}}}
}

func (w *world) reasons(id queue.MessageID) string {
	w.t.Helper()
	events, err := w.store.History(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		if e.Reason != "" {
			all = append(all, e.Reason)
		}
	}
	return strings.Join(all, "; ")
}

func TestSmartHostAfterSomeAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	direct := w.hop(addrA, refusing(smtpsim.Rcpt, 451, "4.3.0", "later"))
	hub := w.hop(addrB, smtpsim.Options{})
	w.then(mx.Step{After: 2})
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 1); r.State != queue.StateDeferred || r.Lane != "a.test" {
		t.Fatalf("%+v", r)
	}
	w.clock.add(6 * time.Minute)
	r := w.all(id, queue.StateRelayed)[0] // without waiting for the retry
	if r.Attempts != 3 || r.Lane != hubLane || r.Last.Host != addrB || r.Last.Site != "route:"+hubLane {
		t.Errorf("%+v, last %+v", r, r.Last)
	}
	if a, b := direct.Counters().Transactions, hub.Counters().Messages; a != 2 || b != 1 {
		t.Errorf("%d transactions that were refused, %d messages over the smart host", a, b)
	}
	if got := w.reasons(id); got != "it goes on by "+addrB+":587" {
		t.Errorf("the events say %q", got)
	}
}

// The address of this machine is on a list: one message finds out, and what waits
// behind it goes the other way without knocking.
func TestSmartHostOnAClassOfFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	direct := w.hop(addrB, refusing(smtpsim.Mail, 554, "5.7.1", "Service unavailable; client host blocked using zen.spamhaus.org"))
	w.hop(addrA, smtpsim.Options{})
	w.options.Routes = w.routes(mx.Rule{Pattern: "*", Then: []mx.Step{
		{Route: w.smartHost("smtp://" + addrA + ":587?tls=none"), Classes: []string{"block.*"}}}})
	w.options.Workers = 1
	w.prepare()
	var ids []queue.MessageID
	for i := range 20 {
		ids = append(ids, w.queue(fmt.Sprintf("joe%d@%s", i, []string{"b.test", "also-b.test"}[i%2])))
	}
	w.d.Start(t.Context())
	t.Cleanup(func() { w.drain(10 * time.Second) })
	attempts := 0
	for _, id := range ids {
		attempts += w.all(id, queue.StateRelayed)[0].Attempts
	}
	if n := direct.Counters().Connections; n != 1 || attempts != 21 {
		t.Errorf("%d connections to the site that blocks us, %d attempts of 20 messages", n, attempts)
	}
}

// What another account has in the same lane, and has no other way, waits.
func TestSiteThatIsClosedKeepsOnlyThoseWithoutAnotherWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	direct := w.hop(addrA, refusing(smtpsim.Mail, 554, "5.7.1", "Service unavailable; client host blocked using zen.spamhaus.org"))
	w.hop(addrB, smtpsim.Options{})
	w.options.Routes = w.routes(mx.Rule{Pattern: "*", Account: "shop", Then: []mx.Step{{Route: w.hub(), Classes: []string{"block.ip"}}}})
	w.options.Workers = 1
	w.start()
	w.all(w.accept(mail{account: "shop", to: []string{"joe@a.test"}}), queue.StateRelayed)
	w.all(w.accept(mail{account: "shop", to: []string{"ann@a.test"}}), queue.StateRelayed)
	other := w.accept(mail{account: "blog", to: []string{"eve@a.test"}})
	w.all(w.accept(mail{account: "blog", to: []string{"eve@b.test"}}), queue.StateDelivered)
	if r := w.tried(other, 0); r.State != queue.StateQueued || r.Attempts != 0 {
		t.Errorf("%s after %d attempts", r.State, r.Attempts)
	}
	if n := direct.Counters().Connections; n != 1 {
		t.Errorf("%d connections to the site that blocks us", n)
	}
}

func TestRefusalsThatEndGoOnOnlyIfTheirClassLeadsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Rcpt, Rcpt: "nobody@a.test", Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "no such user"))},
		{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Reply(554, "5.7.1", "message rejected as spam"))},
	}})
	hub := w.hop(addrB, refusing(smtpsim.Dot, 554, "5.7.1", "message rejected as spam"))
	w.then(mx.Step{After: 1, Classes: []string{"content.*"}})
	w.start()
	if r := w.all(w.queue("nobody@a.test"), queue.StateBounced)[0]; r.Class != queue.ClassRcptUnknown || r.Attempts != 1 {
		t.Errorf("unknown recipient: %+v", r)
	}
	// The chain is two long, and so are the attempts.
	if r := w.all(w.queue("joe@a.test"), queue.StateBounced)[0]; r.Class != queue.ClassContentSpam || r.Attempts != 2 || r.Last.Host != addrB {
		t.Errorf("spam: %+v, last %+v", r, r.Last)
	}
	if n := hub.Counters().Transactions; n != 1 {
		t.Errorf("%d messages went on", n)
	}
}

func TestMailThatMayHaveBeenDeliveredGoesNoOtherWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Dot, Times: 1, Do: smtpsim.Do(smtpsim.LoseReply())},
		{Stage: smtpsim.Dot, Do: smtpsim.Do(smtpsim.Reply(554, "5.7.1", "message rejected as spam"))},
	}})
	hub := w.hop(addrB, smtpsim.Options{})
	w.then(mx.Step{After: 1, Classes: []string{"*"}})
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 1); r.State != queue.StateDeferred || r.Lane != "a.test" || !r.InDoubt {
		t.Fatalf("%+v", r)
	}
	w.clock.add(time.Hour)
	if r := w.all(id, queue.StateBounced)[0]; r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	if n := hub.Counters().Connections; n != 0 {
		t.Error("it went another way")
	}
}

func TestSmartHostWhilePort25IsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := w.hop(addrB, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Times: 1, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "later"))}}})
	var blocked atomic.Bool
	w.then(mx.Step{Blocked: true})
	w.options.Blocked = func(from netip.Addr) bool { return blocked.Load() }
	w.start()
	waiting := w.queue("joe@dead.test")
	if r := w.tried(waiting, 1); r.State != queue.StateDeferred || r.Lane != "dead.test" {
		t.Fatalf("%+v", r)
	}
	blocked.Store(true)
	late := w.queue("ann@dead.test")
	if r := w.tried(late, 1); r.State != queue.StateDeferred || r.Lane != hubLane {
		t.Fatalf("%+v", r)
	}
	// It stays there although the port is open again, what is new does not.
	blocked.Store(false)
	w.hop(addrDead, smtpsim.Options{})
	w.all(w.queue("eve@dead.test"), queue.StateDelivered)
	w.clock.add(6 * time.Minute)
	w.all(late, queue.StateRelayed)
	w.all(waiting, queue.StateDelivered)
	if n := hub.Counters().Messages; n != 1 {
		t.Errorf("%d messages over the smart host", n)
	}
}

// A site that is paused because nobody there answers does not keep mail from
// the smart host.
func TestPausedSiteIsNoHindranceWherePort25IsBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrB, smtpsim.Options{})
	var blocked atomic.Bool
	w.then(mx.Step{Blocked: true})
	w.options.Blocked = func(netip.Addr) bool { return blocked.Load() }
	w.options.Limits = throttle.New(throttle.Options{Failures: 1})
	w.start()
	w.tried(w.queue("joe@dead.test"), 1)
	w.logged("site is paused", 1)
	blocked.Store(true)
	w.clock.add(time.Minute) // the lane's park is over, and the site is wary
	for i := range 5 {
		if r := w.all(w.queue(fmt.Sprintf("ann%d@dead.test", i)), queue.StateRelayed)[0]; r.Attempts != 1 {
			t.Errorf("%d attempts", r.Attempts)
		}
	}
}

func TestStepsOutliveARestartAndHeedNewRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, refusing(smtpsim.Rcpt, 451, "4.3.0", "later"))
	w.hop(addrB, refusing(smtpsim.Rcpt, 451, "4.3.0", "later"))
	third := w.hop(addrDead, smtpsim.Options{})
	w.then(mx.Step{After: 1})
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 2); r.Lane != hubLane {
		t.Fatalf("%+v", r)
	}
	w.drain(10 * time.Second)
	w.start() // another dispatcher, which knows only what the store does
	w.clock.add(11 * time.Minute)
	if r := w.tried(id, 3); r.Lane != hubLane || r.Last.Host != addrB {
		t.Fatalf("after a restart: %+v", r)
	}
	w.drain(10 * time.Second)
	w.options.Routes = w.routes(mx.Rule{Pattern: "*", Route: w.smartHost("smtp://" + addrDead + ":587?tls=none")})
	w.start()
	w.clock.add(21 * time.Minute)
	if r := w.all(id, queue.StateRelayed)[0]; r.Attempts != 4 || third.Counters().Messages != 1 {
		t.Errorf("with new routes: %+v", r)
	}
}

func TestSmartHostThatRefusesOurLoginGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{Users: map[string]string{"u": "other"}, RequireAuth: true})
	w.options.Routes = w.routes(
		mx.Rule{Pattern: "*", Route: w.smartHost("smtp://u:p@" + addrB + ":587?tls=none"), Then: []mx.Step{{Classes: []string{"route.*"}}}})
	w.start()
	lane := w.options.Routes.Find(mx.Mail{Domain: "a.test"}).Lane(0, "a.test")
	var ids []queue.MessageID
	for i := range 5 {
		ids = append(ids, w.accept(mail{to: []string{fmt.Sprintf("joe%d@a.test", i)}, lane: queue.Lane(lane)}))
	}
	for _, id := range ids {
		w.all(id, queue.StateDelivered)
	}
}

func TestSourcesOfTwoAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{})
	w.options.Routes = w.routes(
		mx.Rule{Pattern: "*", Account: "news", Source: "news"},
		mx.Rule{Pattern: "*", Account: "shop", Source: "shop"})
	w.options.Sources = map[string]delivery.Source{
		"news": {V4: netip.MustParseAddr("127.0.0.2"), HELO: "news.test"},
		"shop": {V4: netip.MustParseAddr("127.0.0.3"), HELO: "shop.test"},
	}
	w.dialer = func(ctx context.Context, local netip.Addr, _ netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		if local.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		}
		return d.DialContext(ctx, "tcp4", sim.Addr())
	}
	w.start()
	want := map[string][2]string{"news": {"127.0.0.2", "news.test"}, "shop": {"127.0.0.3", "shop.test"}, "blog": {"127.0.0.1", "relay.test"}}
	for range 2 { // over connections that are reused, and are not mixed up
		for account := range want {
			lane := queue.Lane("a.test@" + account)
			if account == "blog" {
				lane = "a.test"
			}
			id := w.accept(mail{account: account, from: account + "@sender.test", to: []string{"joe@a.test"}, lane: lane})
			r := w.all(id, queue.StateDelivered)[0]
			if got := r.Last.Local.String(); got != want[account][0] || r.Attempts != 1 || r.Lane != lane {
				t.Errorf("%s left from %s after %d attempts, lane %s", account, got, r.Attempts, r.Lane)
			}
		}
	}
	for _, m := range sim.Messages() {
		account, _, _ := strings.Cut(m.From.Address, "@")
		peer, _, _ := net.SplitHostPort(m.Client)
		if want[account] != [2]string{peer, m.Hello} {
			t.Errorf("mail of %s came from %s as %s", account, peer, m.Hello)
		}
	}
	if n := len(sim.Messages()); n != 6 {
		t.Errorf("%d messages", n)
	}
}

func TestTLSOfARoute(t *testing.T) {
	t.Parallel()
	plain, offering := smtpsim.Options{}, smtpsim.Options{TLS: smtpsim.StartTLS}
	for _, c := range []struct {
		name, tls string
		decided   bool
		hop       smtpsim.Options
		state     queue.State
		over      bool
	}{
		{"not said", "", false, offering, queue.StateDelivered, true},
		{"none", "none", false, offering, queue.StateDelivered, false},
		{"opportunistic", "opportunistic", false, plain, queue.StateDelivered, false},
		{"encrypt, and there is TLS", "encrypt", false, offering, queue.StateDelivered, true},
		{"encrypt, and there is none", "encrypt", false, plain, queue.StateDeferred, false},
		{"verify, and the certificate is unknown", "verify", false, offering, queue.StateDeferred, false},
		{"dane without the means", "dane", false, offering, queue.StateDeferred, false},
		{"decided: none", "none", true, offering, queue.StateDelivered, false},
		{"decided: encrypt", "encrypt", true, plain, queue.StateDeferred, false},
		{"decided: dane", "dane", true, offering, queue.StateDeferred, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hop := w.hop(addrA, c.hop)
			w.options.Routes = w.routes(mx.Rule{Pattern: "a.test", TLS: c.tls})
			if c.decided {
				w.options.Security = tlspolicy.New(tlspolicy.Options{DNS: w.mx})
			}
			w.start()
			r := w.until(w.queue("joe@a.test"), "tried", func(rs []queue.Recipient) bool { return rs[0].Attempts == 1 && rs[0].State != queue.StateActive })[0]
			if r.State != c.state || (r.Last.TLS != "") != c.over {
				t.Errorf("%+v, last %+v", r, r.Last)
			}
			if c.decided && r.Last.TLSPolicy != c.tls {
				t.Errorf("the attempt is recorded under %q", r.Last.TLSPolicy)
			}
			if n := hop.Counters().Connections; c.tls == "dane" && c.decided && n != 0 {
				t.Errorf("%d connections to a host that may not be used", n)
			}
		})
	}
}

// run lets the clock run, so much in a millisecond, until it is stopped.
func (w *world) run(step time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.clock.add(step)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// A site that gets too much, and does not say for how long, is sent less: what
// waits for it is not tried in vain.
func TestSiteThatIsSlowedDownBurnsNoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sim := w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, Skip: 20, Times: 1, Do: smtpsim.Do(smtpsim.Reply(450, "4.7.28", "unusual rate of mail from your address"))},
	}})
	w.hop(addrB, smtpsim.Options{})
	w.options.LeaseTTL = 24 * time.Hour // by a clock that runs
	w.start()
	var ids []queue.MessageID
	for i := range 60 {
		ids = append(ids, w.queue(fmt.Sprintf("joe%d@a.test", i)))
	}
	if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Refusals >= 1 }); err != nil {
		t.Fatal(err)
	}
	w.all(w.queue("joe@b.test"), queue.StateDelivered)
	stop := w.run(time.Second)
	defer stop()
	attempts := 0
	for _, id := range ids {
		attempts += w.all(id, queue.StateDelivered)[0].Attempts
	}
	if attempts != len(ids)+1 {
		t.Errorf("%d attempts of %d messages, one of which was refused", attempts, len(ids))
	}
}

// What waits for a paused site goes on when somebody ends the pause.
func TestPauseThatIsLiftedLetsMailGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sites := throttle.New(throttle.Options{Now: w.clock.Now})
	w.options.Limits = sites
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, Times: 1, Do: smtpsim.Do(smtpsim.Reply(554, "5.7.1", "Service unavailable; client host blocked using zen.spamhaus.org"))},
	}})
	w.start()
	site := w.tried(w.queue("joe@a.test"), 1).Last.Site
	w.logged(`msg="site is paused"`, 1)
	ids := []queue.MessageID{w.queue("ann@a.test"), w.queue("bob@a.test")}
	if !sites.State(site).Until.After(w.clock.Now()) {
		t.Fatal("the site is not paused")
	}
	if !sites.Lift(t.Context(), site, w.clock.Now()) {
		t.Fatal("there was nothing to lift")
	}
	w.d.Reopen(t.Context(), site)
	for _, id := range ids {
		if rc := w.all(id, queue.StateDelivered)[0]; rc.Attempts != 1 {
			t.Errorf("%d attempts, want 1", rc.Attempts)
		}
	}
}

// A site that closes a warm connection since it gets too much is slowed down, also
// if it takes the message over the next one.
func TestSiteIsHeardThoughTheMailGotThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sites := throttle.New(throttle.Options{Connections: 1})
	w.options.Limits = sites
	w.options.LeaseTTL = 24 * time.Hour // by a clock that runs
	w.hop(addrA, smtpsim.Options{Rules: []smtpsim.Rule{
		{Stage: smtpsim.Mail, Skip: 20, Times: 1, Do: smtpsim.Do(smtpsim.Reply(421, "4.7.28", "unusual rate of mail from your address"))},
	}})
	w.start()
	attempts, site := 0, ""
	var ids []queue.MessageID
	for i := range 40 {
		ids = append(ids, w.queue(fmt.Sprintf("joe%d@a.test", i)))
	}
	stop := w.run(time.Second)
	defer stop()
	for _, id := range ids {
		rc := w.all(id, queue.StateDelivered)[0]
		attempts, site = attempts+rc.Attempts, rc.Last.Site
	}
	if attempts != len(ids) {
		t.Errorf("%d attempts of %d messages, all of which got through", attempts, len(ids))
	}
	if s := sites.State(site); s.Slowed.IsZero() {
		t.Errorf("what %s said was not heard: %+v", site, s)
	}
}

// A site whose rate is used up takes what it may and burns no attempts; the
// others flow.
func TestRateOfASiteBurnsNoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table, err := throttle.Providers().With([]throttle.Override{{Match: "mx.a.test", Rate: throttle.Rate{Count: 1, Per: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	w.options.Limits = throttle.New(throttle.Options{Table: table})
	sim := w.hop(addrA, smtpsim.Options{})
	w.hop(addrB, smtpsim.Options{})
	w.options.Workers = 4
	w.prepare()
	var ids []queue.MessageID
	for i := range 10 {
		ids = append(ids, w.queue(fmt.Sprintf("joe%d@a.test", i)))
	}
	w.d.Start(t.Context())
	t.Cleanup(func() { w.drain(10 * time.Second) })
	for n := range ids {
		if err := sim.WaitFor(t.Context(), func(c smtpsim.Counters) bool { return c.Messages >= int64(n+1) }); err != nil {
			t.Fatal(err)
		}
		for i := range 5 { // meanwhile the site is looked at again and again
			w.all(w.queue(fmt.Sprintf("x%d-%d@b.test", n, i)), queue.StateDelivered)
		}
		if got := sim.Counters().Messages; got != int64(n+1) {
			t.Fatalf("%d messages after %d minutes", got, n)
		}
		w.clock.add(time.Minute)
	}
	for _, id := range ids {
		if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 {
			t.Errorf("%d attempts", r.Attempts)
		}
	}
}

// Suspended mail that is set aside comes back to the step that it was at.
func TestSuspendedMailKeepsItsStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrA, refusing(smtpsim.Rcpt, 451, "4.3.0", "later"))
	w.hop(addrB, smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Times: 1, Do: smtpsim.Do(smtpsim.Reply(451, "4.3.0", "later"))}}})
	w.then(mx.Step{After: 1})
	w.start()
	id := w.queue("joe@a.test")
	if r := w.tried(id, 2); r.Lane != hubLane {
		t.Fatalf("%+v", r)
	}
	s := w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.clock.add(11 * time.Minute)
	w.until(id, "set aside", func(rs []queue.Recipient) bool { return rs[0].Lane == suspension.Lane(s.ID) })
	w.resume(book, s.ID)
	if r := w.all(id, queue.StateRelayed)[0]; r.Attempts != 3 || r.Lane != hubLane {
		t.Errorf("%+v", r)
	}
}

func TestMailFromASourceIsSuspendedByItsDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book := w.suspending()
	w.hop(addrA, smtpsim.Options{})
	w.options.Routes = w.routes(mx.Rule{Pattern: "*", Source: "news"})
	w.options.Sources = map[string]delivery.Source{"news": {V4: netip.MustParseAddr("127.0.0.2")}}
	s := w.suspend(book, suspension.Selector{Domain: "a.test"}, 0)
	w.start()
	id := w.accept(mail{to: []string{"joe@a.test"}, lane: "a.test@news"})
	w.until(id, "left to rest", func([]queue.Recipient) bool {
		ds, err := w.store.Destinations(t.Context(), "", 10)
		return err == nil && len(ds) == 1 && ds[0].Lane == "a.test@news" && !ds[0].Parked.IsZero()
	})
	w.resume(book, s.ID)
	if r := w.all(id, queue.StateDelivered)[0]; r.Attempts != 1 || r.Lane != "a.test@news" {
		t.Errorf("%+v", r)
	}
}
