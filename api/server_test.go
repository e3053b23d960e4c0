package api_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/client"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/logstore"
)

const key = "an-admin-key-for-tests"

type world struct {
	t     *testing.T
	store *logstore.Store
	url   string
	sock  *client.Client
	now   time.Time
	keys  keyring
	srv   *api.Server
}

// keyring knows callers by their key; those that are not the loopback's it does
// not let in.
type keyring map[string]access.Caller

func (k keyring) Authenticate(_ context.Context, c access.Credentials, remote netip.Addr) (access.Caller, error) {
	switch c.Secret {
	case "expired":
		return access.Caller{}, access.ErrExpired
	case "throttled":
		return access.Caller{}, access.ErrThrottled
	case "broken":
		return access.Caller{}, errors.New("the store of keys is on fire")
	}
	caller, ok := k[c.Secret]
	if !ok {
		return access.Caller{}, access.ErrUnauthorized
	}
	if remote.IsValid() && !remote.IsLoopback() {
		return access.Caller{}, access.ErrNetwork
	}
	return caller, nil
}

func newWorld(t *testing.T, change ...func(*api.Options)) *world {
	t.Helper()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: "data", FS: vfs.NewMem(), MinFree: -1, ReserveBytes: -1, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), keys: keyring{
		key: {Scopes: []queue.Scope{queue.ScopeAdmin}},
	}}
	o := api.Options{
		Store: s, Now: func() time.Time { return w.now }, Auth: w.keys,
	}
	for _, c := range change {
		c(&o)
	}
	srv := api.New(o)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "admin.sock")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	w.srv = srv
	srv.ServePublic(tcp)
	srv.ServeAdmin(unix)
	w.url, w.sock = "http://"+tcp.Addr().String(), client.NewSocket(path)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(srv.Drain(ctx), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) enqueue(account string, to ...string) queue.MessageID {
	w.t.Helper()
	c, err := w.store.CreateContent(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.Write([]byte("Subject: x\r\n\r\nbody\r\n")); err != nil {
		w.t.Fatal(err)
	}
	id := queue.NewMessageID()
	r := queue.EnqueueRequest{Now: w.now, Content: c, Message: queue.Message{
		ID: id, Account: account, Envelope: queue.Envelope{ReversePath: queue.Address{Local: "shop", Domain: "example.com"}},
		Header: queue.Header{Subject: "x"}, Priority: queue.PriorityNormal, AcceptedAt: w.now, ExpiresAt: w.now.Add(72 * time.Hour),
		Content: queue.ContentRef{Size: 20, HeaderSize: 14},
	}}
	for i, text := range to {
		a, err := queue.ParseAddress(text)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Recipients = append(r.Recipients, queue.Recipient{ID: id.Recipient(i), Address: a, State: queue.StateQueued, Lane: queue.Lane(a.Domain), Due: w.now})
	}
	if _, err := w.store.Enqueue(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// patient waits for answers, but not for ever.
func patient() *http.Client { return &http.Client{Timeout: 30 * time.Second} }

func (w *world) fetch(method, path, auth, body string) (status int, text, kind string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := patient().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header.Get("Content-Type")
}

func TestAMessageIsListedShownAndSteered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue("shop", "bob@example.org", "carol@example.net")
	w.enqueue("blog", "dave@example.org")
	ctx := t.Context()

	list, err := w.sock.Messages(ctx, v1.Filter{Domain: "EXAMPLE.org"}, "", 10)
	if err != nil || len(list.Data) != 2 || list.NextCursor != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	list, err = w.sock.Messages(ctx, v1.Filter{Account: "shop", Recipient: "carol@EXAMPLE.net", States: []string{"queued"}}, "", 10)
	if err != nil || len(list.Data) != 1 || len(list.Data[0].Recipients) != 1 || list.Data[0].Recipients[0].Address != "carol@example.net" {
		t.Fatalf("%+v, %v", list, err)
	}
	for action, state := range map[string]string{"hold": "held"} {
		dry, err := w.sock.Act(ctx, v1.Action{Action: action, Filter: v1.Filter{IDs: []string{id.String()}}, DryRun: true})
		if err != nil || dry.Matched != 2 || !dry.DryRun {
			t.Fatalf("dry run: %+v, %v", dry, err)
		}
		if m, err := w.sock.Message(ctx, id.String()); err != nil || m.Recipients[0].State != "queued" || len(m.Events) != 1 {
			t.Fatalf("a dry run changed %+v, %v", m, err)
		}
		done, err := w.sock.Act(ctx, v1.Action{Action: action, Filter: v1.Filter{IDs: []string{id.String()}}, Reason: "looks odd"})
		if err != nil || done.Changed != 2 {
			t.Fatalf("%s: %+v, %v", action, done, err)
		}
		m, err := w.sock.Message(ctx, id.String())
		if err != nil || m.Recipients[0].State != state || m.Recipients[0].NextTry != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		last := m.Events[len(m.Events)-1]
		if last.Kind != state || last.Reason != "looks odd" || last.Actor != "operator" {
			t.Fatalf("last event: %+v", last)
		}
	}
	rcpt := id.Recipient(1).String()
	if done, err := w.sock.Act(ctx, v1.Action{Action: "cancel", Filter: v1.Filter{IDs: []string{rcpt}}}); err != nil || done.Changed != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	q, err := w.sock.Queue(ctx)
	if err != nil || q.States["held"].Recipients != 1 || q.States["cancelled"].Recipients != 1 || q.States["queued"].Recipients != 1 || !q.Accepting {
		t.Fatalf("%+v, %v", q, err)
	}
	if q.States["held"].Oldest == nil || !q.States["held"].Oldest.Equal(w.now) {
		t.Errorf("oldest held: %v", q.States["held"].Oldest)
	}
}

func TestListingsPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 7 {
		w.enqueue("shop", "bob@example.org")
	}
	seen, cursor := map[string]bool{}, ""
	for range 10 {
		page, err := w.sock.Messages(t.Context(), v1.Filter{}, cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Data {
			if seen[m.ID] {
				t.Errorf("%s is listed twice", m.ID)
			}
			seen[m.ID] = true
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d messages were listed, want 7", len(seen))
	}
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue("shop", "bob@example.org")
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/v1/messages?limit=1000", "", 422, "number <= 200"},
		{"GET", "/v1/messages?state=lost", "", 422, "queued, active, deferred"},
		{"GET", "/v1/messages?since=yesterday", "", 422, "such as 2026"},
		{"GET", "/v1/messages?id=msg_1", "", 422, "not a valid id"},
		{"GET", "/v1/messages?recipient=nobody", "", 422, "has no @"},
		{"GET", "/v1/messages?cursor=%00garbage", "", 400, "invalid_cursor"},
		{"GET", "/v1/messages/msg_nonsense", "", 422, "not a valid id"},
		{"GET", "/v1/messages/" + queue.NewMessageID().String(), "", 404, "does not exist"},
		{"POST", "/v1/queue/actions", `{"action":"hold","filter":{}}`, 422, "set all to true"},
		{"POST", "/v1/queue/actions", `{"action":"eat","filter":{"account":"shop"}}`, 422, "hold, release"},
		{"POST", "/v1/queue/actions", `{"action":"hold","filtre":{}}`, 422, "filtre"},
		{"POST", "/v1/queue/actions", `{"action":"hold"} {}`, 400, "more than one"},
		{"POST", "/v1/queue/actions", `{"action":"` + strings.Repeat("x", 2<<20), 413, "payload_too_large"},
		{"DELETE", "/v1/messages", "", 405, "method"},
		{"GET", "/v2/anything", "", 404, "nothing"},
	} {
		status, text, kind := w.fetch(c.method, c.path, "Bearer "+key, c.body)
		if status != c.status || !strings.Contains(text, c.says) || kind != "application/problem+json" {
			t.Errorf("%s %s: %d %s %s, want %d with %q", c.method, c.path, status, kind, text, c.status, c.says)
		}
	}
	if q, err := w.sock.Queue(t.Context()); err != nil || q.States["queued"].Recipients != 1 {
		t.Errorf("a bad request changed the queue: %+v, %v", q, err)
	}
}

func TestTheNetworkNeedsTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for auth, want := range map[string]int{
		"": 401, "Bearer wrong": 401, "Basic " + key: 401, "bearer": 401, "Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+key)): 200, "Bearer " + key: 200,
	} {
		if status, text, _ := w.fetch("GET", "/v1/queue", auth, ""); status != want || strings.Contains(text, key) {
			t.Errorf("%q: %d %s, want %d", auth, status, text, want)
		}
	}
	closed := newWorld(t, func(o *api.Options) { o.Auth = nil })
	if status, _, _ := closed.fetch("GET", "/v1/queue", "Bearer "+key, ""); status != 404 {
		t.Errorf("administration that is turned off answers %d", status)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	var trouble error
	w := newWorld(t, func(o *api.Options) { o.Ready = func() error { return trouble } })
	if status, text, _ := w.fetch("GET", "/readyz", "", ""); status != 200 || text != "ready\n" {
		t.Errorf("%d %q", status, text)
	}
	trouble = errors.New("the relay is stopping")
	if status, text, _ := w.fetch("GET", "/readyz", "", ""); status != 503 || !strings.Contains(text, "stopping") {
		t.Errorf("%d %q", status, text)
	}
	if err := w.sock.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("the client says %v", err)
	}
	if status, _, _ := w.fetch("GET", "/livez", "", ""); status != 200 {
		t.Error("a relay that is stopping is still alive")
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	trouble = nil
	if status, _, _ := w.fetch("GET", "/readyz", "", ""); status != 503 {
		t.Error("a closed store is ready")
	}
	if status, text, _ := w.fetch("GET", "/v1/queue", "Bearer "+key, ""); status != 503 || strings.Contains(text, "store") {
		t.Errorf("our own trouble answers %d %s", status, text)
	}
}

// ailing is a store whose condition is asked of somebody else.
type ailing struct {
	*logstore.Store
	condition func(context.Context) queue.Condition
}

func (s ailing) Condition(ctx context.Context) queue.Condition { return s.condition(ctx) }

func TestReadinessSaysWhyTheStoreTakesNoMail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		condition func(context.Context) queue.Condition
		want      string
	}{
		"with a reason": {func(context.Context) queue.Condition { return queue.Condition{Reason: "Redis is loading"} }, "not ready: Redis is loading\n"},
		"without one":   {func(context.Context) queue.Condition { return queue.Condition{} }, "see the log"},
		"a store that does not answer is not waited for": {func(ctx context.Context) queue.Condition {
			<-ctx.Done()
			return queue.Condition{Reason: "Redis does not answer"}
		}, "not ready: Redis does not answer\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *api.Options) { o.Store = ailing{o.Store.(*logstore.Store), c.condition} })
			started := time.Now()
			if status, text, _ := w.fetch("GET", "/readyz", "", ""); status != 503 || !strings.Contains(text, c.want) {
				t.Errorf("%d %q", status, text)
			}
			if took := time.Since(started); took > 4*time.Second {
				t.Errorf("the probe took %s", took)
			}
			if status, _, _ := w.fetch("GET", "/livez", "", ""); status != 200 {
				t.Error("liveness depends on the store")
			}
		})
	}
}
