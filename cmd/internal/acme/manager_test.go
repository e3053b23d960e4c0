package acme

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"

	"postrider/queue"
)

const mail = "mail.example.com"

func TestACertificateIsHadOnceAndRenewedThirtyDaysBeforeItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.node("a", mail)
	if m.Ready() {
		t.Error("ready without a certificate")
	}
	w.after(0, m)
	w.wantAsked(1)
	if !m.Ready() || w.shown(m, mail) != 1 {
		t.Error("the certificate is not shown")
	}
	w.after(60*day-time.Second, m)
	w.wantAsked(1)
	w.after(2*time.Second, m)
	w.wantAsked(2)
	if w.shown(m, mail) != 2 {
		t.Error("the new certificate is not shown")
	}
}

func TestAShortLivedCertificateIsRenewedWithAThirdOfItsLifeLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lifetime = 6 * day
	m := w.node("a", mail)
	w.after(0, m)
	w.after(4*day-time.Minute, m)
	w.wantAsked(1)
	w.after(2*time.Minute, m)
	w.wantAsked(2)
}

func TestARestartShowsWhatWasHad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.after(0, w.node("a", mail))
	m := w.node("b", mail)
	if w.shown(m, mail) != 1 {
		t.Error("it is not shown before the first look")
	}
	w.after(time.Hour, m)
	w.wantAsked(1)
}

func TestTheOldCertificateIsShownWhileARenewalFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.node("a", mail)
	w.after(0, m)
	w.refuse[mail] = errDown
	w.after(61*day, m)
	w.wantAsked(2)
	if w.shown(m, mail) != 1 {
		t.Error("the old one is gone")
	}
	for _, want := range []string{"certificate not renewed; the old one stays in use", "the authority is down", "do=", "next="} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, w.log)
		}
	}
	if len(w.told) != 0 {
		t.Errorf("a first failure is told: %+v", w.told)
	}
	w.after(16*day, m)
	if len(w.told) != 1 || w.told[0].Ends.IsZero() {
		t.Errorf("half of the time to renew is over, and nobody is told: %+v", w.told)
	}
	w.after(20*day, m)
	if w.shown(m, mail) != 1 || !strings.Contains(w.log.String(), "certificate expired and not renewed") {
		t.Error("an end is not told, or leaves nothing to show")
	}
	delete(w.refuse, mail)
	w.after(day, m)
	if w.shown(m, mail) != 2 || m.Status()[0].Failures != 0 {
		t.Errorf("it did not recover: %+v", m.Status())
	}
}

func TestFailuresAskMoreAndMoreSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse[mail] = errDown
	m := w.node("a", mail)
	begin := w.now
	in := func(d time.Duration) int {
		for w.now.Sub(begin) < d {
			w.after(30*time.Second, m)
		}
		return len(w.asked)
	}
	if n := in(time.Hour); n > 5 {
		t.Errorf("asked %d times in the first hour: Let's Encrypt bears 5 failures", n)
	}
	hour := len(w.asked)
	if n := in(25*time.Hour) - hour; n > 9 || n < 4 {
		t.Errorf("asked %d times in the next day", n)
	}
	if len(w.told) == 0 {
		t.Error("nobody is told")
	}
}

func TestRestartsAndCrashesAskNoOftener(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse[mail] = errDown
	begin := w.now
	for w.now.Sub(begin) < time.Hour {
		m := w.node(fmt.Sprint("life ", w.now), mail)
		w.after(30*time.Second, m)
	}
	if len(w.asked) > 5 {
		t.Errorf("asked %d times in an hour of restarts", len(w.asked))
	}

	// One that dies over an order leaves word of it.
	w = newWorld(t)
	m := w.node("a", mail)
	m.obtain = func(context.Context, string, string) (*pair, error) { panic("out of memory") }
	func() {
		defer func() { _ = recover() }()
		w.after(0, m)
	}()
	w.after(time.Minute, w.node("a", mail))
	w.wantAsked(0)
	w.after(15*time.Minute, w.node("a", mail))
	w.wantAsked(1)
}

func TestARestartTriesSoonerThanALongWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse[mail] = errDown
	m := w.node("a", mail)
	for len(w.asked) < 8 {
		w.after(30*time.Second, m)
	}
	w.after(16*time.Minute, m)
	w.wantAsked(8)
	w.after(0, w.node("b", mail))
	w.wantAsked(9)
}

func TestTheAuthoritysOwnWaitIsKeptAlsoOverARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse[mail] = fmt.Errorf("order: %w", &acme.Error{StatusCode: 429, ProblemType: "urn:ietf:params:acme:error:rateLimited", Detail: "too many certificates", Header: map[string][]string{"Retry-After": {"43200"}}})
	w.after(0, w.node("a", mail))
	w.after(11*time.Hour, w.node("b", mail))
	w.wantAsked(1)
	w.after(2*time.Hour, w.node("b", mail))
	w.wantAsked(2)
	if !strings.Contains(w.log.String(), "wait: too many certificates") {
		t.Errorf("it does not say what to do: %s", w.log)
	}
}

