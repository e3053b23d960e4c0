// Package compattest serves a compatible surface over HTTP for its tests: with a
// real store, and with a Sender that records.
package compattest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-chi/chi/v5"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
	"postrider/queue/logstore"
)

// The credentials that a World knows. The password is that of the account shop.
const (
	Key      = "rl_live_all" // may do everything with what is shop's
	SendOnly = "rl_live_send"
	ReadOnly = "rl_live_read"
	Other    = "rl_live_other" // of the account blog
	Admin    = "rl_live_admin"
	Expired  = "rl_live_expired"
	Away     = "rl_live_away" // not from here
	Guessed  = "rl_live_guessed"
	Broken   = "rl_live_broken" // makes the check fail by itself
	Password = "open sesame"
)

// World is a server with one surface.
type World struct {
	Sender *Recorder
	Store  *logstore.Store
	URL    string

	t   testing.TB
	mu  sync.Mutex
	now time.Time
}

// New starts a server with the routes. Change may change the options.
func New(t testing.TB, routes func(chi.Router, compat.Options), change ...func(*compat.Options)) *World {
	t.Helper()
	store, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &World{t: t, Sender: &Recorder{t: t}, Store: store, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}
	o := compat.Options{Sender: w.Sender, Auth: authenticator{}, Store: store, Now: w.Now}
	for _, c := range change {
		c(&o)
	}
	r := chi.NewRouter()
	routes(r, o)
	server := httptest.NewServer(r)
	w.URL = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// Now is the world's clock.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Advance moves the clock.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Answer is what the server said.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do makes a request. Headers are pairs; an empty value leaves one out that is
// there by default: Authorization with Key, and a JSON Content-Type.
func (w *World) Do(method, path, body string, headers ...string) Answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+Key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
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
	return Answer{res.StatusCode, res.Header, strings.TrimSpace(string(b))}
}

// Expect compares an answer's status and, if want is not empty, its body.
func (a Answer) Expect(t testing.TB, status int, want string) {
	t.Helper()
	if a.Status != status || want != "" && a.Body != want {
		t.Errorf("answer is %d %s\nwant %d %s", a.Status, a.Body, status, want)
	}
}

// Says fails the test unless the answer has the status and all of the texts.
func (a Answer) Says(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.Status != status {
		t.Errorf("status is %d, want %d: %s", a.Status, status, a.Body)
	}
	for _, text := range texts {
		if !strings.Contains(a.Body, text) {
			t.Errorf("%q is not in: %s", text, a.Body)
		}
	}
}

type authenticator struct{}

func (authenticator) Authenticate(_ context.Context, c access.Credentials, remote netip.Addr) (access.Caller, error) {
	caller := access.Caller{Account: "shop", Credential: "key_1", Remote: remote}
	switch {
	case c.Name == "shop" && c.Secret == Password:
		caller.Credential, caller.Scopes = "", []queue.Scope{queue.ScopeSend, queue.ScopeRead}
		return caller, nil
	case c.Name != "" && c.Name != "shop":
		return access.Caller{}, access.ErrUnauthorized
	}
	switch c.Secret {
	case Key:
		caller.Scopes = []queue.Scope{queue.ScopeSend, queue.ScopeRead, queue.ScopeManage}
	case Other:
		caller.Account, caller.Scopes = "blog", []queue.Scope{queue.ScopeSend, queue.ScopeRead, queue.ScopeManage}
	case SendOnly:
		caller.Scopes = []queue.Scope{queue.ScopeSend}
	case ReadOnly:
		caller.Scopes = []queue.Scope{queue.ScopeRead}
	case Admin:
		caller.Scopes = []queue.Scope{queue.ScopeAdmin}
	case Expired:
		return access.Caller{}, access.ErrExpired
	case Away:
		return access.Caller{}, access.ErrNetwork
	case Guessed:
		return access.Caller{}, access.ErrThrottled
	case Broken:
		return access.Caller{}, queue.ErrUnavailable
	default:
		return access.Caller{}, access.ErrUnauthorized
	}
	return caller, nil
}

var _ send.Sender = (*Recorder)(nil)
