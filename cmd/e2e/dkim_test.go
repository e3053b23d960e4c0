package e2e_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/dkim"
	"postrider/relay/smtpsim"
)

// What `postrider domain records` prints, published as it is, makes the
// signatures of the delivered message verify.
func TestSignaturesVerifyWithThePrintedRecords(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	world.Publish(t, "shop.test", relay.CLI(ctx, t, "domain", "records", "--zone", "shop.test"))

	relay.Submit(ctx, t, "a@shop.test", []string{"b@customer.test"}, e2etest.Mail("a@shop.test", "b@customer.test", "signed"))
	got := e2etest.Receive(ctx, t, mx, 1)[0]
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, world.DNS.Addr())
	}}
	verdicts, err := dkim.Verify(ctx, bytes.NewReader(got.Raw), resolver.LookupTXT)
	if err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != 2 {
		t.Errorf("there are %d signatures, want RSA and Ed25519:\n%s", len(verdicts), got.Raw)
	}
	for _, v := range verdicts {
		if v.Err != nil || v.Domain != "shop.test" {
			t.Errorf("the signature of %s: %v", v.Domain, v.Err)
		}
	}
	// A change of the body must not go unnoticed.
	forged := bytes.Replace(got.Raw, []byte("Hello."), []byte("Hullo."), 1)
	verdicts, err = dkim.Verify(ctx, bytes.NewReader(forged), resolver.LookupTXT)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts {
		if v.Err == nil {
			t.Error("a signature of another body verifies")
		}
	}
}

// A message that is sent before its domain has a key waits for the key, and is
// not sent without.
func TestFirstMessageOfADomainWaitsForItsKey(t *testing.T) {
	t.Parallel()
	ctx := within(t, time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.test", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env())
	began := time.Now()
	relay.Submit(ctx, t, "a@fresh.test", []string{"b@customer.test"}, e2etest.Mail("a@fresh.test", "b@customer.test", "unsigned"))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the client waited %v", took)
	}
	got := e2etest.Receive(ctx, t, mx, 1)[0]
	if n := bytes.Count(got.Raw, []byte("DKIM-Signature: ")); n != 2 {
		t.Errorf("%d signatures, want 2:\n%s", n, got.Raw)
	}
}