func TestBothChallengesTakeTurns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		http, tls bool
		want      string
	}{
		{true, false, "http-01 http-01 http-01"},
		{false, true, "tls-alpn-01 tls-alpn-01 tls-alpn-01"},
		{true, true, "http-01 tls-alpn-01 http-01"},
	} {
		w := newWorld(t)
		w.refuse[mail] = errDown
		o := w.options("a", mail)
		o.HTTP, o.TLS = c.http, c.tls
		m := w.manager(o)
		for range 3 {
			w.after(7*time.Hour, m)
		}
		if got := strings.ReplaceAll(strings.Join(w.asked, " "), mail+" ", ""); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestOneNodeOrdersAndAllShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node("a", mail), w.node("b", mail)
	under := make(chan struct{})
	a.obtain = func(ctx context.Context, domain, kind string) (*pair, error) {
		close(under)
		if next := b.pass(ctx); next != lookSoon || len(w.asked) != 0 {
			t.Errorf("the other node does not wait: it looks again in %s", next)
		}
		return w.obtain(ctx, domain, kind)
	}
	w.after(0, a)
	<-under
	w.after(time.Second, b)
	w.wantAsked(1)
	if w.shown(a, mail) != 1 || w.shown(b, mail) != 1 {
		t.Error("not both show it")
	}
	w.after(60*day, b)
	w.after(time.Second, a)
	w.wantAsked(2)
	if w.shown(a, mail) != 2 || w.shown(b, mail) != 2 {
		t.Error("not both show the new one")
	}
}

func TestAShorterLifeReplacesALongerOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node("a", mail), w.node("b", mail)
	w.after(0, a)
	w.after(time.Second, b)
	w.lifetime = 6 * day
	w.after(61*day, a)
	for range 5 {
		w.after(time.Minute, b)
		w.after(time.Minute, a)
	}
	w.wantAsked(2)
	if w.shown(a, mail) != 2 || w.shown(b, mail) != 2 {
		t.Error("not both show the new one")
	}
}

func TestAClockThatIsFarAheadAsksNotAllTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.node("a", mail)
	m.obtain = func(ctx context.Context, domain, kind string) (*pair, error) {
		w.now = w.now.Add(-70 * day)
		defer func() { w.now = w.now.Add(70 * day) }()
		return w.obtain(ctx, domain, kind)
	}
	for range 60 {
		w.after(time.Minute, m)
	}
	w.wantAsked(1)
	for range 24 {
		w.after(time.Hour, m)
	}
	if n := len(w.asked); n > 5 {
		t.Errorf("asked %d times in a day", n)
	}
}

func TestARecordThatCannotBeReadIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.node("a", mail)
	if _, err := w.store.PutRecord(t.Context(), queue.Record{Kind: queue.RecordACME, Name: m.recordName(mail), Value: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	w.after(0, w.node("b", mail))
	w.wantAsked(1)
	if w.shown(w.node("c", mail), mail) != 1 {
		t.Error("it is not there")
	}
}

func TestNodesOfOtherAuthoritiesDoNotReplaceEachOthersCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.node("a", mail)
	o := w.options("b", mail)
	o.Directory = "https://staging.example/dir"
	b := w.manager(o)
	for range 10 {
		w.after(time.Minute, a)
		w.after(time.Minute, b)
	}
	w.wantAsked(2)
}

func TestOneNameThatFailsKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse["bad.example.com"] = errDown
	m := w.node("a", "bad.example.com", mail, "more.example.com")
	w.after(0, m)
	w.wantAsked(3)
	for domain, want := range map[string]int64{mail: 1, "more.example.com": 2, "bad.example.com": 1, "": 1, "unknown": 1} {
		if got := w.shown(m, domain); got != want {
			t.Errorf("%q is shown %d, want %d", domain, got, want)
		}
	}
}

func TestManyNamesAreTendedOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("host%d.example.com", i))
		if i%2 == 1 {
			w.refuse[names[i]] = errDown
		}
	}
	a, b := w.node("a", names...), w.node("b", names...)
	w.after(0, a)
	w.after(time.Second, b)
	w.wantAsked(50)
	for i, name := range names {
		if has := w.shown(a, name) != w.shown(a, ""); has != (i%2 == 0 && i > 0) || w.shown(a, name) != w.shown(b, name) {
			t.Errorf("%s is shown %d and %d", name, w.shown(a, name), w.shown(b, name))
		}
	}
	if s := a.Status(); len(s) != 50 || s[1].Fault != errDown.Error() || s[1].Failures != 1 || s[2].Ends.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestClientsThatNameNobodySeeTheHostsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options("a", "first.example.com", mail)
	o.Fallback = mail
	m := w.manager(o)
	w.after(0, m)
	if w.shown(m, "") != 2 || w.shown(m, "first.example.com") != 1 {
		t.Error("not so")
	}
}

