package tlspolicy

import (
	"crypto/tls"
	"errors"
	"time"

	"postrider/mx"
	"postrider/mx/dane"
	"postrider/mx/mtasts"
	"postrider/queue"
	"postrider/relay/outbound"
)

// faultNoDANE is of hosts without DANE where the route asks for it (RFC 8460 §4.3.1).
const faultNoDANE = "dane-required"

// ladder is what is known when the hosts of a plan are decided about.
type ladder struct {
	plan   *mx.Plan
	w      Want
	dane   []found // nil: DANE is not used
	sts    mtasts.Policy
	stsErr error // it is not known whether there is a policy
}

func (l *ladder) daneOf(i int) *found {
	if l.dane == nil {
		return &found{}
	}
	return &l.dane[i]
}

// allByDANE reports that no host is left for MTA-STS to decide about.
func (l *ladder) allByDANE() bool {
	for i := range l.plan.Hosts {
		if f := l.daneOf(i); f.err == nil && f.policy.Mode != dane.Secure {
			return false
		}
	}
	return true
}

// binding reports that the recipient's domain keeps mail from going as it would
// otherwise.
func (l *ladder) binding() bool {
	for i := range l.plan.Hosts {
		if f := l.daneOf(i); f.err != nil || f.policy.Mode != dane.NotUsed {
			return true
		}
	}
	return l.sts.Mode == mtasts.Enforce || l.stsErr != nil
}

func (l *ladder) noneMatches() bool {
	for i := range l.plan.Hosts {
		if l.sts.Matches(l.plan.Hosts[i].Name) {
			return false
		}
	}
	return true
}

// host decides about one host. What comes first is stronger: MTA-STS makes no
// failed DANE good (RFC 8461 §2).
func (l *ladder) host(i int) Host {
	h := &l.plan.Hosts[i]
	if h.Via != nil {
		return l.smartHost(h.Via)
	}
	f := l.daneOf(i)
	switch {
	case f.err != nil:
		return l.wait(h, DANE, faultOf(f.err), f.err.Error())
	case f.policy.Mode == dane.Secure:
		return l.proven(DANE, outbound.TLS{Mode: outbound.TLSRequired, ServerName: f.policy.Base, Peer: &danePeer{f.policy}})
	case l.w.Override == DANE && f.policy.Mode == dane.Unusable:
		return l.wait(h, DANE, string(dane.ResultTLSAInvalid), "the route asks for DANE, and the host has no TLSA record that can be used")
	case l.w.Override == DANE:
		return l.wait(h, DANE, faultNoDANE, "the route asks for DANE, and the host has no signed TLSA record")
	case l.stsErr != nil:
		return l.wait(h, MTASTS, "", l.stsErr.Error())
	case l.sts.Mode == mtasts.Enforce && !l.sts.Matches(h.Name):
		return l.wait(h, MTASTS, outbound.FaultValidation, "the host is not among those that the MTA-STS policy of "+l.plan.Domain+" allows")
	case l.sts.Mode == mtasts.Enforce:
		return l.proven(MTASTS, outbound.TLS{Mode: outbound.TLSRequired, Verify: true, Fault: l.sts.Fault})
	case l.w.Override == Verify:
		return l.proven(Verify, outbound.TLS{Mode: outbound.TLSRequired, Verify: true})
	case l.w.RequireTLS:
		return l.unproven(h)
	case f.policy.Mode == dane.Unusable:
		return Host{TLS: outbound.TLS{Mode: outbound.TLSRequired, Policy: string(DANEUnusable), Fault: string(dane.ResultTLSAInvalid)}}
	case l.w.Override == Encrypt, l.w.Encrypted:
		return Host{TLS: outbound.TLS{Mode: outbound.TLSRequired, Policy: string(Encrypt), Fault: l.sts.Fault}}
	case l.w.Override == None:
		return Host{TLS: outbound.TLS{Mode: outbound.TLSNone, Policy: string(None)}}
	case l.sts.Mode == mtasts.Testing:
		return l.testing(h)
	}
	return Host{TLS: outbound.TLS{Policy: string(Opportunistic), Fault: l.sts.Fault}}
}

