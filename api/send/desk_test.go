package send_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/api/access"
	"postrider/api/compose"
	"postrider/api/send"
	"postrider/queue"
	"postrider/queue/suppression"
)

func TestAMessageIsComposedAndHandedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := hello()
	r.Message.Cc, r.Message.Bcc = boxes("carol@example.org", "BOB@example.org"), boxes("dave@example.org", "bob@EXAMPLE.org", "carol@example.org")
	r.Labels = queue.Labels{Tags: []string{"a", "b", "a"}, Metadata: map[string]string{"order": "1042"}}
	r.Priority, r.RequireTLS, r.ExpiresAt = queue.PriorityHigh, true, now.Add(time.Hour)
	receipt := w.send(r)

	s, text := w.door.got[0], w.door.texts[0]
	if s.ID != receipt.ID || s.Account != "shop" || s.Credential != "key_1" || s.Source.Kind != "http" || s.Source.Auth != "key" || s.Source.Remote != shop.Remote {
		t.Errorf("%+v", s)
	}
	if s.Labels.Stream != "transactional" || len(s.Labels.Tags) != 2 || s.Labels.Metadata["order"] != "1042" || s.Priority != queue.PriorityHigh || !s.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", s)
	}
	if s.Envelope.ReversePath != address("shop@Example.com") || !s.Envelope.RequireTLS || s.Envelope.SMTPUTF8 || !s.NotBefore.IsZero() || s.Sandbox {
		t.Errorf("%+v", s.Envelope)
	}
	var got []string
	for i, to := range receipt.Recipients {
		got = append(got, to.Type+" "+to.Address.String())
		if to.ID != receipt.ID.Recipient(i) || s.Recipients[i].Address != to.Address {
			t.Errorf("recipient %d: %+v", i, to)
		}
	}
	if want := []string{"to bob@example.org", "cc carol@example.org", "cc BOB@example.org", "bcc dave@example.org"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if receipt.MessageID != receipt.ID.String()+"@example.com" || !receipt.CreatedAt.Equal(accepted) || receipt.Stream != "transactional" || receipt.Replayed || receipt.Scheduled {
		t.Errorf("%+v", receipt)
	}
	for _, want := range []string{"Message-ID: <" + receipt.MessageID + ">\r\n", "Date: Thu, 26 Nov 2026 09:00:00 +0000\r\n", "From: Shop <shop@Example.com>\r\n", "\r\n\r\nHello\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "dave@") {
		t.Error("a hidden recipient is named")
	}
}

func TestWhatACallerSaysOfTheMessageHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := hello()
	r.Message.From.Address = address("jörg@bücher.example")
	r.Message.Fields = []compose.Field{{Name: "Message-ID", Value: "<own@example.com>"}, {Name: "X-A", Value: "b"}}
	r.Message.Date = now.Add(-time.Hour)
	bounces := address("bounces@example.com")
	r.EnvelopeFrom, r.ScheduledAt, r.Sandbox = &bounces, now.Add(time.Hour), true
	receipt := w.send(r)
	s := w.door.got[0]
	if receipt.MessageID != "own@example.com" || !receipt.Scheduled || !receipt.Sandbox || !s.Sandbox || !s.NotBefore.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", receipt)
	}
	if s.Envelope.ReversePath != bounces || !s.Envelope.SMTPUTF8 {
		t.Errorf("%+v", s.Envelope)
	}
	if !strings.Contains(w.door.texts[0], "Date: Thu, 26 Nov 2026 08:00:00 +0000\r\n") || len(r.Message.Fields) != 2 {
		t.Error(w.door.texts[0])
	}
	r = hello()
	r.Message.From.Address, r.ScheduledAt = address("x@[192.0.2.1]"), now.Add(-time.Hour)
	if receipt := w.send(r); !strings.HasSuffix(receipt.MessageID, "@relay.example.net") || receipt.Scheduled || !w.door.got[1].NotBefore.IsZero() {
		t.Errorf("%+v", receipt)
	}
	password := shop
	password.Credential, password.Sandbox, password.Stream = "", true, "bulk"
	e := w.refused(password, hello())
	if len(e.Problems) != 1 || e.Problems[0].Pointer != "#/unsubscribe" {
		t.Errorf("the caller's stream was not used: %+v", e)
	}
	password.Stream = ""
	if _, err := w.desk.Send(t.Context(), password, hello()); err != nil || w.door.got[2].Source.Auth != "password" || !w.door.got[2].Sandbox {
		t.Errorf("%v", err)
	}
}

func TestCallersWhoMayNotSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for code, c := range map[string]access.Caller{
		"forbidden_scope":  {Account: "shop", Scopes: []queue.Scope{queue.ScopeRead}},
		"forbidden_scope ": {Scopes: []queue.Scope{queue.ScopeAdmin}},
		"account_disabled": {Account: "shop", Scopes: []queue.Scope{queue.ScopeSend}, Disabled: "has not paid"},
	} {
		// Who may not send is not told what else is wrong.
		if e := w.refused(c, send.Request{}); e.Status != 403 || e.Code != strings.TrimSpace(code) || strings.Contains(e.Detail, "paid") {
			t.Errorf("%s: %+v", code, e)
		}
	}
	if len(w.door.got) != 0 {
		t.Error("something was handed in")
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := hello()
	bad := queue.Address{Local: "a", Domain: "b c"}
	r.EnvelopeFrom = &bad
	r.Message.Subject, r.Message.To = "a\nb", append(r.Message.To, compose.Mailbox{Address: bad})
	r.Message.Fields = []compose.Field{{Name: "Bcc", Value: "x@y.example"}}
	r.Labels = queue.Labels{Stream: "no-such", List: "a\nb", Tags: []string{strings.Repeat("t", 129), ""}, Metadata: map[string]string{"": "x", "a": strings.Repeat("x", 5000), "b": "\x00"}}
	for i := range 25 {
		r.Labels.Tags = append(r.Labels.Tags, strings.Repeat("x", i+1))
	}
	r.Priority, r.ScheduledAt, r.ExpiresAt = 9, now.Add(91*24*time.Hour), now.Add(time.Hour)
	r.Unsubscribe = &send.Unsubscribe{Mode: "perhaps"}
	e := w.refused(shop, r)
	if e.Status != 422 || e.Code != "validation_failed" {
		t.Errorf("%+v", e)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, p.Pointer+" "+p.Code)
		for _, secret := range []string{"b c", "y.example", "no-such", "perhaps"} {
			if strings.Contains(p.Detail, secret) {
				t.Errorf("%s repeats what was submitted: %s", p.Pointer, p.Detail)
			}
		}
	}
	want := []string{
		"#/to/1 invalid_address", "#/subject control_character", "#/headers/Bcc not_allowed", "#/envelope_from invalid_address", "#/list control_character",
		"#/tags/0 too_long", "#/tags/1 required", "#/tags too_many", "#/metadata required", "#/metadata control_character", "#/metadata too_long",
		"#/priority invalid_value", "#/scheduled_at too_late", "#/expires_at too_early", "#/unsubscribe/mode invalid_value", "#/stream not_found",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestMoreThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *send.Options) { o.MaxRecipients, o.MaxSize = 2, 100 })
	for want, change := range map[string]func(*send.Request){
		"validation_failed # required":               func(r *send.Request) { r.Message = nil },
		"validation_failed #/to required":            func(r *send.Request) { r.Message.To = nil },
		"validation_failed #/to too_many":            func(r *send.Request) { r.Message.Cc = boxes("a@b.example", "c@d.example") },
		"validation_failed #/expires_at in_the_past": func(r *send.Request) { r.ExpiresAt = now },
		"validation_failed #/metadata too_many": func(r *send.Request) {
			r.Labels.Metadata = map[string]string{}
			for i := range 51 {
				r.Labels.Metadata[strings.Repeat("k", i+1)] = ""
			}
		},
		"payload_too_large":          func(r *send.Request) { r.Message.Attachments = []compose.Attachment{{Content: make([]byte, 101)}} },
		"idempotency_key_invalid":    func(r *send.Request) { r.IdempotencyKey = "a b" },
		"idempotency_key_invalid ":   func(r *send.Request) { r.IdempotencyKey = `""` },
		"idempotency_key_invalid  ":  func(r *send.Request) { r.IdempotencyKey = strings.Repeat("x", 256) },
		"idempotency_key_invalid   ": func(r *send.Request) { r.IdempotencyKey = "é" },
	} {
		r := hello()
		change(&r)
		e := w.refused(shop, r)
		got := e.Code
		for _, p := range e.Problems {
			got += " " + p.Pointer + " " + p.Code
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if len(w.door.got) != 0 {
		t.Error("something was handed in")
	}
}

func TestARepeatedRequestGetsTheFirstReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.off = []int{1}
	r := hello()
	r.IdempotencyKey, r.Message.Bcc = `order "1" \x`, boxes("carol@example.org")
	if e := w.refused(shop, r); e.Code != "idempotency_key_invalid" { // a space
		t.Fatalf("%+v", e)
	}
	r.IdempotencyKey = "order-1"
	first := w.send(r)
	if first.Replayed || !first.Recipients[1].Suppressed {
		t.Fatalf("%+v", first)
	}
	r.IdempotencyKey = `"order-1"` // the same, as RFC 8941 writes it
	again := w.send(r)
	if !again.Replayed {
		t.Fatalf("%+v", again)
	}
	again.Replayed = false
	if again.ID != first.ID || again.MessageID != first.MessageID || !again.CreatedAt.Equal(first.CreatedAt) || !slices.Equal(again.Recipients, first.Recipients) || again.Stream != first.Stream {
		t.Errorf("%+v\n%+v", again, first)
	}
	for name, change := range map[string]func(*send.Request){
		"another text":      func(r *send.Request) { r.Message.Text = "Other\n" },
		"another recipient": func(r *send.Request) { r.Message.Cc = boxes("x@example.org") },
		"another operation": func(r *send.Request) { r.Operation = "POST /emails" },
		"another tag":       func(r *send.Request) { r.Labels.Tags = []string{"x"} },
		"another file":      func(r *send.Request) { r.Message.Attachments = []compose.Attachment{{Content: []byte("x")}} },
		"a sender":          func(r *send.Request) { r.Message.Sender = &r.Message.From },
		"another time":      func(r *send.Request) { r.ScheduledAt = now.Add(time.Hour) },
	} {
		r := hello()
		r.IdempotencyKey, r.Message.Bcc = "order-1", boxes("carol@example.org")
		change(&r)
		if e := w.refused(shop, r); e.Status != 422 || e.Code != "idempotency_key_reused" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// A surface's own fingerprint decides alone, but for the operation.
	own := hello()
	own.IdempotencyKey, own.Fingerprint = "order-2", [32]byte{1}
	w.send(own)
	own.Message.Text = "Other\n"
	if !w.send(own).Replayed {
		t.Error("the own fingerprint was not used")
	}
}

func TestRefusalsOfTheRelayInTheWordsOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		refusal queue.Refusal
		status  int
		code    string
		wait    time.Duration
	}{
		{queue.Refusal{Code: 550, Kind: queue.RefusedSender}, 403, "sender_not_allowed", 0},
		{queue.Refusal{Code: 550, Kind: queue.RefusedRecipient}, 403, "recipient_not_allowed", 0},
		{queue.Refusal{Code: 550, Kind: queue.RefusedStream}, 403, "stream_not_allowed", 0},
		{queue.Refusal{Code: 550, Kind: queue.RefusedAccount}, 403, "account_disabled", 0},
		{queue.Refusal{Code: 535, Kind: queue.RefusedCredential}, 401, "key_expired", 0},
		{queue.Refusal{Code: 552, Kind: queue.RefusedSize}, 413, "payload_too_large", 0},
		{queue.Refusal{Code: 554, Kind: queue.RefusedContent}, 422, "invalid_content", 0},
		{queue.Refusal{Code: 501, Kind: queue.RefusedAddress}, 422, "validation_failed", 0},
		{queue.Refusal{Code: 450, Kind: queue.RefusedRate, RetryAfter: 7 * time.Second}, 429, "rate_limited", 7 * time.Second},
		{queue.Refusal{Code: 452, Kind: queue.RefusedFull}, 503, "queue_full", 30 * time.Second},
		{queue.Refusal{Code: 451, Kind: queue.RefusedUnavailable}, 503, "unavailable", 0},
		{queue.Refusal{Code: 554, Kind: queue.RefusedIdempotency}, 422, "idempotency_key_reused", 0},
		{queue.Refusal{Code: 554, Kind: queue.RefusedKey}, 400, "idempotency_key_invalid", 0},
		{queue.Refusal{Code: 554, Kind: queue.RefusedSuppressed}, 422, "all_recipients_suppressed", 0},
		{queue.Refusal{Code: 452, Kind: queue.RefusedRecipientMax}, 422, "too_many_recipients", 0},
		{queue.Refusal{Code: 554, Problem: "It goes round."}, 422, "validation_failed", 0},
		{queue.Refusal{Code: 421, Problem: "Later."}, 503, "unavailable", 0},
	} {
		c.refusal.Reference = "r1"
		w.door.err = errors.Join(errors.New("the cause, for the log"), &c.refusal)
		e := w.refused(shop, hello())
		if e.Status != c.status || e.Code != c.code || e.RetryAfter != c.wait || strings.Contains(e.Detail, "cause") || !strings.Contains(e.Detail, c.refusal.Problem) {
			t.Errorf("%+v: %+v", c.refusal, e)
		}
		if c.refusal.Kind == queue.RefusedSuppressed && !slices.Equal(e.Suppressed, []string{"bob@example.org"}) {
			t.Errorf("%v", e.Suppressed)
		}
	}
	w.door.err = errors.New("disk on fire")
	if _, err := w.desk.Send(t.Context(), shop, hello()); err != w.door.err { //nolint:errorlint // it is passed on as it is
		t.Errorf("our own trouble: %v", err)
	}
}

