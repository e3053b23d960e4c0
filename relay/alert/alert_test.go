package alert_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/alert"
)

const (
	bounced   = queue.StateBounced
	deferred  = queue.StateDeferred
	delivered = queue.StateDelivered
)

// subjects are those of all alerts, without the relay's name.
func (w *world) subjects() (all []string) {
	for _, l := range w.letters() {
		all = append(all, strings.TrimPrefix(l.subject, "[relay.example.com] "))
	}
	return all
}

func TestABlockIsToldOnceAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.watch(0)
	w.round(a)
	for range 3 {
		w.happen(trouble{state: deferred, class: queue.ClassBlockIP, to: []string{"a@example.org", "b@example.org"}})
		w.pass(10 * time.Second)
	}
	id := w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
	w.round(a)
	if n := len(w.letters()); n != 0 {
		t.Fatalf("%d letters before the minute is over", n)
	}
	w.pass(time.Minute)
	w.round(a)
	w.round(a)
	all := w.letters()
	if len(all) != 1 {
		t.Fatalf("%d letters", len(all))
	}
	l := all[0]
	m := l.entry.Message
	if !m.Envelope.ReversePath.IsNull() || m.Source.Kind != "internal" || m.Account != "local" || l.entry.Recipients[0].Notify != queue.NotifyNever || m.Priority != queue.PriorityHigh {
		t.Errorf("the envelope: %+v", l.entry)
	}
	if got := l.header.Get("Auto-Submitted"); got != "auto-generated" {
		t.Errorf("Auto-Submitted: %q", got)
	}
	if want := "[relay.example.com] outlook.com refuses mail from 192.0.2.1: the address is blocked"; l.subject != want {
		t.Errorf("subject %q, want %q", l.subject, want)
	}
	for _, part := range []string{
		"\r\nmx.outlook.com said: 550 5.7.1 go away, see https://block.example/\r\n", "Recipients concerned: 7, since Mon, 23 Nov 2026 05:00 UTC\r\n",
		"Reason: block.ip\r\n", "postrider queue show " + id.String(), "every hour at most", "Look for hacked accounts first",
	} {
		if !strings.Contains(l.text, part) {
			t.Errorf("no %q in\n%s", part, l.text)
		}
	}
	// While nothing happens nothing is told; within the hour neither.
	w.pass(30 * time.Minute)
	w.happen(trouble{state: deferred, class: queue.ClassBlockIP})
	w.round(a)
	w.pass(29 * time.Minute)
	w.round(a)
	if n := len(w.letters()); n != 1 {
		t.Errorf("%d letters within the hour", n)
	}
	w.pass(time.Minute)
	w.round(a)
	w.pass(3 * time.Hour)
	w.round(a)
	if all = w.letters(); len(all) != 2 || !strings.Contains(all[1].text, "Recipients concerned: 8, since Mon, 23 Nov 2026 05:00 UTC") {
		t.Errorf("%d letters: %v", len(all), all)
	}
}

func TestCausesAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.watch(0)
	w.round(a)
	for _, x := range []trouble{
		{class: queue.ClassBlockIP}, {class: queue.ClassBlockIP, from: "x@other.example", account: "blog"}, // the same one
		{class: queue.ClassBlockIP, site: "google.com"},
		{class: queue.ClassBlockDomain},
		{class: queue.ClassAuthSPF}, {class: queue.ClassAuthSPF, site: "google.com"}, // the same one
		{class: queue.ClassAuthSPF, from: "x@Other.example"},
		{class: queue.ClassAuthDKIM},
		{class: queue.ClassAuthPTR}, {class: queue.ClassAuthPTR, site: "google.com"}, // the same one
		{class: queue.ClassRouteAuth, site: "route:all"},
		{class: queue.ClassContentFormat},
		// No alerts: those are for the recipient's side, or nobody, to mend.
		{class: queue.ClassRcptUnknown}, {class: queue.ClassGreylist}, {class: queue.ClassRateSite}, {class: queue.ClassNetConnect}, {class: queue.ClassContentSpam},
	} {
		x.state = bounced
		w.happen(x)
	}
	w.round(a)
	w.pass(time.Minute)
	w.round(a)
	got := w.subjects()
	slices.Sort(got)
	want := []string{
		"Mail from 192.0.2.1 is refused: its reverse name is wrong",
		"Mail from other.example is refused: SPF fails",
		"Mail from shop.example is refused: DKIM fails",
		"Mail from shop.example is refused: SPF fails",
		"Mail of account shop is refused: it is not well formed",
		"The smart host of route:all refuses our login",
		"google.com refuses mail from 192.0.2.1: the address is blocked",
		"outlook.com refuses mail from 192.0.2.1: the address is blocked",
		"outlook.com refuses mail that names shop.example: its reputation is bad",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheRelaysOwnMailAndTheSandboxAlertNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.watch(0, func(o *alert.Options) { o.Usual = nothingKnown })
	w.round(a)
	for range 50 {
		w.happen(trouble{state: bounced, class: queue.ClassBlockIP, kind: "internal"})
		w.happen(trouble{state: bounced, class: queue.ClassBlockIP, sandbox: true})
	}
	w.round(a)
	w.pass(time.Minute)
	w.round(a)
	if got := w.subjects(); len(got) != 0 {
		t.Errorf("told: %q", got)
	}
}

