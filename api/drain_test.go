package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"postrider/api/send"
)

func TestARelayThatStopsSaysSo(t *testing.T) {
	t.Parallel()
	s := New(Options{Sender: &counter{}})
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.admin.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/messages", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"shutting_down"`) || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestLargeBodiesGiveTheirRoomBack(t *testing.T) {
	t.Parallel()
	var sender send.Sender = &counter{}
	s := New(Options{Sender: sender, MaxRequest: 2 << 20})
	for range 20 {
		w := httptest.NewRecorder()
		body := `{"from":"a@example.com","to":"b@example.org","text":"` + strings.Repeat("x", 1<<20) + `"}`
		s.admin.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/messages?account=shop", strings.NewReader(body)))
		if w.Code != http.StatusAccepted {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if !s.bodies.TryAcquire(bodiesHeld * 2 << 20) {
		t.Error("some was not given back")
	}
	s.bodies = semaphore.NewWeighted(0)
	for encoding, free := range map[string]int{"": maxSmallBody, "gzip": maxPacked} {
		r := httptest.NewRequestWithContext(canceled(t), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2<<20)))
		r.Header.Set("Content-Encoding", encoding)
		give := s.room(r, 2<<20)
		text, err := io.ReadAll(r.Body)
		give()
		if len(text) != free || !errors.Is(err, errNoRoom) || bodyFailure(err).problem.Status != http.StatusServiceUnavailable {
			t.Errorf("%q: without room %d octets were read, %v", encoding, len(text), err)
		}
	}
}

func TestABodyThatHardlyComesKeepsNoRoom(t *testing.T) {
	t.Parallel()
	s := New(Options{MaxRequest: 2 << 20})
	for _, length := range []int64{2 << 20, -1} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2<<20)))
		r.ContentLength = length
		give := s.room(r, 2<<20)
		all := int64(bodiesHeld * 2 << 20)
		if _, err := io.CopyN(io.Discard, r.Body, maxSmallBody); err != nil || !s.bodies.TryAcquire(all) {
			t.Fatalf("a small part of it has taken room, %v", err)
		}
		s.bodies.Release(all)
		if _, err := io.Copy(io.Discard, r.Body); err != nil || s.bodies.TryAcquire(all-1<<20) {
			t.Fatalf("it has taken no room, %v", err)
		}
		give()
		if !s.bodies.TryAcquire(all) {
			t.Fatal("it has not given its room back")
		}
		s.bodies.Release(all)
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