func TestACheckSendsNothing(t *testing.T) {
	t.Parallel()
	var asked []queue.Submission
	no := error(nil)
	w := newWorld(t, func(o *send.Options) {
		o.Preflight = func(_ context.Context, s queue.Submission) error {
			asked = append(asked, s)
			return no
		}
	})
	check := func(r send.Request) string {
		err := w.desk.Check(t.Context(), shop, r)
		var e *send.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		if e == nil {
			return ""
		}
		return e.Code
	}
	r := hello()
	r.Message.Cc = boxes("carol@example.org")
	if got := check(r); got != "" || len(asked) != 1 || asked[0].Content != nil || len(asked[0].Recipients) != 2 {
		t.Errorf("%s, %+v", got, asked)
	}
	if got := check(send.Request{Raw: strings.NewReader("not read")}); got != "" {
		t.Errorf("raw: %s", got)
	}
	no = &queue.Refusal{Code: 550, Kind: queue.RefusedSender}
	if got := check(r); got != "sender_not_allowed" {
		t.Error(got)
	}
	no = nil
	for i, a := range []string{"bob@example.org", "carol@example.org"} {
		want := []string{"", "all_recipients_suppressed"}[i]
		if _, _, err := w.list.Add(t.Context(), suppression.Entry{Account: "shop", Address: address(a), Reason: suppression.Manual}); err != nil {
			t.Fatal(err)
		}
		if got := check(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r.Message.Subject = "\n"
	if got := check(r); got != "validation_failed" {
		t.Error(got)
	}
	if len(w.door.got) != 0 {
		t.Error("something was handed in")
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	var e *send.Error
	if err := w.desk.Check(t.Context(), shop, hello()); err == nil || errors.As(err, &e) {
		t.Errorf("our own trouble: %v", err)
	}
}

// Admins may name the account: one that nobody can have is their mistake, and not
// trouble of ours.
func TestAnAccountThatNobodyCanHaveIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{strings.Repeat("a", 65), "a/b", "ä", "a b", "a\x00"} {
		caller := shop
		caller.Account = name
		if e := w.refused(caller, hello()); e.Status != 422 || e.Code != "validation_failed" || len(e.Problems) != 1 || !strings.Contains(e.Problems[0].Detail, "account") {
			t.Errorf("%q: %+v", name, e)
		}
	}
}
