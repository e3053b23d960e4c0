package sendgrid_test

import (
	"bytes"
	"compress/gzip"
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
	"postrider/api/compat/sendgrid"
	"postrider/api/send"
)

const simple = `{"personalizations":[{"to":[{"email":"b@x.test"}]}],"from":{"email":"a@shop.test"},"subject":"Hi","content":[{"type":"text/plain","value":"Hello"}]}`

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

// sent are the messages in the order of the personalizations, whose keys tell it.
func sent(w *compattest.World) []compattest.Sent {
	all := w.Sender.All()
	slices.SortFunc(all, func(a, b compattest.Sent) int { return strings.Compare(a.IdempotencyKey, b.IdempotencyKey) })
	return all
}

func TestAMessageAsNodeSendsIt(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, sendgrid.Routes)
	a := w.Do("POST", "/v3/mail/send", `{"from":{"email":"a@shop.test","name":"Acme"},"reply_to":{"email":"r@shop.test","name":"Re, Ply"},"subject":"Hi",`+
		`"content":[{"value":"Hello","type":"text/plain"},{"value":"<p>Hello</p>","type":"text/html; charset=utf-8"}],`+
		`"attachments":[{"content":"aGk=","filename":"a.txt","type":"text/plain","disposition":"attachment"},{"content":"aGk=","filename":"l.png","disposition":"inline","contentId":"logo"}],`+
		`"categories":["a","b"],"headers":{"X-All":"1","X-Both":"all"},"custom_args":{"order":"42","who":"all"},"ip_pool_name":"bulk","send_at":1795410000,`+
		`"mail_settings":{"sandbox_mode":{"enable":false},"footer":null},"tracking_settings":{"click_tracking":{"enable":false,"enable_text":false},"open_tracking":{"enable":false,"substitution_tag":"%x%"}},`+
		`"asm":null,"template_id":"","sections":{},"batch_id":null,`+
		`"personalizations":[{"to":[{"email":"b@x.test","name":"B"}],"cc":[{"email":"c@x.test"}],"bcc":[{"email":"d@x.test"}],"headers":{"x-both":"one"},"custom_args":{"who":"one"},"dynamic_template_data":{}}]}`,
		"Idempotency-Key", "k")
	s := w.Sender.Only()
	if a.Status != 202 || a.Body != "" || a.Header.Get("X-Message-Id") != s.ID.String() || a.Header.Get("X-Postrider-Message-Ids") != "" {
		t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
	}
	m := s.Message
	expect(t, compattest.Texts(append(append(m.To, m.Cc...), m.Bcc...)), []string{"B <b@x.test>", "c@x.test", "d@x.test"})
	expect(t, compattest.Texts(m.ReplyTo), []string{"Re, Ply <r@shop.test>"})
	expect(t, []string{m.From.Name, m.Subject, m.Text, m.HTML}, []string{"Acme", "Hi", "Hello", "<p>Hello</p>"})
	expect(t, []bool{m.Attachments[0].Inline, m.Attachments[1].Inline}, []bool{false, true})
	expect(t, m.Attachments[1].ContentID, "logo")
	expect(t, fmt.Sprint(m.Fields), "[{x-both one} {X-All 1}]")
	expect(t, s.Labels.Tags, []string{"a", "b"})
	expect(t, s.Labels.Metadata, map[string]string{"order": "42", "who": "one"})
	expect(t, s.Labels.Stream, "bulk")
	expect(t, s.ScheduledAt, time.Unix(1795410000, 0).UTC())
	expect(t, s.IdempotencyKey, "k")
}

