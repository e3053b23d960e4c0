package feedback_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postrider/queue"
	"postrider/queue/suppression"
	"postrider/relay/feedback"
)

const (
	bounced   = queue.StateBounced
	delivered = queue.StateDelivered
)

func TestWhatTheRecipientsSideSaysForGoodCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.reader(0)
	w.read(r)
	w.now = w.now.Add(time.Minute)
	for i, c := range []struct {
		name string
		outcome
		want string // the note
	}{
		{"no such mailbox", outcome{state: bounced, class: queue.ClassRcptUnknown, reply: "550 no such\nuser"}, "the mailbox does not exist; mx.example.org said: 550 no such user"},
		{"switched off", outcome{state: bounced, class: queue.ClassRcptDisabled, reply: "550 gone"}, "the mailbox is switched off; mx.example.org said: 550 gone"},
		{"moved", outcome{state: bounced, class: queue.ClassRcptMoved, reply: "550 see bob"}, "the recipient has moved; mx.example.org said: 550 see bob"},
		{"no such domain", outcome{state: bounced, class: queue.ClassDomainBad, reply: "it does not exist"}, "the domain takes no mail: it does not exist"},
		{"deferred for it", outcome{state: queue.StateDeferred, class: queue.ClassRcptUnknown, reply: "550 no"}, ""},
		{"expired", outcome{state: queue.StateExpired, class: queue.ClassExpired, reply: "550 no"}, ""},
		{"expired, unknown before", outcome{state: queue.StateExpired, class: queue.ClassRcptUnknown, reply: "550 no"}, ""},
		{"our address is blocked", outcome{state: bounced, class: queue.ClassBlockIP, reply: "550 no"}, ""},
		{"our domain is blocked", outcome{state: bounced, class: queue.ClassBlockDomain, reply: "550 no"}, ""},
		{"no SPF", outcome{state: bounced, class: queue.ClassAuthSPF, reply: "550 no"}, ""},
		{"spam", outcome{state: bounced, class: queue.ClassContentSpam, reply: "550 no"}, ""},
		{"too fast", outcome{state: bounced, class: queue.ClassRateSite, reply: "550 no"}, ""},
		{"not reached", outcome{state: bounced, class: queue.ClassNetConnect, reply: "550 no"}, ""},
		{"TLS", outcome{state: bounced, class: queue.ClassNetTLS, reply: "550 no"}, ""},
		{"our own trouble", outcome{state: bounced, class: queue.ClassLocalTemp, reply: "550 no"}, ""},
		{"full, once", outcome{state: bounced, class: queue.ClassRcptFull, reply: "550 no"}, ""},
		{"sandboxed", outcome{state: bounced, class: queue.ClassRcptUnknown, reply: "550 no", sandbox: true}, ""},
		{"a report of ours", outcome{state: bounced, class: queue.ClassRcptUnknown, reply: "550 no", kind: "internal"}, ""},
	} {
		c.to = fmt.Sprintf("User%d@d%d.example", i, i)
		id := w.send(c.outcome)
		w.read(r)
		e, on := w.listed("shop", c.to)
		if on != (c.want != "") {
			t.Errorf("%s: listed %v: %+v", c.name, on, e)
			continue
		}
		if !on {
			continue
		}
		want := suppression.Entry{
			Account: "shop", Address: suppression.Fold(address(t, c.to)), Scope: suppression.Everything, Reason: suppression.Bounce,
			Source: id.String(), Note: c.want, CreatedAt: w.now, ExpiresAt: w.now.Add(expire),
		}
		if e != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, e, want)
		}
	}
}

func TestABounceIsOfOneAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.reader(0, func(o *feedback.Options) { o.Expire = 0 })
	w.read(r)
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.read(r)
	for account, want := range map[string]bool{"shop": true, "blog": false} {
		hits, err := w.lists[0].Check(t.Context(), account, []string{"news"}, []queue.Address{address(t, "BOB@example.org")}, w.now)
		if err != nil || (len(hits) == 1) != want {
			t.Errorf("%s: %v, %v", account, hits, err)
		}
	}
	if e, on := w.listed("shop", "bob@example.org"); !on || !e.ExpiresAt.IsZero() {
		t.Errorf("without an end: %+v, %v", e, on)
	}
}

