package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/api/feed"
	"postrider/api/feed/feedtest"
	"postrider/queue"
)

func newReader(w *feedtest.World, change ...func(*feed.Options)) *feed.Reader {
	o := feed.Options{Store: w.Store, Now: w.Now}
	for _, c := range change {
		c(&o)
	}
	r := feed.New(o)
	w.T.Cleanup(func() {
		if err := r.Drain(w.T.Context()); err != nil && w.T.Context().Err() == nil {
			w.T.Error(err)
		}
	})
	return r
}

var (
	noSuchUser = queue.Reply{Code: 550, Enhanced: queue.Enhanced{5, 1, 1}, Text: "no such user", Command: "RCPT"}
	busy       = queue.Reply{Code: 451, Enhanced: queue.Enhanced{4, 7, 1}, Text: "come back later", Command: "RCPT"}
)

func read(t *testing.T, r *feed.Reader, q feed.Query) feed.Page {
	t.Helper()
	p, err := r.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheLifeOfAMessageIsTold(t *testing.T) { feedtest.OnBoth(t, theLifeOfAMessageIsTold) }

func theLifeOfAMessageIsTold(t *testing.T, w *feedtest.World) {
	id := w.Put(feedtest.Mail{
		Labels: queue.Labels{Stream: "bulk", Tags: []string{"receipt"}, Metadata: map[string]string{"order": "1042"}},
		To:     []string{"bob@example.net", "carol@example.net"},
	})
	w.Pass(time.Second)
	w.Settle(queue.StateDeferred, queue.ClassGreylist, busy)
	w.Pass(time.Hour)
	w.Settle(queue.StateBounced, queue.ClassRcptUnknown, noSuchUser)
	p := read(t, newReader(w), feed.Query{})
	var got []string
	for _, e := range p.Data {
		got = append(got, fmt.Sprintf("%s %d %s", e.Type, e.Sequence, e.Data.Recipient))
	}
	want := []string{
		"email.queued 1 ", "email.delivery_delayed 2 bob@example.net", "email.delivery_delayed 2 carol@example.net",
		"email.bounced 3 bob@example.net", "email.bounced 3 carol@example.net",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || p.HasMore {
		t.Fatalf("told %q", got)
	}
	text, err := json.Marshal(p.Data[3])
	if err != nil {
		t.Fatal(err)
	}
	d := p.Data[3].Data
	if d.EmailID != id.String() || d.RecipientID != id.Recipient(0).String() || d.Subject != "Hello" || d.From != "shop@example.com" ||
		d.Stream != "bulk" || d.Tags[0] != "receipt" || d.Metadata["order"] != "1042" || d.MessageID != "<"+id.String()+"@example.com>" || d.To[0] != "bob@example.net" {
		t.Errorf("%s", text)
	}
	if a := d.Attempt; a == nil || a.Number != 2 || a.MXIP != "192.0.2.1" || a.TLS.Version != "TLS1.3" || a.TLS.Verified || a.TLS.Detail != "other name" || a.Code != 550 {
		t.Errorf("%s", text)
	}
	if b := d.Bounce; b == nil || *b != (feed.Bounce{Type: feed.Hard, Classification: "rcpt.unknown", Code: 550, EnhancedCode: "5.1.1", Message: "no such user", Source: "smtp"}) {
		t.Errorf("%s", text)
	}
	if d.Advice == "" || len(p.Data[0].Data.To) != 2 || p.Data[1].Data.Attempt.RetryAt == nil {
		t.Errorf("%+v", p.Data)
	}
}

func TestEveryKindOfEventHasAType(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for kind, want := range map[queue.EventKind]feed.Type{
		queue.EventQueued: feed.Queued, "scheduled": feed.Scheduled, queue.EventDelivered: feed.Delivered, queue.EventRelayed: feed.Relayed,
		queue.EventDeferred: feed.Delayed, queue.EventBounced: feed.Bounced, queue.EventExpired: feed.Expired, queue.EventCancelled: feed.Canceled,
		queue.EventSuppressed: feed.Suppressed, queue.EventHeld: feed.Held, queue.EventReleased: feed.Released, queue.EventRetried: feed.Retried,
	} {
		if got := feed.TypeOf(&queue.Event{Kind: kind, At: at}); got != want || !got.Valid() {
			t.Errorf("%s is %s", kind, got)
		}
	}
	if got := feed.TypeOf(&queue.Event{Kind: queue.EventQueued, At: at, Due: at.Add(time.Hour)}); got != feed.Scheduled {
		t.Errorf("a message for later is %s", got)
	}
}

func TestOnlyHardBouncesSayThatThereIsNobody(t *testing.T) {
	t.Parallel()
	for class, want := range map[queue.Class]feed.BounceType{
		queue.ClassRcptUnknown: feed.Hard, queue.ClassDomainBad: feed.Hard, queue.ClassRcptFull: feed.Soft, queue.ClassExpired: feed.Soft,
		queue.ClassBlockIP: feed.Block, queue.ClassContentSpam: feed.Block, queue.ClassSize: feed.Policy, queue.ClassOtherPerm: feed.Policy,
		queue.ClassNone: feed.Policy, "new.class": feed.Policy,
	} {
		if got := feed.TypeOfBounce(class); got != want {
			t.Errorf("%s is %s, want %s", class, got, want)
		}
	}
}

func TestFiltersSelect(t *testing.T) { feedtest.OnBoth(t, filtersSelect) }

func filtersSelect(t *testing.T, w *feedtest.World) {
	w.Put(feedtest.Mail{Labels: queue.Labels{Stream: "bulk", Tags: []string{"news"}}, To: []string{"bob@Example.net"}})
	w.Put(feedtest.Mail{Labels: queue.Labels{Stream: "transactional"}, To: []string{"carol@example.org"}})
	w.Put(feedtest.Mail{Account: "blog", To: []string{"dave@example.net"}})
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	r := newReader(w)
	for _, c := range []struct {
		name string
		f    feed.Filter
		want int
	}{
		{"all of everybody", feed.Filter{}, 6},
		{"an account", feed.Filter{Account: "shop"}, 4},
		{"an account without any", feed.Filter{Account: "nobody"}, 0},
		{"two types", feed.Filter{Types: []feed.Type{feed.Queued, feed.Bounced}}, 3},
		{"a stream", feed.Filter{Streams: []string{"bulk"}}, 2},
		{"either stream", feed.Filter{Streams: []string{"bulk", "transactional"}}, 4},
		{"a tag", feed.Filter{Tag: "news"}, 2},
		{"a domain in other case", feed.Filter{RecipientDomain: "EXAMPLE.NET"}, 2},
		{"all at once", feed.Filter{Account: "shop", Types: []feed.Type{feed.Delivered}, Streams: []string{"bulk"}, RecipientDomain: "example.net", Tag: "news"}, 1},
	} {
		if p := read(t, r, feed.Query{Filter: c.f}); len(p.Data) != c.want || p.HasMore {
			t.Errorf("%s: %d events, want %d", c.name, len(p.Data), c.want)
		}
	}
}

func TestPagesFollowEachOther(t *testing.T) { feedtest.OnBoth(t, pagesFollowEachOther) }

func pagesFollowEachOther(t *testing.T, w *feedtest.World) {
	for range 7 {
		w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
		w.Put(feedtest.Mail{Account: "blog", To: []string{"bob@example.net"}})
	}
	r := newReader(w)
	var got []string
	q := feed.Query{Filter: feed.Filter{Account: "shop"}, Limit: 3}
	for range 10 {
		p := read(t, r, q)
		for _, e := range p.Data {
			got = append(got, e.ID)
		}
		if q.After = p.NextCursor; !p.HasMore {
			break
		}
	}
	if len(got) != 7 {
		t.Fatalf("%d events", len(got))
	}
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	if p := read(t, r, q); len(p.Data) != 1 {
		t.Errorf("after the end and one more: %+v", p)
	}
}

func TestTheEventsOfOneMessageAreItsAccountsOnly(t *testing.T) {
	feedtest.OnBoth(t, theEventsOfOneMessageAreItsAccountsOnly)
}

func theEventsOfOneMessageAreItsAccountsOnly(t *testing.T, w *feedtest.World) {
	id := w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	w.Put(feedtest.Mail{To: []string{"carol@example.net"}})
	w.Settle(queue.StateDeferred, queue.ClassGreylist, busy)
	r := newReader(w)
	q := feed.Query{Message: id, Filter: feed.Filter{Account: "shop"}, Limit: 1}
	first := read(t, r, q)
	q.After = first.NextCursor
	second := read(t, r, q)
	if len(first.Data) != 1 || !first.HasMore || len(second.Data) != 1 || second.HasMore || second.Data[0].Type != feed.Delayed {
		t.Errorf("%+v, then %+v", first, second)
	}
	q.After = second.NextCursor
	if p := read(t, r, q); len(p.Data) != 0 || p.HasMore {
		t.Errorf("at its end: %+v", p)
	}
	q.Account, q.After = "blog", ""
	if _, err := r.Read(t.Context(), q); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("another account reads: %v", err)
	}
	if _, err := r.Read(t.Context(), feed.Query{Message: queue.NewMessageID()}); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("an unknown message: %v", err)
	}
}

func TestACursorThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	id := w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	r := newReader(w)
	ofLog, ofMessage := read(t, r, feed.Query{}).NextCursor, read(t, r, feed.Query{Message: id}).NextCursor
	for _, c := range []struct {
		name   string
		q      feed.Query
		status int
	}{
		{"garbage", feed.Query{After: "garbage!"}, 400},
		{"too long", feed.Query{After: strings.Repeat("A", 5000)}, 400},
		{"another version", feed.Query{After: "_2w"}, 400},
		{"the log's for a message", feed.Query{After: ofLog, Message: id}, 400},
		{"a message's for the log", feed.Query{After: ofMessage}, 400},
		{"a message's for another", feed.Query{After: ofMessage, Message: queue.NewMessageID()}, 400},
		{"a place that is none", feed.Query{After: "AWx4eHg"}, 410},
		{"a type that is none", feed.Query{Filter: feed.Filter{Types: []feed.Type{"email.eaten"}}}, 422},
	} {
		_, err := r.Read(t.Context(), c.q)
		var e *feed.Error
		if !errors.As(err, &e) || e.Status != c.status {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRareEventsDoNotHoldUpARequest(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	for range 60 {
		w.Put(feedtest.Mail{Account: "blog", To: []string{"a@example.net", "b@example.net", "c@example.net", "d@example.net", "e@example.net"}})
	}
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	r := newReader(w, func(o *feed.Options) { o.MaxScan = 250 })
	q := feed.Query{Filter: feed.Filter{Account: "shop"}, Wait: time.Minute}
	pages := 0
	for ; ; pages++ {
		p := read(t, r, q)
		if len(p.Data) == 1 {
			break
		}
		if len(p.Data) > 0 || !p.HasMore || p.NextCursor == q.After || pages > 20 {
			t.Fatalf("page %d: %+v", pages, p)
		}
		q.After = p.NextCursor
	}
	if pages == 0 {
		t.Error("361 events were looked at in one call of 250")
	}
}

func TestARequestWaitsForTheFirstEvent(t *testing.T) {
	feedtest.OnBoth(t, aRequestWaitsForTheFirstEvent)
}

func aRequestWaitsForTheFirstEvent(t *testing.T, w *feedtest.World) {
	w.Put(feedtest.Mail{To: []string{"old@example.net"}})
	r := newReader(w)
	w.Pass(time.Second)
	start := read(t, r, feed.Query{After: feed.Latest})
	if len(start.Data) != 0 {
		t.Fatalf("the latest has %+v", start)
	}
	got := make(chan feed.Page, 1)
	go func() {
		p, err := r.Read(t.Context(), feed.Query{After: start.NextCursor, Wait: 20 * time.Second})
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	w.Put(feedtest.Mail{To: []string{"new@example.net"}})
	if p := <-got; len(p.Data) != 1 || p.Data[0].Data.To[0] != "new@example.net" {
		t.Errorf("%+v", p)
	}
	begun := time.Now()
	p := read(t, r, feed.Query{Filter: feed.Filter{Account: "nobody"}, Wait: 30 * time.Millisecond})
	if len(p.Data) != 0 || p.HasMore || time.Since(begun) < 30*time.Millisecond {
		t.Errorf("after the wait: %+v", p)
	}
}

func TestDrainAnswersRequestsThatWait(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	r := newReader(w)
	done := make(chan error, 1)
	go func() {
		_, err := r.Read(t.Context(), feed.Query{Wait: 20 * time.Second})
		done <- err
	}()
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheEndIsFoundFromAHint(t *testing.T) { feedtest.OnBoth(t, theEndIsFoundFromAHint) }

func theEndIsFoundFromAHint(t *testing.T, w *feedtest.World) {
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	log := w.Log()
	if err := w.Store.Acknowledge(t.Context(), "dsn", log[0].Position); err != nil {
		t.Fatal(err)
	}
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	w.Pass(time.Second)
	r := newReader(w)
	for range 2 {
		p, err := r.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if es, _, err := w.Store.ReadEvents(t.Context(), p, 10); err != nil || len(es) != 0 {
			t.Errorf("after the end: %v, %v", es, err)
		}
	}
}

func TestAForgottenMessageStillHasEvents(t *testing.T) {
	t.Parallel()
	e := queue.Event{Kind: queue.EventDelivered, Message: queue.NewMessageID(), At: time.Now(), Account: "shop"}
	e.Recipient = e.Message.Recipient(0)
	v := feed.Render(&e, nil)
	if v.Type != feed.Delivered || v.Data.Subject != "" || v.Data.From != "" || v.Sequence != 0 {
		t.Errorf("%+v", v)
	}
}

func TestOnlyTheLastMessagesAreRemembered(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	var ids []queue.MessageID
	for range 20 {
		ids = append(ids, w.Put(feedtest.Mail{To: []string{"bob@example.net"}}))
	}
	m := feed.NewMessages(w.Store, 4)
	for range 3 {
		facts, err := m.Facts(t.Context(), append(ids, ids[0], queue.NewMessageID()))
		if err != nil || len(facts) != 20 {
			t.Fatalf("%d facts, %v", len(facts), err)
		}
	}
}

// asked counts how often the log is read.
type asked struct {
	queue.Store
	n atomic.Int64
}

func (a *asked) ReadEvents(ctx context.Context, after queue.Position, limit int) ([]queue.Event, queue.Position, error) {
	a.n.Add(1)
	return a.Store.ReadEvents(ctx, after, limit)
}

func TestReadersThatShareATailMissNothing(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	tail := feed.NewTail(w.Store)
	const readers, each = 20, 50
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			seen := map[queue.EventID]bool{}
			for at := queue.Position(""); len(seen) < each; {
				es, next, err := tail.Read(t.Context(), at)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range es {
					if seen[e.ID] {
						t.Errorf("%s twice", e.ID)
					}
					seen[e.ID] = true
				}
				at = next
			}
		})
	}
	for range each {
		w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	}
	wg.Wait()
	if _, _, err := tail.Read(t.Context(), "garbage"); !errors.Is(err, queue.ErrPosition) {
		t.Errorf("a place that is none: %v", err)
	}
}

func TestWhatOneReaderReadIsGivenToOthers(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	log := &asked{Store: w.Store}
	tail := feed.NewTail(log)
	for range 5 {
		if es, _, err := tail.Read(t.Context(), ""); err != nil || len(es) != 1 {
			t.Fatalf("%d events, %v", len(es), err)
		}
	}
	if n := log.n.Load(); n != 1 {
		t.Errorf("the log was read %d times", n)
	}
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "latest", "AWw", "AWx4eHg", "AWg", "AWgAAAAAAAAAAAAAAAAAAAAAAA", "garbage!", "_2w", strings.Repeat("A", 100)} {
		f.Add(s)
	}
	w := feedtest.New(f)
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	r := newReader(w)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := r.Read(t.Context(), feed.Query{After: s})
		var e *feed.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v", s, err)
		}
		if err == nil && len(p.Data) > 1 {
			t.Fatalf("%q has %d events", s, len(p.Data))
		}
	})
}
