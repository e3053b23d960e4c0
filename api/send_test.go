package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/api"
	"postrider/api/access"
	"postrider/api/send"
	"postrider/api/stream"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/queue/suppression"
)

// door stands where the relay's one door is: it keeps what it gets in the store,
// without policy.
type door struct {
	store *logstore.Store
	now   func() time.Time

	mu   sync.Mutex
	got  []queue.Submission
	text []string
	err  error // of the next submissions, once their content was read
}

func (d *door) Submit(ctx context.Context, s queue.Submission) (queue.Submitted, error) {
	text, err := io.ReadAll(s.Content)
	if err != nil {
		return queue.Submitted{}, fmt.Errorf("read content: %w", err)
	}
	d.mu.Lock()
	d.got, d.text = append(d.got, s), append(d.text, string(text))
	err = d.err
	d.mu.Unlock()
	if err != nil {
		return queue.Submitted{}, err
	}
	c, err := d.store.CreateContent(ctx)
	if err != nil {
		return queue.Submitted{}, err
	}
	defer c.Abort()
	if _, err := c.Write(text); err != nil {
		return queue.Submitted{}, err
	}
	header, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return queue.Submitted{}, err
	}
	expires := s.ExpiresAt
	if expires.IsZero() {
		expires = d.now().Add(72 * time.Hour)
	}
	r := queue.EnqueueRequest{Now: d.now(), Content: c, Message: queue.Message{
		ID: s.ID, Account: s.Account, Credential: s.Credential, Envelope: s.Envelope, Labels: s.Labels, Sandbox: s.Sandbox, Source: s.Source,
		Header:   queue.Header{MessageID: strings.Trim(header.Header.Get("Message-Id"), "<>"), Subject: header.Header.Get("Subject")},
		Priority: s.Priority, AcceptedAt: d.now(), ExpiresAt: expires, Content: queue.ContentRef{Size: int64(len(text))},
	}}
	for i, to := range s.Recipients {
		rcpt := queue.Recipient{ID: s.ID.Recipient(i), Address: to.Address, State: queue.StateQueued, Lane: queue.Lane(to.Address.Fold().Domain), Due: d.now()}
		if s.NotBefore.After(d.now()) {
			rcpt.State, rcpt.Due = queue.StateScheduled, s.NotBefore
		}
		r.Recipients = append(r.Recipients, rcpt)
	}
	if s.IdempotencyKey != "" {
		r.Idempotency = queue.Idempotency{Key: s.IdempotencyKey, Fingerprint: s.Fingerprint(), ExpiresAt: d.now().Add(24 * time.Hour)}
	}
	done, err := d.store.Enqueue(ctx, r)
	if errors.Is(err, queue.ErrIdempotencyConflict) {
		err = &queue.Refusal{Code: 554, Kind: queue.RefusedIdempotency, Problem: "This key was used."}
	}
	return queue.Submitted{ID: done.ID, Duplicate: done.Duplicate}, err
}

func (d *door) last() (queue.Submission, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.got[len(d.got)-1], d.text[len(d.text)-1]
}

func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.got)
}

// Keys of the account shop.
const (
	sendKey    = "a-key-that-sends"
	readKey    = "a-key-that-reads"
	manageKey  = "a-key-that-manages"
	blogKey    = "a-key-of-another-account"
	sandboxKey = "a-key-that-plays"
)

// withSender lets a world send, through a door of its own.
func withSender(t *testing.T, change ...func(*api.Options)) (*world, *door) {
	t.Helper()
	d := &door{}
	w := newWorld(t, append([]func(*api.Options){func(o *api.Options) {
		d.store, d.now = o.Store.(*logstore.Store), o.Now
		keys := o.Auth.(keyring)
		keys[sendKey] = access.Caller{Account: "shop", Credential: "key_1", Scopes: []queue.Scope{queue.ScopeSend}}
		keys[readKey] = access.Caller{Account: "shop", Credential: "key_2", Scopes: []queue.Scope{queue.ScopeRead}}
		keys[manageKey] = access.Caller{Account: "shop", Credential: "key_3", Scopes: []queue.Scope{queue.ScopeManage, queue.ScopeSend, queue.ScopeRead}}
		keys[blogKey] = access.Caller{Account: "blog", Credential: "key_4", Scopes: []queue.Scope{queue.ScopeManage, queue.ScopeSend, queue.ScopeRead}}
		keys[sandboxKey] = access.Caller{Account: "shop", Credential: "key_5", Scopes: []queue.Scope{queue.ScopeSend}, Sandbox: true}
		o.Sender = send.New(send.Options{
			Submitter: d, Messages: d.store, Streams: stream.New(d.store, o.Now), Hostname: "relay.example.net", Now: o.Now,
			Suppressions: suppression.New(suppression.Options{Store: d.store, Now: o.Now}),
		})
	}}, change...)...)
	return w, d
}

