package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// One secret is a password for SMTP and every form of credential over HTTP.
func TestOneSecretIsGoodEverywhere(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	key := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send"}})
	token := func(secret string) http.Header { return http.Header{"X-Postmark-Server-Token": {secret}} }

	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, key.Secret)
	if err != nil {
		t.Fatalf("AUTH PLAIN with the key: %v", err)
	}
	defer c.Close()
	if _, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "by SMTP")); err != nil {
		t.Fatal(err)
	}
	want := []string{"by SMTP"}
	for name, form := range map[string]func(string) http.Header{
		"Bearer": bearer, "Basic with api": func(s string) http.Header { return basic("api", s) },
		"Basic with the account": func(s string) http.Header { return basic(e2etest.User, s) }, "Postmark's header": token,
	} {
		w := web{base: "http://" + relay.HTTP, header: form(key.Secret)}
		w.send(ctx, t, letter("b@customer.test", "by "+name))
		want = append(want, "by "+name)
		w.header = form(key.Secret + "x")
		if err := w.do(ctx, t, http.MethodPost, "/v1/messages", letter("b@customer.test", "no")).refused(http.StatusUnauthorized, "unauthorized"); err != nil {
			t.Errorf("a wrong secret as %s: %v", name, err)
		}
	}
	// Postmark's own door, and Mailgun's, take the same secret.
	w := web{base: "http://" + relay.HTTP, header: token(key.Secret)}
	w.do(ctx, t, http.MethodPost, "/email", map[string]string{
		"From": "a@shop.test", "To": "b@customer.test", "Subject": "by Postmark's door", "TextBody": "Hello.",
	}).want(t, http.StatusOK, nil)
	w.header = basic("api", key.Secret)
	w.do(ctx, t, http.MethodPost, "/v3/shop.test/messages", []byte("from=a@shop.test&to=b@customer.test&text=Hello.&subject=by+Mailgun's+door"),
		"Content-Type", "application/x-www-form-urlencoded").want(t, http.StatusOK, nil)
	want = append(want, "by Postmark's door", "by Mailgun's door")

	got := subjects(e2etest.Receive(ctx, t, mx, len(want)))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q arrived, want %q", got, want)
	}
	if strings.Contains(relay.Out.Text()+relay.Err.Text(), key.Secret) {
		t.Error("the log holds the secret")
	}
}

// subjects are those of messages, sorted.
func subjects(msgs []*smtpsim.Message) (list []string) {
	for _, m := range msgs {
		list = append(list, unfolded(m, "Subject"))
	}
	slices.Sort(list)
	return list
}

// limitedKey is a key that may not do something, and what is answered to it.
type limitedKey struct {
	name     string
	key      v1.NewKey
	lasts    time.Duration // 0: for ever
	from, to string        // of what is refused
	status   int
	code     string
	smtp     int // of the reply
	step     string
}

func limitedKeys() []limitedKey {
	const from, to = "a@shop.test", "b@customer.test"
	limits := func(l v1.KeyLimits) v1.NewKey { return v1.NewKey{Scopes: []string{"send"}, KeyLimits: l} }
	return []limitedKey{
		{"another sender", limits(v1.KeyLimits{AllowedFrom: []string{"shop.test"}}), 0, "a@other.test", to, 403, "sender_not_allowed", 550, "MAIL"},
		{"another recipient", limits(v1.KeyLimits{AllowedRecipients: []string{"customer.test"}}), 0, from, "b@friend.test", 403, "recipient_not_allowed", 550, "the dot"},
		{"another network", limits(v1.KeyLimits{AllowedNetworks: []string{"192.0.2.0/24"}}), 0, from, to, 403, "ip_not_allowed", 535, "AUTH"},
		{"an end", limits(v1.KeyLimits{}), 2 * time.Second, from, to, 401, "key_expired", 535, "AUTH"},
		{"another scope", v1.NewKey{Scopes: []string{"read"}}, 0, from, to, 403, "forbidden_scope", 535, "AUTH"},
	}
}

// What a key may not do is refused over HTTP and SMTP alike.
func TestAKeysLimitsAreTheSameOverHTTPAndSMTP(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	for _, k := range limitedKeys() {
		t.Run(k.name, func(t *testing.T) {
			end := time.Now().Add(k.lasts)
			if k.lasts > 0 {
				k.key.ExpiresAt = &end
			}
			secret := keyOf(ctx, t, relay, k.key).Secret
			m := letter(k.to, "not to be sent")
			m.From = v1.Address{Email: k.from}
			e2etest.Poll(ctx, t, func() error {
				if time.Now().Before(end) {
					return errors.New("the key has not expired yet")
				}
				return nil
			})
			if err := webOf(relay, secret).do(ctx, t, http.MethodPost, "/v1/messages", m).refused(k.status, k.code); err != nil {
				t.Error(err)
			}
			if err := k.overSMTP(ctx, relay, secret); err != nil {
				t.Error(err)
			}
		})
	}
	if n := len(mx.Messages()); n > 0 {
		t.Errorf("%d arrived", n)
	}
}

