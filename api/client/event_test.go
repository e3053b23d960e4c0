package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api/client"
	"postrider/api/feed"
	v1 "postrider/api/v1"
)

func TestFramesAreRead(t *testing.T) {
	t.Parallel()
	text := "\ufeffretry: 2000\nid: c0\n\n: keepalive\nid: c1\n\nid: c2\nevent: email.bounced\ndata: {\ndata:  }\n\n\n\nid: c\x003\r\ndata\n\ndata: lost"
	got, err := client.ReadFrames(strings.NewReader(text))
	want := []client.Frame{
		{ID: "c0", Retry: 2 * time.Second}, {ID: "c1"}, {ID: "c2", Kind: "email.bounced", Data: "{\n }"}, {ID: "c2"},
	}
	if !errors.Is(err, io.EOF) || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := client.ReadFrames(strings.NewReader("data: " + strings.Repeat("x", 5<<20) + "\n\n")); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an endless event: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	for _, s := range []string{"data: 1\n\n", "id: a\nevent: b\ndata: c\n\n", ":\n\n", "retry: 99999999999\n\n", "\n\n\n", "data\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		frames, err := client.ReadFrames(strings.NewReader(s))
		if err == nil || len(frames) > len(s) {
			t.Errorf("%d frames of %q, %v", len(frames), s, err)
		}
		for _, v := range frames {
			if strings.Contains(v.ID, "\x00") || strings.Contains(v.ID+v.Kind, "\n") {
				t.Errorf("%+v", v)
			}
		}
	})
}

// script answers requests for the stream one after the other.
type script struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter, *http.Request)
	cursors []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.cursors = append(s.cursors, r.URL.Query().Get("cursor"))
	answer := s.answers[min(len(s.cursors), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

func event(n int) string {
	return fmt.Sprintf("id: c%d\nevent: email.queued\ndata: {\"id\":\"evt_%d\"}\n\n", n, n)
}

func say(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

func problem(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"code":"x","detail":"because"}`, status)
	}
}

var errEnough = errors.New("enough")

func follow(t *testing.T, s *script, want int) (ids []string, breaks int, err error) {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	c.SetPace(time.Millisecond, 4*time.Millisecond, time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = c.FollowEvents(ctx, client.EventQuery{Types: []string{"email.queued"}}, "start", func(e feed.Event, _ string) error {
		if ids = append(ids, e.ID); len(ids) == want {
			return errEnough
		}
		return nil
	}, func(error, time.Duration) { breaks++ })
	return ids, breaks, err
}

func TestAStreamThatBreaksOffGoesOn(t *testing.T) {
	t.Parallel()
	s := &script{answers: []func(http.ResponseWriter, *http.Request){
		say("retry: 1\nid: c0\n\n" + event(1) + event(2) + "id: c3\ndata: {\"id\":\"lost"), // within an event
		problem(503), problem(429),
		say(event(3) + "event: lagged\ndata: {}\n\n"),
		func(w http.ResponseWriter, r *http.Request) { // a connection that died
			say(": keepalive\nid: c4\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		say(event(5)),
	}}
	ids, breaks, err := follow(t, s, 4)
	if !errors.Is(err, errEnough) || strings.Join(ids, " ") != "evt_1 evt_2 evt_3 evt_5" {
		t.Errorf("%v, %v", ids, err)
	}
	if got := strings.Join(s.cursors, " "); got != "start c2 c2 c2 c3 c4" {
		t.Errorf("cursors %s", got)
	}
	if breaks != 4 { // that the relay ends a stream is usual
		t.Errorf("%d breaks were told", breaks)
	}
}

func TestWhatIsRefusedForGoodIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 410, 422} {
		s := &script{answers: []func(http.ResponseWriter, *http.Request){problem(status)}}
		_, _, err := follow(t, s, 1)
		var p *v1.Problem
		if !errors.As(err, &p) || p.Status != status || len(s.cursors) != 1 {
			t.Errorf("%d: %v after %d requests", status, err, len(s.cursors))
		}
	}
}

func TestAKeyFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger was asked for %s", r.URL)
	}))
	t.Cleanup(stranger.Close)
	srv := httptest.NewServer(http.RedirectHandler(stranger.URL, http.StatusTemporaryRedirect))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Queue(t.Context()); err == nil {
		t.Error("a redirect is taken for an answer")
	}
}
