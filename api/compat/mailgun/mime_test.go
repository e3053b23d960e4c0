package mailgun_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/api/compat/mailgun"
)

const raw = "From: a@shop.test\r\nTo: b@x.test\r\nSubject: Hi\r\n\r\nHello\r\n"

func TestWholeMessages(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes, func(o *compat.Options) { o.Limits.Body = 8 << 20 })
	large := raw + strings.Repeat("0123456789\r\n", 200_000)
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"as Go sends them":                 {[]string{"to", "b@x.test, c@x.test", "to", "B@X.test", "o:tag", "t", "v:a", "1", "o:testmode", "yes", "message@message.mime", raw}, raw},
		"as a field":                       {[]string{"to", "b@x.test,c@x.test", "o:testmode", "yes", "o:tag", "t", "v:a", "1", "message", raw}, raw},
		"with fields behind":               {[]string{"message@MimeMessage", raw, "to", "b@x.test", "to", "c@x.test", "o:tag", "t", "o:testmode", "yes", "v:a", "1"}, raw},
		"large":                            {[]string{"to", "b@x.test,c@x.test", "o:testmode", "yes", "o:tag", "t", "v:a", "1", "message@m", large}, large},
		"large with its recipients behind": {[]string{"message@m", large, "o:testmode", "yes", "o:tag", "t", "v:a", "1", "to", "b@x.test,c@x.test"}, large},
	} {
		t.Run(name, func(t *testing.T) {
			a := post(t, w, path+".mime", c.pairs, "Idempotency-Key", "k")
			if a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			s := w.Sender.Only()
			a.Expect(t, 200, fmt.Sprintf(`{"id":"<%s@shop.test>","message":"Queued. Thank you."}`, s.ID))
			if string(s.Octets) != c.want {
				t.Errorf("%d octets arrive, want %d", len(s.Octets), len(c.want))
			}
			var to []string
			for _, a := range s.RawTo {
				to = append(to, a.String())
			}
			got := fmt.Sprintf("%v %v %v %s", s.Sandbox, s.Labels.Tags, s.Labels.Metadata, s.IdempotencyKey)
			if got != "true [t] map[a:1] k" || strings.Join(to[:2], " ") != "b@x.test c@x.test" {
				t.Errorf("%s for %q", got, to)
			}
		})
	}
}

func TestWhatIsWrongWithWholeMessages(t *testing.T) {
	t.Parallel()
	w := compattest.New(t, mailgun.Routes, func(o *compat.Options) { o.Limits.Body = 8 << 20 })
	large := raw + strings.Repeat("0123456789\r\n", 200_000)
	for says, pairs := range map[string][]string{
		"message: parameter is missing":    {"to", "b@x.test"},
		"to: parameter is missing":         {"message", raw},
		"to: must be an address":           {"message", raw, "to", "secret"},
		"message: is given more than once": {"to", "b@x.test", "message", raw, "message", "secret"},
		"message: must be the last part":   {"to", "b@x.test", "message", large, "o:testmode", "yes"},
		"message: has X-Mailgun- fields":   {"to", "b@x.test", "message", "x-mailgun-tag: secret\r\n" + raw},
		"cc: is not supported here":        {"to", "b@x.test", "message", raw, "cc", "secret@x.test"},
		"recipient-variables: is not":      {"to", "b@x.test", "message", raw, "recipient-variables", "{}"},
		"template: is not supported":       {"to", "b@x.test", "message", raw, "template", "secret"},
		"h: fields: are not supported":     {"to", "b@x.test", "message", raw, "h:X", "secret"},
		"files: are not supported here":    {"to", "b@x.test", "message", raw, "attachment@a", "secret"},
		"o:tracking: is not supported":     {"to", "b@x.test", "message", raw, "o:tracking", "yes"},
	} {
		a := post(t, w, path+".mime", pairs)
		a.Says(t, 400, `{"message":"`+says)
		if strings.Contains(a.Body, "secret") {
			t.Errorf("what was submitted is repeated: %s", a.Body)
		}
	}
	post(t, w, path+".mime", []string{"to", "b@x.test", "message", strings.Repeat("x", 9<<20)}).Says(t, 413, "8388608")
	body, kind := form(t, "to", "b@x.test", "message", large)
	w.Do("POST", path+".mime", body[:len(body)-100], "Content-Type", kind).Says(t, 400, "ends early")
	w.Do("POST", path+".mime", "a=b", "Content-Type", "application/x-www-form-urlencoded").Says(t, 415, "multipart/form-data")
	if n := len(w.Sender.All()); n != 0 {
		t.Errorf("%d were sent", n)
	}
	// A message whose body speaks of Mailgun's fields has none.
	post(t, w, path+".mime", []string{"to", "b@x.test", "message", raw + "X-Mailgun-Tag: x\r\n"}).Says(t, 200, "Queued")
}
