package resend_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/api/compat/resend"
	"postrider/api/send"
)

func newWorld(t testing.TB, change ...func(*compat.Options)) *compattest.World {
	t.Helper()
	return compattest.New(t, resend.Routes, change...)
}

const simple = `{"from":"a@shop.test","to":"b@x.test","subject":"Hi","text":"Hello"}`

// What each library writes for a message, byte for byte or nearly so.
func TestBodiesAsTheLibrariesSendThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		body  string
		check func(t *testing.T, s compattest.Sent)
	}{
		"Node": {
			`{"attachments":[{"content":"aGk=","filename":"a.txt","content_type":"text/plain"},{"content":{"type":"Buffer","data":[104,105]},"filename":false,"content_id":"logo"}],` +
				`"bcc":["d@x.test"],"cc":"c@x.test","from":"Acme <a@shop.test>","headers":{"X-Entity-Ref-ID":"42"},"html":"<p>Hi</p>","reply_to":["r@shop.test"],` +
				`"subject":"Grüße","tags":[{"name":"category","value":"welcome"}],"text":"Hi","to":["b@x.test","B Two <b2@x.test>"]}`,
			func(t *testing.T, s compattest.Sent) {
				m := s.Message
				expect(t, compattest.Texts(m.To), []string{"b@x.test", "B Two <b2@x.test>"})
				expect(t, compattest.Texts(append(append(m.Cc, m.Bcc...), m.ReplyTo...)), []string{"c@x.test", "d@x.test", "r@shop.test"})
				expect(t, m.From.Name, "Acme")
				expect(t, []string{m.Subject, m.HTML, m.Text}, []string{"Grüße", "<p>Hi</p>", "Hi"})
				expect(t, len(m.Attachments), 2)
				expect(t, m.Attachments[0].Filename+" "+m.Attachments[0].ContentType+" "+string(m.Attachments[0].Content), "a.txt text/plain hi")
				expect(t, m.Attachments[1].ContentID+" "+string(m.Attachments[1].Content), "logo hi")
				expect(t, []bool{m.Attachments[0].Inline, m.Attachments[1].Inline}, []bool{false, true})
				expect(t, m.Fields[0].Name+": "+m.Fields[0].Value, "X-Entity-Ref-ID: 42")
				expect(t, s.Labels.Metadata, map[string]string{"category": "welcome"})
				expect(t, s.Labels.Tags, []string{"category"})
			},
		},
		"Go and Python: octets as numbers": {
			`{"from":"a@shop.test","to":["b@x.test"],"subject":"Hi","html":"<p>x</p>","attachments":[{"content":[0,255,10],"filename":"x.bin","inline_content_id":"cid:<i>"}]}`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, s.Message.Attachments[0].Content, []byte{0, 255, 10})
				expect(t, s.Message.Attachments[0].ContentID, "i")
				expect(t, []bool{s.Message.HasHTML, s.Message.HasText}, []bool{true, false})
			},
		},
		"Laravel: null and empty lists": {
			`{"bcc":[],"cc":[],"from":"a@shop.test","headers":[],"html":null,"reply_to":[],"subject":"Hi","text":"Hello","to":["b@x.test"],"attachments":[],"tags":[],"scheduled_at":null,"template":null,"topic_id":null}`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, []bool{s.Message.HasHTML, s.Message.HasText}, []bool{false, true})
				expect(t, len(s.Message.Cc)+len(s.Message.ReplyTo)+len(s.Message.Fields), 0)
				expect(t, s.Labels.IsZero(), true)
			},
		},
		"Symfony: tags of another shape": {
			`{"from":"\"Shop\" <a@shop.test>","to":["\"B\" <b@x.test>"],"subject":"Hi","text":"x","tags":[{"X-Tag":"v"}],"headers":{"Reply-To":"r@shop.test","Message-ID":"<1@shop.test>","Date":"Mon, 23 Nov 2026 05:00:00 +0000"}}`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, s.Labels.Metadata, map[string]string{"X-Tag": "v"})
				expect(t, compattest.Texts(s.Message.ReplyTo), []string{"r@shop.test"})
				expect(t, s.Message.MessageID, "1@shop.test")
				expect(t, len(s.Message.Fields), 0)
			},
		},
		"an unknown member and an empty text": {
			`{"from":"a@shop.test","to":"b@x.test, c@x.test","subject":"","html":"<p>x</p>","text":"","region":"eu-west-1","unknown":[{}]}`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, []bool{s.Message.HasHTML, s.Message.HasText}, []bool{true, false})
				expect(t, len(s.Message.To), 2)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.Do("POST", "/emails", c.body)
			if a.Status != 200 || a.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			s := w.Sender.Only()
			a.Expect(t, 200, fmt.Sprintf(`{"id":"%s"}`, s.ID))
			expect(t, s.Operation, "POST /emails")
			c.check(t, s)
		})
	}
}

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestWhatIsWrongIsToldByANameThatLibrariesKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	with := func(more string) string { return simple[:len(simple)-1] + "," + more + "}" }
	for _, c := range []struct{ body, name, says string }{
		{`{"to":"b@x.test","subject":"s","text":"t"}`, "missing_required_field", "from: is missing"},
		{`{"from":"a@shop.test","to":[],"subject":"s","text":"t"}`, "missing_required_field", "to: is missing"},
		{`{"from":"a@shop.test","to":"b@x.test","text":"t"}`, "missing_required_field", "subject: is missing"},
		{`{"from":"a@shop.test","to":"b@x.test","subject":"s"}`, "missing_required_field", "html: is missing"},
		{`{"from":"secret","to":"b@x.test","subject":"s","text":"t"}`, "invalid_from_address", "from: must be an address"},
		{`{"from":"a@shop.test","to":["b@x.test","secret"],"subject":"s","text":"t"}`, "validation_error", "to[1]: must be an address"},
		{`{"from":"a@shop.test","to":["b@x.test",""],"subject":"s","text":"t"}`, "validation_error", "to[1]: is empty"},
		{with(`"cc":{"secret":1}`), "validation_error", "cc: must be a text or a list"},
		{with(`"template":{"id":"secret"}`), "validation_error", "no templates"},
		{with(`"topic_id":"secret"`), "validation_error", "no topics"},
		{with(`"attachments":[{"path":"https://secret.test/a.pdf","filename":"a.pdf"}]`), "invalid_attachment", "attachments[0].path: this relay fetches no files"},
		{with(`"attachments":[{"filename":"secret"}]`), "invalid_attachment", "attachments[0].content: is missing"},
		{with(`"attachments":[{"content":"secret!"}]`), "invalid_attachment", "attachments[0].content: must be base64"},
		{with(`"tags":[{"value":"secret","x":"y"}]`), "missing_required_field", "tags[0]: needs a name"},
		{with(`"tags":[{"name":"a"},{"name":"a"}]`), "validation_error", "tags[1]: has the name of an earlier tag"},
		{with(`"scheduled_at":"secret"`), "validation_error", "scheduled_at: must be a time such as"},
		{with(`"scheduled_at":"tomorrow at 9am"`), "validation_error", "in 5 minutes"},
		{with(`"headers":{"Reply-To":"secret"}`), "validation_error", "headers: must be an address"},
	} {
		a := w.Do("POST", "/emails", c.body)
		a.Says(t, 422, `{"statusCode":422,"name":"`+c.name+`","message":"`, c.says)
		if strings.Contains(a.Body, "secret") {
			t.Errorf("what was submitted is repeated: %s", a.Body)
		}
	}
	w.Do("POST", "/emails", "{").Says(t, 400, `"statusCode":400,"name":"validation_error"`, "not valid JSON")
	w.Do("POST", "/emails", simple, "Idempotency-Key", "a b").Says(t, 400, `"name":"invalid_idempotency_key"`)
	if n := len(w.Sender.All()); n != 0 {
		t.Errorf("%d were sent", n)
	}
}

func TestKeysAndTheirFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for auth, want := range map[string]string{
		"":                              `401 "name":"missing_api_key"`,
		"Bearer nonsense":               `401 "name":"invalid_api_key"`,
		"Bearer " + compattest.Expired:  `401 "name":"invalid_api_key"`,
		"Bearer " + compattest.Away:     `403 "name":"restricted_api_key"`,
		"Bearer " + compattest.ReadOnly: `401 "name":"restricted_api_key"`,
		"Bearer " + compattest.Guessed:  `429 "name":"rate_limit_exceeded"`,
		"Bearer " + compattest.Broken:   `503 "name":"application_error"`,
		"Bearer " + compattest.SendOnly: `200 "id"`,
	} {
		a := w.Do("POST", "/emails", simple, "Authorization", auth)
		if got := fmt.Sprintf("%d %s", a.Status, a.Body); !strings.HasPrefix(got, want[:4]) || !strings.Contains(got, want[4:]) {
			t.Errorf("%q: %s, want %s", auth, got, want)
		}
	}
	for _, h := range []string{"X-Postmark-Server-Token", "X-Server-API-Key"} {
		w.Do("POST", "/emails", simple, "Authorization", "", h, compattest.Key).Says(t, 200, "id")
	}
	w.Do("POST", "/emails/msg_1/cancel", "", "Authorization", "Bearer "+compattest.SendOnly).Says(t, 401, "restricted_api_key", "messages:write")
	w.Do("GET", "/emails/msg_1", "", "Authorization", "Bearer "+compattest.SendOnly).Says(t, 401, "restricted_api_key")
}

