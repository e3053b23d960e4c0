package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/client"
	"postrider/api/feed"
	"postrider/api/listfile"
	"postrider/api/stats"
	"postrider/api/stream"
	v1 "postrider/api/v1"
	"postrider/api/webhook"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
	"postrider/queue/suspension"
)

// keybook keeps keys in memory, as relay/auth does in the registry.
type keybook struct {
	mu   sync.Mutex
	keys map[string]v1.Key
}

func (b *keybook) List(_ context.Context, account string) (list []v1.Key, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.keys {
		if account == "" || k.Account == account {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(x, y v1.Key) int { return strings.Compare(x.ID, y.ID) })
	return list, nil
}

func (b *keybook) Get(_ context.Context, id string) (v1.Key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.keys[id]
	if !ok {
		return k, queue.ErrNotFound
	}
	return k, nil
}

func (b *keybook) Create(_ context.Context, n v1.NewKey) (v1.NewSecretKey, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := v1.Key{ID: fmt.Sprintf("key_%d", len(b.keys)), Account: n.Account, Label: n.Label, Scopes: n.Scopes, KeyLimits: n.KeyLimits}
	b.keys[k.ID] = k
	return v1.NewSecretKey{Key: k, Secret: "pr_secret"}, nil
}

func (b *keybook) Change(_ context.Context, id string, change func(*v1.Key) error) (v1.Key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.keys[id]
	if !ok {
		return k, queue.ErrNotFound
	}
	if err := change(&k); err != nil {
		return k, err
	}
	b.keys[id] = k
	return k, nil
}

func (b *keybook) Delete(_ context.Context, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keys, id)
	return nil
}

// zone answers TXT questions.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
	err     error
}

func (z *zone) lookup(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.records[name], z.err
}

type domainRecords struct{}

func (domainRecords) Records(_ context.Context, domain string) ([]v1.Record, error) {
	if domain == "other.example" {
		return nil, fmt.Errorf("%w: no key is made for it", api.ErrInvalid)
	}
	return []v1.Record{
		{Purpose: "dkim", Type: "TXT", Name: "p1._domainkey." + domain, Value: "v=DKIM1; k=rsa; p=ABCD"},
		{Purpose: "spf", Type: "TXT", Name: domain, Value: "v=spf1 a:relay.test ~all"},
	}, nil
}

// ops is a world with all rooms of administration.
type ops struct {
	*world
	book *keybook
	zone *zone
}

func newOps(t *testing.T) *ops {
	t.Helper()
	o := &ops{book: &keybook{keys: map[string]v1.Key{}}, zone: &zone{records: map[string][]string{}}}
	o.world = newWorld(t, func(a *api.Options) {
		registry := a.Store.(queue.Registry)
		a.Domains = domainRecords{}
		a.Rooms = api.Rooms{
			Keys: o.book, Registry: registry, LookupTXT: o.zone.lookup, Rotations: rotations{},
			Suppressions: suppression.New(suppression.Options{Store: registry, Now: a.Now}),
			Suspensions:  suspension.NewBook(registry, a.Now), Streams: stream.New(registry, a.Now),
		}
		watched(a)
	})
	return o
}

// watched gives a server what reads the event log.
func watched(o *api.Options) {
	store := o.Store.(*logstore.Store)
	events, messages := feed.New(feed.Options{Store: store, Now: o.Now}), feed.NewMessages(store, 0)
	o.Events = events
	o.Webhooks = webhook.NewBook(webhook.BookOptions{Store: store, Feed: events, AllowPrivate: true, Now: o.Now})
	o.WebhookTests = webhook.New(webhook.Options{Store: store, Book: o.Webhooks, Messages: messages, Holder: "test", AllowPrivate: true, Now: o.Now})
	o.Stats = stats.New(stats.Options{Store: store, Messages: messages, Holder: "test", Now: o.Now})
}

// as returns a client of an account with scopes, and lets its key in.
func (o *ops) as(secret, account, credential string, scopes ...queue.Scope) *client.Client {
	o.t.Helper()
	o.keys[secret] = access.Caller{Account: account, Credential: credential, Scopes: scopes}
	c, err := client.New(o.url, secret)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// refused checks that an error is the problem with that status and code.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var p *v1.Problem
	if !errors.As(err, &p) || p.Status != status || p.Code != code {
		t.Errorf("%v (%+v), want %d %s", err, p, status, code)
	}
}

