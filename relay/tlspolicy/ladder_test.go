package tlspolicy_test

import (
	"context"
	"strings"
	"testing"

	"postrider/mx/dnssim"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/smtpsim"
	"postrider/relay/tlspolicy"
)

// What hosts do.
func shows(c smtpsim.Certificate) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.ShowCertificate(c))}}}
}

func answersSTARTTLS(code int, enhanced string) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.Reply(code, enhanced, "no"))}}}
}

func does(a smtpsim.Action) smtpsim.Options {
	return smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(a)}}}
}

func expired() smtpsim.Options { return does(smtpsim.ExpiredCertificate()) }

var (
	stripped = smtpsim.Options{Capabilities: smtpsim.Capabilities{HideStartTLS: true}}
	keyword  = smtpsim.Options{Capabilities: smtpsim.Capabilities{RequireTLS: true}}
)

// What zones have.
func bothEE(w *world) (a, b []string) {
	return []string{spki(3, w.mx1.Certificate())}, []string{spki(3, w.mx2.Certificate())}
}

// wrongFirst names another key for mx1.
func wrongFirst(w *world) (a, b []string) {
	return []string{spki(3, w.mx2.Certificate())}, []string{spki(3, w.mx2.Certificate())}
}

func wrongBoth(w *world) (a, b []string) {
	return []string{spki(3, w.mx2.Certificate())}, []string{spki(3, w.mx1.Certificate())}
}

func authorities(w *world) (a, b []string) {
	return []string{whole(2, w.mx1.Authority())}, []string{whole(2, w.mx2.Authority())}
}

func unusable(w *world) (a, b []string) {
	return []string{spki(1, w.mx1.Certificate()), "3 1 9 00"}, []string{"0 0 1 00"}
}

var ownHosts = []string{"mx1.example.test", "mx2.example.test"}

func yes(context.Context) (bool, error) { return true, nil }

