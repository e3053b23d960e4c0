package feed_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api/feed"
	"postrider/api/feed/feedtest"
	"postrider/queue"
)

// serve serves streams of a reader with timeouts that are shorter than they last.
func serve(w *feedtest.World, r *feed.Reader) (url string) {
	w.T.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.T.Fatal(err)
	}
	s := &http.Server{ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		q := feed.Query{Filter: feed.Filter{Account: req.FormValue("account")}, After: req.FormValue("cursor")}
		if err := r.Stream(rw, req, q); err != nil {
			var e *feed.Error
			if !errors.As(err, &e) {
				w.T.Error(err)
				e = &feed.Error{Status: 503}
			}
			http.Error(rw, e.Detail, e.Status)
		}
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.T.Error(err)
		}
	}()
	w.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(r.Drain(ctx), s.Shutdown(ctx)); err != nil {
			w.T.Error(err)
		}
		<-served
	})
	return "http://" + l.Addr().String()
}

// sent is a block of a stream.
type sent struct{ id, name, data, comment string }

// tail is a client of a stream.
type tail struct {
	res    *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func open(t *testing.T, url, last string) *tail {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	c := &tail{res: res, lines: bufio.NewScanner(res.Body), cancel: cancel}
	c.lines.Buffer(nil, 1<<20)
	t.Cleanup(c.close)
	return c
}

func (c *tail) close() {
	c.cancel()
	_ = c.res.Body.Close()
}

// next reads a whole block; what was begun and not ended does not count.
func (c *tail) next() (b sent, ok bool) {
	for c.lines.Scan() {
		name, value, _ := strings.Cut(c.lines.Text(), ": ")
		switch name {
		case "":
			if c.lines.Text() == "" {
				return b, true
			}
			b.comment = value
		case "id":
			b.id = value
		case "event":
			b.name = value
		case "data":
			b.data = value
		}
	}
	return b, false
}

func TestNoEventIsSkippedOrDoubledOverReconnects(t *testing.T) {
	feedtest.OnBoth(t, noEventIsSkippedOrDoubled)
}

func noEventIsSkippedOrDoubled(t *testing.T, w *feedtest.World) {
	url := serve(w, newReader(w, func(o *feed.Options) { o.Keepalive = 20 * time.Millisecond }))
	w.Put(feedtest.Mail{To: []string{"before@example.net"}})
	before := w.Log()
	w.Pass(time.Second)

	const writers, each = 4, 25 // a message and its delivery: 200 events
	first := open(t, url, "")
	b, ok := first.next()
	if !ok || b.id == "" || b.data != "" {
		t.Fatalf("a stream begins with %+v", b)
	}
	if h := first.res.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", h)
	}
	w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
				w.Settle(queue.StateDelivered, "", queue.Reply{Code: 250})
			}
		})
	}
	last, tails := b.id, 1
	seen := map[string]int{}
	var order []string
	for c := first; len(seen) < 2*writers*each+1; {
		b, ok := c.next()
		if !ok || rand.IntN(12) == 0 {
			// Cut in the middle: what was not taken must come again.
			c.close()
			c = open(t, url, last)
			tails++
			continue
		}
		if b.id != "" {
			last = b.id
		}
		if b.data == "" {
			continue
		}
		var e feed.Event
		if err := json.Unmarshal([]byte(b.data), &e); err != nil || string(e.Type) != b.name {
			t.Fatalf("%+v: %v", b, err)
		}
		seen[e.ID]++
		order = append(order, e.ID)
	}
	writing.Wait()
	log := slices.DeleteFunc(w.Log(), func(e queue.Event) bool { return e.ID == before[0].ID })
	if len(order) != len(log) {
		t.Fatalf("%d events came, %d happened", len(order), len(log))
	}
	for i, e := range log {
		if w.Ordered && order[i] != e.ID.String() || seen[e.ID.String()] != 1 {
			t.Fatalf("event %d differs from the log", i)
		}
	}
	if tails < 5 {
		t.Errorf("%d connections only", tails)
	}
}

