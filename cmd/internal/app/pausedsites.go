package app

import (
	"context"
	"time"

	v1 "postrider/api/v1"
	"postrider/relay/delivery"
	"postrider/relay/throttle"
)

// pausedSites shows operators the limits of sites, and ends pauses.
type pausedSites struct {
	sites      *throttle.Sites
	dispatcher *delivery.Dispatcher
	now        func() time.Time
}

// Sites implements api.Sites.
func (p pausedSites) Sites(n int) []v1.Site {
	all := p.sites.List()
	list := make([]v1.Site, min(n, len(all)))
	for i := range list {
		s := &all[i]
		list[i] = v1.Site{
			Site: s.Key, Connections: s.Permits, Most: s.Connections, PerMinute: s.PerMinute, Recovered: s.Level, Detail: s.String(),
			Messages: s.MessagesPerConnection,
		}
		if s.Until.After(p.now()) {
			until := s.Until.UTC()
			list[i].PausedUntil, list[i].Class = &until, string(p.dispatcher.Closed(s.Key))
		}
		if !s.Slowed.IsZero() {
			at := s.Slowed.UTC()
			list[i].RefusedAt = &at
		}
	}
	return list
}

// Unpause implements api.Sites.
func (p pausedSites) Unpause(ctx context.Context, site string) bool {
	if !p.sites.Lift(ctx, site, p.now()) {
		return false
	}
	p.dispatcher.Reopen(ctx, site)
	return true
}