func nothingKnown(context.Context, string, time.Time, time.Time) (int64, int64, error) {
	return 0, 0, nil
}

func TestWhatIsOldIsNoNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
	w.pass(time.Hour)
	a := w.watch(0)
	w.round(a)
	w.pass(time.Minute)
	w.round(a)
	if got := w.subjects(); len(got) != 0 {
		t.Errorf("told: %q", got)
	}
}

func TestTwoNodesTellOnce(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *world{"embedded": newWorld, "redis": newRedisWorld} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			one, two := w.watch(0), w.watch(1)
			w.round(one)
			w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
			w.round(one)
			if _, err := two.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
				t.Fatalf("both read at once: %v", err)
			}
			w.pass(2 * time.Minute) // the first node stands still
			w.round(two)            // tells what the first one learned
			if got := w.subjects(); len(got) != 1 {
				t.Fatalf("told: %q", got)
			}
			w.pass(time.Second)
			w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
			if _, err := one.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
				t.Fatalf("the first node goes on: %v", err)
			}
			w.pass(2 * time.Minute)
			w.round(one)
			if got := w.subjects(); len(got) != 1 {
				t.Errorf("told within the hour: %q", got)
			}
			w.pass(time.Hour)
			w.round(one)
			if got := w.subjects(); len(got) != 2 {
				t.Errorf("told: %q", got)
			}
		})
	}
}

func TestWhatIsRaisedIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *world{"embedded": newWorld, "redis": newRedisWorld} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			one, two := w.watch(0), w.watch(1)
			raise := func(a *alert.Watch, node string) {
				t.Helper()
				a.Raise(alert.Raised{Name: "port25", Node: node, Title: "Port 25 is blocked", Advice: "Ask your provider.", Detail: "i/o\ntimeout"})
				if _, err := a.Round(t.Context()); err != nil && !errors.Is(err, queue.ErrClaimed) {
					t.Fatal(err)
				}
			}
			raise(one, "")
			raise(two, "") // it has no claim, and is told by the record
			w.pass(59 * time.Minute)
			raise(two, "")
			all := w.letters()
			if len(all) != 1 || all[0].subject != "[relay.example.com] Port 25 is blocked" || !strings.Contains(all[0].text, "Seen: i/o timeout\r\n") || !strings.Contains(all[0].text, "Ask your provider.") {
				t.Fatalf("%d letters: %+v", len(all), all)
			}
			raise(two, "two")
			w.pass(time.Minute)
			raise(two, "")
			if got := w.subjects(); len(got) != 3 {
				t.Errorf("told: %q", got)
			}
		})
	}
}

func TestAnAccountThatFailsMoreThanUsual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		ended, failed int64 // usually
		ok, bad       int   // in this hour
		want          bool
	}{
		{"three failures", 1000, 10, 0, 3, false},
		{"as usual", 1000, 300, 70, 30, false},
		{"much more than usual", 1000, 10, 60, 30, true},
		{"an account that nothing is known of", 10, 9, 60, 30, true},
		{"twice of much is not enough", 1000, 300, 45, 55, false},
		{"nearly all of much", 1000, 300, 10, 60, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.watch(0, func(o *alert.Options) {
				o.Usual = func(_ context.Context, account string, from, to time.Time) (int64, int64, error) {
					if account != "shop" || to.Sub(from) != 7*24*time.Hour || to.After(w.now.Add(-time.Hour)) {
						t.Errorf("asked for %s, %s to %s", account, from, to)
					}
					return c.ended, c.failed, nil
				}
			})
			w.round(a)
			for range c.ok {
				w.happen(trouble{state: delivered})
			}
			for i := range c.bad {
				class := queue.ClassRcptUnknown
				if i%3 == 0 {
					class = queue.ClassContentSpam
				}
				w.happen(trouble{state: bounced, class: class})
			}
			w.happen(trouble{state: delivered, account: "blog"})
			w.pass(10 * time.Minute)
			for range 3 {
				w.round(a)
				w.pass(time.Minute)
			}
			all := w.letters()
			if (len(all) == 1) != c.want {
				t.Fatalf("%d letters", len(all))
			}
			if !c.want {
				return
			}
			for _, part := range []string{
				fmt.Sprintf("In the last hour %d of %d recipients failed", c.bad, c.bad+c.ok), fmt.Sprintf("%d x rcpt.unknown", c.bad-(c.bad+2)/3), "Most often: ", "mx.outlook.com said: 550",
			} {
				if !strings.Contains(all[0].text, part) {
					t.Errorf("no %q in\n%s", part, all[0].text)
				}
			}
			w.pass(2 * time.Hour) // it is over
			w.round(a)
			if n := len(w.letters()); n != 1 {
				t.Errorf("%d letters when it is over", n)
			}
		})
	}
}

