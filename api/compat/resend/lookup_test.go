package resend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/compat/compattest"
	"postrider/queue"
)

const stored = `From: =?UTF-8?Q?J=C3=B6rg?= <a@shop.test>
To: B <b@x.test>
Cc: c@x.test
Reply-To: r@shop.test
Subject: Hi
Message-ID: <1@shop.test>
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe
--a
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+SGk8L3A+
--a--
--m
Content-Type: text/plain
Content-Disposition: attachment; filename=x.txt

not this
--m--
`

func TestAnEmailIsShownWithWhatOnlyItsContentKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	due := w.Now().Add(2 * time.Hour)
	later := func(address string) queue.Recipient {
		r := compattest.To(address)
		r.State, r.Due = queue.StateScheduled, due
		return r
	}
	id := w.Enqueue(compattest.Mail{Content: stored, To: []queue.Recipient{later("b@x.test"), later("c@X.test"), later("d@x.test")},
		Labels: queue.Labels{Metadata: map[string]string{"b": "2", "a": "1"}}})
	const head = `{"object":"email","id":"%s","message_id":"<1@shop.test>","to":["b@x.test"],"from":"Jörg <a@shop.test>","created_at":"2026-11-23T05:00:01.000Z",` +
		`"subject":"Hi","bcc":["d@x.test"],"cc":["c@x.test"],"reply_to":["r@shop.test"],"last_event":"scheduled","scheduled_at":"2026-11-23T07:00:00.000Z","topic_id":null,`
	const tags = `"tags":[{"name":"a","value":"1"},{"name":"b","value":"2"}]}`
	w.Do("GET", "/emails/"+id.String(), "").Expect(t, 200, fmt.Sprintf(head+`"html":"<p>Hi</p>","text":"Grüße",`+tags, id))
	// Without the scope for content there are no bodies.
	narrow := newWorld(t, func(o *compat.Options) { o.Store = w.Store; o.Auth = scoped{queue.ScopeMessagesRead} })
	narrow.Do("GET", "/emails/"+id.String(), "").Expect(t, 200, fmt.Sprintf(head+`"html":null,"text":null,`+tags, id))
	if err := w.Store.RemoveContent(t.Context(), id); err == nil {
		w.Do("GET", "/emails/"+id.String(), "").Says(t, 200, `"to":["b@x.test","c@X.test","d@x.test"]`, `"html":null`)
	}
	for _, wrong := range []string{id.String()[:20], queue.NewMessageID().String(), "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"} {
		w.Do("GET", "/emails/"+wrong, "").Says(t, 404, `"statusCode":404,"name":"not_found"`)
	}
	w.Do("GET", "/emails/"+id.String(), "", "Authorization", "Bearer "+compattest.Other).Says(t, 404, "not_found")
	w.Do("POST", "/emails/"+id.String()+"/cancel", "", "Authorization", "Bearer "+compattest.Other).Says(t, 404, "not_found")
	w.Do("GET", "/emails/"+id.String(), "", "Authorization", "Bearer "+compattest.Admin).Says(t, 200, id.String())
}

func TestAnEmailIsMovedAndCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := compattest.To("b@x.test")
	r.State, r.Due = queue.StateScheduled, w.Now().Add(2*time.Hour)
	id := w.Enqueue(compattest.Mail{Content: stored, To: []queue.Recipient{r}})
	path, ok := "/emails/"+id.String(), fmt.Sprintf(`{"object":"email","id":"%s"}`, id)

	w.Do("PATCH", path, `{"scheduled_at":"2026-11-24T05:00:00Z"}`).Expect(t, 200, ok)
	w.Do("GET", path, "").Says(t, 200, `"scheduled_at":"2026-11-24T05:00:00.000Z"`, `"last_event":"scheduled"`)
	e, err := w.Store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	// It had 72 h from being accepted and was to wait 2 h of them.
	if want := time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC).Add(70*time.Hour + time.Second); !e.Message.ExpiresAt.Equal(want) {
		t.Errorf("it expires at %v, want %v", e.Message.ExpiresAt, want)
	}
	w.Do("PATCH", path, `{}`).Says(t, 422, "missing_required_field")
	w.Do("PATCH", path, `{"scheduled_at":"soon"}`).Says(t, 422, "must be a time")
	w.Do("PATCH", path, `{"scheduled_at":"in 100 days"}`).Says(t, 422, "too far")
	w.Do("PATCH", path, `{"scheduled_at":7}`).Says(t, 422, "wrong type")
	w.Do("POST", path+"/cancel", "").Expect(t, 200, ok)
	w.Do("GET", path, "").Says(t, 200, `"last_event":"canceled"`)
	w.Do("POST", path+"/cancel", "").Says(t, 422, "validation_error", "can no longer be cancelled")
	w.Do("PATCH", path, `{"scheduled_at":"in 1 hour"}`).Says(t, 422, "no longer waits")
	for _, c := range []string{"GET /emails/metrics", "GET " + path + "/attachments", "POST " + path + "/share"} {
		method, path, _ := strings.Cut(c, " ")
		w.Do(method, path, "").Says(t, 404, "does not have this part")
	}
}

type list struct {
	Object  string
	HasMore bool `json:"has_more"`
	Data    []struct{ ID string }
}

func TestEmailsAreListedInBothDirections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string // newest first
	for range 25 {
		id := w.Enqueue(compattest.Mail{Content: stored, To: []queue.Recipient{compattest.To("b@x.test")}})
		ids = append([]string{id.String()}, ids...)
		w.Enqueue(compattest.Mail{Account: "blog", Content: stored, To: []queue.Recipient{compattest.To("b@x.test")}})
	}
	page := func(query string) (got []string, more bool) {
		t.Helper()
		a := w.Do("GET", "/emails"+query, "")
		var l list
		if err := json.Unmarshal([]byte(a.Body), &l); err != nil || a.Status != 200 || l.Object != "list" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for _, d := range l.Data {
			got = append(got, d.ID)
		}
		return got, l.HasMore
	}
	for query, want := range map[string]struct {
		ids  []string
		more bool
	}{
		"":                            {ids[:20], true},
		"?limit=25":                   {ids, false},
		"?limit=3&after=" + ids[4]:    {ids[5:8], true},
		"?limit=100&after=" + ids[20]: {ids[21:], false},
		"?after=" + ids[24]:           {nil, false},
		"?limit=3&before=" + ids[10]:  {ids[7:10], true},
		"?limit=3&before=" + ids[2]:   {ids[:2], false},
		"?limit=2&before=" + ids[2]:   {ids[:2], false},
		"?before=" + ids[0]:           {nil, false},
	} {
		if got, more := page(query); !slices.Equal(got, want.ids) || more != want.more {
			t.Errorf("%s: %d emails, more %v, want %d, %v\n%v\n%v", query, len(got), more, len(want.ids), want.more, got, want.ids)
		}
	}
	for query, says := range map[string]string{
		"?limit=0": "1 to 100", "?limit=101": "1 to 100", "?limit=x": "1 to 100", "?after=" + ids[0] + "&before=" + ids[1]: "together",
	} {
		w.Do("GET", "/emails"+query, "").Says(t, 422, says)
	}
	w.Do("GET", "/emails?after=nonsense", "").Says(t, 404, "not_found")
	a := w.Do("GET", "/emails?limit=1", "")
	a.Says(t, 200, `"to":["b@x.test"]`, `"cc":["c@x.test"]`)
	if strings.Contains(a.Body, "html") || strings.Contains(a.Body, `"object":"email"`) {
		t.Errorf("a list shows more than it should: %s", a.Body)
	}
}

// scoped lets everybody in as shop with one scope.
type scoped struct{ scope queue.Scope }

func (s scoped) Authenticate(context.Context, access.Credentials, netip.Addr) (access.Caller, error) {
	return access.Caller{Account: "shop", Scopes: []queue.Scope{s.scope}}, nil
}
