package suppression_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// counting counts the questions of a check.
type counting struct {
	queue.Registry
	mu   sync.Mutex
	asks int
}

func (c *counting) GetRecords(ctx context.Context, k queue.RecordKind, names []string) ([]queue.Record, error) {
	c.mu.Lock()
	c.asks++
	c.mu.Unlock()
	return c.Registry.GetRecords(ctx, k, names)
}

type world struct {
	*suppression.Book
	t     *testing.T
	store *counting
	clock *clock
}

func open(t *testing.T) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return over(t, s)
}

func over(t *testing.T, s queue.Registry) *world {
	w := &world{t: t, store: &counting{Registry: s}, clock: &clock{t: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}}
	w.Book = suppression.New(suppression.Options{Store: w.store, Now: w.clock.now})
	return w
}

func address(t testing.TB, s string) queue.Address {
	t.Helper()
	a, err := queue.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) add(account, addr, scope string, reason suppression.Reason) suppression.Entry {
	w.t.Helper()
	e, _, err := w.Add(w.t.Context(), suppression.Entry{Account: account, Address: address(w.t, addr), Scope: scope, Reason: reason})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// check returns the reasons by index, of up to ten addresses.
func (w *world) check(account string, scopes []string, addrs ...string) string {
	w.t.Helper()
	var as []queue.Address
	for _, s := range addrs {
		as = append(as, address(w.t, s))
	}
	hits, err := w.Check(w.t.Context(), account, scopes, as, w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for i := range as {
		if e, ok := hits[i]; ok {
			fmt.Fprintf(&b, "%d:%s:%s ", i, e.Scope, e.Reason)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestWhoIsOnTheListIsFoundByAccountAndScope(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.add("shop", "bob@example.org", "news", suppression.Unsubscribe)
	w.add("shop", "carol@example.org", "", suppression.Bounce)
	w.add(suppression.AllAccounts, "dave@example.org", "*", suppression.Complaint)
	w.add("blog", "erin@example.org", "*", suppression.Manual)
	w.add("shop", "carol@example.org", "news", suppression.Unsubscribe)
	for _, c := range []struct {
		name, account string
		scopes        []string
		addrs         []string
		want          string
	}{
		{"receipts still flow", "shop", []string{"transactional"}, []string{"bob@example.org"}, ""},
		{"the list that was left", "shop", []string{"broadcast", "news"}, []string{"bob@example.org"}, "0:news:unsubscribe"},
		{"another account's list of that name", "blog", []string{"news"}, []string{"bob@example.org"}, ""},
		{"everything", "shop", nil, []string{"x@example.org", "carol@example.org"}, "1:*:bounce"},
		{"the stronger of two", "shop", []string{"news"}, []string{"carol@example.org"}, "0:news:unsubscribe"},
		{"everybody's", "shop", nil, []string{"dave@example.org"}, "0:*:complaint"},
		{"only another account's", "shop", nil, []string{"erin@example.org"}, ""},
		{"letter case", "shop", []string{"news"}, []string{"BOB@Example.ORG", "bob+tag@example.org"}, "0:news:unsubscribe"},
		{"twice", "shop", []string{"news"}, []string{"bob@example.org", "Bob@example.org"}, "0:news:unsubscribe 1:news:unsubscribe"},
		{"nobody", "shop", []string{"news"}, nil, ""},
	} {
		if got := w.check(c.account, c.scopes, c.addrs...); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAThousandRecipientsAreOneQuestion(t *testing.T) {
	t.Parallel()
	w := open(t)
	var addrs []queue.Address
	for i := range queue.MaxRecipients {
		addrs = append(addrs, address(t, fmt.Sprintf("u%d@example.org", i)))
		if i%100 == 7 {
			w.add("shop", addrs[i].String(), "", suppression.Bounce)
		}
	}
	hits, err := w.Check(t.Context(), "shop", nil, addrs, w.clock.now())
	if err != nil || len(hits) != 10 || w.store.asks != 1 {
		t.Errorf("%d hits by %d questions, %v", len(hits), w.store.asks, err)
	}
}

func TestALabelOfAnotherAlphabetIsTheSameDomain(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.add("shop", "bob@Bücher.example", "", suppression.Complaint)
	if got := w.check("shop", nil, "bob@xn--bcher-kva.example", "bob@BÜCHER.example"); got != "0:*:complaint 1:*:complaint" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsOverDoesNotCount(t *testing.T) {
	t.Parallel()
	w := open(t)
	bob := address(t, "bob@example.org")
	if _, _, err := w.Add(t.Context(), suppression.Entry{Account: "shop", Address: bob, Reason: suppression.Manual, ExpiresAt: w.clock.now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := w.check("shop", nil, "bob@example.org"); got != "0:*:manual" {
		t.Errorf("before: %q", got)
	}
	w.clock.add(time.Hour)
	if got := w.check("shop", nil, "bob@example.org"); got != "" {
		t.Errorf("after: %q", got)
	}
	if _, err := w.Get(t.Context(), "shop", bob); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if list, c, err := w.List(t.Context(), "shop", suppression.Filter{}, "", 10); len(list) != 0 || c != "" || err != nil {
		t.Errorf("list: %v %q %v", list, c, err)
	}
	if rs, err := w.store.ListRecords(t.Context(), queue.RecordSuppression, "", "", 10); len(rs) != 0 || err != nil {
		t.Errorf("the listing has left %d records, %v", len(rs), err)
	}
	if _, err := w.Remove(t.Context(), "shop", bob, ""); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("remove: %v", err)
	}
}

func TestAddingNeverWeakens(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	day, week := start.Add(24*time.Hour), start.Add(7*24*time.Hour)
	for _, c := range []struct {
		name                    string
		first, second           suppression.Reason
		firstEnd, secondEnd     time.Time
		reason                  suppression.Reason
		end                     time.Time
		source, note, wantedSrc string
	}{
		{name: "a complaint stays", first: suppression.Complaint, second: suppression.Bounce, reason: suppression.Complaint, source: "msg_2", wantedSrc: "msg_1"},
		{name: "a bounce becomes a complaint", first: suppression.Bounce, second: suppression.Complaint, reason: suppression.Complaint, source: "msg_2", wantedSrc: "msg_2"},
		{name: "for ever stays", first: suppression.Manual, second: suppression.Manual, secondEnd: day, reason: suppression.Manual, wantedSrc: "msg_1"},
		{name: "the later end", first: suppression.Manual, firstEnd: day, second: suppression.Bounce, secondEnd: week, reason: suppression.Manual, end: week, source: "msg_2", wantedSrc: "msg_1"},
		{name: "not the earlier end", first: suppression.Manual, firstEnd: week, second: suppression.Unsubscribe, secondEnd: day, reason: suppression.Unsubscribe, end: week, wantedSrc: "msg_1"},
		{name: "becomes for ever", first: suppression.Manual, firstEnd: day, second: suppression.Bounce, reason: suppression.Manual, source: "msg_2", wantedSrc: "msg_1"},
	} {
		w := open(t)
		bob := address(t, "bob@example.org")
		if _, added, err := w.Add(t.Context(), suppression.Entry{Account: "shop", Address: bob, Reason: c.first, ExpiresAt: c.firstEnd, Source: "msg_1"}); !added || err != nil {
			t.Fatal(added, err)
		}
		w.clock.add(time.Minute)
		e, added, err := w.Add(t.Context(), suppression.Entry{Account: "shop", Address: bob, Reason: c.second, ExpiresAt: c.secondEnd, Source: c.source})
		if added || err != nil || e.Reason != c.reason || !e.ExpiresAt.Equal(c.end) || e.Source != c.wantedSrc || !e.CreatedAt.Equal(start) {
			t.Errorf("%s: %+v %v %v", c.name, e, added, err)
		}
		if got, err := w.Get(t.Context(), "shop", bob); err != nil || len(got) != 1 || got[0] != e {
			t.Errorf("%s: kept %+v, returned %+v, %v", c.name, got, e, err)
		}
	}
}

func TestRemoveTakesOneScopeOrAll(t *testing.T) {
	t.Parallel()
	w := open(t)
	bob := address(t, "Bob@example.org")
	for _, scope := range []string{"news", "offers", "*"} {
		w.add("shop", "bob@example.org", scope, suppression.Unsubscribe)
	}
	if out, err := w.Remove(t.Context(), "shop", bob, "news"); err != nil || len(out) != 1 || out[0].Scope != "news" {
		t.Errorf("one: %+v %v", out, err)
	}
	if _, err := w.Remove(t.Context(), "shop", bob, "news"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if _, err := w.Remove(t.Context(), "blog", bob, ""); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("another account's: %v", err)
	}
	if out, err := w.Remove(t.Context(), "shop", bob, ""); err != nil || len(out) != 2 {
		t.Errorf("all: %+v %v", out, err)
	}
	if got := w.check("shop", []string{"offers"}, "bob@example.org"); got != "" {
		t.Errorf("still there: %q", got)
	}
	w.add("shop", "bob@example.org", "news", suppression.Unsubscribe) // the record was deleted meanwhile
	if got := w.check("shop", []string{"news"}, "bob@example.org"); got == "" {
		t.Error("not there again")
	}
}

func TestListGoesThroughAllOnceInOrder(t *testing.T) {
	t.Parallel()
	w := open(t)
	want := 0
	for i := range 30 {
		addr := fmt.Sprintf("u%02d@%s.example", i, []string{"a", "b", "c"}[i%3])
		for s := range 1 + i%4 {
			w.add("shop", addr, fmt.Sprintf("list%d", s), []suppression.Reason{suppression.Bounce, suppression.Unsubscribe}[i%2])
			want++
		}
	}
	w.add("shop2", "u00@a.example", "", suppression.Bounce)
	w.add("*", "u00@a.example", "", suppression.Complaint)
	for _, limit := range []int{1, 2, 7, want, 1000} {
		seen, last, n := map[string]bool{}, "", 0
		for c := queue.Cursor(""); n == 0 || c != ""; n++ {
			page, next, err := w.List(t.Context(), "shop", suppression.Filter{}, c, limit)
			if err != nil || len(page) > limit || len(page) == 0 {
				t.Fatalf("limit %d: a page of %d, %v", limit, len(page), err)
			}
			for _, e := range page {
				key := e.Address.String() + " " + e.Scope
				if e.Account != "shop" || seen[e.ID()] || key <= last {
					t.Errorf("limit %d: %+v after %q", limit, e, last)
				}
				seen[e.ID()], last = true, key
			}
			c = next
		}
		if len(seen) != want || n != (want+limit-1)/limit {
			t.Errorf("limit %d: %d entries on %d pages, want %d", limit, len(seen), n, want)
		}
	}
	count := func(account string, f suppression.Filter) int {
		list, _, err := w.List(t.Context(), account, f, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for name, c := range map[string]struct {
		account string
		f       suppression.Filter
		want    int
	}{
		"all accounts":    {"", suppression.Filter{}, want + 2},
		"one address":     {"shop", suppression.Filter{Address: address(t, "U03@a.example")}, 4},
		"in all accounts": {"", suppression.Filter{Address: address(t, "u00@a.example")}, 3},
		"reason":          {"", suppression.Filter{Reason: suppression.Complaint}, 1},
		"scope":           {"shop", suppression.Filter{Scope: "list3"}, 7},
		"domain and more": {"shop", suppression.Filter{Domain: "@B.example", Scope: "list0", Reason: suppression.Bounce}, 5},
		"nothing":         {"nobody", suppression.Filter{}, 0},
	} {
		if got := count(c.account, c.f); got != c.want {
			t.Errorf("%s: %d entries, want %d", name, got, c.want)
		}
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	for i := range 3 {
		w.add("shop", fmt.Sprintf("u%d@example.org", i), "", suppression.Bounce)
		w.add("blog", fmt.Sprintf("u%d@example.org", i), "", suppression.Bounce)
	}
	_, c, err := w.List(t.Context(), "shop", suppression.Filter{}, "", 1)
	if err != nil || c == "" {
		t.Fatal(c, err)
	}
	for _, bad := range []struct {
		account string
		c       queue.Cursor
	}{{"blog", c}, {"shop", "x"}, {"shop", c + "!"}, {"shop", "s1"}, {"shop", c[:5]}} {
		if _, _, err := w.List(t.Context(), bad.account, suppression.Filter{}, bad.c, 1); !errors.Is(err, queue.ErrFilter) {
			t.Errorf("%q of %s: %v", bad.c, bad.account, err)
		}
	}
}

func TestBadEntriesAreRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	good := suppression.Entry{Account: "shop", Address: address(t, "bob@example.org"), Reason: suppression.Manual}
	for name, edit := range map[string]func(*suppression.Entry){
		"no account":        func(e *suppression.Entry) { e.Account = "" },
		"account and slash": func(e *suppression.Entry) { e.Account = "a/b" },
		"no address":        func(e *suppression.Entry) { e.Address = queue.Address{} },
		"half an address":   func(e *suppression.Entry) { e.Address.Domain = "" },
		"unknown reason":    func(e *suppression.Entry) { e.Reason = "whim" },
		"long scope":        func(e *suppression.Entry) { e.Scope = strings.Repeat("x", suppression.MaxScope+1) },
		"NUL in the scope":  func(e *suppression.Entry) { e.Scope = "a\x00b" },
		"two lines of note": func(e *suppression.Entry) { e.Note = "a\nb" },
		"long source":       func(e *suppression.Entry) { e.Source = strings.Repeat("x", suppression.MaxSource+1) },
		"over already":      func(e *suppression.Entry) { e.ExpiresAt = w.clock.now() },
	} {
		e := good
		edit(&e)
		if _, _, err := w.Add(t.Context(), e); !errors.Is(err, suppression.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		good.Scope, good.Note = fmt.Sprintf("%0128d", i), strings.Repeat("<", suppression.MaxNote)
		_, _, err = w.Add(t.Context(), good)
	}
	if !errors.Is(err, suppression.ErrInvalid) {
		t.Errorf("a thousand scopes of one address: %v", err)
	}
}

func TestFiftyAtOnceAllCount(t *testing.T) {
	t.Parallel()
	fiftyAtOnce(t, open(t))
}

func fiftyAtOnce(t *testing.T, w *world) {
	t.Helper()
	bob := address(t, "bob@example.org")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			_, added, err := w.Add(t.Context(), suppression.Entry{Account: "shop", Address: bob, Scope: fmt.Sprintf("list%d", i), Reason: suppression.Unsubscribe})
			if err != nil || !added {
				t.Errorf("%d: %v %v", i, added, err)
			}
		})
	}
	wg.Wait()
	if got, err := w.Get(t.Context(), "shop", bob); err != nil || len(got) != 50 {
		t.Errorf("%d entries, %v", len(got), err)
	}
	for i := range 25 {
		wg.Go(func() {
			if _, err := w.Remove(t.Context(), "shop", bob, fmt.Sprintf("list%d", i)); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got, err := w.Get(t.Context(), "shop", bob); err != nil || len(got) != 25 {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

func TestAListThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if hits, err := w.Check(ctx, "shop", nil, []queue.Address{address(t, "bob@example.org")}, w.clock.now()); err == nil {
		t.Errorf("%v and no error", hits)
	}
	if _, err := w.store.PutRecord(t.Context(), queue.Record{Kind: queue.RecordSuppression, Name: "shop/bob@example.org", Value: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	if hits, err := w.Check(t.Context(), "shop", nil, []queue.Address{address(t, "bob@example.org")}, w.clock.now()); err == nil {
		t.Errorf("a damaged record: %v and no error", hits)
	}
}

func TestIDsCanBeReadBack(t *testing.T) {
	t.Parallel()
	w := open(t)
	e := w.add("shop", `"odd \"local"@Example.org`, "news/weekly", suppression.Manual)
	account, a, scope, err := suppression.ParseID(strings.ToUpper(e.ID()))
	if err != nil || account != e.Account || a != e.Address || scope != e.Scope || !strings.HasPrefix(e.ID(), "sup_") {
		t.Errorf("%q %q %q %v", account, a, scope, err)
	}
	for _, bad := range []string{"", "sup_", "msg_0", e.ID() + "0", e.ID()[:20], "sup_" + strings.Repeat("0", 5000)} {
		if _, _, _, err := suppression.ParseID(bad); !errors.Is(err, queue.ErrBadID) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}
