package unsubscribe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-chi/chi/v5"

	"postrider/api/unsubscribe"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
)

var now = time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)

type world struct {
	t     *testing.T
	store *logstore.Store
	keys  *unsubscribe.Keys
	mint  *unsubscribe.Minter
	list  *suppression.Book
	url   string
	done  []unsubscribe.Claim
	clock atomic.Int64 // since now
}

func newStore(t testing.TB) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	return s
}

func newWorld(t *testing.T, change ...func(*unsubscribe.Options)) *world {
	t.Helper()
	w := &world{t: t, store: newStore(t)}
	clock := func() time.Time { return now.Add(time.Duration(w.clock.Load())) }
	w.keys = unsubscribe.NewKeys(w.store, clock)
	w.list = suppression.New(suppression.Options{Store: w.store, Now: clock})
	var err error
	if w.mint, err = unsubscribe.NewMinter(w.keys, "https://mail.example.com/"); err != nil {
		t.Fatal(err)
	}
	o := unsubscribe.Options{
		Keys: w.keys, Suppressions: w.list, Now: clock,
		Done: func(_ context.Context, c unsubscribe.Claim) { w.done = append(w.done, c) },
	}
	for _, c := range change {
		c(&o)
	}
	r := chi.NewRouter()
	unsubscribe.NewHandler(o).Mount(r)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

var claim = unsubscribe.Claim{
	Account: "shop", List: "news", Recipient: queue.Address{Local: "Bob.Smith", Domain: "example.org"}, Message: queue.MessageID{1, 2, 3},
}

func (w *world) link(c unsubscribe.Claim) string {
	w.t.Helper()
	l, err := w.mint.Link(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.url + strings.TrimPrefix(l, "https://mail.example.com")
}

func (w *world) do(method, url, kind, body string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(b)
}

func (w *world) suppressed() []suppression.Entry {
	w.t.Helper()
	es, err := w.list.Get(w.t.Context(), claim.Account, claim.Recipient)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		w.t.Fatal(err)
	}
	return es
}

const form = "application/x-www-form-urlencoded"

func multipartForm(t *testing.T) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	if err := errors.Join(m.WriteField("List-Unsubscribe", "One-Click"), m.Close()); err != nil {
		t.Fatal(err)
	}
	return m.FormDataContentType(), b.String()
}

func TestAPostUnsubscribes(t *testing.T) {
	t.Parallel()
	multi, multiBody := multipartForm(t)
	for name, c := range map[string]struct{ kind, body string }{
		"as form": {form, "List-Unsubscribe=One-Click"}, "as form with more": {form + "; charset=utf-8", "a=b&List-Unsubscribe=One-Click"},
		"as multipart": {multi, multiBody}, "without a type": {"", "List-Unsubscribe=One-Click"},
	} {
		w := newWorld(t)
		link := w.link(claim)
		for range 2 { // repeating it changes nothing
			res, body := w.do("POST", link, c.kind, c.body)
			if res.StatusCode != 200 || body != "" || res.Header.Get("Set-Cookie") != "" || res.Header.Get("Location") != "" {
				t.Fatalf("%s: %d %q %v", name, res.StatusCode, body, res.Header)
			}
			es := w.suppressed()
			if len(es) != 1 || es[0].Scope != "news" || es[0].Reason != suppression.Unsubscribe || es[0].Source != claim.Message.String() || !es[0].CreatedAt.Equal(now) {
				t.Fatalf("%s: %+v", name, es)
			}
		}
		if len(w.done) != 1 || w.done[0] != claim {
			t.Errorf("%s: told of %+v", name, w.done)
		}
	}
}

func TestOpeningALinkChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.link(claim)
	res, page := w.do("GET", link, "", "")
	if res.StatusCode != 200 || !strings.Contains(page, `<form method="post">`) || !strings.Contains(page, "news") {
		t.Fatalf("%d %s", res.StatusCode, page)
	}
	for _, secret := range []string{"Bob", "example.org", "shop", "http://", "https://", "<script", "src="} {
		if strings.Contains(page, secret) {
			t.Errorf("the page has %q", secret)
		}
	}
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", res.Header)
	}
	if res, _ := w.do("HEAD", link, "", ""); res.StatusCode != 200 {
		t.Errorf("HEAD: %d", res.StatusCode)
	}
	if es := w.suppressed(); len(es) != 0 {
		t.Fatalf("%+v", es)
	}
	res, page = w.do("POST", link, form, "List-Unsubscribe=One-Click&page=1") // its button
	if res.StatusCode != 200 || !strings.Contains(page, "You are unsubscribed") || len(w.suppressed()) != 1 {
		t.Errorf("%d %s", res.StatusCode, page)
	}
}

func TestBadPostsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.link(claim)
	flipped := good[:len(good)-1] + "A"
	if flipped == good {
		flipped = good[:len(good)-1] + "Q"
	}
	for name, c := range map[string]struct {
		url, kind, body string
		status          int
	}{
		"a damaged link":    {flipped, form, "List-Unsubscribe=One-Click", 404},
		"no token":          {w.url + "/u/x", form, "List-Unsubscribe=One-Click", 404},
		"an endless token":  {w.url + "/u/" + strings.Repeat("A", 5000), form, "List-Unsubscribe=One-Click", 404},
		"another form":      {good, form, "x=y", 400},
		"no form":           {good, "application/json", `{"List-Unsubscribe":"One-Click"}`, 400},
		"a broken form":     {good, form, "List-Unsubscribe=%zz", 400},
		"a query only":      {good + "?List-Unsubscribe=One-Click", form, "", 400},
		"multipart, broken": {good, "multipart/form-data", "x", 400},
		"a large form":      {good, form, "List-Unsubscribe=One-Click&x=" + strings.Repeat("x", 9<<10), 413},
	} {
		res, body := w.do("POST", c.url, c.kind, c.body)
		if res.StatusCode != c.status || !strings.Contains(body, "<h1>") {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if res, body := w.do("GET", flipped, "", ""); res.StatusCode != 404 || !strings.Contains(body, "not valid") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if es := w.suppressed(); len(es) != 0 || len(w.done) != 0 {
		t.Errorf("%+v", es)
	}
}

func TestTooManyPostsFromOneAddress(t *testing.T) {
	t.Parallel()
	limits := newStore(t)
	w := newWorld(t, func(o *unsubscribe.Options) { o.Limits = limits })
	link := w.link(claim)
	rate := queue.Rate{Count: 1200, Per: time.Minute, Burst: 1200}
	if ok, _, err := limits.TakeRate(t.Context(), "unsubscribe/127.0.0.1/32", now, rate, 1200); err != nil || !ok {
		t.Fatal(ok, err)
	}
	res, _ := w.do("POST", link, form, "List-Unsubscribe=One-Click")
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "1" || len(w.suppressed()) != 0 {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, _ := w.do("GET", link, "", ""); res.StatusCode != 200 {
		t.Errorf("opening it: %d", res.StatusCode)
	}
	if err := limits.Close(); err != nil { // limits that cannot be asked keep nobody
		t.Fatal(err)
	}
	if res, _ := w.do("POST", link, form, "List-Unsubscribe=One-Click"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestOurTroubleIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := w.link(claim)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	res, body := w.do("POST", link, form, "List-Unsubscribe=One-Click")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || strings.Contains(body, "store") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestLinksShowNothingAndLastThroughRotations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.link(claim)
	if again := w.link(claim); again != first {
		t.Error("the same claim has another link")
	}
	other := claim
	other.Message[15] = 1
	if w.link(other) == first {
		t.Error("another claim has the same link")
	}
	if err := w.keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := w.link(claim)
	if second == first {
		t.Error("the new key is not used")
	}
	for _, l := range []string{first, second} {
		if res, _ := w.do("GET", l, "", ""); res.StatusCode != 200 {
			t.Errorf("%s: %d", l, res.StatusCode)
		}
	}
	long := unsubscribe.Claim{
		Account: strings.Repeat("a", 64), List: strings.Repeat("l", 64), Message: claim.Message,
		Recipient: queue.Address{Local: strings.Repeat("x", 64), Domain: strings.Repeat("d", 180) + ".example"},
	}
	if l := w.link(long); len(l) > 800 {
		t.Errorf("the longest link has %d octets", len(l))
	}
}

func TestNodesShareOneKey(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var wg sync.WaitGroup
	links := make([]string, 8)
	for i := range links {
		wg.Go(func() {
			m, err := unsubscribe.NewMinter(unsubscribe.NewKeys(store, nil), "https://mail.example.com")
			if err != nil {
				t.Error(err)
				return
			}
			if links[i], err = m.Link(context.WithoutCancel(t.Context()), claim); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, l := range links {
		if l != links[0] {
			t.Fatalf("%q and %q", l, links[0])
		}
	}
}

func TestANodeFindsAKeyThatAnotherMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := unsubscribe.NewKeys(w.store, func() time.Time { return now })
	if res, _ := w.do("GET", w.link(claim), "", ""); res.StatusCode != 200 {
		t.Errorf("the first key: %d", res.StatusCode)
	}
	if err := other.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mint, err := unsubscribe.NewMinter(other, "https://mail.example.com")
	if err != nil {
		t.Fatal(err)
	}
	link, err := mint.Link(t.Context(), claim)
	if err != nil {
		t.Fatal(err)
	}
	path := w.url + strings.TrimPrefix(link, "https://mail.example.com")
	if res, _ := w.do("GET", path, "", ""); res.StatusCode != 404 {
		t.Errorf("the record is read for every bad link: %d", res.StatusCode)
	}
	w.clock.Add(int64(time.Minute))
	if res, _ := w.do("GET", path, "", ""); res.StatusCode != 200 {
		t.Errorf("a minute later: %d", res.StatusCode)
	}
}

func TestLinksNeedHTTPS(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "http://mail.example.com", "mail.example.com", "https://", "https://x.example/?a=b", "https://" + strings.Repeat("x", 200)} {
		if _, err := unsubscribe.NewMinter(nil, u); !errors.Is(err, unsubscribe.ErrNoURL) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestOffers(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]unsubscribe.Offer{
		"":                  {Mode: unsubscribe.OneClick, List: "a.b-c_d", Mailto: "leave@example.com"},
		"mode":              {Mode: "yes"},
		"list required":     {Mode: unsubscribe.OneClick},
		"list":              {Mode: unsubscribe.None, List: "A b"},
		"list dots":         {Mode: unsubscribe.None, List: "a..b"},
		"url":               {Mode: unsubscribe.Custom, URL: "https://x.example/>,<mailto:a@b.example"},
		"url with line end": {Mode: unsubscribe.Custom, URL: "https://x.example/\r\nBcc: a@b.example"},
		"url required":      {Mode: unsubscribe.Custom},
		"url of none":       {Mode: unsubscribe.None, URL: "https://x.example/"},
		"mailto":            {Mode: unsubscribe.Custom, URL: "https://x.example/", Mailto: "mailto:a@b.example?x=y"},
	} {
		ps := o.Check()
		field, _, _ := strings.Cut(want, " ")
		if want == "" && len(ps) > 0 || want != "" && (len(ps) != 1 || ps[0].Field != field) {
			t.Errorf("%s: %+v", want, ps)
		}
	}
	o := unsubscribe.Offer{Mailto: `a,b"<>@example.com`}
	if v := o.ListUnsubscribe("https://x.example/u"); strings.Count(v, ",") != 1 || strings.Count(v, "<") != 2 {
		t.Error(v)
	}
}