// TestLadder has each row of the table in doc.go, and what can go wrong in it.
func TestLadder(t *testing.T) {
	t.Parallel()
	const (
		accepted  = outbound.Accepted
		temporary = outbound.Temporary
		permanent = outbound.Permanent
	)
	servfail := func(w *world) {
		w.set(w.name("tlsa1"), "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"})
		w.set(w.name("tlsa2"), "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"})
	}
	bogus := func(w *world) {
		for _, n := range []string{"tlsa1", "tlsa2"} {
			w.set(w.name(n), "TLSA", dnssim.Behavior{Rcode: "SERVFAIL", ExtendedError: 6, ExtraText: "bogus"})
		}
	}
	tests := []struct {
		name   string
		setup  setup
		want   tlspolicy.Want
		out    outbound.Outcome
		host   string // mx1 or mx2
		policy string
		fault  string
		tls    bool
		code   queue.Enhanced // of our own refusal
	}{
		// Nothing.
		{name: "without a policy any certificate will do", setup: setup{mx1: shows(smtpsim.Certificate{SelfSigned: true, Names: []string{"other.test"}})}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "without a policy mail goes without TLS", setup: setup{mx1: stripped}, out: accepted, host: "mx1", policy: "opportunistic", fault: outbound.FaultNoStartTLS},
		{name: "without a policy a broken handshake is followed by plain text", setup: setup{mx1: does(smtpsim.DropHandshake())}, out: accepted, host: "mx1", policy: "opportunistic", fault: outbound.FaultValidation},

		// DANE with usable records.
		{name: "a key that matches is enough, whatever the certificate's names and dates", setup: setup{signed: true, tlsa: bothEE}, out: accepted, host: "mx1", policy: "dane", tls: true},
		{name: "a key that does not match leads to the next host", setup: setup{signed: true, tlsa: wrongFirst}, out: accepted, host: "mx2", policy: "dane", tls: true},
		{name: "keys that do not match make mail wait", setup: setup{signed: true, tlsa: wrongBoth}, out: temporary, host: "mx2", policy: "dane", fault: "tlsa-invalid"},
		{name: "STARTTLS stripped under DANE", setup: setup{signed: true, tlsa: bothEE, mx1: stripped, mx2: stripped}, out: temporary, host: "mx2", policy: "dane", fault: outbound.FaultNoStartTLS},
		{name: "a broken handshake under DANE", setup: setup{signed: true, tlsa: bothEE, mx1: does(smtpsim.DropHandshake()), mx2: does(smtpsim.PlaintextForTLS())}, out: temporary, host: "mx2", policy: "dane", fault: outbound.FaultValidation},
		{name: "an authority that matches and the right name", setup: setup{signed: true, tlsa: authorities, alone: true}, out: accepted, host: "mx1", policy: "dane", tls: true},
		{name: "an authority that matches and the name of the domain", setup: setup{signed: true, tlsa: authorities, alone: true, mx1: shows(smtpsim.Certificate{Names: []string{"example.test"}})}, out: accepted, host: "mx1", policy: "dane", tls: true},
		{name: "an authority that matches and another name", setup: setup{signed: true, tlsa: authorities, alone: true, mx1: shows(smtpsim.Certificate{Names: []string{"other.test"}})}, out: temporary, host: "mx1", policy: "dane", fault: outbound.FaultHostMismatch},
		{name: "an authority that matches and a certificate that has expired", setup: setup{signed: true, tlsa: authorities, alone: true, mx1: expired()}, out: temporary, host: "mx1", policy: "dane", fault: outbound.FaultExpired},
		{name: "DANE that fails is not made good by MTA-STS", setup: setup{signed: true, tlsa: wrongBoth, sts: sts("enforce", ownHosts...)}, out: temporary, host: "mx2", policy: "dane", fault: "tlsa-invalid"},
		{name: "DANE decides about hosts that MTA-STS does not allow", setup: setup{signed: true, tlsa: bothEE, sts: sts("enforce", "other.test")}, out: accepted, host: "mx1", policy: "dane", tls: true},

		// DANE with records that cannot be used.
		{name: "records that cannot be used ask for TLS with any certificate", setup: setup{signed: true, tlsa: unusable, mx1: expired()}, out: accepted, host: "mx1", policy: "dane-unusable", fault: "tlsa-invalid", tls: true},
		{name: "records that cannot be used keep mail from going without TLS", setup: setup{signed: true, tlsa: unusable, mx1: stripped, mx2: answersSTARTTLS(454, "4.7.0")}, out: temporary, host: "mx2", policy: "dane-unusable", fault: outbound.FaultNoStartTLS},
		{name: "MTA-STS applies where records cannot be used", setup: setup{signed: true, tlsa: unusable, sts: sts("enforce", ownHosts...), alone: true, mx1: expired()}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultExpired},

		// DANE that is not known.
		{name: "a host whose records cannot be looked up is passed over", setup: setup{signed: true, tlsa: bothEE, dns: func(w *world) { w.set(w.name("tlsa1"), "TLSA", dnssim.Behavior{Rcode: "SERVFAIL"}) }}, out: accepted, host: "mx2", policy: "dane", tls: true},
		{name: "hosts whose records cannot be looked up make mail wait", setup: setup{signed: true, tlsa: bothEE, dns: servfail}, out: temporary, host: "mx1", policy: "dane", fault: "validation-failure", code: queue.Enhanced{4, 7, 5}},
		{name: "hosts whose records are forged make mail wait", setup: setup{signed: true, tlsa: bothEE, dns: bogus, sts: sts("enforce", ownHosts...)}, out: temporary, host: "mx1", policy: "dane", fault: "dnssec-invalid", code: queue.Enhanced{4, 7, 5}},

		// DANE that does not apply.
		{name: "without signatures there is no DANE", setup: setup{tlsa: wrongBoth}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "MX records without signature are no way to DANE", setup: setup{signed: true, unsigned: []string{"@ MX"}, tlsa: wrongBoth}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "TLSA records without signature are not used", setup: setup{signed: true, unsigned: []string{"tlsa1 TLSA", "tlsa2 TLSA"}, tlsa: wrongBoth}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "an AD bit that is not trusted is no way to DANE", setup: setup{signed: true, untrusty: true, tlsa: wrongBoth}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},

		// MTA-STS in mode enforce.
		{name: "a host of the policy with a good certificate", setup: setup{sts: sts("enforce", "*.example.test")}, out: accepted, host: "mx1", policy: "mta-sts", tls: true},
		{name: "a host that is not of the policy is passed over", setup: setup{sts: sts("enforce", "mx2.example.test")}, out: accepted, host: "mx2", policy: "mta-sts", tls: true},
		{name: "no host of the policy", setup: setup{sts: sts("enforce", "other.test")}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultValidation, code: queue.Enhanced{4, 7, 5}},
		{name: "a bad certificate leads to the next host", setup: setup{sts: sts("enforce", ownHosts...), mx1: expired()}, out: accepted, host: "mx2", policy: "mta-sts", tls: true},
		{name: "an expired certificate under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: expired()}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultExpired},
		{name: "a certificate for another name under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: does(smtpsim.WrongCertificate("example.test"))}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultHostMismatch},
		{name: "a certificate of a stranger under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: shows(smtpsim.Certificate{Stranger: true})}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultNotTrusted},
		{name: "STARTTLS stripped under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: stripped}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultNoStartTLS},
		{name: "454 to STARTTLS under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: answersSTARTTLS(454, "4.7.0")}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultNoStartTLS},
		{name: "554 to STARTTLS under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: answersSTARTTLS(554, "5.7.0")}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultNoStartTLS},
		{name: "a reply injected behind the 220 under MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: does(smtpsim.InjectAfterStartTLS("250 sim\r\n"))}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultValidation},

		// MTA-STS in mode testing, and none.
		{name: "testing records what enforce would refuse", setup: setup{sts: sts("testing", ownHosts...), mx1: expired()}, out: accepted, host: "mx1", policy: "mta-sts-testing", fault: outbound.FaultExpired, tls: true},
		{name: "testing records a host that is not of the policy", setup: setup{sts: sts("testing", "other.test")}, out: accepted, host: "mx1", policy: "mta-sts-testing", fault: outbound.FaultValidation, tls: true},
		{name: "testing finds nothing wrong", setup: setup{sts: sts("testing", ownHosts...)}, out: accepted, host: "mx1", policy: "mta-sts-testing", tls: true},
		{name: "testing lets mail go without TLS", setup: setup{sts: sts("testing", ownHosts...), mx1: stripped}, out: accepted, host: "mx1", policy: "mta-sts-testing", fault: outbound.FaultNoStartTLS},
		{name: "a policy of none is none", setup: setup{sts: sts("none")}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "a policy that cannot be fetched is recorded", setup: setup{sts: "404"}, out: accepted, host: "mx1", policy: "opportunistic", fault: "sts-policy-fetch-error", tls: true},
		{name: "a policy that cannot be read is recorded", setup: setup{sts: "nonsense"}, out: accepted, host: "mx1", policy: "opportunistic", fault: "sts-policy-invalid", tls: true},

		// REQUIRETLS.
		{name: "REQUIRETLS over DANE", setup: setup{signed: true, tlsa: bothEE, mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: accepted, host: "mx1", policy: "dane+requiretls", tls: true},
		{name: "REQUIRETLS over MTA-STS", setup: setup{sts: sts("enforce", ownHosts...), mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: accepted, host: "mx1", policy: "mta-sts+requiretls", tls: true},
		{name: "REQUIRETLS over a route that verifies", setup: setup{mx1: keyword}, want: tlspolicy.Want{RequireTLS: true, Override: tlspolicy.Verify}, out: accepted, host: "mx1", policy: "verify+requiretls", tls: true},
		{name: "REQUIRETLS that the server does not offer", setup: setup{signed: true, tlsa: bothEE}, want: tlspolicy.Want{RequireTLS: true}, out: permanent, host: "mx1", policy: "dane+requiretls", tls: true, code: queue.Enhanced{5, 7, 30}},
		{name: "REQUIRETLS without a policy", setup: setup{mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: permanent, host: "mx1", policy: "verify+requiretls", code: queue.Enhanced{5, 7, 30}},
		{name: "REQUIRETLS and a policy in mode testing", setup: setup{sts: sts("testing", ownHosts...), mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: permanent, host: "mx1", policy: "verify+requiretls", code: queue.Enhanced{5, 7, 30}},
		{name: "REQUIRETLS and records that cannot be used", setup: setup{signed: true, tlsa: unusable, mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: permanent, host: "mx1", policy: "verify+requiretls", code: queue.Enhanced{5, 7, 30}},
		{name: "REQUIRETLS and a policy that cannot be fetched", setup: setup{sts: "404", mx1: keyword}, want: tlspolicy.Want{RequireTLS: true}, out: temporary, host: "mx1", policy: "verify+requiretls", fault: "sts-policy-fetch-error", code: queue.Enhanced{4, 7, 30}},
		{name: "REQUIRETLS and a certificate that fails", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: expired()}, want: tlspolicy.Want{RequireTLS: true}, out: temporary, host: "mx1", policy: "mta-sts+requiretls", fault: outbound.FaultExpired},
		{name: "REQUIRETLS is stronger than TLS-Required: No", setup: setup{sts: sts("enforce", ownHosts...), mx1: keyword}, want: tlspolicy.Want{RequireTLS: true, Optional: yes}, out: accepted, host: "mx1", policy: "mta-sts+requiretls", tls: true},
		{name: "REQUIRETLS is stronger than a weak route", setup: setup{sts: sts("enforce", ownHosts...), mx1: keyword}, want: tlspolicy.Want{RequireTLS: true, Override: tlspolicy.None}, out: accepted, host: "mx1", policy: "mta-sts+requiretls", tls: true},

		// TLS-Required: No.
		{name: "TLS-Required: No goes past DANE", setup: setup{signed: true, tlsa: wrongBoth}, want: tlspolicy.Want{Optional: yes}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "TLS-Required: No goes past DANE that cannot be looked up", setup: setup{signed: true, tlsa: wrongBoth, dns: servfail}, want: tlspolicy.Want{Optional: yes}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "TLS-Required: No goes past MTA-STS", setup: setup{sts: sts("enforce", "other.test"), mx1: stripped}, want: tlspolicy.Want{Optional: yes}, out: accepted, host: "mx1", policy: "opportunistic", fault: outbound.FaultNoStartTLS},
		{name: "TLS-Required: No does not go past the operator", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: stripped}, want: tlspolicy.Want{Optional: yes, Override: tlspolicy.Encrypt}, out: temporary, host: "mx1", policy: "encrypt", fault: outbound.FaultNoStartTLS},

		// Routes, and messages that want TLS.
		{name: "a route without TLS", setup: setup{signed: true, tlsa: bothEE, sts: sts("enforce", ownHosts...)}, want: tlspolicy.Want{Override: tlspolicy.None}, out: accepted, host: "mx1", policy: "none"},
		{name: "a route that takes what there is", setup: setup{signed: true, tlsa: wrongBoth, sts: sts("enforce", "other.test"), mx1: expired()}, want: tlspolicy.Want{Override: tlspolicy.Opportunistic}, out: accepted, host: "mx1", policy: "opportunistic", tls: true},
		{name: "a route that encrypts takes any certificate", setup: setup{mx1: expired()}, want: tlspolicy.Want{Override: tlspolicy.Encrypt}, out: accepted, host: "mx1", policy: "encrypt", tls: true},
		{name: "a route that encrypts waits for TLS", setup: setup{mx1: stripped, mx2: stripped}, want: tlspolicy.Want{Override: tlspolicy.Encrypt}, out: temporary, host: "mx2", policy: "encrypt", fault: outbound.FaultNoStartTLS},
		{name: "a route that encrypts is no way round DANE", setup: setup{signed: true, tlsa: wrongBoth}, want: tlspolicy.Want{Override: tlspolicy.Encrypt}, out: temporary, host: "mx2", policy: "dane", fault: "tlsa-invalid"},
		{name: "a route that verifies", setup: setup{mx1: expired()}, want: tlspolicy.Want{Override: tlspolicy.Verify}, out: accepted, host: "mx2", policy: "verify", tls: true},
		{name: "a route that verifies waits for a good certificate", setup: setup{alone: true, mx1: expired()}, want: tlspolicy.Want{Override: tlspolicy.Verify}, out: temporary, host: "mx1", policy: "verify", fault: outbound.FaultExpired},
		{name: "a route that verifies where records cannot be used", setup: setup{signed: true, tlsa: unusable}, want: tlspolicy.Want{Override: tlspolicy.Verify}, out: accepted, host: "mx1", policy: "verify", tls: true},
		{name: "a route that wants DANE has it", setup: setup{signed: true, tlsa: bothEE}, want: tlspolicy.Want{Override: tlspolicy.DANE, Optional: yes}, out: accepted, host: "mx1", policy: "dane", tls: true},
		{name: "a route that wants DANE waits for it", setup: setup{sts: sts("enforce", ownHosts...)}, want: tlspolicy.Want{Override: tlspolicy.DANE}, out: temporary, host: "mx1", policy: "dane", fault: "dane-required", code: queue.Enhanced{4, 7, 5}},
		{name: "a route that wants DANE waits for records that can be used", setup: setup{signed: true, tlsa: unusable}, want: tlspolicy.Want{Override: tlspolicy.DANE}, out: temporary, host: "mx1", policy: "dane", fault: "tlsa-invalid", code: queue.Enhanced{4, 7, 5}},
		{name: "a message that wants TLS takes any certificate", setup: setup{mx1: expired()}, want: tlspolicy.Want{Encrypted: true, Override: tlspolicy.None}, out: accepted, host: "mx1", policy: "encrypt", tls: true},
		{name: "a message that wants TLS waits for it", setup: setup{mx1: stripped, mx2: stripped}, want: tlspolicy.Want{Encrypted: true}, out: temporary, host: "mx2", policy: "encrypt", fault: outbound.FaultNoStartTLS},
		{name: "a message that wants TLS cannot take it back", setup: setup{sts: sts("enforce", ownHosts...), alone: true, mx1: expired()}, want: tlspolicy.Want{Encrypted: true, Optional: yes}, out: temporary, host: "mx1", policy: "mta-sts", fault: outbound.FaultExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.setup)
			out, a := w.send(tt.want)
			if out != tt.out || a.Host != tt.host+".example.test" || a.TLSPolicy != tt.policy || a.TLSFault != tt.fault || (a.TLS != "") != tt.tls {
				t.Errorf("%v: %+v", out, a)
			}
			if tt.code != (queue.Enhanced{}) && (a.Reply.Enhanced != tt.code || a.Reply.Code != 0 || a.Error == "") {
				t.Errorf("attempt %+v", a)
			}
			if tt.out != accepted && w.mx1.Counters().Transactions+w.mx2.Counters().Transactions > 0 {
				t.Error("it was sent")
			}
			if tt.out == temporary && a.Stage != queue.StageTLS {
				t.Errorf("stage %s", a.Stage)
			}
			if tt.policy == "none" || strings.HasPrefix(tt.policy, "dane") || tt.out != accepted {
				return
			}
			for _, s := range []*smtpsim.Server{w.mx1, w.mx2} {
				for _, m := range s.Messages() {
					if (m.TLS != nil) != tt.tls || m.TLS != nil && m.TLS.ServerName != a.Host {
						t.Errorf("TLS %+v", m.TLS)
					}
				}
			}
		})
	}
}
