package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	if _, f := s.room(httptest.NewRequestWithContext(canceled(t), http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2<<20))), 2<<20); f == nil || f.problem.Status != http.StatusServiceUnavailable {
		t.Errorf("there is room for ever: %v", f)
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
