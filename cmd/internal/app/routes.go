package app

import (
	"fmt"
	"net/netip"
	"slices"

	"postrider/configs"
	"postrider/mx"
	"postrider/queue"
	"postrider/relay/delivery"
	"postrider/relay/intake"
)

// routesOf turns configured routes into the table that intake and delivery ask.
func routesOf(c *configs.Config) (*mx.Routes, error) {
	rules := make([]mx.Rule, 0, len(c.Routes))
	for _, r := range c.Routes {
		rule := mx.Rule{
			Pattern: r.Match, Sender: r.Sender, Account: r.Account, Route: routeOf(r.Via), Source: r.Source, TLS: string(r.TLS),
		}
		for _, s := range r.Then {
			classes := slices.DeleteFunc(slices.Clone(s.When), func(w string) bool { return w == configs.WhenPort25 })
			rule.Then = append(rule.Then, mx.Step{
				Route: routeOf(s.Via), After: s.After, Classes: classes, Blocked: len(classes) < len(s.When),
			})
		}
		rules = append(rules, rule)
	}
	routes, err := mx.NewRoutes(rules)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return routes, nil
}

func routeOf(s configs.SmartHost) mx.Route {
	if s.ByMX() {
		return mx.Route{}
	}
	return mx.Route{Hosts: []mx.SmartHost{smartHostOf(s)}}
}

func smartHostOf(s configs.SmartHost) mx.SmartHost {
	h := mx.SmartHost{Host: s.Host, Port: s.Port, Implicit: s.Implicit, TLS: mx.TLSMode(s.TLS)}
	if s.Username != "" {
		h.Auth = mx.NewCredentials(s.Username, s.Password.Reveal())
	}
	return h
}

// deliverySources are the addresses that routes name.
func deliverySources(c *configs.Config) map[string]delivery.Source {
	all := make(map[string]delivery.Source, len(c.Sources))
	for _, s := range c.Sources {
		source := delivery.Source{HELO: s.HELO}
		for _, a := range s.Addresses {
			if a.Is4() {
				source.V4 = a
			} else {
				source.V6 = a
			}
		}
		all[s.Name] = source
	}
	return all
}

// laneOf groups deliveries without asking the DNS: all domains of one smart host
// are one lane, so that they share its connections, and so are all ways to write
// one domain. What leaves from a source of its own has lanes of its own. While
// port 25 is blocked new mail goes at once where that leads.
func laneOf(routes *mx.Routes, sources map[string]delivery.Source, blocked func(netip.Addr) bool) intake.Lane {
	return func(account, sender, domain string) queue.Lane {
		chain := routes.Find(mx.Mail{Account: account, Sender: sender, Domain: domain})
		step := chain.Step(domain, mx.Progress{}, blocked != nil && blocked(sources[chain.Source].V4))
		return queue.Lane(chain.Lane(step, domain))
	}
}
