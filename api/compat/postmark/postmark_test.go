package postmark_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"postrider/api/compat/compattest"
	"postrider/api/compat/postmark"
	"postrider/api/send"
)

const simple = `{"From":"a@shop.test","To":"b@x.test","Subject":"Hi","TextBody":"Hello"}`

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestBodiesAsTheLibrariesSendThem(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	for name, c := range map[string]struct {
		body   string
		answer string // its To, Cc, Bcc
		check  func(t *testing.T, s compattest.Sent)
	}{
		"Node": {
			`{"From":"Acme <a@shop.test>","To":"\"Doe, John\" <b@x.test>, c@x.test","Cc":"d@x.test","Bcc":"e@x.test","Subject":"Hi","Tag":"welcome","HtmlBody":"<p>x</p>",` +
				`"TextBody":"x","ReplyTo":"r@shop.test, s@shop.test","Headers":[{"Name":"X-A","Value":"1"},{"Name":"X-A","Value":"2"}],"TrackOpens":false,"TrackLinks":"None",` +
				`"Metadata":{"order":"42","n":7},"Attachments":[{"Name":"a.png","Content":"aGk=","ContentType":"image/png","ContentID":"cid:logo"},{"Name":"b.txt","Content":"aGk=","ContentType":"text/plain","ContentID":null}],` +
				`"MessageStream":"broadcast"}`,
			`"To":"b@x.test, c@x.test","Cc":"d@x.test","Bcc":"e@x.test"`,
			func(t *testing.T, s compattest.Sent) {
				m := s.Message
				expect(t, compattest.Texts(m.To), []string{"Doe, John <b@x.test>", "c@x.test"})
				expect(t, compattest.Texts(m.ReplyTo), []string{"r@shop.test", "s@shop.test"})
				expect(t, len(m.Fields), 2)
				expect(t, m.Attachments[0].ContentID, "logo")
				expect(t, []bool{m.Attachments[0].Inline, m.Attachments[1].Inline, m.HasHTML, m.HasText}, []bool{true, false, true, true})
				expect(t, s.Labels.Stream, "broadcast")
				expect(t, s.Labels.Tags, []string{"welcome"})
				expect(t, s.Labels.Metadata, map[string]string{"order": "42", "n": "7"})
			},
		},
		"Ruby and PHP: much that is empty": {
			`{"From":"a@shop.test","To":"b@x.test","Cc":"","Bcc":null,"Subject":null,"Tag":"","HtmlBody":"","TextBody":"x","ReplyTo":"","Headers":[],"TrackOpens":null,"Metadata":[],"Attachments":[],"MessageStream":"outbound","TemplateModel":{},"InlineCss":true}`,
			`"To":"b@x.test"`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, s.Labels.IsZero(), true)
				expect(t, []bool{s.Message.HasHTML, s.Message.HasText}, []bool{false, true})
			},
		},
		"names in another case": {
			`{"from":"a@shop.test","TO":"b@x.test","CC":"c@x.test","HTMLBody":"<p>x</p>"}`, `"To":"b@x.test","Cc":"c@x.test"`,
			func(t *testing.T, s compattest.Sent) {
				expect(t, []bool{s.Message.HasHTML, s.Message.HasText}, []bool{true, false})
			},
		},
		"only a Bcc": {`{"From":"a@shop.test","Bcc":"b@x.test","TextBody":""}`, `"Bcc":"b@x.test"`,
			func(t *testing.T, s compattest.Sent) { expect(t, s.Message.HasText, true) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.Do("POST", "/email", c.body, "Authorization", "", "X-Postmark-Server-Token", compattest.Key)
			if a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			s := w.Sender.Only()
			a.Expect(t, 200, fmt.Sprintf(`{%s,"SubmittedAt":"2026-11-23T05:00:00Z","MessageID":"%s","ErrorCode":0,"Message":"OK"}`, c.answer, s.ID))
			c.check(t, s)
		})
	}
}

func TestErrorsHavePostmarksNumbers(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	with := func(more string) string { return simple[:len(simple)-1] + "," + more + "}" }
	for _, c := range []struct {
		body   string
		number int
		says   string
	}{
		{`{"To":"b@x.test","TextBody":"x"}`, 300, "From: is missing"},
		{`{"From":"secret","To":"b@x.test","TextBody":"x"}`, 300, "From: must be an address"},
		{`{"From":"a@shop.test","TextBody":"x"}`, 300, "To: is missing"},
		{`{"From":"a@shop.test","To":"b@x.test"}`, 300, "HtmlBody: is missing"},
		{with(`"Cc":"b@x.test, secret"`), 300, "Cc: must be an address"},
		{with(`"TrackOpens":true`), 300, "TrackOpens: this relay does not track"},
		{with(`"TrackLinks":"HtmlAndText"`), 300, "TrackLinks"},
		{with(`"TemplateId":7`), 300, "no templates"},
		{with(`"TemplateAlias":"secret"`), 300, "no templates"},
		{with(`"Attachments":[{"Name":"a"}]`), 300, "Attachments[0].Content: is missing"},
		{with(`"Metadata":{"a":{"secret":1}}`), 300, "Metadata: must be a text"},
		{with(`"Headers":[{"Name":"Sender","Value":"secret"}]`), 300, "Headers[0]: must be an address"},
		{"{", 402, "not valid JSON"},
	} {
		a := w.Do("POST", "/email", c.body)
		a.Says(t, 422, fmt.Sprintf(`{"ErrorCode":%d,"Message":"`, c.number), c.says)
		if strings.Contains(a.Body, "secret") {
			t.Errorf("what was submitted is repeated: %s", a.Body)
		}
	}
	w.Do("POST", "/email", simple, "Content-Type", "text/plain").Says(t, 422, `"ErrorCode":409`)
	for _, path := range []string{"/email/withTemplate", "/email/batchWithTemplates", "/email/bulk"} {
		w.Do("POST", path, `{}`).Says(t, 422, `"ErrorCode":300`, "This relay has no")
	}
	w.Do("POST", "/email/withTemplate", `{}`, "Authorization", "").Says(t, 401, `"ErrorCode":10`)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	token := func(token string) compattest.Answer {
		return w.Do("POST", "/email", simple, "Authorization", "", "X-Postmark-Server-Token", token)
	}
	token("").Says(t, 401, `{"ErrorCode":10,"Message":"The request shows no API key`)
	token("nonsense").Says(t, 401, `"ErrorCode":10`, "no such API key")
	token("POSTMARK_API_TEST").Says(t, 401, `"ErrorCode":10`, "sandbox key")
	token(compattest.ReadOnly).Says(t, 401, `"ErrorCode":10`, "messages:send")
	token(compattest.Guessed).Says(t, 429, `"ErrorCode":429`)
	token(compattest.Broken).Says(t, 503, `"ErrorCode":100`)
}

