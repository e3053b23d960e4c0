package outbound_test

import (
	"testing"

	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

// What one node found out about a host, the others need not find out again.
func TestBrokenTLSIsRememberedByAllNodes(t *testing.T) {
	t.Parallel()
	redis := redistest.StartServer(t)
	node := func() *outbound.Pool {
		store, err := redisstore.Open(t.Context(), redisstore.Options{Addrs: []string{redis.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return pool(t, outbound.Options{TLSMemory: outbound.CacheTLSMemory(store)})
	}
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{
		Name: "tls", Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.PlaintextForTLS()),
	}}})
	for range 2 {
		res := accepted(t, node().Deliver(within(t), target(s), message("b@rcpt.test")))
		if a := res.Recipients[0].Attempt; a.TLS != "" || a.TLSFault != outbound.FaultValidation || res.TLSFailure == "" {
			t.Errorf("result %+v", res)
		}
	}
	if n := s.Fired("tls"); n != 1 {
		t.Errorf("the handshake was tried %d times", n)
	}
	// It is no excuse where TLS is asked for.
	tg := target(s)
	tg.TLS = outbound.TLS{Mode: outbound.TLSRequired, Policy: "mta-sts"}
	if r := node().Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]; r.Outcome != outbound.Temporary {
		t.Errorf("recipient %+v", r)
	}
}