func TestRefusalsOfTheSenderAreTranslated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		err    error
		status int
		name   string
		header string
	}{
		{&send.Error{Status: 403, Code: "sender_not_allowed", Detail: "Not yours."}, 403, "invalid_from_address", ""},
		{&send.Error{Status: 409, Code: "idempotency_key_reused", Detail: "x"}, 409, "invalid_idempotent_request", ""},
		{&send.Error{Status: 422, Code: "idempotency_key_reused", Detail: "x"}, 409, "invalid_idempotent_request", ""},
		{&send.Error{Status: 409, Code: "idempotency_in_progress", Detail: "x", RetryAfter: time.Second}, 409, "concurrent_idempotent_requests", "Retry-After: 1"},
		{&send.Error{Status: 429, Code: "rate_limited", Detail: "x", RetryAfter: 1500 * time.Millisecond}, 429, "rate_limit_exceeded", "Ratelimit-Reset: 2"},
		{&send.Error{Status: 503, Code: "queue_full", Detail: "x"}, 503, "application_error", "Retry-After: 5"},
		{&send.Error{Status: 413, Code: "payload_too_large", Detail: "x"}, 413, "validation_error", ""},
		{&send.Error{Status: 422, Code: "all_recipients_suppressed", Detail: "x", Suppressed: []string{"secret@x.test"}}, 422, "validation_error", ""},
		{&send.Error{Status: 422, Code: "validation_failed", Problems: []send.Problem{{Pointer: "#/attachments/0/filename", Code: "too_long", Detail: "is too long"}}}, 422, "invalid_attachment", ""},
		{errors.New("disk on fire"), 503, "application_error", "Retry-After: 5"},
	} {
		w.Sender.Refuse = func(send.Request) error { return c.err }
		a := w.Do("POST", "/emails", simple)
		a.Says(t, c.status, fmt.Sprintf(`{"statusCode":%d,"name":"%s"`, c.status, c.name))
		if strings.Contains(a.Body, "fire") || strings.Contains(a.Body, "secret") {
			t.Errorf("too much is told: %s", a.Body)
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok && a.Header.Get(name) != value {
			t.Errorf("%v: %s is %q", c.err, c.header, a.Header.Get(name))
		}
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for text, want := range map[string]time.Time{
		"2026-12-01T10:00:00Z":          time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC),
		"2026-12-01T10:00:00.123+02:00": time.Date(2026, 12, 1, 8, 0, 0, 123e6, time.UTC),
		"2026-12-01 10:00:00.123456+00": time.Date(2026, 12, 1, 10, 0, 0, 123456e3, time.UTC),
		"in 1 min":                      w.Now().Add(time.Minute),
		"In an hour":                    w.Now().Add(time.Hour),
		"in 2 hours":                    w.Now().Add(2 * time.Hour),
		"in 3 days":                     w.Now().Add(72 * time.Hour),
		"in 99999999999999999 days":     {},
		"in -1 hours":                   {},
		"in 1 month":                    {},
		"1 hour":                        {},
		"2026-12-01":                    {},
		"2026-12-01T10:00:00":           {},
		"in 1 min in 1 min":             {},
	} {
		a := w.Do("POST", "/emails", simple[:len(simple)-1]+`,"scheduled_at":"`+text+`"}`)
		if want.IsZero() {
			a.Says(t, 422, "scheduled_at")
			continue
		}
		a.Says(t, 200, "id")
		if got := w.Sender.Only().ScheduledAt; !got.Equal(want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	mail := func(to string) string {
		return fmt.Sprintf(`{"from":"a@shop.test","to":%q,"subject":"s","text":"t"}`, to)
	}
	list := func(mails ...string) string { return "[" + strings.Join(mails, ",") + "]" }

	t.Run("each email is a message with a key of its own", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.Do("POST", "/emails/batch", list(mail("b@x.test"), mail("c@x.test")), "Idempotency-Key", "k1", "X-Batch-Validation", "strict")
		sent := w.Sender.All()
		if len(sent) != 2 || w.Sender.Checked() != 2 {
			t.Fatalf("%d sent, %d checked", len(sent), w.Sender.Checked())
		}
		slices.SortFunc(sent, func(a, b compattest.Sent) int { return strings.Compare(a.IdempotencyKey, b.IdempotencyKey) })
		a.Expect(t, 200, fmt.Sprintf(`{"data":[{"id":"%s"},{"id":"%s"}]}`, sent[0].ID, sent[1].ID))
		for i, want := range []string{"k1/0 b@x.test", "k1/1 c@x.test"} {
			if got := sent[i].IdempotencyKey + " " + sent[i].Message.To[0].Address.String(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
	t.Run("strict sends none if one is wrong", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Do("POST", "/emails/batch", list(mail("b@x.test"), mail("nobody"))).Says(t, 422, "[1].to: must be an address")
		w.Sender.Refuse = func(r send.Request) error {
			if r.Message.To[0].Address.Local == "c" {
				return &send.Error{Status: 422, Code: "validation_failed", Detail: "no", Problems: []send.Problem{{Pointer: "#/to/0", Code: "not_allowed", Detail: "may not be written to"}}}
			}
			return nil
		}
		w.Do("POST", "/emails/batch", list(mail("b@x.test"), mail("c@x.test"))).Says(t, 422, "[1].to[0]: may not be written to")
		if n := len(w.Sender.All()); n != 0 {
			t.Errorf("%d were sent", n)
		}
	})
	t.Run("permissive sends those that are right", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		a := w.Do("POST", "/emails/batch", list(mail("nobody"), mail("c@x.test")), "X-Batch-Validation", "permissive")
		a.Expect(t, 200, fmt.Sprintf(`{"data":[{"id":"%s"}],"errors":[{"index":0,"message":"to: must be an address such as user@example.com or Name <user@example.com>"}]}`, w.Sender.Only().ID))
	})
	t.Run("permissive with our own trouble is trouble", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Sender.Refuse = func(send.Request) error { return errors.New("disk on fire") }
		w.Do("POST", "/emails/batch", list(mail("b@x.test")), "X-Batch-Validation", "permissive").Says(t, 503, "application_error")
	})
	t.Run("trouble in the middle says how far it came", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		seen := 0
		w.Sender.Refuse = func(send.Request) error {
			if seen++; seen == 4 { // two are checked, one is sent
				return errors.New("disk on fire")
			}
			return nil
		}
		w.Do("POST", "/emails/batch", list(mail("b@x.test"), mail("c@x.test"))).Says(t, 503, "1 of 2 emails were accepted")
	})
	t.Run("limits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Do("POST", "/emails/batch", "[]").Says(t, 422, "1 to 100")
		w.Do("POST", "/emails/batch", list(slices.Repeat([]string{mail("b@x.test")}, 101)...)).Says(t, 422, "1 to 100")
		w.Do("POST", "/emails/batch", list(mail("b@x.test")), "X-Batch-Validation", "loose").Says(t, 422, "strict or permissive")
		w.Do("POST", "/emails/batch", list(mail("b@x.test")), "Idempotency-Key", strings.Repeat("k", 255)).Says(t, 400, "invalid_idempotency_key")
	})
}

func FuzzEmails(f *testing.F) {
	for _, s := range []string{simple, "[" + simple + "]", `{"attachments":[{"content":[1]}],"tags":[{"a":"b"}]}`, `{"to":[null]}`, "null", "[]", `{"from":"a@b.c","to":"d@e.f","subject":"\u2028","html":"x","headers":{"A\r\nB":"c"}}`} {
		f.Add([]byte(s))
	}
	h := compattest.Handler(resend.Routes)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, path := range []string{"/emails", "/emails/batch"} {
			a := compattest.Serve(h, path, "application/json", string(b))
			if a.Status >= 500 || a.Status != http.StatusOK && !strings.Contains(a.Body, `"statusCode"`) {
				t.Errorf("%q: %d %s", b, a.Status, a.Body)
			}
		}
	})
}