// testing sends as without a policy, and has what the policy would refuse
// recorded (RFC 8461 §5).
func (l *ladder) testing(h *mx.Host) Host {
	t := outbound.TLS{Verify: true, Policy: string(MTASTSTesting), Fault: l.sts.Fault}
	if !l.sts.Matches(h.Name) {
		t.Fault = outbound.FaultValidation
	}
	return Host{TLS: t}
}

// proven asks for a connection to the right host; that is what REQUIRETLS needs.
func (l *ladder) proven(m Mode, t outbound.TLS) Host {
	t.Policy, t.RequireTLS = string(m), l.w.RequireTLS
	if t.RequireTLS {
		t.Policy += RequireTLSSuffix
	}
	return Host{TLS: t}
}

// unproven refuses a message with REQUIRETLS for a host of which nothing proves
// that it is the right one (RFC 8689 §4.2.1). If a policy could not be fetched
// there may be one.
func (l *ladder) unproven(h *mx.Host) Host {
	r := &Refusal{
		Host: h.Name, Permanent: l.sts.Fault == "", Enhanced: queue.Enhanced{5, 7, 30}, Fault: l.sts.Fault,
		Text: "the message has REQUIRETLS, and nothing proves which server of " + l.plan.Domain +
			" is the right one: we have found neither DANE nor an MTA-STS policy that is enforced",
	}
	if !r.Permanent {
		r.Enhanced = queue.Enhanced{4, 7, 30}
	}
	r.Policy = string(Verify) + RequireTLSSuffix
	return Host{Refused: r}
}

// wait refuses a host for now.
func (l *ladder) wait(h *mx.Host, m Mode, fault, text string) Host {
	policy := string(m)
	if l.w.RequireTLS {
		policy += RequireTLSSuffix
	}
	return Host{Refused: &Refusal{Host: h.Name, Enhanced: queue.Enhanced{4, 7, 5}, Policy: policy, Fault: fault, Text: text}}
}

// smartHost has the TLS that the operator wrote, or more if the message asks for
// it.
func (l *ladder) smartHost(via *mx.SmartHost) Host {
	var t outbound.TLS
	switch {
	case via.Implicit:
		t = outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}
	case via.TLS == mx.TLSRequired:
		t = outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	case l.w.strict():
		t = outbound.TLS{Mode: outbound.TLSRequired}
	case via.TLS == mx.TLSNone:
		t = outbound.TLS{Mode: outbound.TLSNone}
	}
	switch {
	case !l.w.RequireTLS:
		return Host{TLS: t}
	case !t.Verify:
		return Host{Refused: &Refusal{
			Host: via.Host, Permanent: true, Enhanced: queue.Enhanced{5, 7, 30}, Policy: string(Verify) + RequireTLSSuffix,
			Text: "the message has REQUIRETLS, and the route does not ask its smart host for a valid certificate (tls=required)",
		}}
	}
	return l.proven(Verify, t)
}

// danePeer judges certificates by DANE.
type danePeer struct{ policy dane.Policy }

func (p *danePeer) Key() string { return p.policy.Key() }

func (p *danePeer) Verify(s tls.ConnectionState, now time.Time) error {
	err := p.policy.Verify(s, now)
	if err == nil {
		return nil
	}
	fault := &outbound.Fault{Type: outbound.FaultValidation, Err: err}
	var m *dane.Mismatch
	if errors.As(err, &m) {
		fault.Type = string(m.Result)
	}
	return fault
}

func faultOf(err error) string {
	var e *dane.LookupError
	if errors.As(err, &e) {
		return string(e.Result)
	}
	return string(dane.ResultDNSSECInvalid)
}
