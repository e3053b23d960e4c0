package app

import (
	"context"
	"fmt"
	"time"

	"postrider/api"
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

func (x explainer) site(r queue.Recipient) []api.Hindrance {
	site, waits, ok := x.dispatcher.Where(r.Lane)
	if !ok {
		return nil
	}
	state := x.sites.State(site)
	switch {
	case state.Until.After(x.now()):
		return []api.Hindrance{{
			Recipient: r.ID, Kind: "site_paused", Until: state.Until,
			Detail: fmt.Sprintf("No connection to %s succeeds from here: it is left in peace, and then tried by one message first.", site),
		}}
	case waits || state.Permits >= state.Connections:
		return []api.Hindrance{{
			Recipient: r.ID, Kind: "site_connections",
			Detail: fmt.Sprintf("%d of %d connections to %s are in use on this node: it waits for one. The limit is delivery.connections_per_site.", state.Permits, state.Connections, site),
		}}
	}
	return nil
}
