package stats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api/feed"
	"postrider/api/feed/feedtest"
	"postrider/api/stats"
	"postrider/queue"
)

func newStats(w *feedtest.World, s stats.Store, holder string) *stats.Stats {
	return stats.New(stats.Options{
		Store: s, Messages: feed.NewMessages(w.Store, 0), Holder: holder, Now: w.Now, After: w.After, Flush: time.Second, Retry: time.Second,
	})
}

// countAll lets somebody count all there is, and stop.
func countAll(t *testing.T, w *feedtest.World) *stats.Stats {
	t.Helper()
	s := newStats(w, w.Store, "last")
	s.Start(t.Context())
	until(t, w, "all is counted", func() bool { return counted(t, w) })
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func counted(t *testing.T, w *feedtest.World) bool {
	t.Helper()
	p, err := w.Store.Acknowledged(t.Context(), "stats")
	if err != nil {
		t.Fatal(err)
	}
	es, _, err := w.Store.ReadEvents(t.Context(), p, 1)
	return err == nil && len(es) == 0 && p != ""
}

func until(t *testing.T, w *feedtest.World, what string, so func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
			w.Pass(time.Second)
		}
	}
}

func query(t *testing.T, s *stats.Stats, q stats.Query) []stats.Row {
	t.Helper()
	if q.From.IsZero() {
		q.From, q.To = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	}
	rows, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// show writes the counts that are not zero.
func show(rows []stats.Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %s", r.Period.Format("2006-01-02T15"), r.Name)
		for _, m := range stats.Metrics() {
			if r.Counts[m] != 0 {
				fmt.Fprintf(&b, " %s=%d", m, r.Counts[m])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestCountsBySplit(t *testing.T) { feedtest.OnBoth(t, countsBySplit) }

func countsBySplit(t *testing.T, w *feedtest.World) {
	w.Put(feedtest.Mail{Credential: "key_1", Labels: queue.Labels{Stream: "bulk", Tags: []string{"news", "weekly"}}, To: []string{"a@Example.net", "b@example.net", "c@example.org"}})
	w.Put(feedtest.Mail{Account: "blog", From: "me@Blog.example", To: []string{"d@example.net"}})
	w.Settle(queue.StateDeferred, queue.ClassGreylist, queue.Reply{Code: 451})
	w.Pass(time.Hour)
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	w.Put(feedtest.Mail{State: queue.StateSuppressed, To: []string{"e@example.com"}})
	s := countAll(t, w)
	all := stats.Query{Granularity: stats.ByDay}
	for _, c := range []struct {
		name string
		q    stats.Query
		want string
	}{
		{"everybody's", all, "2026-11-23T00  accepted=3 recipients=5 delivered=4 deferred=4 suppressed=1\n"},
		{"an account's by hour", stats.Query{Account: "shop", Granularity: stats.ByHour},
			"2026-11-23T05  accepted=1 recipients=3 deferred=3\n2026-11-23T06  accepted=1 recipients=1 delivered=3 suppressed=1\n"},
		{"another's by month", stats.Query{Account: "blog", Granularity: stats.ByMonth}, "2026-11-01T00  accepted=1 recipients=1 delivered=1 deferred=1\n"},
		{"nobody's", stats.Query{Account: "nobody"}, ""},
		{"stream", stats.Query{Account: "shop", Dimension: stats.ByStream}, "2026-11-23T00 bulk accepted=1 recipients=3 delivered=3 deferred=3\n"},
		{"tag", stats.Query{Account: "shop", Dimension: stats.ByTag, Metrics: []stats.Metric{stats.Delivered}}, "2026-11-23T00 news delivered=3\n2026-11-23T00 weekly delivered=3\n"},
		{"key", stats.Query{Dimension: stats.ByKey}, "2026-11-23T00 key_1 accepted=1 recipients=3 delivered=3 deferred=3\n"},
		{"sender's domain", stats.Query{Dimension: stats.BySenderDomain, Metrics: []stats.Metric{stats.Accepted}}, "2026-11-23T00 blog.example accepted=1\n2026-11-23T00 example.com accepted=2\n"},
		{"recipient's domain", stats.Query{Account: "shop", Dimension: stats.ByRecipientDomain},
			"2026-11-23T00 example.com accepted=1 recipients=1 suppressed=1\n2026-11-23T00 example.net accepted=1 recipients=2 delivered=2 deferred=2\n2026-11-23T00 example.org accepted=1 recipients=1 delivered=1 deferred=1\n"},
		{"a zone in which it was the day before", stats.Query{Account: "blog", Timezone: "Pacific/Honolulu"}, "2026-11-22T00  accepted=1 recipients=1 delivered=1 deferred=1\n"},
		{"from the second hour on", stats.Query{Account: "blog", From: time.Date(2026, 11, 23, 6, 30, 0, 0, time.UTC), To: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}, "2026-11-23T00  delivered=1\n"},
	} {
		if got := show(query(t, s, c.q)); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestQueriesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	s := newStats(w, w.Store, "x")
	now := w.Now()
	for name, q := range map[string]stats.Query{
		"no time":     {},
		"backwards":   {From: now, To: now},
		"too long":    {From: now.AddDate(-2, 0, 0), To: now},
		"zone":        {From: now.Add(-time.Hour), To: now, Timezone: "Mars/Olympus"},
		"local zone":  {From: now.Add(-time.Hour), To: now, Timezone: "Local"},
		"granularity": {From: now.Add(-time.Hour), To: now, Granularity: "minute"},
		"dimension":   {From: now.Add(-time.Hour), To: now, Dimension: "shoe size"},
		"metric":      {From: now.Add(-time.Hour), To: now, Metrics: []stats.Metric{"eaten"}},
	} {
		var bad *stats.Error
		if _, err := s.Query(t.Context(), q); !errors.As(err, &bad) || bad.Status != 422 || bad.Field == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mortal is a store whose user dies after some writes: what it asks for then
// fails, and of the last write nobody knows whether it was done.
type mortal struct {
	queue.Store
	mu   sync.Mutex
	left int
	done bool // the last write is done
}

var errDead = errors.New("dead")

func (m *mortal) live(write func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left--
	switch {
	case m.left > 0:
		return write()
	case m.left == 0 && m.done:
		_ = write()
	}
	return errDead
}

func (m *mortal) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left <= 0
}

func (m *mortal) PutRecord(ctx context.Context, r queue.Record) (v uint64, err error) {
	err = m.live(func() error { v, err = m.Store.PutRecord(ctx, r); return err })
	return v, err
}

func (m *mortal) Acknowledge(ctx context.Context, reader string, p queue.Position) error {
	return m.live(func() error { return m.Store.Acknowledge(ctx, reader, p) })
}

func (m *mortal) Claim(ctx context.Context, name, holder string, now time.Time, ttl time.Duration) (uint64, error) {
	if m.dead() {
		return 0, errDead
	}
	return m.Store.Claim(ctx, name, holder, now, ttl)
}

func TestEveryEventIsCountedOnceWhereverWhoCountsDies(t *testing.T) {
	feedtest.OnBoth(t, everyEventIsCountedOnceWhereverWhoCountsDies)
}

func everyEventIsCountedOnceWhereverWhoCountsDies(t *testing.T, w *feedtest.World) {
	random := rand.New(rand.NewPCG(1, 2))
	write := func() {
		for range 1 + random.IntN(5) {
			m := feedtest.Mail{Account: fmt.Sprint("a", random.IntN(4)), Credential: strings.Repeat("k", 200) + fmt.Sprint(random.IntN(500)), Labels: queue.Labels{Stream: "s", Tags: []string{fmt.Sprint("t", random.IntN(3))}}}
			for i := range 1 + random.IntN(3) {
				m.To = append(m.To, fmt.Sprintf("u%d@d%d.example", i, random.IntN(5)))
			}
			w.Put(m)
		}
		w.Settle([]queue.State{queue.StateDelivered, queue.StateDeferred, queue.StateBounced, queue.StateRelayed}[random.IntN(4)], queue.ClassRcptFull, queue.Reply{Code: 450})
		w.Pass(time.Duration(random.IntN(40)) * time.Minute)
	}
	lives := 60
	if !w.Ordered { // a server's answers take longer
		lives = 20
	}
	for life := range lives {
		m := &mortal{Store: w.Store, left: 1 + life%15, done: random.IntN(2) == 0}
		s := newStats(w, m, fmt.Sprint("life", life))
		s.Start(t.Context())
		until(t, w, "it dies", func() bool {
			write()
			return m.dead()
		})
		_ = s.Drain(t.Context())
	}
	s := countAll(t, w)

	want := map[string]map[stats.Metric]int64{}
	places := map[queue.EventKind]stats.Metric{
		queue.EventDelivered: stats.Delivered, queue.EventRelayed: stats.Relayed, queue.EventDeferred: stats.Deferred, queue.EventBounced: stats.Bounced,
	}
	add := func(k string, m stats.Metric, n int) {
		if want[k] == nil {
			want[k] = map[stats.Metric]int64{}
		}
		want[k][m] += int64(n)
	}
	events := w.Log()
	for _, e := range events {
		k := e.Account + e.At.UTC().Format(" 2006-01-02T15")
		if e.Kind == queue.EventQueued {
			add(k, stats.Accepted, 1)
			add(k, stats.Recipients, e.Recipients)
			continue
		}
		add(k, places[e.Kind], 1)
	}
	if len(events) < 200 {
		t.Fatalf("%d events only", len(events))
	}
	for account := range 4 {
		name := fmt.Sprint("a", account)
		for _, d := range []stats.Dimension{stats.None, stats.ByStream, stats.ByTag, stats.ByKey, stats.ByRecipientDomain} {
			got := map[string]map[stats.Metric]int64{}
			for _, r := range query(t, s, stats.Query{Account: name, Granularity: stats.ByHour, Dimension: d}) {
				k := name + r.Period.Format(" 2006-01-02T15")
				if got[k] == nil {
					got[k] = map[stats.Metric]int64{}
				}
				for m, n := range r.Counts {
					got[k][m] += n
				}
			}
			for k, counts := range want {
				if !strings.HasPrefix(k, name+" ") {
					continue
				}
				for m, n := range counts {
					if m == stats.Accepted && d == stats.ByRecipientDomain {
						continue // a message counts for each of its domains
					}
					if got[k][m] != n {
						t.Errorf("%s by %q: %d %s, want %d", k, d, got[k][m], m, n)
					}
				}
			}
		}
	}
}

func TestTwoWhoCountDoNotCountTwice(t *testing.T) { feedtest.OnBoth(t, twoWhoCountDoNotCountTwice) }

func twoWhoCountDoNotCountTwice(t *testing.T, w *feedtest.World) {
	a, b := newStats(w, w.Store, "a"), newStats(w, w.Store, "b")
	a.Start(t.Context())
	b.Start(t.Context())
	for i := range 40 {
		w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
		if i == 20 {
			until(t, w, "twenty are counted", func() bool { return counted(t, w) })
			if err := a.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, w, "all are counted", func() bool { return counted(t, w) })
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := show(query(t, a, stats.Query{Granularity: stats.ByMonth})); got != "2026-11-01T00  accepted=40 recipients=40\n" {
		t.Error(got)
	}
}

func TestTooManyNamesAreCountedTogether(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	for i := range 260 {
		w.Put(feedtest.Mail{Labels: queue.Labels{Tags: []string{strings.Repeat("\x01", 100) + fmt.Sprint(i)}}, To: []string{
			fmt.Sprintf("a@%s%d.example", strings.Repeat("x", 50), i), fmt.Sprintf("b@%s%d.example", strings.Repeat("y", 50), i)}})
	}
	s := countAll(t, w)
	for _, d := range []stats.Dimension{stats.ByTag, stats.ByRecipientDomain} {
		rows := query(t, s, stats.Query{Dimension: d, Granularity: stats.ByMonth, Account: "shop"})
		total, other := int64(0), int64(0)
		for _, r := range rows {
			total += r.Counts[stats.Recipients]
			if r.Name == stats.Other {
				other = r.Counts[stats.Recipients]
			}
		}
		want := int64(520)
		if total != want || other == 0 || len(rows) > 201 || len(rows) < 10 {
			t.Errorf("%s: %d names, %d recipients, of which %d have no name", d, len(rows), total, other)
		}
	}
	rs, err := w.Store.ListRecords(t.Context(), queue.RecordStats, "", "", 100)
	if err != nil || len(rs) != 5 {
		t.Errorf("%d records, %v", len(rs), err)
	}
	for _, r := range rs {
		if !json.Valid(r.Value) {
			t.Errorf("%s is no JSON", r.Name)
		}
	}
}

func TestOldDaysAreForgotten(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	countAll(t, w)
	w.Pass(401 * 24 * time.Hour)
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	countAll(t, w)
	rs, err := w.Store.ListRecords(t.Context(), queue.RecordStats, "", "", 100)
	if err != nil || len(rs) != 5 || !strings.HasPrefix(rs[0].Name, "2027") {
		t.Errorf("%d records, the first is %+v, %v", len(rs), rs[0].Name, err)
	}
}
