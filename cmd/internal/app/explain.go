package app

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postrider/api"
	"postrider/mx"
	"postrider/queue"
	"postrider/queue/suspension"
	"postrider/relay/delivery"
	"postrider/relay/throttle"
)

// explainer says what keeps mail from being tried: what an operator suspended,
// and what limits this node keeps towards a site.
type explainer struct {
	suspensions *suspension.View
	dispatcher  *delivery.Dispatcher
	sites       *throttle.Sites
	sources     map[string]delivery.Source
	blocked     func(netip.Addr) bool // nil: nobody looks
	now         func() time.Time
}

var _ api.Explainer = explainer{}

func (x explainer) Why(ctx context.Context, e queue.Entry) ([]api.Hindrance, error) {
	var all []api.Hindrance
	for _, r := range e.Recipients {
		if r.State.Final() {
			continue
		}
		all = append(all, x.suspended(ctx, e.Message, r)...)
		all = append(all, x.port25(&e.Message, &r)...)
		all = append(all, x.site(r)...)
	}
	return all, nil
}

func (x explainer) suspended(ctx context.Context, m queue.Message, r queue.Recipient) []api.Hindrance {
	match, ok := x.suspensions.Suspended(ctx, suspension.Mail{
		Lane: r.Lane, Domain: r.Address.Domain, Account: m.Account, Sender: m.Envelope.ReversePath.Domain,
	})
	if !ok {
		return nil
	}
	return []api.Hindrance{{
		Recipient: r.ID, Kind: "suspension", Until: match.ExpiresAt,
		Detail: fmt.Sprintf("It is suspended (%s): %s. Resume it with `postrider queue resume %s`.", match.ID, match.Reason, match.ID),
	}}
}

// site says which limit of its site keeps a recipient waiting.
func (x explainer) site(r queue.Recipient) []api.Hindrance {
	site, waits, ok := x.dispatcher.Where(r.Lane)
	if !ok {
		return nil
	}
	state := x.sites.State(site)
	h := api.Hindrance{Recipient: r.ID, Until: state.BindingUntil, Detail: fmt.Sprintf("Of %s: %s.", site, state)}
	switch state.Binding {
	case throttle.LimitPause:
		h.Kind = "site_paused"
		if class := x.dispatcher.Closed(site); class != queue.ClassNone {
			h.Detail = fmt.Sprintf("%s is left in peace since it failed as %s, and then tried by one message first. If that was mended: `postrider queue unpause %q`.", site, class, site)
		} else {
			h.Detail = fmt.Sprintf("%s is left in peace, and then tried by one message first.", site)
		}
	case throttle.LimitProbe:
		h.Kind = "site_probe"
	case throttle.LimitRate:
		h.Kind = "site_rate"
	case throttle.LimitConnections, throttle.LimitShared:
		h.Kind = "site_connections"
	default:
		if !waits {
			return nil
		}
		h.Kind = "site_connections"
		h.Detail = fmt.Sprintf("Of %s: it waits for its turn; %d of %d connections to it are in use.", site, state.Permits, state.Connections)
	}
	return []api.Hindrance{h}
}

// port25 says that mail cannot leave, and has no other way.
func (x explainer) port25(m *queue.Message, r *queue.Recipient) []api.Hindrance {
	chain, step := x.dispatcher.Way(m, r)
	if x.blocked == nil || !chain.Route(step).ByMX() || !x.blocked(x.sources[chain.Source].V4) {
		return nil
	}
	return []api.Hindrance{{
		Recipient: r.ID, Kind: "port25",
		Detail: "Outgoing port 25 is blocked here. Have it opened by whoever runs the network, or name a smart host in delivery.fallback_smarthost (POSTRIDER_FALLBACK_SMARTHOST).",
	}}
}

// Route implements api.Explainer.
func (x explainer) Route(m *queue.Message, r *queue.Recipient) string {
	chain, step := x.dispatcher.Way(m, r)
	parts := []string{chain.Route(step).String()}
	if chain.Len() > 1 {
		parts[0] += fmt.Sprintf(" (step %d of %d)", step+1, chain.Len())
	}
	if next := step + 1; next < chain.Len() {
		parts[0] += fmt.Sprintf(", then %s %s", chain.Route(next), chain.When(next))
	}
	if chain.Source != "" {
		parts = append(parts, "from source "+sourceText(chain.Source, x.sources[chain.Source]))
	}
	if tls := tlsText(chain, step, r); tls != "" {
		parts = append(parts, tls)
	}
	return strings.Join(parts, "; ")
}

func sourceText(name string, s delivery.Source) string {
	var facts []string
	for _, a := range []netip.Addr{s.V4, s.V6} {
		if a.IsValid() {
			facts = append(facts, a.String())
		}
	}
	if s.HELO != "" {
		facts = append(facts, "as "+s.HELO)
	}
	return fmt.Sprintf("%s (%s)", name, strings.Join(facts, " "))
}

func tlsText(chain mx.Chain, step int, r *queue.Recipient) string {
	var facts []string
	if chain.TLS != "" && chain.Route(step).ByMX() {
		facts = append(facts, chain.TLS+" by its route")
	}
	if a := r.Last; a != nil && a.TLSPolicy != "" {
		last := a.TLSPolicy + " at the last try"
		if a.TLSFault != "" {
			last += " (" + a.TLSFault + ")"
		}
		facts = append(facts, last)
	}
	if len(facts) == 0 {
		return ""
	}
	return "TLS: " + strings.Join(facts, ", ")
}