// call makes a request as a program would, and reads its answer into out.
func (w *world) call(method, path, key string, in, out any, header ...string) (*http.Response, v1.Problem) {
	w.t.Helper()
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(in)
	default:
		text, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	res, err := patient().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var p v1.Problem
	if res.StatusCode >= 400 {
		if err := json.Unmarshal(text, &p); err != nil {
			w.t.Fatalf("%s %s: %d %q", method, path, res.StatusCode, text)
		}
		return res, p
	}
	if s, ok := out.(*string); ok {
		*s = string(text)
	} else if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			w.t.Fatalf("%s %s: %v in %q", method, path, err, text)
		}
	}
	return res, p
}

func TestAMessageIsSentAndSeen(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	var r v1.Receipt
	res, p := w.call("POST", "/v1/messages", sendKey, `{
		"from": "Acme <hello@example.com>", "to": ["bob@example.org", {"email": "carol@example.net", "name": "Carol Ä"}], "cc": "dave@example.org",
		"bcc": [{"email": "eve@example.org"}], "reply_to": "help@example.com", "subject": "Grüße", "html": "<p>Hi", "text": "Hi",
		"headers": {"X-Order": "1042"}, "tags": ["receipt"], "metadata": {"order": "1042"}, "priority": "high", "tls": "require",
		"attachments": [{"filename": "a.txt", "content": "`+base64.StdEncoding.EncodeToString([]byte("a file"))+`"}],
		"scheduled_at": null, "tracking": {"opens": false}
	}`, &r)
	if res.StatusCode != 202 || r.Status != "queued" || len(r.Recipients) != 4 || res.Header.Get("Location") != "/v1/messages/"+r.ID {
		t.Fatalf("%d %+v %+v", res.StatusCode, p, r)
	}
	if r.Recipients[2].Type != "cc" || r.Recipients[3].Email != "eve@example.org" || r.Recipients[3].Type != "bcc" || r.Stream != "transactional" {
		t.Errorf("%+v", r)
	}
	s, text := d.last()
	if s.Account != "shop" || s.Credential != "key_1" || s.Labels.Metadata["order"] != "1042" || s.Priority != queue.PriorityHigh || !s.Envelope.RequireTLS {
		t.Errorf("submitted %+v", s)
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Name != "Carol Ä" || m.Header.Get("X-Order") != "1042" || m.Header.Get("Bcc") != "" {
		t.Errorf("%v %v in %s", to, err, text)
	}
	var seen v1.Message
	if res, p := w.call("GET", "/v1/messages/"+r.ID, readKey, nil, &seen); res.StatusCode != 200 || seen.Tags[0] != "receipt" || seen.Key != "key_1" || seen.States["queued"] != 4 {
		t.Errorf("%d %+v %+v", res.StatusCode, p, seen)
	}
	if res, _ := w.call("GET", "/v1/messages/"+r.ID, blogKey, nil, nil); res.StatusCode != 404 {
		t.Errorf("another account gets %d", res.StatusCode)
	}
	if res, p := w.call("GET", "/v1/messages/"+r.ID, sendKey, nil, nil); res.StatusCode != 403 || p.Code != "forbidden_scope" || !strings.Contains(p.Detail, "messages:read") {
		t.Errorf("a key that may not read gets %d %+v", res.StatusCode, p)
	}
}

func TestTheSameKeySendsOnce(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	body := v1.NewMessage{From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater("b@example.org")}, Subject: "x", Text: "y"}
	var first, again v1.Receipt
	res, p := w.call("POST", "/v1/messages", sendKey, body, &first, "Idempotency-Key", "order-1")
	if res.StatusCode != 202 || res.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	res, _ = w.call("POST", "/v1/messages", sendKey, body, &again, "Idempotency-Key", `"order-1"`)
	if res.StatusCode != 202 || again.ID != first.ID || res.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %+v", res.StatusCode, again)
	}
	body.Subject = "z"
	if res, p = w.call("POST", "/v1/messages", sendKey, body, nil, "Idempotency-Key", "order-1"); res.StatusCode != 422 || p.Code != "idempotency_key_reused" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if res, p = w.call("POST", "/v1/messages", sendKey, body, nil, "Idempotency-Key", "with space"); res.StatusCode != 400 || p.Code != "idempotency_key_invalid" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if n := len(w.list(manageKey, "").Data); n != 1 || d.count() != 3 {
		t.Errorf("%d messages, %d submissions", n, d.count())
	}
}

