package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/reference"
	"postrider/api/send"
	"postrider/api/stream"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
	"postrider/queue/suspension"
)

var update = flag.Bool("update", false, "write configs/docs/openapi.yaml anew")

// accounts keeps accounts in memory, as relay/auth does in the registry.
type accounts struct {
	mu   sync.Mutex
	list []v1.Account
}

func (a *accounts) List(context.Context) ([]v1.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list), nil
}

func (a *accounts) find(name string) int {
	return slices.IndexFunc(a.list, func(x v1.Account) bool { return x.Name == name })
}

func (a *accounts) Create(_ context.Context, n v1.NewAccount) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.find(n.Name) >= 0 {
		return "", queue.ErrExists
	}
	a.list = append(a.list, v1.Account{Name: n.Name, Source: "registry"})
	return "secret", nil
}

func (a *accounts) Change(_ context.Context, name string, c v1.AccountChange) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(name)
	if i < 0 {
		return "", queue.ErrNotFound
	}
	if c.Disabled != nil {
		a.list[i].Disabled = *c.Disabled
	}
	return "secret", nil
}

func (a *accounts) Delete(_ context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(name)
	if i < 0 {
		return queue.ErrNotFound
	}
	a.list = slices.Delete(a.list, i, i+1)
	return nil
}

// copies makes copies of messages through the sender.
type copies struct {
	store *logstore.Store
	to    send.Sender
}

func (c copies) Resend(ctx context.Context, caller access.Caller, r api.Resend) (receipt send.Receipt, err error) {
	text, err := c.store.OpenContent(ctx, r.Entry.Message.Content)
	if err != nil {
		return receipt, err
	}
	defer func() { err = errors.Join(err, text.Close()) }()
	caller.Account = r.Entry.Message.Account
	return c.to.Send(ctx, caller, send.Request{Raw: text, RawTo: r.To, IdempotencyKey: r.IdempotencyKey, Operation: r.Operation})
}

// binding says that a destination's connections are all in use.
type binding struct{}

func (binding) Why(_ context.Context, e queue.Entry) ([]api.Hindrance, error) {
	return []api.Hindrance{
		{Kind: "account_rate", Detail: "The account has sent what it may in this hour."},
		{Kind: "site_connections", Detail: "All connections to this destination are in use.", Recipient: e.Recipients[0].ID, Until: e.Message.ExpiresAt},
	}, nil
}

func (binding) Route(*queue.Message, *queue.Recipient) string { return "mx" }

// examined has found nothing.
type examined struct{}

func (examined) Examine(context.Context, []string) (v1.Examination, error) {
	return v1.Examination{}, nil
}

func (examined) Last(context.Context) (v1.Examination, error) {
	return v1.Examination{}, queue.ErrNotFound
}

// everything is a world in which all that the API can have is there.
func everything(t *testing.T, change ...func(*api.Options)) (*world, *door) {
	t.Helper()
	return withSender(t, append([]func(*api.Options){func(o *api.Options) {
		store := o.Store.(*logstore.Store)
		o.Accounts, o.Domains = &accounts{}, domainRecords{}
		o.Rooms = api.Rooms{
			Keys: &keybook{keys: map[string]v1.Key{}}, Registry: store, LookupTXT: (&zone{}).lookup, Rotations: rotations{},
			Suppressions: suppression.New(suppression.Options{Store: store, Now: o.Now}),
			Suspensions:  suspension.NewBook(store, o.Now), Streams: stream.New(store, o.Now),
			Doctor: examined{}, Replies: met(nil), Sites: gone(nil), Sending: pledged{},
		}
		watched(o)
		o.Resend, o.Why = copies{store, o.Sender}, binding{}
		watched(o)
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
		for _, name := range []string{"resend", "postmark", "sendgrid", "mailgun", "unsubscribe"} {
			o.Surfaces = append(o.Surfaces, api.Surface{Name: name, Routes: func(chi.Router) {}})
		}
	}}, change...)...)
}

