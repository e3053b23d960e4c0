package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/api/feed"
	"postrider/api/feed/feedtest"
	"postrider/api/webhook"
	"postrider/queue"
)

type world struct {
	*feedtest.World
	book *webhook.Book
	n    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return of(feedtest.New(t))
}

func of(f *feedtest.World) *world {
	w := &world{World: f}
	w.book = w.newBook(w.Store)
	return w
}

func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	feedtest.OnBoth(t, func(t *testing.T, f *feedtest.World) { test(t, of(f)) })
}

func (w *world) newBook(s webhook.Store) *webhook.Book {
	r := feed.New(feed.Options{Store: s, Now: w.Now})
	return webhook.NewBook(webhook.BookOptions{Store: s, Feed: r, AllowPrivate: true, Now: w.Now})
}

// begin starts another sender, which is drained at the end, or before by stop.
func (w *world) begin(change ...func(*webhook.Options)) (s *webhook.Sender, stop func()) {
	w.T.Helper()
	w.n++
	o := webhook.Options{
		Store: w.Store, Book: w.book, Messages: feed.NewMessages(w.Store, 0), Holder: fmt.Sprint("node", w.n), AllowPrivate: true,
		Timeout: 5 * time.Second, Now: w.Now, After: w.After, Random: func() float64 { return 0.5 },
	}
	for _, c := range change {
		c(&o)
	}
	s = webhook.New(o)
	s.Start(w.T.Context())
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			w.T.Error(err)
		}
	})
	w.T.Cleanup(stop)
	return s, stop
}

func (w *world) create(n webhook.NewEndpoint) (webhook.Endpoint, string) {
	w.T.Helper()
	if n.Account == "" {
		n.Account = "shop"
	}
	e, secret, err := w.book.Create(w.T.Context(), n)
	if err != nil {
		w.T.Fatal(err)
	}
	return e, secret
}

// mail enqueues messages of one recipient, later than all before.
func (w *world) mail(n int) {
	for range n {
		w.Pass(time.Millisecond)
		w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	}
	w.Pass(time.Millisecond)
}

// until lets time pass in steps until something is so.
func (w *world) until(what string, step time.Duration, so func() bool) {
	w.T.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-end:
			w.T.Fatalf("waited in vain: %s", what)
		case <-tick.C:
			w.Pass(step)
		}
	}
}

// got is a request that a receiver got.
type got struct {
	id   string
	head http.Header
	body []byte
	at   time.Time
}

// receiver is an endpoint.
type receiver struct {
	w   *world
	url string

	mu     sync.Mutex
	all    []got
	answer func(g got) int // nil: 200
}

func (w *world) receive(answer func(g got) int) *receiver {
	r := &receiver{w: w, answer: answer}
	srv := httptest.NewServer(http.HandlerFunc(r.serve))
	w.T.Cleanup(srv.Close)
	r.url = srv.URL + "/hook"
	return r
}

func (r *receiver) serve(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	g := got{id: req.Header.Get("webhook-id"), head: req.Header, body: body, at: r.w.Now()}
	r.mu.Lock()
	r.all = append(r.all, g)
	answer := r.answer
	r.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(g)
	}
	if status == http.StatusTooManyRequests {
		rw.Header().Set("Retry-After", "7200")
	}
	if status == http.StatusFound {
		rw.Header().Set("Location", r.url+"/elsewhere")
	}
	rw.WriteHeader(status)
	fmt.Fprintf(rw, "answer %d", status)
}

func (r *receiver) set(answer func(g got) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) requests() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// ids counts the requests by event.
func (r *receiver) ids() map[string]int {
	n := map[string]int{}
	for _, g := range r.requests() {
		n[g.id]++
	}
	return n
}

func always(status int) func(got) int { return func(got) int { return status } }

func queuedIDs(es []queue.Event) (ids []string) {
	for _, e := range es {
		if e.Kind == queue.EventQueued {
			ids = append(ids, e.ID.String())
		}
	}
	return ids
}
