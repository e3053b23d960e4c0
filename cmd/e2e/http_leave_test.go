package e2e_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/dkim"
	"postrider/relay/smtpsim"
)

// A newsletter carries a link to leave it with one click, in a signed header. It
// takes a POST to leave, and mail of another kind still comes.
func TestARecipientLeavesAListWithOneClick(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	const public = "https://mail.shop.test"
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_PUBLIC_URL": public})
	world.Publish(t, "shop.test", relay.CLI(ctx, t, "domain", "records", "--zone", "shop.test"))
	w := webOf(relay, keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read", "manage"}}).Secret)
	stream := v1.NewStream{Name: "newsletter", Kind: "bulk", Unsubscribe: &v1.Unsubscribe{Mode: "one_click", List: "news"}}
	w.do(ctx, t, http.MethodPost, "/v1/streams", stream).want(t, http.StatusCreated, nil)

	news := letter("b@customer.test", "News")
	news.Stream, news.Text, news.HTML = "newsletter", "Leave: {{unsubscribe_url}}\n", `<a href="{{unsubscribe_url}}">Leave</a>`
	w.send(ctx, t, news)
	got := e2etest.Receive(ctx, t, mx, 1)[0]
	link := strings.Trim(unfolded(got, "List-Unsubscribe"), "<>")
	path, ok := strings.CutPrefix(link, public)
	if !ok || !strings.HasPrefix(path, "/u/") || unfolded(got, "List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || unfolded(got, "List-Id") != "<news.shop.test>" {
		t.Fatalf("the header has no link to leave:\n%s", got.Raw)
	}
	if strings.Contains(string(got.Raw), "{{unsubscribe_url}}") {
		t.Errorf("the texts have no link:\n%s", got.Raw)
	}
	signs(ctx, t, world, got, "List-Unsubscribe", "List-Unsubscribe-Post")

	anybody := web{base: w.base}
	opened := anybody.do(ctx, t, http.MethodGet, path, nil)
	if opened.status != http.StatusOK || !strings.HasPrefix(opened.header.Get("Content-Type"), "text/html") {
		t.Errorf("the link opens as %s", opened)
	}
	w.send(ctx, t, news)
	e2etest.Receive(ctx, t, mx, 2)

	posted := anybody.do(ctx, t, http.MethodPost, path, []byte("List-Unsubscribe=One-Click"), "Content-Type", "application/x-www-form-urlencoded")
	if posted.status != http.StatusOK || len(posted.body) > 0 {
		t.Errorf("the post is answered %s", posted)
	}
	checkLeft(ctx, t, w, relay, mx, news)
}

// checkLeft sends once more to who left the list.
func checkLeft(ctx context.Context, t *testing.T, w web, relay *e2etest.Relay, mx *smtpsim.Server, news v1.NewMessage) {
	t.Helper()
	before := len(mx.Messages())
	if err := w.do(ctx, t, http.MethodPost, "/v1/messages", news).refused(http.StatusUnprocessableEntity, "all_recipients_suppressed"); err != nil {
		t.Error(err)
	}
	w.send(ctx, t, letter("b@customer.test", "An order"))
	arrived := e2etest.Receive(ctx, t, mx, before+1)
	if got := unfolded(arrived[before], "Subject"); got != "An order" {
		t.Errorf("%q arrived", got)
	}
	awaitEmpty(ctx, t, relay)
	if n := len(mx.Messages()); n != before+1 {
		t.Errorf("%d more arrived", n-before)
	}
	var list v1.SuppressionList
	w.do(ctx, t, http.MethodGet, "/v1/suppressions?"+url.Values{"email": {"b@customer.test"}}.Encode(), nil).want(t, http.StatusOK, &list)
	if len(list.Data) != 1 || list.Data[0].Scope != "news" || list.Data[0].Reason != "unsubscribe" {
		t.Errorf("the list of suppressions is %+v", list.Data)
	}
}

// unfolded is the value of a header field, which may be on several lines.
func unfolded(m *smtpsim.Message, name string) string {
	head, _, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(head), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// signs checks that every signature of a message is good and covers the fields.
func signs(ctx context.Context, t *testing.T, world *e2etest.Internet, m *smtpsim.Message, fields ...string) {
	t.Helper()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, world.DNS.Addr())
	}}
	verdicts, err := dkim.Verify(ctx, bytes.NewReader(m.Raw), resolver.LookupTXT)
	if err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != 2 {
		t.Errorf("there are %d signatures", len(verdicts))
	}
	for _, v := range verdicts {
		if v.Err != nil {
			t.Errorf("the signature of %s: %v", v.Domain, v.Err)
		}
		for _, field := range fields {
			if !slices.ContainsFunc(v.Signed, func(s string) bool { return strings.EqualFold(s, field) }) {
				t.Errorf("the signature covers %q, not %s", v.Signed, field)
			}
		}
	}
}