// full lets the mailbox be full for a message.
func (w *world) full(r *feedback.Reader, account string) {
	w.t.Helper()
	w.send(outcome{to: "bob@example.org", account: account, state: bounced, class: queue.ClassRcptFull, reply: "550 quota"})
	w.read(r)
}

func TestAFullMailboxCountsTheThirdTime(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		steps func(w *world, r *feedback.Reader)
		want  bool
	}{
		{"three", func(w *world, r *feedback.Reader) {
			for range 3 {
				w.now = w.now.Add(7 * day)
				w.full(r, "shop")
			}
		}, true},
		{"two", func(w *world, r *feedback.Reader) { w.full(r, "shop"); w.full(r, "shop") }, false},
		{"three of several accounts", func(w *world, r *feedback.Reader) { w.full(r, "shop"); w.full(r, "blog"); w.full(r, "shop") }, false},
		{"three in a month", func(w *world, r *feedback.Reader) {
			for range 3 {
				w.now = w.now.Add(10 * day)
				w.full(r, "shop")
			}
		}, false},
		{"two and another trouble", func(w *world, r *feedback.Reader) {
			w.full(r, "shop")
			w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassPolicyRecipient, reply: "550 no"})
			w.full(r, "shop")
		}, false},
		{"a delivery between them", func(w *world, r *feedback.Reader) {
			w.full(r, "shop")
			w.full(r, "shop")
			w.send(outcome{to: "Bob@example.org", state: delivered, reply: "250 ok"})
			w.full(r, "shop")
		}, false},
		{"a sandboxed delivery between them", func(w *world, r *feedback.Reader) {
			w.full(r, "shop")
			w.full(r, "shop")
			w.send(outcome{to: "bob@example.org", state: delivered, reply: "250 ok", sandbox: true})
			w.full(r, "shop")
		}, true},
		{"another's delivery, and a smart host's", func(w *world, r *feedback.Reader) {
			w.full(r, "shop")
			w.full(r, "shop")
			w.send(outcome{to: "bob@example.org", account: "blog", state: delivered, reply: "250 ok"})
			w.send(outcome{to: "bob@example.org", state: queue.StateRelayed, reply: "250 ok"})
			w.full(r, "shop")
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.reader(0)
			w.read(r)
			c.steps(w, r)
			e, on := w.listed("shop", "bob@example.org")
			if on != c.want {
				t.Fatalf("listed %v, want %v: %+v", on, c.want, e)
			}
			if !on {
				return
			}
			if !e.ExpiresAt.Equal(w.now.Add(expireSoft)) || !strings.Contains(e.Note, "full, 3 times within 14 days") {
				t.Errorf("%+v", e)
			}
			// Off the list, it takes three more.
			if _, err := w.lists[0].Remove(t.Context(), "shop", e.Address, ""); err != nil {
				t.Fatal(err)
			}
			w.full(r, "shop")
			w.full(r, "shop")
			if _, on := w.listed("shop", "bob@example.org"); on {
				t.Error("listed again after two")
			}
		})
	}
}

func TestWhatHappenedBeforeDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.now = w.now.Add(time.Minute)
	w.read(w.reader(0))
	if e, on := w.listed("shop", "bob@example.org"); on {
		t.Errorf("%+v", e)
	}
}

func TestWhileItIsOffBouncesPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read(w.reader(0))
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.read(w.reader(0, func(o *feedback.Options) { o.Off = true }))
	w.read(w.reader(0))
	if e, on := w.listed("shop", "bob@example.org"); on {
		t.Errorf("%+v", e)
	}
}

func TestAWrittenNoteIsShortAndOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.reader(0)
	w.read(r)
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 " + "nö\r\n\x1b[1m\u202e" + strings.Repeat("ü", 400)})
	w.read(r)
	e, on := w.listed("shop", "bob@example.org")
	if !on || len(e.Note) > suppression.MaxNote || !utf8.ValidString(e.Note) || strings.ContainsAny(e.Note, "\r\n\x1b\u202e") || !strings.Contains(e.Note, "550 nö") {
		t.Errorf("%v %q", on, e.Note)
	}
}