func TestEachPersonalizationIsAMessage(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, sendgrid.Routes)
	a := w.Do("POST", "/v3/mail/send", `{"from":{"email":"a@shop.test"},"subject":"Hi -name-","content":[{"type":"text/html","value":"<p>-name-, -name-s -x-</p>"}],"reply_to_list":[{"email":"r@shop.test"},{"email":"s@shop.test"}],`+
		`"personalizations":[{"to":[{"email":"b@x.test"}],"substitutions":{"-name-":"B -x-","-name-s":"Bs"}},`+
		`{"to":[{"email":"c@x.test"}],"subject":"Own","from":{"email":"z@shop.test"},"send_at":1795410000,"categories":["c"],"substitutions":[]}]}`, "Idempotency-Key", "k")
	a.Expect(t, 202, "")
	all := sent(w)
	if len(all) != 2 {
		t.Fatalf("%d messages", len(all))
	}
	expect(t, a.Header.Get("X-Message-Id"), all[0].ID.String())
	expect(t, a.Header.Get("X-Postrider-Message-Ids"), all[0].ID.String()+","+all[1].ID.String())
	expect(t, []string{all[0].IdempotencyKey, all[0].Message.Subject, all[0].Message.HTML}, []string{"k/0", "Hi B -x-", "<p>B -x-, Bs -x-</p>"})
	expect(t, []string{all[1].IdempotencyKey, all[1].Message.Subject, all[1].Message.HTML}, []string{"k/1", "Own", "<p>-name-, -name-s -x-</p>"})
	expect(t, all[1].Message.From.Address.Local, "z")
	expect(t, all[1].Labels.Tags, []string{"c"})
	expect(t, []bool{all[0].ScheduledAt.IsZero(), all[1].ScheduledAt.IsZero()}, []bool{true, false})
	expect(t, len(all[0].Message.ReplyTo), 2)
}

func TestCompressedAndSandboxed(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, sendgrid.Routes)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(simple[:len(simple)-1] + `,"mail_settings":{"sandbox_mode":{"enable":true}}}`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.Do("POST", "/v3/mail/send", b.String(), "Content-Encoding", "gzip").Expect(t, 200, "")
	expect(t, w.Sender.Only().Sandbox, true)
}

func TestErrorsHaveSendGridsShape(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, sendgrid.Routes)
	with := func(more string) string { return simple[:len(simple)-1] + "," + more + "}" }
	for _, c := range []struct{ body, field, says string }{
		{`{"from":{"email":"a@shop.test"},"subject":"s","content":[{"type":"text/plain","value":"x"}]}`, "personalizations", "1 to 1000"},
		{strings.Replace(simple, `"from":{"email":"a@shop.test"},`, "", 1), "from", "is required"},
		{strings.Replace(simple, `"a@shop.test"`, `"secret"`, 1), "from.email", "must be an address"},
		{strings.Replace(simple, `"b@x.test"`, `"Name <secret@x.test>"`, 1), "personalizations.0.to.0.email", "must be an address"},
		{strings.Replace(simple, `{"email":"b@x.test"}`, ``, 1), "personalizations.0.to", "is required"},
		{strings.Replace(simple, `"subject":"Hi",`, "", 1), "subject", "is required"},
		{strings.Replace(simple, `"content":[{"type":"text/plain","value":"Hello"}]`, `"content":[]`, 1), "content", "is required"},
		{strings.Replace(simple, `"Hello"`, `""`, 1), "content.0.value", "one character"},
		{strings.Replace(simple, `text/plain`, `text/calendar`, 1), "content.0.type", "text/plain or text/html"},
		{with(`"template_id":"d-secret"`), "template_id", "no templates"},
		{with(`"asm":{"group_id":7}`), "asm", "no unsubscribe groups"},
		{with(`"batch_id":"secret"`), "batch_id", "not supported"},
		{with(`"sections":{"a":"secret"}`), "sections", "not supported"},
		{with(`"tracking_settings":{"open_tracking":{"enable":true}}`), "tracking_settings.open_tracking", "tracks nothing"},
		{with(`"tracking_settings":{"click_tracking":{"enable_text":true}}`), "tracking_settings.click_tracking", "tracks nothing"},
		{with(`"mail_settings":{"bypass_list_management":{"enable":true}}`), "mail_settings.bypass_list_management", "suppression list"},
		{with(`"mail_settings":{"footer":{"enable":true,"text":"secret"}}`), "mail_settings.footer", "not supported"},
		{with(`"reply_to":{"email":"r@x.test"},"reply_to_list":[{"email":"r@x.test"}]`), "reply_to_list", "together"},
		{with(`"attachments":[{"filename":"secret"}]`), "attachments.0.content", "is missing"},
		{with(`"attachments":[{"content":"secret!"}]`), "attachments.0.content", "base64"},
		{with(`"attachments":[{"content":"aGk=","disposition":"secret"}]`), "attachments.0.disposition", "inline or attachment"},
		{with(`"send_at":-1`), "send_at", "Unix time"},
		{with(`"send_at":"secret"`), "send_at", "wrong type"},
		{strings.Replace(simple, `"to":`, `"dynamic_template_data":{"a":"secret"},"to":`, 1), "personalizations.0.dynamic_template_data", "no templates"},
	} {
		a := w.Do("POST", "/v3/mail/send", c.body)
		a.Says(t, 400, `{"errors":[{"message":"`+c.field+" ", fmt.Sprintf(`"field":%q,"help":null}]}`, c.field), c.says)
		if strings.Contains(a.Body, "secret") {
			t.Errorf("what was submitted is repeated: %s", a.Body)
		}
	}
	w.Do("POST", "/v3/mail/send", "{").Says(t, 400, `{"errors":[{"message":"The body is not valid JSON`, `"field":null,"help":null}]}`)
	w.Do("POST", "/v3/mail/send", simple, "Authorization", "").Says(t, 401, `{"errors":[{"message":"The request shows no API key`)
	w.Do("POST", "/v3/mail/send", simple, "Authorization", "Bearer SG.nonsense").Says(t, 401, "no such API key")
	w.Do("POST", "/v3/mail/send", simple, "Authorization", "Bearer "+compattest.ReadOnly).Says(t, 403, "messages:send")
	if a := w.Do("POST", "/v3/mail/send", simple, "Authorization", "Bearer "+compattest.Guessed); a.Status != 429 || a.Header.Get("X-RateLimit-Reset") != fmt.Sprint(w.Now().Unix()+60) {
		t.Errorf("%d %v", a.Status, a.Header)
	}
}

