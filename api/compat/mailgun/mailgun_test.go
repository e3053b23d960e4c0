package mailgun_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/api/compat/mailgun"
	"postrider/api/send"
)

func expect(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

const path = "/v3/shop.test/messages"

// form writes a multipart form of names and values; "name@file" is a file.
func form(t testing.TB, pairs ...string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		name, filename, isFile := strings.Cut(pairs[i], "@")
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"`, name)}}
		if isFile {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, name, filename))
			h.Set("Content-Type", "application/octet-stream") // as Go's library writes for every file
		}
		p, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write([]byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

var simple = []string{"from", "Acme <a@shop.test>", "to", "b@x.test", "subject", "Hi", "text", "Hello"}

func with(more ...string) []string { return append(slices.Clone(simple), more...) }

func post(t testing.TB, w *compattest.World, path string, pairs []string, headers ...string) compattest.Answer {
	t.Helper()
	body, kind := form(t, pairs...)
	return w.Do("POST", path, body, append([]string{"Content-Type", kind}, headers...)...)
}

func TestAMultipartForm(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes)
	a := post(t, w, path, []string{
		"from", "Acme <a@shop.test>", "to", `"Doe, J" <b@x.test>, c@x.test`, "to", "d@x.test", "cc", "e@x.test", "bcc[0]", "f@x.test", "subject", "Hi", "text", "", "html", "<p>Hello</p>",
		"o:tag", "one", "o:tag", "two", "o:tag[]", "one", "o:testmode", "yes", "o:require-tls", "true", "o:tracking", "no", "o:tracking-clicks", "no", "o:dkim", "yes",
		"o:deliverytime", "Fri, 27 Nov 2026 10:00:00 +0100", "h:X-Order", "42", "h:Reply-To", "r@shop.test", "v:order", `{"id":42}`, "h:X-Mailgun-Variables", `{"who":"me"}`,
		"attachment@grüße.txt", "hi", "attachment[1]@b.bin", "\x00\xff", "inline@logo.png", "png", "unknown", "x",
	})
	s := w.Sender.Only()
	a.Expect(t, 200, fmt.Sprintf(`{"id":"<%s@shop.test>","message":"Queued. Thank you."}`, s.ID))
	m := s.Message
	expect(t, compattest.Texts(m.To), []string{"Doe, J <b@x.test>", "c@x.test", "d@x.test"})
	expect(t, compattest.Texts(append(m.Cc, m.Bcc...)), []string{"e@x.test", "f@x.test"})
	expect(t, []bool{m.HasText, m.HasHTML, s.Sandbox, s.RequireTLS}, []bool{false, true, true, true})
	expect(t, s.Labels.Tags, []string{"one", "two"})
	expect(t, s.Labels.Metadata, map[string]string{"order": `{"id":42}`, "who": "me"})
	expect(t, s.ScheduledAt.UTC(), time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC))
	expect(t, fmt.Sprint(m.Fields, compattest.Texts(m.ReplyTo)), "[{X-Order 42}] [r@shop.test]")
	for i, want := range []string{"grüße.txt||false|hi|", "b.bin||false|\x00\xff|", "logo.png|logo.png|true|png|"} {
		f := m.Attachments[i]
		expect(t, fmt.Sprintf("%s|%s|%v|%s|%s", f.Filename, f.ContentID, f.Inline, f.Content, f.ContentType), want)
	}
}

func TestAnEncodedAndACompressedForm(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes)
	body := url.Values{"from": {"a@shop.test"}, "to[0]": {"b@x.test"}, "to[1]": {"c@x.test"}, "subject": {"Grüße & mehr"}, "text": {"x"}}.Encode()
	const kind = "application/x-www-form-urlencoded"
	w.Do("POST", path, body, "Content-Type", kind, "Authorization", "Basic YXBpOnJsX2xpdmVfYWxs").Says(t, 200, "Queued")
	s := w.Sender.Only()
	expect(t, s.Message.Subject, "Grüße & mehr")
	expect(t, len(s.Message.To), 2)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.Do("POST", path, b.String(), "Content-Type", kind, "Content-Encoding", "gzip").Says(t, 200, "Queued")
	w.Do("POST", path, "%zz=1", "Content-Type", kind).Says(t, 400, `{"message":"The form cannot be read`)
	w.Do("POST", path, strings.Repeat("a&", 10_001), "Content-Type", kind).Says(t, 400, "more than 10000")
	w.Do("POST", path, "{}", "Content-Type", "application/json").Says(t, 415, "multipart/form-data")
}