func TestTheDescriptionIsTheOneThatIsPublished(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	status, text, kind := w.fetch("GET", "/openapi.yaml", "", "")
	if status != 200 || kind != "application/openapi+yaml" {
		t.Fatalf("%d %s", status, kind)
	}
	golden := filepath.FromSlash("../configs/docs/openapi.yaml")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(text)) {
		t.Errorf("the API has changed against %s: run go test ./api -run Description -update, and read the difference", golden)
	}
}

func TestTheDescriptionHangsTogether(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	_, text, _ := w.fetch("GET", "/openapi.json", "", "")
	var doc struct {
		Paths      map[string]map[string]json.RawMessage
		Components map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for ref := range strings.SplitSeq(text, `"$ref":"#/components/`) {
		ref, _, _ = strings.Cut(ref, `"`)
		kind, name, ok := strings.Cut(ref, "/")
		if _, known := doc.Components[kind]; ok && known && doc.Components[kind][name] == nil {
			t.Errorf("nothing is described as %s", ref)
		}
	}
	if len(doc.Paths) < 40 || doc.Components["schemas"]["ErrorModel"] != nil {
		t.Errorf("%d paths", len(doc.Paths))
	}
	for path, item := range doc.Paths {
		for method, raw := range item {
			var op struct {
				Summary, OperationID string
				Tags                 []string
				Security             []map[string][]string
				Responses            map[string]json.RawMessage
			}
			if err := json.Unmarshal(raw, &op); err != nil || op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 || len(op.Security) == 0 {
				t.Errorf("%s %s: %v %+v", method, path, err, op)
			}
			if strings.HasPrefix(path, "/v1/") && (op.Responses["401"] == nil || op.Responses["422"] == nil) {
				t.Errorf("%s %s does not say how it fails", method, path)
			}
		}
	}
}

func TestBodiesAreCheckedTheSameWithoutTheDescription(t *testing.T) {
	t.Parallel()
	w, _ := everything(t, func(o *api.Options) { o.NoDocs = true })
	for _, path := range []string{"/docs", "/openapi.json", "/openapi.yaml"} {
		if status, _, _ := w.fetch("GET", path, "", ""); status != 404 {
			t.Errorf("%s answers %d", path, status)
		}
	}
	r := w.send(nil)
	if res, p := w.call("POST", "/v1/messages/"+r.ID+"/resend", manageKey, `{"to":"new@example.org"}`, nil); res.StatusCode != 202 {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

// The page and what it loads come from the relay alone, and its policy allows
// nothing else: neither other hosts nor text that is evaluated.
func TestTheReferencePageLoadsNothingFromOutside(t *testing.T) {
	t.Parallel()
	if !reference.Included {
		t.Skip("built with nodocs")
	}
	w, _ := everything(t)
	res, _ := w.call("GET", "/docs", "", nil, nil)
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("policy %q", policy)
	}
	var page string
	w.call("GET", "/docs", "", nil, &page)
	if strings.Contains(page, "://") || strings.Contains(page, `"//`) || !strings.Contains(page, `src="/docs/redoc.js"`) {
		t.Errorf("the page: %s", page)
	}
	var start, script string
	w.call("GET", "/docs/start.js", "", nil, &start)
	if strings.Contains(start, "://") {
		t.Errorf("start.js: %s", start)
	}
	res, _ = w.call("GET", "/docs/redoc.js", "", nil, &script)
	if len(script) < 1_000_000 || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Fatalf("the script has %d octets, %v", len(script), res.Header)
	}
	for _, host := range []string{"cdn.", "fonts.", "unpkg.com", "jsdelivr", "googleapis", "gstatic", "telemetry"} {
		if i := strings.Index(script, "://"+host); i >= 0 {
			t.Errorf("the script names %s", script[i-10:i+60])
		}
	}
	for _, loads := range []string{`src:"http`, `href:"http`, `fetch("http`, `import("http`, `importScripts("http`} {
		if i := strings.Index(script, loads); i >= 0 && !strings.HasPrefix(script[i:], `href:"https://redocly.com/redoc/"`) {
			t.Errorf("the script loads %s", script[i:i+80])
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/docs/redoc.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	packed, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || packed.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%v %v", err, packed.Header)
	}
	packed.Body.Close()
}
