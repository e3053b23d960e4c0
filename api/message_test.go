package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postrider/api/feed"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// send sends a message as the account shop.
func (w *world) send(change func(*v1.NewMessage)) v1.Receipt {
	w.t.Helper()
	m := v1.NewMessage{From: v1.ParseLater("Acme <a@example.com>"), To: v1.Addresses{v1.ParseLater("b@example.org"), v1.ParseLater("c@example.net")}, Subject: "Hello", Text: "text"}
	if change != nil {
		change(&m)
	}
	var r v1.Receipt
	if res, p := w.call("POST", "/v1/messages", manageKey, m, &r); res.StatusCode != 202 {
		w.t.Fatalf("%d %+v", res.StatusCode, p)
	}
	return r
}

func TestMessagesAreFoundByWhatTheyAre(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	first := w.send(func(m *v1.NewMessage) {
		m.Tags, m.Metadata = []string{"receipt"}, map[string]string{"order": "1", "shop": "x"}
	})
	w.send(func(m *v1.NewMessage) {
		m.Subject, m.Stream = "Other", "bulk"
		m.Unsubscribe = &v1.Unsubscribe{Mode: "custom", List: "news", URL: "https://example.com/u"}
	})
	for query, want := range map[string]int{
		"": 2, "tag=receipt": 1, "metadata[order]=1": 1, "metadata[order]=1&metadata[shop]=x": 1, "metadata[order]=2": 0, "stream=bulk": 1, "subject=HELL": 1,
		"recipient_domain=example.org": 2, "domain=EXAMPLE.net&recipient_domain=EXAMPLE.net": 2, "status=queued": 2, "state=held&status=queued": 2, "status=held": 0,
		"message_id=" + url.QueryEscape(first.MessageID): 1, "key_id=key_3": 2, "key_id=key_1": 0, "created_after=2026-11-23T05:00:00Z": 2, "created_before=2026-11-23T05:00:00Z": 0,
		"account=shop": 2, "id=" + first.ID: 1, "sender=@example.com": 2, "since=2026-11-23T05:00:00.000%2B00:00": 2,
	} {
		if l := w.list(manageKey, query); len(l.Data) != want {
			t.Errorf("%q finds %d, want %d", query, len(l.Data), want)
		}
	}
	if l := w.list(blogKey, ""); len(l.Data) != 0 {
		t.Error("another account sees them")
	}
	if res, _ := w.call("GET", "/v1/messages?account=shop", blogKey, nil, nil); res.StatusCode != 404 {
		t.Errorf("another account asks for them and gets %d", res.StatusCode)
	}
	if l := w.list(key, ""); len(l.Data) != 2 {
		t.Errorf("an admin sees %d", len(l.Data))
	}
	if res, p := w.call("GET", "/v1/messages?domain=a.example&recipient_domain=b.example", manageKey, nil, nil); res.StatusCode != 422 || p.Errors[0].Parameter != "recipient_domain" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestACursorIsOfItsListingAlone(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	for range 3 {
		w.send(nil)
	}
	l := w.list(manageKey, "limit=2")
	if !l.HasMore || l.NextCursor == "" || strings.ContainsAny(l.NextCursor, "+/=") {
		t.Fatalf("%+v", l)
	}
	if rest := w.list(manageKey, "limit=2&cursor="+l.NextCursor); len(rest.Data) != 1 || rest.HasMore {
		t.Errorf("%+v", rest)
	}
	for _, c := range []struct{ key, query string }{
		{manageKey, "state=queued&cursor=" + l.NextCursor}, {key, "cursor=" + l.NextCursor}, {key, "account=shop&cursor=" + l.NextCursor}, {manageKey, "cursor=" + l.NextCursor + "x"}, {manageKey, "cursor=x"},
		{manageKey, "cursor=e30"}, {manageKey, "cursor=bnVsbA"},
	} {
		if res, p := w.call("GET", "/v1/messages?"+c.query, c.key, nil, nil); res.StatusCode != 400 || p.Code != "invalid_cursor" {
			t.Errorf("%v: %d %+v", c, res.StatusCode, p)
		}
	}
}

func TestOneMessageIsSteered(t *testing.T) {
	t.Parallel()
	w, d := everything(t)
	r := w.send(nil)
	path := "/v1/messages/" + r.ID
	do := func(action, key string, in any) (v1.Changes, int, v1.Problem) {
		t.Helper()
		var c v1.Changes
		res, p := w.call("POST", path+"/"+action, key, in, &c)
		return c, res.StatusCode, p
	}
	if c, status, p := do("hold", manageKey, v1.Selection{Recipients: []string{r.Recipients[1].ID}, Reason: "wait"}); status != 200 || c.Changed != 1 || c.Data[0].Changed || !c.Data[1].Changed || c.Data[1].State != "held" {
		t.Fatalf("%d %+v %+v", status, p, c)
	}
	if c, status, p := do("release", manageKey, nil); status != 200 || c.Changed != 1 || c.Data[1].State != "queued" {
		t.Errorf("%d %+v %+v", status, p, c)
	}
	if c, status, p := do("retry", manageKey, "{}"); status != 200 || c.Matched != 2 {
		t.Errorf("%d %+v %+v", status, p, c)
	}
	empty := "POST " + path + "/retry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + manageKey + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	if res, text, _ := w.speak(time.Second, empty); res.StatusCode != 200 {
		t.Errorf("a body of no octets: %d %s", res.StatusCode, text)
	}
	if _, status, p := do("hold", manageKey, v1.Selection{Recipients: []string{"rcp_x", queue.NewMessageID().Recipient(0).String()}}); status != 422 || len(p.Errors) != 2 || p.Errors[1].Pointer != "#/recipients/1" {
		t.Errorf("%d %+v", status, p)
	}
	for key, want := range map[string]int{readKey: 403, sendKey: 403, blogKey: 404} {
		if _, status, _ := do("cancel", key, nil); status != want {
			t.Errorf("%s cancels and gets %d", key, status)
		}
	}
	if c, status, p := do("cancel", manageKey, nil); status != 200 || c.Changed != 2 || c.Data[0].State != "cancelled" {
		t.Errorf("%d %+v %+v", status, p, c)
	}
	if _, status, p := do("cancel", manageKey, nil); status != 409 || p.Code != "not_cancelable" {
		t.Errorf("%d %+v", status, p)
	}
	if _, status, p := do("retry", manageKey, nil); status != 409 || p.Code != "conflict" {
		t.Errorf("%d %+v", status, p)
	}
	var m v1.Message
	w.call("GET", path+"?expand=events,attempts", manageKey, nil, &m)
	if last := m.Events[len(m.Events)-1]; last.Actor != "key key_3" || m.Events[1].Reason != "wait" {
		t.Errorf("%+v", m.Events)
	}
	var copied v1.Receipt
	if res, p := w.call("POST", path+"/resend", manageKey, v1.NewCopy{Recipients: []string{r.Recipients[0].ID}, To: v1.Addresses{v1.ParseLater("new@example.org")}}, &copied, "Idempotency-Key", "copy"); res.StatusCode != 202 || len(copied.Recipients) != 2 || copied.ID == r.ID {
		t.Fatalf("%d %+v %+v", res.StatusCode, p, copied)
	}
	if s, text := d.last(); s.Recipients[1].Address.String() != "new@example.org" || !strings.Contains(text, "Subject: Hello") || s.IdempotencyKey != "copy" {
		t.Errorf("%+v %s", s, text)
	}
	if res, p := w.call("POST", path+"/resend", manageKey, `{"to":["nobody"]}`, nil); res.StatusCode != 422 || p.Errors[0].Pointer != "#/to/0" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if res, p := w.call("POST", path+"/resend", manageKey, nil, &copied); res.StatusCode != 202 || len(copied.Recipients) != 2 {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestTheTimesOfAMessageAreChanged(t *testing.T) {
	t.Parallel()
	w, _ := withSender(t)
	later := w.now.Add(24 * time.Hour)
	r := w.send(func(m *v1.NewMessage) { m.ScheduledAt = &later })
	if r.Status != "scheduled" || r.Recipients[0].Status != "scheduled" {
		t.Errorf("%+v", r)
	}
	path := "/v1/messages/" + r.ID
	for body, pointer := range map[string]string{
		`{}`: "#", `{"scheduled_at":"2027-11-23T05:00:00Z"}`: "#/scheduled_at", `{"expires_at":"2020-01-01T00:00:00Z"}`: "#/expires_at",
		`{"expires_at":"2030-01-01T00:00:00Z"}`: "#/expires_at", `{"scheduled_at":"2026-12-20T00:00:00Z"}`: "#/expires_at", `{"scheduled_at":7}`: "#/scheduled_at", `{"subject":"x"}`: "#/subject",
	} {
		if res, p := w.call("PATCH", path, manageKey, body, nil); res.StatusCode != 422 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %d %+v", body, res.StatusCode, p)
		}
	}
	var m v1.Message
	soon := w.now.Add(time.Hour)
	if res, p := w.call("PATCH", path, manageKey, v1.MessageChange{ScheduledAt: v1.Some(soon), ExpiresAt: &later}, &m, "Content-Type", "application/merge-patch+json"); res.StatusCode != 200 || !m.Recipients[0].NextTry.Equal(soon) || !m.ExpiresAt.Equal(later) {
		t.Fatalf("%d %+v %+v", res.StatusCode, p, m)
	}
	if res, p := w.call("PATCH", path, manageKey, v1.MessageChange{ScheduledAt: v1.None[time.Time]()}, &m); res.StatusCode != 200 || m.Recipients[0].State != "queued" || !m.Recipients[0].NextTry.Equal(w.now) {
		t.Errorf("%d %+v %+v", res.StatusCode, p, m)
	}
	w.call("POST", path+"/cancel", manageKey, nil, nil)
	if res, p := w.call("PATCH", path, manageKey, v1.MessageChange{ExpiresAt: &later}, nil); res.StatusCode != 409 {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestWhyAMessageWaits(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	r := w.send(nil)
	var why v1.Why
	if res, p := w.call("GET", "/v1/messages/"+r.ID+"/why", readKey, nil, &why); res.StatusCode != 200 {
		t.Fatalf("%+v", p)
	}
	if len(why.Data) != 2 || why.Data[0].State != "queued" || len(why.Data[0].Limits) != 2 || why.Data[0].Limits[0].Kind != "site_connections" || len(why.Data[1].Limits) != 1 || why.Data[0].Summary == "" {
		t.Errorf("%+v", why)
	}
	w.call("POST", "/v1/messages/"+r.ID+"/cancel", manageKey, nil, nil)
	why = v1.Why{}
	w.call("GET", "/v1/messages/"+r.ID+"/why", readKey, nil, &why)
	if why.Data[0].Limits != nil || why.Data[0].Summary != "It was cancelled." {
		t.Errorf("%+v", why)
	}
}

func TestWhyIsToldWithTheLastReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue("shop", "bob@example.org")
	ls, err := w.store.Lease(t.Context(), queue.LeaseRequest{Now: w.now, Holder: "n", TTL: time.Minute, Max: 1})
	if err != nil || len(ls) != 1 {
		t.Fatal(ls, err)
	}
	next := w.now.Add(10 * time.Minute)
	a := &queue.Attempt{Number: 1, Start: w.now, Host: "mx.example.org", Stage: queue.StageRcpt, Reply: queue.Reply{Code: 451, Enhanced: queue.Enhanced{4, 7, 1}, Text: "Greylisted", Command: "RCPT"}}
	if err := w.store.Settle(t.Context(), ls[0], []queue.Settlement{{Recipient: ls[0].Recipients[0].ID, Outcome: queue.StateDeferred, Due: next, Attempt: a, Class: queue.ClassGreylist}}); err != nil {
		t.Fatal(err)
	}
	var why v1.Why
	var m v1.Message
	path := "/v1/messages/" + ls[0].Message.ID.String()
	w.call("GET", path+"/why", key, nil, &why)
	if d := why.Data[0]; d.State != "deferred" || d.Last.Reply != "Greylisted" || !strings.Contains(d.Advice, "come back later") || !d.NextTry.Equal(next) || !strings.Contains(d.Summary, "once") {
		t.Errorf("%+v", d)
	}
	if e, err := w.store.Message(t.Context(), ls[0].Message.ID); err != nil || why.Data[0].Advice != queue.Advice(queue.ClassGreylist, queue.FactsOf(&e.Message, &e.Recipients[0], a, "")) {
		t.Errorf("%v: the advice is another one than elsewhere: %s", err, why.Data[0].Advice)
	}
	if d := why.Data[0]; d.Mender != "nobody, wait" {
		t.Errorf("who can mend it: %q", d.Mender)
	}
	w.call("GET", path+"?expand=attempts", key, nil, &m)
	if len(m.Attempts) != 1 || m.Attempts[0].Recipient != m.Recipients[0].ID || m.Recipients[0].Mender != "nobody, wait" || m.Events != nil {
		t.Errorf("%+v", m)
	}
}

func TestTheContentOfAMessage(t *testing.T) {
	t.Parallel()
	w, d := withSender(t)
	r := w.send(func(m *v1.NewMessage) {
		m.Subject, m.HTML = "Grüße", "<p>Grüße <img src=cid:logo>"
		m.Attachments = []v1.Attachment{{Filename: "a.txt", Content: "YSBmaWxl"}, {Filename: "logo.png", Content: "iVBORw==", ContentID: "logo"}, {Filename: "evil.html", ContentType: "text/html", Content: "PHNjcmlwdD4="}}
	})
	path := "/v1/messages/" + r.ID
	if res, _ := w.call("GET", path+"/content", sendKey, nil, nil); res.StatusCode != 403 {
		t.Errorf("a key that only sends reads it: %d", res.StatusCode)
	}
	if res, _ := w.call("GET", path+"/raw", blogKey, nil, nil); res.StatusCode != 404 {
		t.Errorf("another account reads it: %d", res.StatusCode)
	}
	var c v1.Content
	if res, p := w.call("GET", path+"/content", readKey, nil, &c); res.StatusCode != 200 || c.Text != "text" || c.HTML != "<p>Grüße <img src=cid:logo>" || len(c.Attachments) != 3 {
		t.Fatalf("%d %+v %+v", res.StatusCode, p, c)
	}
	subject := ""
	for _, h := range c.Headers {
		if h.Name == "Subject" {
			subject = h.Value
		}
	}
	if subject != "Grüße" {
		t.Errorf("subject %q", subject)
	}
	for _, part := range c.Attachments {
		var text string
		res, _ := w.call("GET", fmt.Sprintf("%s/attachments/%d", path, part.Index), readKey, nil, &text)
		if int64(len(text)) != part.Size || res.Header.Get("Content-Type") != part.ContentType {
			t.Errorf("%+v: %q %v", part, text, res.Header)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "sandbox") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("a browser may show it: %v", res.Header)
		}
	}
	for _, n := range []string{"3", "-1", "x", "501"} {
		if res, p := w.call("GET", path+"/attachments/"+n, readKey, nil, nil); res.StatusCode != 404 {
			t.Errorf("%s: %d %+v", n, res.StatusCode, p)
		}
	}
	var raw string
	res, _ := w.call("GET", path+"/raw", readKey, nil, &raw)
	if _, text := d.last(); raw != text || res.Header.Get("Content-Type") != "message/rfc822" {
		t.Errorf("%v\n%s", res.Header, raw)
	}
	w.call("POST", path+"/cancel", manageKey, nil, nil)
	id, err := queue.ParseMessageID(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.RemoveContent(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"/content", "/raw", "/attachments/0"} {
		if res, p := w.call("GET", path+what, readKey, nil, nil); res.StatusCode != 404 || !strings.Contains(p.Detail, "no longer") {
			t.Errorf("%s: %d %+v", what, res.StatusCode, p)
		}
	}
}

func TestEventsAreReadAndFollowed(t *testing.T) {
	t.Parallel()
	w, _ := everything(t)
	r := w.send(nil)
	var p feed.Page
	if res, problem := w.call("GET", "/v1/messages/"+r.ID+"/events", readKey, nil, &p); res.StatusCode != 200 || len(p.Data) != 1 || p.Data[0].Type != feed.Queued {
		t.Fatalf("%d %+v %+v", res.StatusCode, problem, p)
	}
	if res, _ := w.call("GET", "/v1/messages/"+r.ID+"/events", blogKey, nil, nil); res.StatusCode != 404 {
		t.Errorf("another account reads them: %d", res.StatusCode)
	}
	if res, _ := w.call("GET", "/v1/events?types=email.queued,email.canceled&limit=10", readKey, nil, &p); res.StatusCode != 200 || len(p.Data) != 1 {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if w.call("GET", "/v1/events", blogKey, nil, &p); len(p.Data) != 0 {
		t.Errorf("another account reads %+v", p)
	}
	for query, want := range map[string]int{"cursor=x": 400, "types=lost": 422, "wait=31s": 422, "wait=x": 422, "limit=0": 422} {
		if res, problem := w.call("GET", "/v1/events?"+query, readKey, nil, nil); res.StatusCode != want {
			t.Errorf("%s: %d %+v", query, res.StatusCode, problem)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/events/stream?types=email.queued,email.canceled", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // it has begun: what happens from here on is told
	w.call("POST", "/v1/messages/"+r.ID+"/cancel", manageKey, nil, nil)
	for lines.Scan() {
		if lines.Text() == "event: email.canceled" {
			return
		}
	}
	t.Errorf("the stream ended: %v", lines.Err())
}
