package app

import (
	"fmt"

	"postrider/configs"
	"postrider/queue"
	"postrider/relay/bounce"
	"postrider/relay/throttle"
)

// Check reports what only the rooms themselves can say about a configuration:
// rules of replies and of providers that cannot be.
func Check(c *configs.Config) error {
	if _, err := bounce.New(bounce.Options{Rules: c.Bounce.Rules}); err != nil {
		return fmt.Errorf("bounce.rules: %w", err)
	}
	_, err := tableOf(c)
	return err
}

// tableOf is what providers are known to put up with, and what the operator says
// of them.
func tableOf(c *configs.Config) (*throttle.Table, error) {
	overrides := make([]throttle.Override, len(c.Delivery.Sites))
	for i, s := range c.Delivery.Sites {
		overrides[i] = throttle.Override{
			Match: s.Match, Connections: s.Connections, MessagesPerConnection: s.MessagesPerConnection,
			Rate: throttle.Rate{Count: s.Rate.Count, Per: s.Rate.Per}, TLS: string(s.TLS),
		}
	}
	t, err := throttle.Providers().With(overrides)
	if err != nil {
		return nil, fmt.Errorf("delivery.sites: %w", err)
	}
	return t, nil
}

// newSites keeps the limits of sites, together with other nodes where there can
// be any.
func (a *App) newSites() (*throttle.Sites, error) {
	table, err := tableOf(a.cfg)
	if err != nil {
		return nil, err
	}
	var shared queue.Limits
	if !a.cfg.Store.Embedded() {
		shared = a.store
	}
	return throttle.New(throttle.Options{
		Table: table, Connections: a.cfg.Delivery.ConnectionsPerSite,
		Cache: a.store, Limits: shared, Node: a.node, Now: a.now, Logger: a.log,
	}), nil
}