// flaky is a store that fails when told to.
type flaky struct {
	queue.Store
	putFails error
}

func (f *flaky) PutRecord(ctx context.Context, r queue.Record) (uint64, error) {
	if f.putFails != nil {
		return 0, f.putFails
	}
	return f.Store.PutRecord(ctx, r)
}

func TestAttemptsThatCannotBeWrittenDownAreNotMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options("a", mail)
	o.Store = &flaky{w.store, queue.ErrUnavailable}
	m := w.manager(o)
	for range 10 {
		w.after(time.Minute, m)
	}
	w.wantAsked(0)
}

func TestACertificateThatCannotBeKeptIsShownAndKeptLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := &flaky{Store: w.store}
	o := w.options("a", mail)
	o.Store = store
	m := w.manager(o)
	m.obtain = func(ctx context.Context, domain, kind string) (*pair, error) {
		store.putFails = queue.ErrFull
		return w.obtain(ctx, domain, kind)
	}
	w.after(0, m)
	if w.shown(m, mail) != 1 {
		t.Error("it is not shown")
	}
	w.after(time.Hour, m)
	store.putFails = nil
	w.after(time.Minute, m)
	w.wantAsked(1)
	if b := w.node("b", mail); w.shown(b, mail) != 1 {
		t.Error("it was never kept")
	}
}

func TestAStopDuringAnOrderIsNoFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.node("a", mail)
	ctx, cancel := context.WithCancel(t.Context())
	m.obtain = func(ctx context.Context, _, _ string) (*pair, error) {
		cancel()
		return nil, ctx.Err()
	}
	m.pass(ctx)
	next := w.node("b", mail)
	w.after(time.Second, next)
	w.wantAsked(1)
	if s := next.Status()[0]; s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnAuthorityThatDoesNotAnswerIsSoonTriedAgain(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 5: 160 * time.Second, 10: time.Hour, 1000: time.Hour} {
		if got := silentPause(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
	for failures, want := range map[int]time.Duration{1: 5 * time.Minute, 2: 10 * time.Minute, 7: 320 * time.Minute, 8: 6 * time.Hour, 1 << 20: 6 * time.Hour} {
		if got := pause(failures, 90*day); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestTheLoopWakesWhenSomethingIsDueAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{Domains: []string{mail}, Directory: "https://ca.example/dir", HTTP: true, Store: memory{}, Holder: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var at []time.Time
		m.obtain = func(_ context.Context, domain, kind string) (*pair, error) {
			at = append(at, time.Now())
			w.now = time.Now()
			w.lifetime = time.Hour
			return w.issue(domain), nil
		}
		begin := time.Now()
		m.Start(t.Context())
		time.Sleep(41 * time.Minute)
		synctest.Wait()
		if len(at) != 2 || at[1].Sub(begin).Round(time.Minute) != 40*time.Minute {
			t.Errorf("ordered at %v", at)
		}
		if err := m.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// memory is a store of one map, for a bubble: a real one has goroutines outside.
type memory map[string]queue.Record

func (s memory) GetRecord(_ context.Context, _ queue.RecordKind, name string) (queue.Record, error) {
	if r, ok := s[name]; ok {
		return r, nil
	}
	return queue.Record{}, queue.ErrNotFound
}

func (s memory) PutRecord(_ context.Context, r queue.Record) (uint64, error) {
	if s[r.Name].Version != r.Version {
		return 0, queue.ErrVersion
	}
	r.Version++
	s[r.Name] = r
	return r.Version, nil
}

func (memory) GetRecords(context.Context, queue.RecordKind, []string) ([]queue.Record, error) {
	return nil, errors.ErrUnsupported
}

func (memory) DeleteRecord(context.Context, queue.Record) error { return errors.ErrUnsupported }

func (memory) ListRecords(context.Context, queue.RecordKind, string, string, int) ([]queue.Record, error) {
	return nil, errors.ErrUnsupported
}
func (memory) RegistryVersion(context.Context) (uint64, error) { return 0, errors.ErrUnsupported }
func (memory) CacheGet(context.Context, string, time.Time) ([]byte, error) {
	return nil, queue.ErrNotFound
}

func (memory) CachePut(context.Context, string, []byte, time.Time, time.Duration) error { return nil }

func (memory) Claim(context.Context, string, string, time.Time, time.Duration) (uint64, error) {
	return 1, nil
}
func (memory) Unclaim(context.Context, string, string) error { return nil }