func TestTwoNodesCountTogether(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *world{"embedded": newWorld, "redis": newRedisWorld} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			one, two := w.reader(0), w.reader(1)
			w.read(one)
			w.full(one, "shop")
			if _, err := two.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
				t.Fatalf("both read at once: %v", err)
			}
			w.now = w.now.Add(time.Minute) // the first node stands still
			w.full(two, "shop")
			w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptFull, reply: "550 quota"})
			if _, err := one.Round(t.Context()); !errors.Is(err, queue.ErrClaimed) {
				t.Fatalf("the first node goes on: %v", err)
			}
			if _, on := w.listed("shop", "bob@example.org"); on {
				t.Error("listed after two")
			}
			w.now = w.now.Add(time.Minute)
			w.read(one)
			if _, on := w.listed("shop", "bob@example.org"); !on {
				t.Error("not listed after three, of which each node saw some")
			}
		})
	}
}

// dying is a store that fails after some writes.
type dying struct {
	feedback.Store
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

func TestWhereverItDiesEachBounceCountsOnce(t *testing.T) {
	t.Parallel()
	for left := range 8 {
		w := newWorld(t)
		w.read(w.reader(0))
		w.send(outcome{to: "al@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
		for _, to := range []string{"bob@example.org", "bob@example.org", "carol@example.org"} {
			w.send(outcome{to: to, state: bounced, class: queue.ClassRcptFull, reply: "550 quota"})
		}
		r := w.reader(0, func(o *feedback.Options) { o.Store = &dying{Store: w.stores[0], left: left} })
		for range 3 {
			if _, err := r.Round(t.Context()); err != nil && !errors.Is(err, errDead) {
				t.Fatal(err)
			}
		}
		w.read(w.reader(0))
		if _, on := w.listed("shop", "al@example.org"); !on {
			t.Errorf("%d writes: the unknown mailbox is not listed", left)
		}
		if _, on := w.listed("shop", "bob@example.org"); on {
			t.Errorf("%d writes: two count as three", left)
		}
		w.full(w.reader(0), "shop")
		if _, on := w.listed("shop", "bob@example.org"); !on {
			t.Errorf("%d writes: three do not count", left)
		}
	}
}

// forgetful is a store that does not know positions any more.
type forgetful struct {
	feedback.Store
	lost bool
}

func (f *forgetful) ReadEvents(ctx context.Context, after queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	if after != "" && !f.lost {
		f.lost = true
		return nil, "", queue.ErrPosition
	}
	return f.Store.ReadEvents(ctx, after, limit)
}

func TestWhoWasTakenOffStaysOffWhenTheLogIsReadAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.reader(0)
	w.read(r)
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.read(r)
	if _, err := w.lists[0].Remove(t.Context(), "shop", address(t, "bob@example.org"), ""); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Second)
	w.send(outcome{to: "carol@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.read(w.reader(0, func(o *feedback.Options) { o.Store = &forgetful{Store: w.stores[0]} }))
	if e, on := w.listed("shop", "bob@example.org"); on {
		t.Errorf("on the list again: %+v", e)
	}
	if _, on := w.listed("shop", "carol@example.org"); !on {
		t.Error("what is new does not count")
	}
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	w.read(w.reader(0))
	if _, on := w.listed("shop", "bob@example.org"); !on {
		t.Error("another message's bounce does not count")
	}
}

func TestItReadsWhatHappensAndStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.read(w.reader(0))
	w.send(outcome{to: "bob@example.org", state: bounced, class: queue.ClassRcptUnknown, reply: "550 no"})
	listed := make(chan suppression.Entry, 1)
	r := w.reader(0, func(o *feedback.Options) { o.List, o.Pause = tell{w.lists[0], listed}, time.Millisecond })
	r.Start(t.Context())
	select {
	case <-listed:
	case <-time.After(30 * time.Second):
		t.Error("nothing was read")
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.read(w.reader(1)) // the claim was given back
}

type tell struct {
	*suppression.Book
	added chan suppression.Entry
}

func (l tell) Add(ctx context.Context, e suppression.Entry) (suppression.Entry, bool, error) {
	now, added, err := l.Book.Add(ctx, e)
	l.added <- now
	return now, added, err
}
