package outbound_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
)

func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	const (
		accepted  = outbound.Accepted
		temporary = outbound.Temporary
	)
	starttls := func(do ...smtpsim.Action) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: do}}
	}
	opportunistic := outbound.TLS{}
	required := outbound.TLS{Mode: outbound.TLSRequired}
	verified := outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	recorded := outbound.TLS{Verify: true}
	tests := []struct {
		name    string
		sim     smtpsim.Options
		policy  outbound.TLS
		want    outbound.Outcome
		tls     bool   // the message came over TLS
		peer    string // begins the verdict
		failure string // in Attempt.Error, or in Result.TLSFailure if accepted
		fault   string // of RFC 8460
	}{
		{name: "opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, policy: opportunistic, want: accepted, tls: true, peer: "verified"},
		{name: "lower case keywords", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{LowerCase: true}}, policy: required, want: accepted, tls: true, peer: "verified"},
		{name: "none", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, policy: outbound.TLS{Mode: outbound.TLSNone}, want: accepted},
		{name: "verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, policy: verified, want: accepted, tls: true, peer: "verified"},
		{name: "implicit", sim: smtpsim.Options{TLS: smtpsim.ImplicitTLS}, policy: outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}, want: accepted, tls: true, peer: "verified"},
		{name: "another name to verify", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, policy: outbound.TLS{Mode: outbound.TLSRequired, Verify: true, ServerName: "other.test"}, want: temporary, failure: "other.test", fault: outbound.FaultHostMismatch},

		{name: "expired, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ExpiredCertificate())}, policy: opportunistic, want: accepted, tls: true, peer: "unverified: certificate has expired"},
		{name: "expired, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ExpiredCertificate())}, policy: required, want: accepted, tls: true, peer: "unverified: certificate has expired"},
		{name: "expired, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ExpiredCertificate())}, policy: verified, want: temporary, failure: "expired", fault: outbound.FaultExpired},
		{name: "wrong name, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.WrongCertificate("other.test"))}, policy: opportunistic, want: accepted, tls: true, peer: "unverified: certificate is valid for other.test"},
		{name: "wrong name, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.WrongCertificate("other.test"))}, policy: verified, want: temporary, failure: "other.test", fault: outbound.FaultHostMismatch},
		{name: "expired, only recorded", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ExpiredCertificate())}, policy: recorded, want: accepted, tls: true, peer: "unverified: certificate has expired", fault: outbound.FaultExpired},
		{name: "a certificate of a stranger, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ShowCertificate(smtpsim.Certificate{Stranger: true}))}, policy: verified, want: temporary, failure: "unknown authority", fault: outbound.FaultNotTrusted},
		{name: "a certificate of nobody, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ShowCertificate(smtpsim.Certificate{SelfSigned: true}))}, policy: verified, want: temporary, failure: "unknown authority", fault: outbound.FaultNotTrusted},
		{name: "a certificate of a stranger, only recorded", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ShowCertificate(smtpsim.Certificate{Stranger: true}))}, policy: recorded, want: accepted, tls: true, peer: "unverified", fault: outbound.FaultNotTrusted},
		{name: "an authority between, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ShowCertificate(smtpsim.Certificate{Intermediate: true}))}, policy: verified, want: accepted, tls: true, peer: "verified"},
		{name: "an authority between that is left out, verified", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.ShowCertificate(smtpsim.Certificate{Intermediate: true, NoChain: true}))}, policy: verified, want: temporary, failure: "unknown authority", fault: outbound.FaultNotTrusted},

		{name: "stripped, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideStartTLS: true}}, policy: opportunistic, want: accepted, fault: outbound.FaultNoStartTLS},
		{name: "stripped, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideStartTLS: true}}, policy: required, want: temporary, failure: "does not offer STARTTLS", fault: outbound.FaultNoStartTLS},
		{name: "refused, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.Reply(454, "4.7.0", "not now"))}, policy: opportunistic, want: accepted, failure: "454", fault: outbound.FaultNoStartTLS},
		{name: "refused, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.Reply(554, "5.7.0", "never"))}, policy: required, want: temporary, fault: outbound.FaultNoStartTLS},
		{name: "plaintext instead, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.PlaintextForTLS())}, policy: opportunistic, want: accepted, failure: "TLS", fault: outbound.FaultValidation},
		{name: "plaintext instead, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.PlaintextForTLS())}, policy: required, want: temporary, failure: "TLS", fault: outbound.FaultValidation},
		{name: "dropped handshake, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.DropHandshake())}, policy: opportunistic, want: accepted, failure: "handshake", fault: outbound.FaultValidation},
		{name: "dropped handshake, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.DropHandshake())}, policy: required, want: temporary, failure: "handshake", fault: outbound.FaultValidation},
		{name: "dropped handshake, implicit", sim: smtpsim.Options{}, policy: outbound.TLS{Mode: outbound.TLSImplicit}, want: temporary, failure: "handshake", fault: outbound.FaultValidation},
		{name: "injected reply, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.InjectAfterStartTLS("250 injected\r\n"))}, policy: opportunistic, want: accepted, failure: "says more", fault: outbound.FaultValidation},
		{name: "injected reply, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(smtpsim.InjectAfterStartTLS("250 injected\r\n"))}, policy: required, want: temporary, failure: "says more", fault: outbound.FaultValidation},
		{name: "client certificate demanded, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(demandCertificate(t))}, policy: opportunistic, want: accepted, failure: "certificate", fault: outbound.FaultValidation},
		{name: "client certificate demanded, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Rules: starttls(demandCertificate(t))}, policy: required, want: temporary, failure: "certificate", fault: outbound.FaultValidation},
		{name: "RSA key exchange only, opportunistic", sim: smtpsim.Options{TLS: smtpsim.StartTLS, TLSConfig: rsaOnly(t)}, policy: opportunistic, want: accepted, tls: true, peer: "unverified"},
		{name: "RSA key exchange only, required", sim: smtpsim.Options{TLS: smtpsim.StartTLS, TLSConfig: rsaOnly(t)}, policy: required, want: temporary, failure: "handshake", fault: outbound.FaultValidation},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sim(t, tt.sim)
			p := pool(t, outbound.Options{RootCAs: s.RootCAs()})
			tg := target(s)
			tg.TLS = tt.policy
			if tt.policy.Mode == outbound.TLSImplicit && tt.sim.TLS == smtpsim.NoTLS {
				p = pool(t, outbound.Options{Timeouts: short(queue.StageTLS)})
			}
			res := p.Deliver(within(t), tg, message("b@rcpt.test"))
			r := res.Recipients[0]
			if r.Outcome != tt.want {
				t.Fatalf("result %+v", res)
			}
			if a := r.Attempt; a.TLSFault != tt.fault || a.TLSPolicy == "" || a.Local != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("policy %q, fault %q, want %q, from %v", a.TLSPolicy, a.TLSFault, tt.fault, a.Local)
			}
			if tt.want == temporary {
				if r.Attempt.Stage != queue.StageTLS || !strings.Contains(r.Attempt.Error, tt.failure) || s.Counters().Transactions != 0 {
					t.Errorf("attempt %+v", r.Attempt)
				}
				return
			}
			if !strings.Contains(res.TLSFailure, tt.failure) || (tt.failure == "") != (res.TLSFailure == "") {
				t.Errorf("TLS failure %q, want %q", res.TLSFailure, tt.failure)
			}
			m := s.Messages()[0]
			if (m.TLS != nil) != tt.tls || strings.HasPrefix(r.Attempt.TLS, "TLS1.") != tt.tls || !strings.HasPrefix(r.Attempt.TLSPeer, tt.peer) {
				t.Errorf("TLS %q, verdict %q", r.Attempt.TLS, r.Attempt.TLSPeer)
			}
			if tt.tls && tt.policy.ServerName == "" && m.TLS.ServerName != "sim.test" {
				t.Errorf("SNI %q", m.TLS.ServerName)
			}
			clean(t, s)
		})
	}
}

// demandCertificate fails the handshake after the client believes it is done.
func demandCertificate(t *testing.T) smtpsim.Action {
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, TLSConfig: rsaOnly(t)})
	cert := tls.Certificate{Certificate: [][]byte{s.Certificate().Raw}}
	cert.PrivateKey = rsaKey(t)
	return smtpsim.HandshakeWith(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
}

func TestBrokenTLSIsRemembered(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{Name: "tls", Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.PlaintextForTLS())}}})
	now := time.Now()
	p := pool(t, outbound.Options{RootCAs: s.RootCAs(), Now: func() time.Time { return now }})
	tg := target(s)
	tg.Limits.MessagesPerConnection = 1
	send := func(connections int64, tries int) {
		t.Helper()
		res := p.Deliver(within(t), tg, message("b@rcpt.test"))
		if r := res.Recipients[0]; r.Outcome != outbound.Accepted || r.Attempt.TLS != "" || res.TLSFailure == "" {
			t.Errorf("result %+v", res)
		}
		if c := s.Counters().Connections; c != connections || s.Fired("tls") != tries {
			t.Errorf("%d connections and %d handshakes, want %d and %d", c, s.Fired("tls"), connections, tries)
		}
	}
	send(2, 1)
	send(3, 1)
	now = now.Add(71 * time.Hour)
	send(4, 1)
	now = now.Add(2 * time.Hour)
	send(6, 2)
	// Other policies do not ask the memory.
	tg.TLS.Mode = outbound.TLSRequired
	if r := p.Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]; r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageTLS {
		t.Errorf("recipient %+v", r)
	}
}

func TestALostHandshakeIsRememberedBriefly(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS, Rules: []smtpsim.Rule{{Times: 1, Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.DropHandshake())}}})
	now := time.Now()
	p := pool(t, outbound.Options{RootCAs: s.RootCAs(), Now: func() time.Time { return now }})
	tg := target(s)
	tg.Limits.MessagesPerConnection = 1
	var used []string
	for range 3 {
		res := p.Deliver(within(t), tg, message("b@rcpt.test"))
		used = append(used, fmt.Sprint(res.Recipients[0].Attempt.TLS != ""))
		now = now.Add(50 * time.Minute)
	}
	if got := strings.Join(used, " "); got != "false false true" {
		t.Errorf("TLS used: %s", got)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	users := map[string]string{"shop": "secret"}
	good := outbound.Auth{Username: "shop", Password: "secret"}
	tests := []struct {
		name  string
		sim   smtpsim.Options
		auth  outbound.Auth
		tls   outbound.TLS
		want  outbound.Outcome
		error string
		code  int
	}{
		{name: "over TLS", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, auth: good, want: outbound.Accepted},
		{name: "LOGIN alone", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideAuth: true, Extra: []string{"AUTH=LOGIN"}}}, auth: good, want: outbound.Accepted},
		{name: "implicit TLS", sim: smtpsim.Options{TLS: smtpsim.ImplicitTLS}, tls: outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}, auth: good, want: outbound.Accepted},
		{name: "without TLS", auth: good, want: outbound.Temporary, error: "without TLS"},
		{name: "without TLS, allowed", auth: outbound.Auth{Username: "shop", Password: "secret", AllowPlaintext: true}, want: outbound.Accepted},
		{name: "TLS stripped", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideStartTLS: true}}, auth: good, want: outbound.Temporary, error: "without TLS"},
		{name: "wrong password", sim: smtpsim.Options{TLS: smtpsim.StartTLS}, auth: outbound.Auth{Username: "shop", Password: "guess"}, want: outbound.Temporary, code: 535},
		{name: "not offered", sim: smtpsim.Options{TLS: smtpsim.StartTLS, Capabilities: smtpsim.Capabilities{HideAuth: true}}, auth: good, want: outbound.Temporary, error: "neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.sim.Users, tt.sim.RequireAuth = users, true
			s := sim(t, tt.sim)
			p := pool(t, outbound.Options{RootCAs: s.RootCAs()})
			tg := target(s)
			tg.Auth, tg.TLS = tt.auth, tt.tls
			r := p.Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]
			if r.Outcome != tt.want || !strings.Contains(r.Attempt.Error, tt.error) {
				t.Errorf("recipient %+v", r)
			}
			if tt.want == outbound.Accepted {
				if m := s.Messages()[0]; m.User != "shop" {
					t.Errorf("message of %q", m.User)
				}
				return
			}
			if r.Attempt.Stage != queue.StageAuth || r.Attempt.Reply.Code != tt.code {
				t.Errorf("attempt %+v", r.Attempt)
			}
		})
	}
}

func TestResumedSessionIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	s := sim(t, smtpsim.Options{TLS: smtpsim.StartTLS})
	now := time.Now()
	p := pool(t, outbound.Options{RootCAs: s.RootCAs(), Now: func() time.Time { return now }})
	tg := target(s)
	tg.TLS = outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	tg.Limits.MessagesPerConnection = 1
	for range 2 {
		if r := accepted(t, p.Deliver(within(t), tg, message("b@rcpt.test"))).Recipients[0]; r.Attempt.TLSPeer != "verified" {
			t.Errorf("verdict %q", r.Attempt.TLSPeer)
		}
	}
	if !s.Messages()[1].TLS.DidResume {
		t.Error("the session was not resumed")
	}
	now = now.AddDate(1, 0, 0) // the certificate's time is over, the ticket's is not for the server
	if r := p.Deliver(within(t), tg, message("b@rcpt.test")).Recipients[0]; r.Outcome != outbound.Temporary || r.Attempt.Stage != queue.StageTLS {
		t.Errorf("recipient %+v", r)
	}
}
