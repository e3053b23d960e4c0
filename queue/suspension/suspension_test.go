package suspension_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suspension"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type world struct {
	store *logstore.Store
	clock *clock
	book  *suspension.Book
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := &clock{now: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
	return &world{store: s, clock: c, book: suspension.NewBook(s, c.Now)}
}

func (w *world) view() *suspension.View {
	return suspension.NewView(suspension.ViewOptions{Store: w.store, Now: w.clock.Now})
}

func (w *world) suspend(t *testing.T, sel suspension.Selector, life time.Duration) suspension.Suspension {
	t.Helper()
	s := suspension.Suspension{Selector: sel, Reason: "they asked for it", Actor: "operator"}
	if life > 0 {
		s.ExpiresAt = w.clock.Now().Add(life)
	}
	s, err := w.book.Suspend(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASuspensionIsListedAndResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	one := w.suspend(t, suspension.Selector{Domain: "EXAMPLE.org."}, 0)
	if !strings.HasPrefix(one.ID, "sus_") || one.Selector.Domain != "example.org" || !one.CreatedAt.Equal(w.clock.Now()) {
		t.Errorf("%+v", one)
	}
	again, err := w.book.Suspend(ctx, suspension.Suspension{Selector: suspension.Selector{Domain: "example.org"}, Reason: "still", ExpiresAt: w.clock.Now().Add(time.Hour)})
	if err != nil || again.ID != one.ID {
		t.Errorf("the same selector made %+v, %v", again, err)
	}
	two := w.suspend(t, suspension.Selector{Account: "shop", Sender: "@shop.example"}, 0)
	list, err := w.book.List(ctx)
	if err != nil || len(list) != 2 || list[0].Reason != "still" || list[1].Selector.Sender != "shop.example" {
		t.Fatalf("%+v, %v", list, err)
	}
	if got, err := w.book.Resume(ctx, two.ID); err != nil || got.Selector.Account != "shop" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.book.Resume(ctx, two.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a suspension is resumed twice: %v", err)
	}
	w.clock.add(time.Hour)
	if list, err = w.book.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("one that has ended is listed: %+v, %v", list, err)
	}
	if _, err := w.book.ResumeSelected(ctx, suspension.Selector{Domain: "example.org"}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("one that has ended is resumed: %v", err)
	}
	w.suspend(t, suspension.Selector{Lane: "smarthost"}, 0)
	if got, err := w.book.ResumeSelected(ctx, suspension.Selector{Lane: "smarthost"}); err != nil || got.Selector.Lane != "smarthost" {
		t.Errorf("%+v, %v", got, err)
	}
	if rs, err := w.store.ListRecords(ctx, queue.RecordSuspension, "", "", 10); err != nil || len(rs) != 0 {
		t.Errorf("records are left: %v, %v", rs, err)
	}
}

func TestNonsenseIsNotSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	domain := suspension.Selector{Domain: "example.org"}
	for name, s := range map[string]suspension.Suspension{
		"nothing selected":   {Reason: "r"},
		"only dots":          {Selector: suspension.Selector{Domain: "."}, Reason: "r"},
		"no reason":          {Selector: domain, Reason: "  "},
		"a long reason":      {Selector: domain, Reason: strings.Repeat("x", 501)},
		"lines in a reason":  {Selector: domain, Reason: "a\r\nb"},
		"an address":         {Selector: suspension.Selector{Domain: "bob@example.org"}, Reason: "r"},
		"a long lane":        {Selector: suspension.Selector{Lane: queue.Lane(strings.Repeat("x", 321))}, Reason: "r"},
		"an end in the past": {Selector: domain, Reason: "r", ExpiresAt: w.clock.Now()},
	} {
		if _, err := w.book.Suspend(t.Context(), s); !errors.Is(err, suspension.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASuspensionMatchesWhatItNames(t *testing.T) {
	t.Parallel()
	mail := suspension.Mail{Lane: "example.org", Domain: "Example.ORG", Account: "shop", Sender: "shop.example"}
	routed := suspension.Mail{Lane: "smarthost", Domain: "example.org", Account: "shop"}
	sourced := suspension.Mail{Lane: "example.org@news", Domain: "example.org", Account: "news"}
	idn := suspension.Mail{Lane: "xn--bcher-kva.example", Domain: "bücher.example", Account: "shop"}
	for _, c := range []struct {
		name        string
		sel         suspension.Selector
		mail        suspension.Mail
		match, lane bool
	}{
		{"the domain and so its lane", suspension.Selector{Domain: "example.org"}, mail, true, true},
		{"the domain in a route's lane", suspension.Selector{Domain: "example.org"}, routed, true, false},
		{"the domain in its lane of a source", suspension.Selector{Domain: "example.org"}, sourced, true, true},
		{"a domain above", suspension.Selector{Domain: "org"}, mail, false, false},
		{"an internationalised domain", suspension.Selector{Domain: "BÜCHER.example"}, idn, true, true},
		{"the lane", suspension.Selector{Lane: "smarthost"}, routed, true, true},
		{"another lane", suspension.Selector{Lane: "other"}, routed, false, false},
		{"the account", suspension.Selector{Account: "shop"}, mail, true, false},
		{"another account", suspension.Selector{Account: "blog", Domain: "example.org"}, mail, false, false},
		{"account and domain", suspension.Selector{Account: "shop", Domain: "example.org"}, mail, true, false},
		{"the sender's domain", suspension.Selector{Sender: "SHOP.example"}, mail, true, false},
		{"the null sender has no domain", suspension.Selector{Sender: "shop.example"}, routed, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.suspend(t, c.sel, 0)
			m, ok := w.view().Suspended(t.Context(), c.mail)
			if ok != c.match || ok && m.Lane != c.lane {
				t.Errorf("%v, lane %v", ok, m.Lane)
			}
		})
	}
}

func TestAViewLooksAgainEverySecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	v := w.view()
	mail := suspension.Mail{Lane: "example.org", Domain: "example.org"}
	if _, ok := v.Suspended(ctx, mail); ok {
		t.Fatal("nothing is suspended")
	}
	s := w.suspend(t, suspension.Selector{Domain: "example.org"}, time.Minute)
	if _, ok := v.Suspended(ctx, mail); ok {
		t.Error("the registry was asked within the second")
	}
	w.clock.add(time.Second)
	if m, ok := v.Suspended(ctx, mail); !ok || m.Reason != "they asked for it" {
		t.Errorf("%+v, %v", m, ok)
	}
	if _, ok := v.Suspended(ctx, suspension.Mail{Lane: suspension.Lane(s.ID)}); !ok {
		t.Error("it is in force")
	}
	w.clock.add(time.Minute)
	if _, ok := v.Suspended(ctx, mail); ok {
		t.Error("it has ended by itself")
	}
	if _, ok := v.Suspended(ctx, suspension.Mail{Lane: suspension.Lane(s.ID)}); ok {
		t.Error("it has ended by itself")
	}
}

func TestTheWidestAndLongestSuspensionCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.suspend(t, suspension.Selector{Account: "shop"}, time.Minute)
	longer := w.suspend(t, suspension.Selector{Account: "shop", Sender: "shop.example"}, time.Hour)
	v := w.view()
	mail := suspension.Mail{Lane: "example.org", Domain: "example.org", Account: "shop", Sender: "shop.example"}
	if m, ok := v.Suspended(t.Context(), mail); !ok || m.ID != longer.ID {
		t.Errorf("%+v, %v", m, ok)
	}
	lane := w.suspend(t, suspension.Selector{Domain: "example.org"}, time.Second*30)
	w.clock.add(time.Second)
	if m, ok := v.Suspended(t.Context(), mail); !ok || m.ID != lane.ID || !m.Lane {
		t.Errorf("%+v, %v", m, ok)
	}
}

// silent is a registry that stops answering.
type silent struct {
	queue.Registry
	broken bool
}

func (s *silent) RegistryVersion(ctx context.Context) (uint64, error) {
	if s.broken {
		return 0, queue.ErrUnavailable
	}
	return s.Registry.RegistryVersion(ctx)
}

func TestARegistryThatDoesNotAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.suspend(t, suspension.Selector{Domain: "example.org"}, 0)
	r := &silent{Registry: w.store}
	v := suspension.NewView(suspension.ViewOptions{Store: r, Now: w.clock.Now})
	mail := suspension.Mail{Lane: "example.org", Domain: "example.org"}
	for _, broken := range []bool{false, true} {
		r.broken = broken
		if _, ok := v.Suspended(t.Context(), mail); !ok {
			t.Errorf("broken %v: not suspended", broken)
		}
		w.clock.add(time.Minute)
	}
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"example.org", "@x", ".", "bücher.example", "a b", "xn--", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, domain, sender string) {
		w := newWorld(t)
		s, err := w.book.Suspend(t.Context(), suspension.Suspension{Selector: suspension.Selector{Domain: domain, Sender: sender}, Reason: "r"})
		if err != nil {
			return
		}
		m := suspension.Mail{Lane: "l", Domain: s.Selector.Domain, Sender: s.Selector.Sender}
		if _, ok := w.view().Suspended(t.Context(), m); !ok {
			t.Errorf("%+v does not match what it names", s.Selector)
		}
	})
}
