package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// With a listener of its own for what concerns the relay as a whole, the public
// one does not show that it exists.
func TestOperatorsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	const admin = "9f2c-admin-key-31d7"
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_HTTP_OPERATOR_LISTEN": "127.0.0.1:0", "POSTRIDER_API_KEY": admin})
	started := relay.Out.Expect(ctx, t, func(l e2etest.Line) bool { return l.Is("relay started") })
	apart, _ := started.Attrs["http_operator"].([]any)
	if len(apart) != 1 {
		t.Fatalf("the operator's listeners are %v", apart)
	}
	public, operator := webOf(relay, admin), web{base: "http://" + apart[0].(string), header: bearer(admin)}

	nothing := public.do(ctx, t, http.MethodGet, "/v1/nothing-at-all", nil)
	for _, path := range []string{"/v1/accounts", "/v1/accounts/shop", "/metrics", "/v1/domains", "/v1/queue", "/v1/queue/destinations", "/v1/queue/suspensions"} {
		a := public.do(ctx, t, http.MethodGet, path, nil)
		if err := a.refused(http.StatusNotFound, "not_found"); err != nil || len(a.body) != len(nothing.body) {
			t.Errorf("in public %s is answered %s, %v", path, a, err)
		}
		if path == "/v1/accounts/shop" {
			continue // there is no such operation to read one
		}
		if a := operator.do(ctx, t, http.MethodGet, path, nil); a.status != http.StatusOK {
			t.Errorf("to operators %s is answered %s", path, a)
		}
	}
	if a := public.do(ctx, t, http.MethodPost, "/v1/queue/bounce", map[string]any{"all": true, "reason": "x", "dry_run": false}); a.status != http.StatusNotFound {
		t.Errorf("in public a bounce of all is answered %s", a)
	}
	for _, w := range []web{public, operator} {
		shop := web{base: w.base, header: basic(e2etest.User, e2etest.Password)}
		shop.send(ctx, t, letter("b@customer.test", "taken"))
		shop.do(ctx, t, http.MethodGet, "/livez", nil).want(t, http.StatusOK, nil)
		shop.do(ctx, t, http.MethodGet, "/v1/messages", nil).want(t, http.StatusOK, nil)
	}
	e2etest.Receive(ctx, t, mx, 2)
	if a := operator.do(ctx, t, http.MethodGet, "/metrics", nil); !strings.Contains(string(a.body), "postrider_") {
		t.Errorf("the metrics are %s", a)
	}
	anybody := web{base: operator.base}
	if a := anybody.do(ctx, t, http.MethodGet, "/v1/accounts", nil); a.status != http.StatusUnauthorized {
		t.Errorf("without a key the accounts are answered %s", a)
	}
	shown, hidden := paths(t, operator.do(ctx, t, http.MethodGet, "/openapi.json", nil)), paths(t, public.do(ctx, t, http.MethodGet, "/openapi.json", nil))
	if shown["/v1/accounts"] == nil || hidden["/v1/accounts"] != nil || hidden["/v1/messages"] == nil {
		t.Errorf("the descriptions do not fit the listeners: %d and %d paths", len(shown), len(hidden))
	}
}

// paths are those of an API's description.
func paths(t *testing.T, a reply) map[string]json.RawMessage {
	t.Helper()
	var doc struct{ Paths map[string]json.RawMessage }
	a.want(t, http.StatusOK, &doc)
	return doc.Paths
}
