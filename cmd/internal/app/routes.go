package app

import (
	"fmt"
	"strings"

	"postrider/configs"
	"postrider/mx"
	"postrider/queue"
)

// routesOf turns configured routes into the table that intake and delivery ask.
func routesOf(c *configs.Config) (*mx.Routes, error) {
	rules := make([]mx.Rule, 0, len(c.Routes))
	for _, r := range c.Routes {
		rule := mx.Rule{Pattern: r.Match}
		if !r.Via.ByMX() {
			rule.Route.Hosts = []mx.SmartHost{smartHostOf(r.Via)}
		}
		rules = append(rules, rule)
	}
	routes, err := mx.NewRoutes(rules)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return routes, nil
}

func smartHostOf(s configs.SmartHost) mx.SmartHost {
	h := mx.SmartHost{Host: s.Host, Port: s.Port, Implicit: s.Implicit, TLS: mx.TLSMode(s.TLS)}
	if s.Username != "" {
		h.Auth = mx.NewCredentials(s.Username, s.Password.Reveal())
	}
	return h
}

// laneOf groups deliveries without asking the DNS: all domains of one smart host
// are one lane, so that they share its connections, and so are all ways to write
// one domain.
func laneOf(routes *mx.Routes) func(domain string) queue.Lane {
	return func(domain string) queue.Lane {
		if r, ok := routes.Lookup(domain); ok {
			return queue.Lane(r.ID)
		}
		if name, err := mx.NormalizeDomain(domain); err == nil {
			return queue.Lane(name)
		}
		return queue.Lane(strings.ToLower(domain))
	}
}