func TestAStreamOutlivesTheServersTimeoutsAndKeepsAlive(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	c := open(t, serve(w, newReader(w, func(o *feed.Options) { o.Keepalive = 100 * time.Millisecond })), "")
	for comments := 0; comments < 5; { // half a second, with timeouts of 200 ms
		b, ok := c.next()
		if !ok {
			t.Fatalf("the stream ended: %v", c.lines.Err())
		}
		if b.comment == "keepalive" && b.id != "" {
			comments++
		}
	}
	w.Put(feedtest.Mail{To: []string{"bob@example.net"}})
	for {
		if b, ok := c.next(); !ok || b.name == "email.queued" {
			if !ok {
				t.Error("the stream ended")
			}
			return
		}
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	url := serve(w, newReader(w, func(o *feed.Options) { o.MaxStreams, o.MaxStreamsEach = 3, 2 }))
	shop := url + "?account=shop"
	a := open(t, shop, "")
	open(t, shop, "")
	if c := open(t, shop, ""); c.res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third stream of an account: %s", c.res.Status)
	}
	open(t, url+"?account=blog", "")
	if c := open(t, url+"?account=news", ""); c.res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a fourth stream: %s", c.res.Status)
	}
	a.close()
	for range 500 { // until the server has noticed
		c := open(t, shop, "")
		if c.res.StatusCode == http.StatusOK {
			return
		}
		_, _ = io.Copy(io.Discard, c.res.Body)
		c.close()
	}
	t.Error("a stream that was closed still counts")
}

func TestAStreamFromABadCursorIsRefused(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	url := serve(w, newReader(w))
	for cursor, want := range map[string]int{"garbage!": 400, "AWx4eHg": 410} {
		if c := open(t, url, cursor); c.res.StatusCode != want {
			t.Errorf("Last-Event-ID %q: %s", cursor, c.res.Status)
		}
		if c := open(t, url+"?cursor="+cursor, ""); c.res.StatusCode != want {
			t.Errorf("cursor=%s: %s", cursor, c.res.Status)
		}
	}
}

func TestDrainEndsStreams(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	r := newReader(w)
	c := open(t, serve(w, r), "")
	if _, ok := c.next(); !ok {
		t.Fatal("no beginning")
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, ok := c.next(); ok {
		t.Errorf("the stream went on with %+v", b)
	}
	if err := c.lines.Err(); err != nil {
		t.Errorf("the stream did not end properly: %v", err)
	}
}

func TestAStreamEndsAfterAWhileForItsKeyToBeLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	c := open(t, serve(w, newReader(w, func(o *feed.Options) { o.MaxStreamLength = 50 * time.Millisecond })), "")
	for {
		if _, ok := c.next(); !ok {
			break
		}
	}
	if err := c.lines.Err(); err != nil {
		t.Error(err)
	}
}

// slowWriter is a response whose client takes its time.
type slowWriter struct {
	mu   sync.Mutex
	head http.Header
	text strings.Builder
	took time.Duration
}

func (s *slowWriter) Header() http.Header { return s.head }
func (s *slowWriter) WriteHeader(int)     {}
func (s *slowWriter) Flush()              {}
func (s *slowWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(b), "\ndata: ") && !strings.HasPrefix(string(b), "event: lagged") {
		<-time.After(s.took)
	}
	return s.text.Write(b)
}

func TestASlowClientIsToldAndCut(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	for i := range 80 {
		w.Put(feedtest.Mail{To: []string{fmt.Sprintf("u%d@example.net", i)}})
	}
	r := newReader(w, func(o *feed.Options) { o.LagAfter = 5 * time.Millisecond })
	s := &slowWriter{head: http.Header{}, took: 10 * time.Millisecond}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	start := read(t, r, feed.Query{Limit: 1}).NextCursor
	if err := r.Stream(s, req, feed.Query{After: start}); err != nil {
		t.Fatal(err)
	}
	text := s.text.String()
	if n := strings.Count(text, "event: email.queued"); n != 50 || !strings.Contains(text, "event: lagged\ndata: {") {
		t.Errorf("%d events, then %.200q", n, text[strings.LastIndex(text, "event: "):])
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	conns chan net.Conn
}

func (l oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestAClientThatReadsNothingIsCut(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	r := newReader(w, func(o *feed.Options) { o.WriteTimeout = 50 * time.Millisecond })
	ours, theirs := net.Pipe()
	l := oneConn{make(chan net.Conn, 1)}
	l.conns <- theirs
	closed := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if err := r.Stream(rw, req, feed.Query{}); err != nil {
			t.Error(err)
		}
	}), ConnState: func(_ net.Conn, st http.ConnState) {
		if st == http.StateClosed {
			close(closed)
		}
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if _, err := io.WriteString(ours, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-closed
	close(l.conns)
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_ = ours.Close()
}

func TestAWaitOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	w := feedtest.New(t)
	r := newReader(w)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		feed.Lift(rw, time.Minute)
		p, err := r.Read(req.Context(), feed.Query{Wait: 400 * time.Millisecond})
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(rw).Encode(p)
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	res, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var p feed.Page
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.NextCursor == "" || p.Data == nil {
		t.Errorf("%+v, %v", p, err)
	}
}
