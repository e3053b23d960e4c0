package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "postrider/api/v1"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// Requests that are repeated at once make one message, on the embedded store...
func TestAHundredRequestsWithOneKeyMakeOneMessage(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	sentOnce(ctx, t, mx, e2etest.Start(t, world.Env()))
}

// ... and at two nodes that share one.
func TestAHundredRequestsAtTwoNodesMakeOneMessage(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	_, a, b := twoNodes(t, world)
	sentOnce(ctx, t, mx, a, b)
}

// sentOnce hands a message in a hundred times at once, and again afterwards in
// other ways.
func sentOnce(ctx context.Context, t *testing.T, mx *smtpsim.Server, nodes ...*e2etest.Relay) {
	t.Helper()
	const key, many = "order-1042", 100
	secret := keyOf(ctx, t, nodes[0], v1.NewKey{Scopes: []string{"send"}}).Secret
	m := letter("b@customer.test", "once")
	answers := make([]reply, many)
	errs := make([]error, many)
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range many {
		all.Go(func() {
			<-begin
			answers[i], errs[i] = webOf(nodes[i%len(nodes)], secret).ask(ctx, http.MethodPost, "/v1/messages", m, "Idempotency-Key", key)
		})
	}
	close(begin)
	all.Wait()
	var first v1.Receipt
	made := 0
	for i, a := range answers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		var r v1.Receipt
		a.want(t, http.StatusAccepted, &r)
		if i == 0 {
			first = r
		}
		if r.ID != first.ID || r.MessageID != first.MessageID || len(r.Recipients) != 1 || r.Recipients[0] != first.Recipients[0] || !r.CreatedAt.Equal(first.CreatedAt) {
			t.Fatalf("two answers differ: %+v and %+v", first, r)
		}
		if a.header.Get("Idempotency-Replayed") != "true" {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d answers say that they are the first", made)
	}
	again(ctx, t, nodes[len(nodes)-1], secret, first.ID, key)
	e2etest.Receive(ctx, t, mx, 1)
	awaitEmpty(ctx, t, nodes[0])
	if n := len(mx.Messages()); n != 1 {
		t.Errorf("%d arrived", n)
	}
	if q, err := nodes[0].Admin().Queue(ctx); err != nil || q.States["delivered"].Recipients != 1 {
		t.Errorf("the queue is %+v, %v", q.States, err)
	}
}

// again repeats a message by quoting its key, and uses the key for others.
func again(ctx context.Context, t *testing.T, r *e2etest.Relay, secret, id, key string) {
	t.Helper()
	w := webOf(r, secret)
	if again := w.send(ctx, t, letter("b@customer.test", "once"), "Idempotency-Key", `"`+key+`"`); again.ID != id {
		t.Errorf("the key in quotes made %s", again.ID)
	}
	a := w.do(ctx, t, http.MethodPost, "/v1/messages", letter("b@customer.test", "something else"), "Idempotency-Key", key)
	if err := a.refused(http.StatusUnprocessableEntity, "idempotency_key_reused"); err != nil {
		t.Errorf("the key with another text: %v", err)
	}
	if strings.Contains(a.String(), "something else") {
		t.Errorf("the answer repeats what was submitted: %s", a)
	}
	// SMTP has the same keys, and cannot know whether it is the same message.
	c, err := e2etest.Login(ctx, r.SMTP, e2etest.User, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Send("a@shop.test", []string{"b@customer.test"}, keyed(key, "once"))
	if refusal := new(textproto.Error); !errors.As(err, &refusal) || refusal.Code != 554 {
		t.Errorf("the key over SMTP is answered %v", err)
	}
}

// keyed is a small message that may be repeated.
func keyed(key, subject string) []byte {
	return append([]byte("X-Idempotency-Key: "+key+"\r\n"), e2etest.Mail("a@shop.test", "b@customer.test", subject)...)
}

// SMTP has the same keys: what is repeated there makes one message, and HTTP does
// not take its key for another.
func TestAKeyOverSMTPMakesOneMessage(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	var all sync.WaitGroup
	ids := make([]string, 20)
	for i := range ids {
		all.Go(func() {
			c, err := e2etest.Login(ctx, relay.SMTP, e2etest.User, e2etest.Password)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if ids[i], err = c.Send("a@shop.test", []string{"b@customer.test"}, keyed("by-smtp", "by SMTP")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if slices.Sort(ids); ids[0] == "" || ids[0] != ids[len(ids)-1] {
		t.Errorf("the ids are %q", ids)
	}
	w := web{base: "http://" + relay.HTTP, header: basic(e2etest.User, e2etest.Password)}
	a := w.do(ctx, t, http.MethodPost, "/v1/messages", letter("b@customer.test", "by SMTP"), "Idempotency-Key", "by-smtp")
	if err := a.refused(http.StatusUnprocessableEntity, "idempotency_key_reused"); err != nil {
		t.Error(err)
	}
	got := e2etest.Receive(ctx, t, mx, 1)
	awaitEmpty(ctx, t, relay)
	if n := len(mx.Messages()); n != 1 || strings.Contains(string(got[0].Raw), "Idempotency") {
		t.Errorf("%d arrived, the first is\n%s", n, got[0].Raw)
	}
}
