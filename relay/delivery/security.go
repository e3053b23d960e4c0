package delivery

import (
	"context"
	"fmt"

	"postrider/mx"
	"postrider/queue"
	"postrider/relay/outbound"
	"postrider/relay/throttle"
	"postrider/relay/tlspolicy"
)

// secure asks what connections to the hosts of a plan must be. Without Security
// it decides nothing.
func (d *Dispatcher) secure(ctx context.Context, r *run, p *mx.Plan) (tlspolicy.Decision, error) {
	if d.o.Security == nil {
		return tlspolicy.Decision{}, nil
	}
	m := &r.lease.Message
	want := tlspolicy.Want{Encrypted: m.Envelope.RequireTLS, RequireTLS: m.Envelope.StrictTLS, Override: d.override(r.way.chain.TLS)}
	want.Optional = func(ctx context.Context) (bool, error) {
		content, err := d.o.Store.OpenContent(ctx, m.Content)
		if err != nil {
			return false, fmt.Errorf("open the content: %w", err)
		}
		defer func() { _ = content.Close() }()
		return tlspolicy.SaysOptional(content)
	}
	return d.o.Security.Decide(ctx, p, want)
}

// override is what a route asks for, or the configuration for all routes.
func (d *Dispatcher) override(route string) tlspolicy.Mode {
	switch {
	case route != "":
		return tlspolicy.Mode(route)
	case d.o.MXTLS.Mode == outbound.TLSNone:
		return tlspolicy.None
	case d.o.MXTLS.Mode == outbound.TLSRequired && d.o.MXTLS.Verify:
		return tlspolicy.Verify
	case d.o.MXTLS.Mode == outbound.TLSRequired:
		return tlspolicy.Encrypt
	}
	return tlspolicy.Default
}

// mxTLS is what is asked of mail exchangers where there is no Security. DANE
// cannot be had then, and nothing weaker is good enough.
func (d *Dispatcher) mxTLS(route string) outbound.TLS {
	switch tlspolicy.Mode(route) {
	case tlspolicy.Opportunistic:
		return outbound.TLS{}
	case tlspolicy.None:
		return outbound.TLS{Mode: outbound.TLSNone}
	case tlspolicy.Encrypt:
		return outbound.TLS{Mode: outbound.TLSRequired}
	case tlspolicy.Verify, tlspolicy.DANE:
		return outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	}
	return d.o.MXTLS
}

// requireTLS lets a target be sent to over TLS only, whatever the certificate
// where the policy does not ask for a good one. Sessions are shared by targets of
// one policy, so that none without TLS is used for it.
func requireTLS(t *outbound.Target) {
	if t.TLS.Mode == outbound.TLSOpportunistic || t.TLS.Mode == outbound.TLSNone {
		t.TLS.Mode, t.TLS.Verify = outbound.TLSRequired, false
	}
	t.Auth.AllowPlaintext = false
}

// heedProvider requires TLS where the limits of the site do, unless the route
// says what it is to be.
func heedProvider(t *outbound.TLS, p *throttle.Permit, route string) {
	if p.TLS == throttle.TLSEncrypt && route == "" && t.Mode == outbound.TLSOpportunistic {
		t.Mode, t.Verify = outbound.TLSRequired, false
		if t.Policy == string(tlspolicy.Opportunistic) {
			t.Policy = string(tlspolicy.Encrypt)
		}
	}
}

func policyOf(via *mx.SmartHost) outbound.TLS {
	switch {
	case via.Implicit:
		return outbound.TLS{Mode: outbound.TLSImplicit, Verify: true}
	case via.TLS == mx.TLSRequired:
		return outbound.TLS{Mode: outbound.TLSRequired, Verify: true}
	case via.TLS == mx.TLSNone:
		return outbound.TLS{Mode: outbound.TLSNone}
	}
	return outbound.TLS{Mode: outbound.TLSOpportunistic}
}

// strictly reports that it is the sender who asks for TLS, and did not get it.
func strictly(m *queue.Message, a *queue.Attempt) bool {
	return m.Envelope.RequireTLS && a.Stage == queue.StageTLS
}