func TestADestinationIsSuspendedAndResumed(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	o.enqueue("shop", "bob@example.org", "ann@example.org", "dave@example.net")
	s, err := o.sock.Suspend(ctx, v1.NewSuspension{Domain: "EXAMPLE.org", Reason: "they asked", Duration: "2h"})
	if err != nil || s.Domain != "example.org" || s.Actor != "operator" || s.ExpiresAt == nil || !s.ExpiresAt.Equal(o.now.Add(2*time.Hour)) {
		t.Fatalf("%+v, %v", s, err)
	}
	list, err := o.sock.Destinations(ctx, "", 1)
	if err != nil || len(list.Data) != 1 || list.Data[0].Lane != "example.net" || !list.HasMore || list.Data[0].Suspended != nil {
		t.Fatalf("%+v, %v", list, err)
	}
	list, err = o.sock.Destinations(ctx, list.NextCursor, 10)
	if err != nil || len(list.Data) != 1 || list.HasMore || list.Data[0].Waiting != 2 || list.Data[0].Suspended == nil || list.Data[0].Suspended.ID != s.ID {
		t.Fatalf("%+v, %v", list, err)
	}
	d, err := o.sock.Destination(ctx, "Example.org")
	if err != nil || d.Waiting != 2 || d.Suspended == nil || d.Sampled != 2 || len(d.Reasons) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = o.sock.Destination(ctx, "nothing.example"); err != nil || d.Waiting != 0 || len(d.Reasons) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if err := o.sock.Resume(ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, o.sock.Resume(ctx, s.ID), 404, "not_found")
	if _, err := o.sock.Suspend(ctx, v1.NewSuspension{Lane: "smarthost", Reason: "maintenance"}); err != nil {
		t.Fatal(err)
	}
	if got, err := o.sock.ResumeSelected(ctx, v1.NewSuspension{Lane: "smarthost"}); err != nil || got.Reason != "maintenance" {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := o.sock.Suspensions(ctx); err != nil || len(all.Data) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for name, n := range map[string]v1.NewSuspension{
		"no reason":      {Domain: "example.org"},
		"no selector":    {Reason: "r"},
		"two ends":       {Domain: "example.org", Reason: "r", Duration: "1h", ExpiresAt: &o.now},
		"a bad duration": {Domain: "example.org", Reason: "r", Duration: "soon"},
	} {
		_, err := o.sock.Suspend(ctx, n)
		t.Log(name)
		refused(t, err, 422, "validation_failed")
	}
}

func TestTheQueueIsFlushedAndGivenUp(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	id := o.enqueue("shop", "bob@example.org")
	o.enqueue("blog", "ann@example.org")
	if r, err := o.sock.Flush(ctx, v1.QueueChange{Filter: v1.Filter{Account: "blog"}, DryRun: true}); err != nil || r.Matched != 1 || !r.DryRun {
		t.Errorf("%+v, %v", r, err)
	}
	_, err := o.sock.Flush(ctx, v1.QueueChange{})
	refused(t, err, 422, "validation_failed")
	_, err = o.sock.Bounce(ctx, v1.BounceRequest{All: true})
	refused(t, err, 422, "validation_failed")
	f := v1.Filter{Account: "shop"}
	if r, err := o.sock.Bounce(ctx, v1.BounceRequest{Filter: f, Reason: "the domain is gone"}); err != nil || !r.DryRun || r.Matched != 1 {
		t.Fatalf("giving up is no dry run by default: %+v, %v", r, err)
	}
	really := false
	if r, err := o.sock.Bounce(ctx, v1.BounceRequest{Filter: f, Reason: "the domain is gone", DryRun: &really}); err != nil || r.Changed != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	m, err := o.sock.Message(ctx, id.String())
	if err != nil || m.Recipients[0].State != "expired" || m.Events[len(m.Events)-1].Reason != "the domain is gone" {
		t.Errorf("%+v, %v", m, err)
	}
	if q, err := o.sock.Queue(ctx); err != nil || q.States["queued"].Recipients != 1 {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestAnAccountSteersItsOwnMailOnly(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	o.enqueue("shop", "bob@example.org")
	o.enqueue("blog", "ann@example.org")
	shop := o.as("shop-key", "shop", "key_shop", queue.ScopeManage)
	if r, err := shop.Act(ctx, v1.Action{Action: "hold", All: true}); err != nil || r.Changed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err := shop.Act(ctx, v1.Action{Action: "hold", Filter: v1.Filter{Account: "blog"}})
	refused(t, err, 404, "not_found")
	_, err = shop.Flush(ctx, v1.QueueChange{All: true})
	refused(t, err, 403, "forbidden_scope")
	_, err = shop.Suspend(ctx, v1.NewSuspension{Domain: "example.org", Reason: "r"})
	refused(t, err, 403, "forbidden_scope")
	if l, err := shop.Limits(ctx); err != nil || l.MaxRecipients != queue.MaxRecipients || l.MaxBatch == 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if q, err := o.sock.Queue(ctx); err != nil || q.States["held"].Recipients != 1 {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestKeysAreMadeShownChangedAndEnded(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	_, err := o.sock.CreateKey(ctx, v1.NewKey{Scopes: []string{"send"}})
	refused(t, err, 422, "validation_failed") // whose?
	k, err := o.sock.CreateKey(ctx, v1.NewKey{Account: "shop", Label: "web shop", Scopes: []string{"send"}, KeyLimits: v1.KeyLimits{AllowedFrom: []string{"shop.example"}}})
	if err != nil || k.Secret == "" || k.Account != "shop" || k.AllowedFrom[0] != "shop.example" {
		t.Fatalf("%+v, %v", k, err)
	}
	none, label := []string{}, "new name"
	c, err := o.sock.ChangeKey(ctx, k.ID, v1.KeyChange{Label: &label, AllowedFrom: &none, ExpiresAt: &o.now})
	if err != nil || c.Label != label || len(c.AllowedFrom) != 0 || c.ExpiresAt == nil {
		t.Errorf("%+v, %v", c, err)
	}
	if status, text, _ := o.fetch("GET", "/v1/keys?account=shop", "Bearer "+key, ""); status != 200 || strings.Contains(text, "secret") || !strings.Contains(text, k.ID) {
		t.Errorf("%d %s", status, text)
	}
	if err := o.sock.DeleteKey(ctx, k.ID); err != nil {
		t.Error(err)
	}
	_, err = o.sock.Key(ctx, k.ID)
	refused(t, err, 404, "not_found")
}

func TestNobodyGivesMoreThanItHas(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	end := o.now.Add(time.Hour)
	o.book.keys["key_narrow"] = v1.Key{ID: "key_narrow", Account: "shop", Scopes: []string{"manage", "send"}, KeyLimits: v1.KeyLimits{
		AllowedFrom: []string{"shop.example"}, AllowedNetworks: []string{"192.0.2.0/24"}, RatePerMinute: 10, ExpiresAt: &end,
	}}
	o.book.keys["key_other"] = v1.Key{ID: "key_other", Account: "blog", Scopes: []string{"send"}}
	o.book.keys["key_boss"] = v1.Key{ID: "key_boss", Account: "shop", Scopes: []string{"admin"}}
	c := o.as("narrow", "shop", "key_narrow", queue.ScopeManage, queue.ScopeSend)
	within := v1.KeyLimits{AllowedFrom: []string{"shop.example"}, AllowedNetworks: []string{"192.0.2.0/24"}, RatePerMinute: 5, ExpiresAt: &end}
	if k, err := c.CreateKey(ctx, v1.NewKey{Scopes: []string{"messages:send"}, KeyLimits: within}); err != nil || k.Account != "shop" {
		t.Errorf("%+v, %v", k, err)
	}
	for name, change := range map[string]func(*v1.NewKey){
		"another scope":          func(n *v1.NewKey) { n.Scopes = []string{"accounts:read"} },
		"admin":                  func(n *v1.NewKey) { n.Scopes = []string{"admin"} },
		"bodies":                 func(n *v1.NewKey) { n.Scopes = []string{"read"} },
		"any sender":             func(n *v1.NewKey) { n.AllowedFrom = nil },
		"another sender":         func(n *v1.NewKey) { n.AllowedFrom = []string{"shop.example", "bank.example"} },
		"any network":            func(n *v1.NewKey) { n.AllowedNetworks = nil },
		"no rate":                func(n *v1.NewKey) { n.RatePerMinute = 0 },
		"no end":                 func(n *v1.NewKey) { n.ExpiresAt = nil },
		"a later end":            func(n *v1.NewKey) { later := end.Add(1); n.ExpiresAt = &later },
		"another account's name": func(n *v1.NewKey) { n.Account = "blog" },
		"no such scope":          func(n *v1.NewKey) { n.Scopes = []string{"everything"} },
	} {
		n := v1.NewKey{Scopes: []string{"messages:send"}, KeyLimits: within}
		change(&n)
		if _, err := c.CreateKey(ctx, n); err == nil {
			t.Errorf("%s was given", name)
		}
	}
	for _, id := range []string{"key_other", "key_boss"} {
		if _, err := c.ChangeKey(ctx, id, v1.KeyChange{NeverExpires: true}); err == nil {
			t.Errorf("%s was changed", id)
		}
	}
	_, err := c.ChangeKey(ctx, "key_narrow", v1.KeyChange{NeverExpires: true})
	refused(t, err, 403, "forbidden_limit")
	if list, err := c.Keys(ctx, ""); err != nil || slices.ContainsFunc(list.Data, func(k v1.Key) bool { return k.Account != "shop" }) {
		t.Errorf("%+v, %v", list, err)
	}
	refused(t, c.DeleteKey(ctx, "key_other"), 404, "not_found")
	refused(t, c.DeleteKey(ctx, "key_boss"), 403, "forbidden_scope")
	self, err := c.Self(ctx)
	if err != nil || self.Account != "shop" || self.Admin || self.Key == nil || self.Key.ID != "key_narrow" {
		t.Errorf("%+v, %v", self, err)
	}
	if self, err = o.sock.Self(ctx); err != nil || !self.Admin || self.Key != nil {
		t.Errorf("%+v, %v", self, err)
	}
}

func TestADomainIsVerified(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	d, err := o.sock.AddDomain(ctx, "Shop.Example.")
	if err != nil || d.Name != "shop.example" || d.Status != "pending" {
		t.Fatalf("%+v, %v", d, err)
	}
	_, err = o.sock.AddDomain(ctx, "shop.example")
	refused(t, err, 409, "conflict")
	_, err = o.sock.AddDomain(ctx, "not a domain")
	refused(t, err, 422, "validation_failed")
	if d, err = o.sock.VerifyDomain(ctx, "shop.example"); err != nil || d.Status != "failed" || d.Records[0].Status != "missing" || d.Records[0].Error == "" {
		t.Errorf("%+v, %v", d, err)
	}
	o.zone.mu.Lock()
	o.zone.records["p1._domainkey.shop.example"] = []string{"v=DKIM1;k=rsa;  p=AB CD"}
	o.zone.records["shop.example"] = []string{"some-other=thing", "v=spf1 mx -all"}
	o.zone.mu.Unlock()
	d, err = o.sock.VerifyDomain(ctx, "shop.example")
	if err != nil || d.Status != "partially_verified" || d.Records[0].Status != "verified" || d.Records[1].Status != "wrong" || len(d.Records[1].Observed) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	list, err := o.sock.Domains(ctx)
	if err != nil || len(list.Data) != 1 || list.Data[0].Status != "partially_verified" || list.Data[0].Records != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if kept, err := o.sock.Domain(ctx, "SHOP.example"); err != nil || kept.Records[1].Status != "wrong" || kept.CheckedAt == nil {
		t.Errorf("%+v, %v", kept, err)
	}
	o.zone.mu.Lock()
	o.zone.err = errors.New("SERVFAIL")
	o.zone.mu.Unlock()
	if d, err = o.sock.VerifyDomain(ctx, "unlisted.example"); err != nil || d.Status != "temporary_failure" {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = o.sock.Records(ctx, "other.example")
	refused(t, err, 422, "validation_failed")
	if err := o.sock.RemoveDomain(ctx, "shop.example"); err != nil {
		t.Fatal(err)
	}
	refused(t, o.sock.RemoveDomain(ctx, "shop.example"), 404, "not_found")
}

func TestSuppressionsAreKept(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	shop := o.as("shop-key", "shop", "", queue.ScopeManage)
	s, err := shop.Suppress(ctx, v1.NewSuppression{Email: "Bob@EXAMPLE.org", Note: "asked by phone"})
	if err != nil || s.Account != "shop" || s.Email != "bob@example.org" || s.Reason != "manual" || s.Scope != "*" {
		t.Fatalf("%+v, %v", s, err)
	}
	if s, err := o.sock.Suppress(ctx, v1.NewSuppression{Email: "trap@example.net", Reason: "complaint"}); err != nil || s.Account != "*" {
		t.Fatalf("an operator's counts for everybody: %+v, %v", s, err)
	}
	_, err = shop.Suppress(ctx, v1.NewSuppression{Email: "x@example.org", Account: "*"})
	refused(t, err, 404, "not_found")
	_, err = shop.Suppress(ctx, v1.NewSuppression{Email: "nobody"})
	refused(t, err, 422, "validation_failed")
	check, err := shop.CheckSuppressions(ctx, v1.SuppressionQuery{Emails: []string{"bob@example.org", "trap@example.net", "ok@example.org", "nonsense"}})
	if err != nil || !check.Data[0].Suppressed || !check.Data[1].Suppressed || check.Data[2].Suppressed || check.Data[3].Error == "" {
		t.Errorf("%+v, %v", check, err)
	}
	list, err := shop.Suppressions(ctx, client.SuppressionFilter{Domain: "example.org"}, "", 10)
	if err != nil || len(list.Data) != 1 || list.Data[0].ID != s.ID {
		t.Errorf("%+v, %v", list, err)
	}
	batch, err := shop.BatchSuppressions(ctx, v1.SuppressionBatch{
		Add:    []v1.NewSuppression{{Email: "a@example.org"}, {Email: "bob@example.org"}, {Email: "nobody"}},
		Remove: []v1.SuppressionRemove{{Email: "a@example.org"}, {Email: "z@example.org"}},
	})
	if err != nil || batch.Added != 1 || batch.Updated != 1 || batch.Removed != 1 || len(batch.Errors) != 2 || batch.Errors[0].Pointer != "#/add/2" || batch.Errors[1].Pointer != "#/remove/1" {
		t.Errorf("%+v, %v", batch, err)
	}
	blog := o.as("blog-key", "blog", "", queue.ScopeManage)
	refused(t, blog.Unsuppress(ctx, v1.SuppressionRemove{ID: s.ID}), 404, "not_found")
	if err := shop.Unsuppress(ctx, v1.SuppressionRemove{ID: s.ID}); err != nil {
		t.Error(err)
	}
	refused(t, shop.Unsuppress(ctx, v1.SuppressionRemove{Email: "bob@example.org"}), 404, "not_found")
	reader := o.as("reader", "shop", "", queue.ScopeRead)
	_, err = reader.Suppress(ctx, v1.NewSuppression{Email: "x@example.org"})
	refused(t, err, 403, "forbidden_scope")
}

func TestSuppressionListsGoInAndOut(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	shop := o.as("shop-key", "shop", "", queue.ScopeManage)
	var list strings.Builder
	list.WriteString("Email Address,SuppressionReason,Notes\r\n")
	for i := range 2500 {
		fmt.Fprintf(&list, "user%d@example.org,HardBounce,=cmd()\r\n", i)
	}
	list.WriteString("not an address,HardBounce,\r\n\"broken\r\nlate@example.org,who knows,\r\n")
	parts := 0
	r, err := shop.ImportSuppressions(ctx, strings.NewReader(list.String()), listfile.CSV, "", func(v1.ImportResult) { parts++ })
	if err != nil || r.Added != 2500 || r.Failed != 3 || r.Lines != 2503 || parts != 3 {
		t.Fatalf("%+v in %d parts, %v", r, parts, err)
	}
	for i, line := range []int{2503, 2502, 2504} {
		if r.Errors[i].Line != line {
			t.Errorf("error %d is of line %d, want %d: %+v", i, r.Errors[i].Line, line, r.Errors[i])
		}
	}
	for _, format := range []listfile.Format{listfile.CSV, listfile.NDJSON} {
		var out bytes.Buffer
		if err := shop.ExportSuppressions(ctx, &out, format, client.SuppressionFilter{Reason: "bounce"}); err != nil {
			t.Fatal(err)
		}
		again, err := shop.ImportSuppressions(ctx, &out, format, "", nil)
		if err != nil || again.Updated != 2500 || again.Added != 0 || again.Failed != 0 {
			t.Errorf("%s: %+v, %v", format, again, err)
		}
	}
	status, text, _ := o.fetch("POST", "/v1/suppressions/import", "Bearer shop-key", "bob@example.org")
	if status != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", status, text)
	}
	if status, text, _ = o.fetch("GET", "/v1/suppressions/export?format=xml", "Bearer shop-key", ""); status != 422 || !strings.Contains(text, "csv") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ = o.fetch("GET", "/v1/suppressions/export?account=blog", "Bearer shop-key", ""); status != 404 {
		t.Errorf("another's list: %d", status)
	}
}

func TestStreamsAreKept(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	shop := o.as("shop-key", "shop", "", queue.ScopeManage)
	n := v1.NewStream{Name: "news", Kind: "bulk", Unsubscribe: &v1.Unsubscribe{Mode: "one_click", List: "news"}}
	if s, err := shop.CreateStream(ctx, n); err != nil || s.Unsubscribe.List != "news" || s.CreatedAt == nil {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err := shop.CreateStream(ctx, n)
	refused(t, err, 409, "conflict")
	_, err = shop.CreateStream(ctx, v1.NewStream{Name: "Bad Name", Kind: "bulk"})
	refused(t, err, 422, "validation_failed")
	text := "every Friday"
	if s, err := shop.ChangeStream(ctx, "news", v1.StreamChange{Description: &text}); err != nil || s.Description != text || s.Unsubscribe == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if l, err := shop.Streams(ctx, ""); err != nil || len(l.Data) != 3 {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := o.sock.Streams(ctx, "blog"); err != nil || len(l.Data) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	_, err = o.sock.Streams(ctx, "")
	refused(t, err, 422, "validation_failed")
	if err := shop.DeleteStream(ctx, "", "news"); err != nil {
		t.Error(err)
	}
	refused(t, shop.DeleteStream(ctx, "", "news"), 404, "not_found")
}

func TestWebhooksAreKept(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	shop := o.as("shop-key", "shop", "", queue.ScopeManage)
	blog := o.as("blog-key", "blog", "", queue.ScopeManage)
	taken := make(chan *http.Request, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { taken <- r.Clone(ctx) }))
	t.Cleanup(hook.Close)
	w, err := shop.CreateWebhook(ctx, v1.NewWebhook{URL: hook.URL, Events: []string{"email.bounced"}})
	if err != nil || !strings.HasPrefix(w.Secret, "whsec_") || w.Account != "shop" || !w.Enabled {
		t.Fatalf("%+v, %v", w, err)
	}
	_, err = shop.CreateWebhook(ctx, v1.NewWebhook{URL: "ftp://x.example"})
	refused(t, err, 422, "validation_failed")
	_, err = shop.CreateWebhook(ctx, v1.NewWebhook{URL: hook.URL, Account: "*"})
	refused(t, err, 404, "not_found")
	_, err = blog.Webhook(ctx, w.ID)
	refused(t, err, 404, "not_found")
	d, err := shop.TestWebhook(ctx, w.ID)
	if err != nil || !d.OK || d.Type != "webhook.test" {
		t.Fatalf("%+v, %v", d, err)
	}
	if r := <-taken; r.Header.Get("webhook-signature") == "" {
		t.Errorf("%v", r.Header)
	}
	if ds, err := shop.WebhookDeliveries(ctx, w.ID); err != nil || len(ds.Data) != 1 || ds.Data[0].EventID != d.EventID {
		t.Errorf("%+v, %v", ds, err)
	}
	off, all := false, []string{}
	if c, err := shop.ChangeWebhook(ctx, w.ID, v1.WebhookChange{Enabled: &off, Events: &all}); err != nil || c.Enabled || len(c.Events) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if s, err := shop.RotateWebhook(ctx, w.ID); err != nil || s.Secret == w.Secret || s.Secret == "" {
		t.Errorf("%v", err)
	}
	if p, err := shop.ReplayWebhook(ctx, w.ID, v1.NewReplay{Since: o.now.Add(-time.Hour)}); err != nil || p.FinishedAt != nil {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = shop.ReplayWebhook(ctx, w.ID, v1.NewReplay{Since: o.now.Add(-time.Hour)})
	refused(t, err, 409, "conflict")
	one, err := o.sock.Webhook(ctx, w.ID)
	if err != nil || one.Replay == nil || one.Waiting == nil || *one.Waiting != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	if status, text, _ := o.fetch("GET", "/v1/webhooks", "Bearer "+key, ""); status != 200 || strings.Contains(text, "whsec_") || !strings.Contains(text, w.ID) {
		t.Errorf("%d %s", status, text)
	}
	refused(t, blog.DeleteWebhook(ctx, w.ID), 404, "not_found")
	if err := shop.DeleteWebhook(ctx, w.ID); err != nil {
		t.Error(err)
	}
}

func TestEventsAreFollowedByTheClient(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	first := o.enqueue("shop", "bob@example.org")
	o.enqueue("blog", "ann@example.org")
	shop := o.as("shop-key", "shop", "", queue.ScopeRead)
	page, err := shop.Events(t.Context(), client.EventQuery{}, "", 10, 0)
	if err != nil || len(page.Data) != 1 || page.Data[0].Data.EmailID != first.String() {
		t.Fatalf("%+v, %v", page, err)
	}
	o.enqueue("shop", "eve@example.org")
	var seen []string
	enough := errors.New("enough")
	err = shop.FollowEvents(t.Context(), client.EventQuery{Types: []string{"email.queued"}}, page.NextCursor, func(e feed.Event, _ string) error {
		if seen = append(seen, e.Data.To...); len(seen) == 2 {
			return enough
		}
		o.enqueue("blog", "ann@example.org")
		o.enqueue("shop", "dave@example.org")
		return nil
	}, nil)
	if !errors.Is(err, enough) || strings.Join(seen, " ") != "eve@example.org dave@example.org" {
		t.Errorf("%v, %v", seen, err)
	}
	_, err = shop.Events(t.Context(), client.EventQuery{Account: "blog"}, "", 10, 0)
	refused(t, err, 404, "not_found")
}

func TestStatsAreAskedFor(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	shop := o.as("shop-key", "shop", "", queue.ScopeRead)
	s, err := shop.Stats(t.Context(), client.StatsQuery{})
	if err != nil || s.Granularity != "day" || s.Timezone != "UTC" || !s.To.Equal(o.now) || s.Data == nil {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = shop.Stats(t.Context(), client.StatsQuery{Timezone: "Mars/Base"})
	refused(t, err, 422, "validation_failed")
	_, err = shop.Stats(t.Context(), client.StatsQuery{Metrics: []string{"opens"}})
	refused(t, err, 422, "validation_failed")
	_, err = shop.Stats(t.Context(), client.StatsQuery{Account: "blog"})
	refused(t, err, 404, "not_found")
}

func TestNamesWithSlashesAreFound(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	for _, email := range []string{"a/b@x.example", "50%25@x.example", "a+b?c@x.example", "\"a b\"@x.example"} {
		if _, err := o.sock.Suppress(ctx, v1.NewSuppression{Email: email}); err != nil {
			t.Fatal(err)
		}
		if err := o.sock.Unsuppress(ctx, v1.SuppressionRemove{Email: email}); err != nil {
			t.Errorf("%s: %v", email, err)
		}
	}
	for _, name := range []string{"suspended/sus_1", "smtp://relay.example:587"} {
		if d, err := o.sock.Destination(ctx, name); err != nil || d.Lane != name {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func TestAccountsAreShown(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	ctx := t.Context()
	if _, err := w.sock.CreateAccount(ctx, v1.NewAccount{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if a, err := w.sock.Account(ctx, "Shop"); err != nil || a.Name != "shop" {
		t.Errorf("%+v, %v", a, err)
	}
	_, err := w.sock.Account(ctx, "blog")
	refused(t, err, 404, "not_found")
	_, err = w.sock.CreateAccount(ctx, v1.NewAccount{Name: "x", FromPolicy: "eat"})
	refused(t, err, 422, "validation_failed")
}