func TestNothingIsSentUnlessAllOfItMayBe(t *testing.T) {
	t.Parallel()
	two := strings.Replace(simple, `{"to":[{"email":"b@x.test"}]}`, `{"to":[{"email":"b@x.test"}]},{"to":[{"email":"c@x.test"}]}`, 1)
	w := compattest.New(t, sendgrid.Routes)
	w.Sender.Refuse = func(r send.Request) error {
		if r.Message.To[0].Address.Local == "c" {
			return &send.Error{Status: 422, Code: "validation_failed", Problems: []send.Problem{{Pointer: "#/to/0", Detail: "may not be written to."}, {Pointer: "#/text", Detail: "x."}}}
		}
		return nil
	}
	w.Do("POST", "/v3/mail/send", two).Says(t, 400, `"field":"personalizations.1.to.0"`, `"field":"content"`)
	expect(t, len(w.Sender.All()), 0)
	seen := 0
	w.Sender.Refuse = func(send.Request) error {
		if seen++; seen == 4 {
			return errors.New("disk on fire")
		}
		return nil
	}
	w.Do("POST", "/v3/mail/send", two).Says(t, 503, "1 of 2 messages were accepted")
}

// A request may not make a thousand times its size.
func TestSmallRequestsDoNotMakeLargeOnes(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, sendgrid.Routes, func(o *compat.Options) { o.Limits = compat.Limits{Body: 1 << 20, Expanded: 1 << 20} })
	many := func(n int, more, value string) string {
		return `{"personalizations":[` + strings.TrimSuffix(strings.Repeat(`{"to":[{"email":"b@x.test"}]`+more+`},`, n), ",") +
			`],"from":{"email":"a@shop.test"},"subject":"Hi","content":[{"type":"text/plain","value":"` + value + `"}]}`
	}
	w.Do("POST", "/v3/mail/send", many(1, `,"substitutions":{"x":"`+strings.Repeat("y", 1000)+`"}`, strings.Repeat("x", 2000))).Says(t, 413, "1048576")
	w.Do("POST", "/v3/mail/send", many(600, "", strings.Repeat("x", 2000))).Says(t, 413, "1048576")
	w.Do("POST", "/v3/mail/send", many(1001, "", "x")).Says(t, 400, "1 to 1000")
	a := w.Do("POST", "/v3/mail/send", many(300, "", "x"))
	a.Expect(t, 202, "")
	expect(t, a.Header.Get("X-Postrider-Message-Ids"), "")
}

func FuzzSend(f *testing.F) {
	for _, s := range []string{simple, `{"personalizations":[{}]}`, `{"personalizations":[{"to":[{"email":"a@b.c"}],"substitutions":{"":"a"}}],"from":{"email":"a@b.c"},"subject":"s","content":[{"type":"text/plain","value":"x"}]}`, "null", `{"send_at":1e99}`} {
		f.Add([]byte(s))
	}
	h := compattest.Handler(sendgrid.Routes)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := compattest.Serve(h, "/v3/mail/send", "application/json", string(b))
		if a.Status >= 500 || a.Status >= http.StatusBadRequest && !strings.Contains(a.Body, `"errors"`) {
			t.Errorf("%q: %d %s", b, a.Status, a.Body)
		}
	})
}