func TestWhatIsWrongIsTold(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes)
	for says, pairs := range map[string][]string{
		"from: parameter is missing":            {"to", "b@x.test", "text", "x"},
		"to: parameter is missing":              {"from", "a@shop.test", "text", "x"},
		"text: parameter is missing":            {"from", "a@shop.test", "to", "b@x.test", "text", ""},
		"from: must be an address":              {"from", "secret", "to", "b@x.test", "text", "x"},
		"to: must be an address":                with("to", "secret"),
		"text: is given more than once":         with("text", "secret"),
		"template: is not supported":            with("template", "secret"),
		"t:variables: is not supported":         with("t:variables", `{"secret":1}`),
		"amp-html: is not supported":            with("amp-html", "<html secret>"),
		"o:tracking: is not supported":          with("o:tracking", "htmlonly"),
		"o:tracking-opens: is not supported":    with("o:tracking-opens", "yes"),
		"o:dkim: cannot be turned off":          with("o:dkim", "no"),
		"o:testmode: must be yes or no":         with("o:testmode", "secret"),
		"o:deliverytime: must be a date":        with("o:deliverytime", "2026-11-27T10:00:00Z"),
		"o:sending-ip-pool: is not supported":   with("o:sending-ip-pool", "secret"),
		"an o: field: is not supported":         with("o:secret", "yes"),
		"o:tag: may be there 10 times":          with(slices.Concat(strings.Split(strings.TrimSuffix(strings.Repeat("o:tag,#,", 11), ","), ","))...),
		"h: fields: must be an address":         with("h:Reply-To", "secret"),
		"h:X-Mailgun-*: is not supported":       with("h:X-Mailgun-Tag", "secret"),
		"h:X-Mailgun-Variables: must be a JSON": with("h:X-Mailgun-Variables", "secret"),
		"%unsubscribe_url%: is not supported":   with("html", "<a href=%tag_unsubscribe_url%>secret</a>"),
		"files: must be named attachment":       with("secret@a.txt", "x"),
		"recipient-variables: must be a JSON":   with("recipient-variables", "secret"),
		"recipient-variables: must have an":     with("recipient-variables", `{"b@x.test":"secret"}`),
		"recipient-variables: cannot be used":   with("recipient-variables", `{}`, "cc", "c@x.test"),
		"recipient-variables: has no value of":  with("recipient-variables", `{"secret@x.test":{"n":"1"}}`, "html", "%recipient.n%"),
	} {
		for i, n := 0, 0; i < len(pairs); i++ { // eleven tags that differ
			if pairs[i] == "#" {
				pairs[i], n = fmt.Sprint("t", n), n+1
			}
		}
		a := post(t, w, path, pairs)
		a.Says(t, 400, `{"message":"`+says)
		if strings.Contains(a.Body, "secret") {
			t.Errorf("what was submitted is repeated: %s", a.Body)
		}
	}
	post(t, w, "/v3/not%20a%20domain/messages", simple).Says(t, 404, `{"message":`)
	post(t, w, path, simple, "Authorization", "").Says(t, 401, `{"message":"The request shows no API key`)
	post(t, w, path, simple, "Authorization", "Bearer "+compattest.ReadOnly).Says(t, 403, "messages:send")
	if a := post(t, w, path, simple, "Authorization", "Bearer "+compattest.Guessed); a.Status != 429 || a.Header.Get("X-RateLimit-Reset") != fmt.Sprint(w.Now().Unix()+60)+".0" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	body, kind := form(t, simple...)
	w.Do("POST", path, body[:len(body)-20], "Content-Type", kind).Says(t, 400, "ends early")
	w.Sender.Refuse = func(send.Request) error {
		return &send.Error{Status: 422, Code: "validation_failed", Problems: []send.Problem{{Pointer: "#/tags/0", Detail: "is too long."}, {Pointer: "#/scheduled_at", Detail: "is past."}}}
	}
	post(t, w, path, simple).Says(t, 400, `{"message":"o:tag: is too long.; o:deliverytime: is past."}`)
}