// The patterns are those of Postmark's own libraries.
var inactive = []*regexp.Regexp{
	regexp.MustCompile(`Found inactive addresses: (.+?)\.? Inactive`),
	regexp.MustCompile(`these inactive addresses: (.+?)\.?$`),
}

func TestLibrariesFindSuppressedAddresses(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	w.Sender.Refuse = func(send.Request) error {
		return &send.Error{Status: 422, Code: "all_recipients_suppressed", Detail: "x", Suppressed: []string{"b@x.test", "c@x.test"}}
	}
	a := w.Do("POST", "/email", simple)
	a.Says(t, 422, `"ErrorCode":406`)
	if m := inactive[0].FindStringSubmatch(a.Body); m == nil || m[1] != "b@x.test, c@x.test" {
		t.Errorf("%q in %s", m, a.Body)
	}
	w.Sender.Refuse, w.Sender.Suppressed = nil, []string{"c@x.test"}
	a = w.Do("POST", "/email", strings.Replace(simple, "b@x.test", "b@x.test,c@x.test", 1))
	a.Says(t, 200, `"ErrorCode":0`, `"To":"b@x.test, c@x.test"`)
	if m := inactive[1].FindStringSubmatch(strings.TrimSuffix(a.Body, `"}`)); m == nil || m[1] != "c@x.test" {
		t.Errorf("%q in %s", m, a.Body)
	}
}

func TestRefusalsOfTheSenderAreTranslated(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	for _, c := range []struct {
		err            error
		status, number int
	}{
		{&send.Error{Status: 403, Code: "sender_not_allowed"}, 422, 400},
		{&send.Error{Status: 403, Code: "recipient_not_allowed"}, 422, 405},
		{&send.Error{Status: 403, Code: "account_disabled"}, 422, 405},
		{&send.Error{Status: 429, Code: "rate_limited"}, 429, 429},
		{&send.Error{Status: 413, Code: "payload_too_large"}, 413, 300},
		{&send.Error{Status: 409, Code: "idempotency_in_progress"}, 409, 300},
		{&send.Error{Status: 503, Code: "queue_full"}, 503, 100},
		{errors.New("disk on fire"), 503, 100},
	} {
		w.Sender.Refuse = func(send.Request) error { return c.err }
		w.Do("POST", "/email", simple).Says(t, c.status, fmt.Sprintf(`{"ErrorCode":%d,`, c.number))
	}
	w.Sender.Refuse = func(send.Request) error {
		return &send.Error{Status: 422, Code: "validation_failed", Problems: []send.Problem{
			{Pointer: "#/to/0", Detail: "a."}, {Pointer: "#/attachments/2/filename", Detail: "b."}, {Pointer: "#/html", Detail: "c."}}}
	}
	w.Do("POST", "/email", simple).Says(t, 422, `"To: a.; Attachments[2]: b.; HtmlBody: c."`)
}

func TestABatchAnswersForEachMessage(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, postmark.Routes)
	a := w.Do("POST", "/email/batch", `[{"From":"nobody","To":"b@x.test","TextBody":"x"},`+simple+`]`, "Idempotency-Key", "k")
	s := w.Sender.Only()
	expect(t, s.IdempotencyKey, "k/1")
	a.Expect(t, 200, fmt.Sprintf(`[{"ErrorCode":300,"Message":"From: must be an address such as user@example.com or Name <user@example.com>"},`+
		`{"To":"b@x.test","SubmittedAt":"2026-11-23T05:00:00Z","MessageID":"%s","ErrorCode":0,"Message":"OK"}]`, s.ID))
	w.Do("POST", "/email/batch", `[]`).Expect(t, 200, `[]`)
	w.Do("POST", "/email/batch", "["+strings.Repeat(simple+",", 500)+simple+"]").Says(t, 422, `"ErrorCode":410`)
	w.Do("POST", "/email/batch", `{}`).Says(t, 422, `"ErrorCode":300`)
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{simple, "[" + simple + "]", `{"Headers":[{"Name":"a","Value":null}],"Metadata":[]}`, "null", `[null]`, `{"to":"a","To":"b"}`} {
		f.Add([]byte(s))
	}
	h := compattest.Handler(postmark.Routes)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, path := range []string{"/email", "/email/batch"} {
			a := compattest.Serve(h, path, "application/json", string(b))
			if a.Status >= 500 || a.Status != http.StatusOK && !strings.Contains(a.Body, `"ErrorCode"`) {
				t.Errorf("%q: %d %s", b, a.Status, a.Body)
			}
		}
	})
}