func (w *world) list(key, query string) v1.MessageList {
	w.t.Helper()
	var l v1.MessageList
	if res, p := w.call("GET", "/v1/messages?"+query, key, nil, &l); res.StatusCode != 200 {
		w.t.Fatalf("list %s: %+v", query, p)
	}
	return l
}

func TestWhatIsWrongInAMessageIsPointedAt(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	good := `"from":"a@example.com","to":["b@example.org"],"text":"x"`
	for _, c := range []struct {
		body    string
		status  int
		pointer string
		code    string
	}{
		{`{` + good + `,"to":["c@example.org"]}`, 400, "#/to", "duplicate_name"},
		{`{` + good + `,"subjekt":"x"}`, 422, "#/subjekt", "unknown_field"},
		{`{` + good + `,"metadata":{"a":1}}`, 422, "#/metadata/a", "invalid_type"},
		{`{` + good + `,"scheduled_at":"tomorrow"}`, 422, "#/scheduled_at", "invalid_time"},
		{`{` + good + `,"tracking":{"opens":true}}`, 422, "#/tracking", "not_supported"},
		{`{` + good + `,"attachments":[{"filename":"a","url":"http://169.254.169.254/"}]}`, 422, "#/attachments/0/url", "not_supported"},
		{`{` + good + `,"attachments":[{"filename":"a","content":"?"}]}`, 422, "#/attachments/0/content", "invalid_base64"},
		{`{` + good + `,"attachments":[{"filename":"a","content":"","disposition":"lost"}]}`, 422, "#/attachments/0/disposition", "not_one_of"},
		{`{` + good + `,"priority":"urgent"}`, 422, "#/priority", "not_one_of"},
		{`{` + good + `,"tls":"always"}`, 422, "#/tls", "not_one_of"},
		{`{` + good + `,"unsubscribe":{"mode":"two_clicks"}}`, 422, "#/unsubscribe/mode", "not_one_of"},
		{`{` + good + `,"idempotency_key":"x"}`, 422, "#/idempotency_key", "not_allowed"},
		{`{` + good + `,"headers":{"To":"x"}}`, 422, "#/headers/To", ""},
		{`{"from":"a@example.com","to":["b@example.org","not an address"],"text":"x"}`, 422, "#/to/1", "invalid_address"},
		{`{"from":"a@example.com","to":["b@example.org, c@example.org"],"text":"x"}`, 422, "#/to/0", "invalid_address"},
		{`{"from":"a@example.com","to":[{"email":"nobody"}],"text":"x"}`, 422, "#/to/0/email", "invalid_address"},
		{`{"from":"a@example.com","to":[{"name":"Bob"}],"text":"x"}`, 422, "#/to/0/email", "required"},
		{`{"from":"a@example.com","to":[{"email":"b@example.org","mail":"x"}],"text":"x"}`, 422, "#/to/0/mail", "unknown_field"},
		{`{"from":"a@example.com","to":[7],"text":"x"}`, 422, "#/to/0", "invalid_type"},
		{`{"from":"a@example.com","text":"x"}`, 422, "#/to", "required"},
		{`{"to":["b@example.org"],"text":"x"}`, 422, "#/from", "required"},
		{`{"from":"a@example.com","to":["b@example.org"]}`, 422, "#/text", "required"},
		{`{"from":"a@example.com`, 400, "#/from", "truncated"},
		{`{"from":"a@example.com"} {}`, 400, "#", "trailing_data"},
		{`[]`, 422, "#", "invalid_type"},
		{``, 400, "", ""},
		{"{\"subject\":\"\xff\"}", 400, "#/subject", "invalid_utf8"},
		{`{"subject":"\ud800"}`, 400, "#/subject", "invalid_utf8"},
		{`{"subject": nil}`, 400, "#/subject", "syntax"},
	} {
		res, p := w.call("POST", "/v1/messages", sendKey, c.body, nil)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %+v, want %d", c.body, res.StatusCode, p, c.status)
			continue
		}
		if c.pointer == "" {
			continue
		}
		if !slices.ContainsFunc(p.Errors, func(e v1.FieldError) bool { return e.Pointer == c.pointer && (c.code == "" || e.Code == c.code) }) {
			t.Errorf("%s: %+v, want %s %s", c.body, p.Errors, c.pointer, c.code)
		}
	}
	if d.count() != 0 {
		t.Errorf("%d messages got through", d.count())
	}
}

func TestABatchIsCheckedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	item := func(to string) v1.NewMessage {
		return v1.NewMessage{From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater(to)}, Subject: "x", Text: "y"}
	}
	b := v1.Batch{Messages: []v1.NewMessage{item("b@example.org"), item("nobody"), item("c@example.org"), item("example")}}
	res, p := w.call("POST", "/v1/messages/batch", sendKey, b, nil)
	if res.StatusCode != 422 || len(p.Errors) != 2 || p.Errors[0].Pointer != "#/messages/1/to/0" || p.Errors[1].Pointer != "#/messages/3/to/0" || d.count() != 0 {
		t.Errorf("%d %+v, %d sent", res.StatusCode, p, d.count())
	}
	b.Mode = "permissive"
	var done v1.BatchReceipt
	res, p = w.call("POST", "/v1/messages/batch", sendKey, b, &done)
	if res.StatusCode != 202 || done.Accepted != 2 || done.Data[0].Message == nil || done.Data[1].Error == nil || done.Data[1].Error.Errors[0].Pointer != "#/messages/1/to/0" {
		t.Fatalf("%d %+v %+v", res.StatusCode, p, done)
	}
	many := v1.Batch{Messages: make([]v1.NewMessage, 501)}
	if res, p = w.call("POST", "/v1/messages/batch", sendKey, many, nil); res.StatusCode != 422 || p.Errors[0].Code != "too_many" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if res, p = w.call("POST", "/v1/messages/batch", sendKey, `{"messages":[]}`, nil); res.StatusCode != 422 || p.Errors[0].Pointer != "#/messages" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestABatchWithAKeyIsSentOnce(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	var b v1.Batch
	for i := range 40 {
		b.Messages = append(b.Messages, v1.NewMessage{From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater(fmt.Sprintf("u%d@example.org", i))}, Text: "y"})
	}
	var first, again v1.BatchReceipt
	if res, p := w.call("POST", "/v1/messages/batch", sendKey, b, &first, "Idempotency-Key", "batch-1"); res.StatusCode != 202 || first.Accepted != 40 {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	w.call("POST", "/v1/messages/batch", sendKey, b, &again, "Idempotency-Key", "batch-1")
	for i := range first.Data {
		if first.Data[i].Message.ID != again.Data[i].Message.ID {
			t.Errorf("message %d was sent twice", i)
		}
	}
	b.Messages = append(b.Messages, b.Messages...) // another batch, that begins like it
	if res, p := w.call("POST", "/v1/messages/batch", sendKey, b, nil, "Idempotency-Key", "batch-1"); res.StatusCode != 422 || p.Code != "idempotency_key_reused" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	b.Messages[7].IdempotencyKey = "seven"
	if res, p := w.call("POST", "/v1/messages/batch", sendKey, b, nil, "Idempotency-Key", "batch-2"); res.StatusCode != 422 || p.Errors[0].Pointer != "#/messages/7/idempotency_key" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	b.Messages = b.Messages[7:8]
	for range 2 {
		w.call("POST", "/v1/messages/batch", sendKey, b, &again)
	}
	if n := len(w.list(manageKey, "limit=200").Data); n != 41 {
		t.Errorf("%d messages, want 41", n)
	}
}