func TestRecipientVariablesMakeAMessageForEach(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes)
	a := post(t, w, path, []string{
		"from", "a@shop.test", "to", "B <b@X.test>, c@x.test", "subject", "Hi %recipient.name%", "text", "100% for %recipient% %recipient.id% %recipient.% %recipient", "html", "%recipient.name%%recipient.id%",
		"recipient-variables", `{"b@x.test":{"name":"Bob","id":1,"":"e"},"c@x.test":{"name":"%recipient.id%","id":2,"":"f"}}`, "h:X-To", "%recipient_email%", "v:id", "%recipient.id%",
	}, "Idempotency-Key", "k")
	all := w.Sender.All()
	slices.SortFunc(all, func(a, b compattest.Sent) int { return strings.Compare(a.IdempotencyKey, b.IdempotencyKey) })
	if len(all) != 2 {
		t.Fatalf("%d messages: %s", len(all), a.Body)
	}
	a.Expect(t, 200, fmt.Sprintf(`{"id":"<%s@shop.test>","message":"Queued. Thank you."}`, all[0].ID))
	for i, want := range [][]string{
		{"k/0", "B <b@X.test>", "Hi Bob", "100% for b@X.test 1 e %recipient", "Bob1", "b@X.test", "1"},
		{"k/1", "c@x.test", "Hi %recipient.id%", "100% for c@x.test 2 f %recipient", "%recipient.id%2", "c@x.test", "2"},
	} {
		m := all[i].Message
		expect(t, []string{all[i].IdempotencyKey, strings.Join(compattest.Texts(m.To), "|"), m.Subject, m.Text, m.HTML, m.Fields[0].Value, all[i].Labels.Metadata["id"]}, want)
	}
	post(t, w, path, with("recipient-variables", "{}", "to", "c@x.test")).Says(t, 200, "Queued")
	expect(t, len(w.Sender.All()), 4)
}

func TestTroubleInTheMiddleSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes)
	seen := 0
	w.Sender.Refuse = func(send.Request) error {
		if seen++; seen == 4 {
			return errors.New("disk on fire")
		}
		return nil
	}
	post(t, w, path, with("recipient-variables", "{}", "to", "c@x.test")).Says(t, 503, "1 of 2 messages were accepted")
}

func TestSmallRequestsDoNotMakeLargeOnes(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes, func(o *compat.Options) { o.Limits = compat.Limits{Body: 1 << 20, Expanded: 1 << 20} })
	vars := `{"b@x.test":{"x":"` + strings.Repeat("y", 10_000) + `"}}`
	post(t, w, path, with("html", strings.Repeat("%recipient.x%", 1000), "recipient-variables", vars)).Says(t, 413, "1048576")
	post(t, w, path, with("html", strings.Repeat("x", 1<<20))).Says(t, 413, "1048576")
	post(t, w, path, with("recipient-variables", "{}", "to", strings.Repeat("b@x.test,", 900), "html", strings.Repeat("x", 5000))).Says(t, 413, "1048576")
	post(t, w, path, with("to", strings.Repeat("b@x.test,", 1001))).Says(t, 400, "more than 1000 addresses")
}

func FuzzForms(f *testing.F) {
	for _, pairs := range [][]string{simple, with("recipient-variables", `{"b@x.test":{"a":1}}`, "html", "%recipient.a%"), {"message@m", "From: a\n\nx", "to", "b@x.test"}} {
		body, kind := form(f, pairs...)
		f.Add(body, kind)
	}
	f.Add("from=a%40b.c&to=d%40e.f&text=x", "application/x-www-form-urlencoded")
	h := compattest.Handler(mailgun.Routes)
	f.Fuzz(func(t *testing.T, body, kind string) {
		for _, p := range []string{path, path + ".mime"} {
			a := compattest.Serve(h, p, kind, body)
			if a.Status >= 500 || a.Status != http.StatusOK && !strings.Contains(a.Body, `"message"`) {
				t.Errorf("%q: %d %s", body, a.Status, a.Body)
			}
		}
	})
}