// overSMTP fails unless the step is refused with the code.
func (k *limitedKey) overSMTP(ctx context.Context, r *e2etest.Relay, secret string) error {
	c, err := e2etest.Dial(ctx, r.SMTP)
	if err != nil {
		return err
	}
	defer c.Close()
	step := "AUTH"
	if err = c.Authenticate(e2etest.User, secret); err == nil {
		step = "MAIL"
		_, err = c.Do(250, "MAIL FROM:<%s>", k.from)
	}
	if err == nil {
		step = "RCPT"
		_, err = c.Do(250, "RCPT TO:<%s>", k.to)
	}
	if err == nil {
		step = "the dot"
		_, err = c.Data(e2etest.Mail(k.from, k.to, "not to be sent"))
	}
	if refusal := new(textproto.Error); !errors.As(err, &refusal) || refusal.Code != k.smtp || step != k.step {
		return fmt.Errorf("%s over SMTP is answered %v, want %d at %s", step, err, k.smtp, k.step)
	}
	return nil
}

// What a key for trying out sends is accepted and reported, and goes nowhere.
func TestASandboxKeySendsNothing(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send"}, KeyLimits: v1.KeyLimits{Sandbox: true}}).Secret
	receipt := webOf(relay, secret).send(ctx, t, letter("b@customer.test", "pretended"))
	if !receipt.Sandbox {
		t.Errorf("the answer does not say that it is pretended: %+v", receipt)
	}
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "pretended"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{receipt.ID, id} {
		awaitState(ctx, t, relay, id, "delivered")
		if m, err := relay.Admin().Message(ctx, id); err != nil || !m.Sandbox {
			t.Errorf("%s is not shown as pretended: %+v, %v", id, m, err)
		}
	}
	// What is really sent afterwards comes alone.
	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "real"))
	if got := subjects(e2etest.Receive(ctx, t, mx, 1)); !slices.Equal(got, []string{"real"}) || mx.Counters().Connections > 1 {
		t.Errorf("%q arrived over %d connections", got, mx.Counters().Connections)
	}
}

// The recipients of both ways count together.
func TestAKeysRateIsKeptOverHTTPAndSMTPTogether(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	secret := keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send"}, KeyLimits: v1.KeyLimits{RatePerMinute: 2}}).Secret
	w := webOf(relay, secret)
	c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	submit := func(subject string) error {
		_, err := c.Send("a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", subject))
		return err
	}
	w.send(ctx, t, letter("b@customer.test", "one"))
	if err := submit("two"); err != nil {
		t.Fatal(err)
	}
	a := w.do(ctx, t, http.MethodPost, "/v1/messages", letter("b@customer.test", "three"))
	if err := a.refused(http.StatusTooManyRequests, "rate_limited"); err != nil || a.header.Get("Retry-After") == "" {
		t.Errorf("over the rate: %v, headers %v", err, a.header)
	}
	if refusal := new(textproto.Error); !errors.As(submit("four"), &refusal) || refusal.Code != 450 {
		t.Errorf("over the rate SMTP answers %v", refusal)
	}
	got := subjects(e2etest.Receive(ctx, t, mx, 2))
	awaitEmpty(ctx, t, relay)
	if n := len(mx.Messages()); n != 2 || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%d arrived: %q", n, got)
	}
}

// Whoever may not see the relay as a whole does not learn of other accounts.
func TestAKeySeesItsOwnAccountOnly(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_ACCOUNTS": e2etest.User + ":" + e2etest.Password + ",blog:another-secret"})
	own := webOf(relay, keyOf(ctx, t, relay, v1.NewKey{Scopes: []string{"send", "read", "manage"}}).Secret)
	blog := web{base: own.base, header: basic("blog", "another-secret")}
	theirs := blog.send(ctx, t, letter("b@customer.test", "of another"))
	mine := own.send(ctx, t, letter("b@customer.test", "own"))

	of := "/v1/messages/" + theirs.ID
	for _, call := range []string{
		"GET " + of, "GET " + of + "/raw", "GET " + of + "/events", "POST " + of + "/cancel", "POST " + of + "/resend",
		"GET /v1/messages?account=blog", "GET /v1/events?account=blog",
	} {
		method, path, _ := strings.Cut(call, " ")
		if a := own.do(ctx, t, method, path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s of another account is answered %s", call, a)
		}
	}
	var list v1.MessageList
	own.do(ctx, t, http.MethodGet, "/v1/messages", nil).want(t, http.StatusOK, &list)
	if len(list.Data) != 1 || list.Data[0].ID != mine.ID {
		t.Errorf("the list is %+v", list.Data)
	}
	if a := own.do(ctx, t, http.MethodGet, "/v1/accounts", nil); a.status != http.StatusForbidden {
		t.Errorf("the accounts are answered %s", a)
	}
}