func TestTroubleEndsABatch(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	b := v1.Batch{Mode: "permissive", Messages: make([]v1.NewMessage, 100)}
	for i := range b.Messages {
		b.Messages[i] = v1.NewMessage{From: v1.ParseLater("a@example.com"), To: v1.Addresses{v1.ParseLater("b@example.org")}, Text: "y"}
	}
	d.err = &queue.Refusal{Code: 450, Kind: queue.RefusedRate, Problem: "Too much at once.", RetryAfter: 7 * time.Second}
	res, p := w.call("POST", "/v1/messages/batch", sendKey, b, nil)
	if res.StatusCode != 429 || p.RetryAfter != 7 || res.Header.Get("Retry-After") != "7" || res.Header.Get("Ratelimit-Reset") != "7" || d.count() > 16 {
		t.Errorf("%d %+v %v after %d", res.StatusCode, p, res.Header, d.count())
	}
}

func TestARawMessageGoesThroughAsItIs(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	raw := "From: a@example.com\r\nTo: b@example.org\r\nSubject: =?utf-8?q?=C3=A4?=\r\nX-Odd:   kept\r\n\r\nbody\r\n"
	var r v1.Receipt
	res, p := w.call("POST", "/v1/messages/raw?to=c@example.org&to=d@example.org&tag=x&metadata[order]=1&stream=transactional", sendKey, raw, &r, "Content-Type", "message/rfc822")
	if res.StatusCode != 202 || len(r.Recipients) != 2 {
		t.Fatalf("%d %+v", res.StatusCode, p)
	}
	s, text := d.last()
	if !strings.Contains(text, "X-Odd:   kept\r\n") || s.Labels.Tags[0] != "x" || s.Labels.Metadata["order"] != "1" || s.Recipients[1].Address.String() != "d@example.org" {
		t.Errorf("%+v %s", s, text)
	}
	for _, c := range []struct {
		query, kind string
		status      int
		parameter   string
	}{
		{"", "text/plain", 415, ""},
		{"to=nobody", "message/rfc822", 422, "to"},
		{"tos=x", "message/rfc822", 422, "tos"},
		{"sandbox=maybe", "message/rfc822", 422, "sandbox"},
		{"expires_at=soon", "message/rfc822", 422, "expires_at"},
		{"priority=urgent", "message/rfc822", 422, "priority"},
		{"stream=a&stream=b", "message/rfc822", 422, "stream"},
		{"stream=newsletter", "message/rfc822", 422, "stream"},
	} {
		res, p := w.call("POST", "/v1/messages/raw?"+c.query, sendKey, raw, nil, "Content-Type", c.kind)
		if res.StatusCode != c.status || c.parameter != "" && !slices.ContainsFunc(p.Errors, func(e v1.FieldError) bool { return e.Parameter == c.parameter }) {
			t.Errorf("%s: %d %+v", c.query, res.StatusCode, p)
		}
	}
}

func TestAnAdminSaysForWhomItSends(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	body := `{"from":"a@example.com","to":"b@example.org","text":"x"}`
	if res, p := w.call("POST", "/v1/messages", key, body, nil); res.StatusCode != 422 || p.Errors[0].Parameter != "account" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if res, p := w.call("POST", "/v1/messages?account=blog", key, body, nil); res.StatusCode != 202 {
		t.Errorf("%d %+v", res.StatusCode, p)
	} else if s, _ := d.last(); s.Account != "blog" {
		t.Errorf("sent as %s", s.Account)
	}
	if res, _ := w.call("POST", "/v1/messages?account=blog", sendKey, body, nil); res.StatusCode != 404 {
		t.Errorf("one account sends as another: %d", res.StatusCode)
	}
	if res, p := w.call("POST", "/v1/messages", sandboxKey, body, nil); res.StatusCode != 202 {
		t.Errorf("%d %+v", res.StatusCode, p)
	} else if s, _ := d.last(); !s.Sandbox {
		t.Error("a sandbox key sends for real")
	}
}

func TestAMessageCanBeCheckedWithoutSendingIt(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	var v v1.Validation
	if res, p := w.call("POST", "/v1/messages/validate", sendKey, `{"from":"a@example.com","to":"b@example.org","text":"x"}`, &v); res.StatusCode != 200 || !v.Valid {
		t.Errorf("%d %+v %+v", res.StatusCode, p, v)
	}
	if res, p := w.call("POST", "/v1/messages/validate", sendKey, `{"from":"a@example.com","to":"nobody","text":"x"}`, &v); res.StatusCode != 200 || v.Valid || v.Errors[0].Pointer != "#/to/0" {
		t.Errorf("%d %+v %+v", res.StatusCode, p, v)
	}
	if d.count() != 0 {
		t.Error("it was sent")
	}
}