// dying is a store that fails after some writes.
type dying struct {
	alert.Store
	left int
}

var errDead = errors.New("dead")

func (d *dying) write() error {
	if d.left--; d.left < 0 {
		return errDead
	}
	return nil
}

func (d *dying) PutRecord(ctx context.Context, r queue.Record) (uint64, error) {
	if err := d.write(); err != nil {
		return 0, err
	}
	return d.Store.PutRecord(ctx, r)
}

func (d *dying) Acknowledge(ctx context.Context, reader string, p queue.Position) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Store.Acknowledge(ctx, reader, p)
}

func TestWhereverItDiesItIsToldOnce(t *testing.T) {
	t.Parallel()
	for left := range 6 {
		w := newWorld(t)
		w.round(w.watch(0))
		w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
		a := w.watch(0, func(o *alert.Options) { o.Store = &dying{Store: w.stores[0], left: left} })
		for range 3 {
			if _, err := a.Round(t.Context()); err != nil && !errors.Is(err, errDead) {
				t.Fatal(err)
			}
			w.pass(time.Minute)
		}
		b := w.watch(0)
		for range 5 {
			w.round(b)
			w.pass(time.Minute)
		}
		if got := w.subjects(); len(got) != 1 {
			t.Errorf("%d writes: told %q", left, got)
		}
	}
}

// shut is a door that is shut for a while.
type shut struct {
	queue.Submitter
	err error
}

func (s *shut) Submit(ctx context.Context, m queue.Submission) (queue.Submitted, error) {
	if s.err != nil {
		return queue.Submitted{}, s.err
	}
	return s.Submitter.Submit(ctx, m)
}

func TestAMailThatIsNotTakenIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	door := &shut{Submitter: w.doors[0], err: queue.ErrUnavailable}
	a := w.watch(0, func(o *alert.Options) { o.Submitter = door })
	w.round(a)
	w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
	a.Raise(alert.Raised{Name: "port25", Title: "Port 25 is blocked"})
	for range 40 { // more than there may be messages
		if _, err := a.Round(t.Context()); err != nil && !errors.Is(err, queue.ErrUnavailable) {
			t.Fatal(err)
		}
		w.pass(time.Minute)
	}
	door.err = nil
	for range 4 {
		w.round(a)
		w.pass(time.Minute)
	}
	if got := w.subjects(); len(got) != 2 {
		t.Errorf("told: %q", got)
	}
}

func TestARecordThatCannotBeReadIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.stores[0].PutRecord(t.Context(), queue.Record{Kind: queue.RecordAlert, Name: "broken", Value: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	a := w.watch(0)
	w.round(a)
	w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
	w.round(a)
	w.pass(2 * time.Minute)
	w.round(a)
	if n := len(w.letters()); n != 1 {
		t.Errorf("%d letters, want 1", n)
	}
	if _, err := w.stores[0].GetRecord(t.Context(), queue.RecordAlert, "broken"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the record: %v", err)
	}
}

func TestThereAreNotTooManyMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.watch(0)
	w.round(a)
	for i := range 250 {
		w.happen(trouble{state: bounced, class: queue.ClassBlockIP, site: fmt.Sprintf("d%d.example", i)})
	}
	for range 3 {
		w.round(a)
		w.pass(time.Minute)
	}
	if n := len(w.letters()); n != 30 {
		t.Errorf("%d letters", n)
	}
	for _, line := range []string{"there are too many causes", "only logged"} {
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	w.pass(25 * time.Hour)
	w.round(a)
	recs, err := w.stores[0].ListRecords(t.Context(), queue.RecordAlert, "", "", 10)
	if err != nil || len(recs) != 0 {
		t.Errorf("%d records are kept of what is over, %v", len(recs), err)
	}
}

func TestItReadsWhatHappensAndStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.round(w.watch(0))
	told := make(chan struct{}, 10)
	a := w.watch(1, func(o *alert.Options) {
		o.Submitter, o.Gather, o.Pause = noting{w.doors[1], told}, time.Nanosecond, time.Millisecond
		o.Holder = "one"
	})
	w.happen(trouble{state: bounced, class: queue.ClassBlockIP})
	w.pass(time.Second)
	a.Start(t.Context())
	a.Raise(alert.Raised{Name: "port25", Title: "Port 25 is blocked"})
	for range 2 {
		select {
		case <-told:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is told")
		}
	}
	if err := a.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type noting struct {
	queue.Submitter
	told chan struct{}
}

func (n noting) Submit(ctx context.Context, m queue.Submission) (queue.Submitted, error) {
	done, err := n.Submitter.Submit(ctx, m)
	n.told <- struct{}{}
	return done, err
}
