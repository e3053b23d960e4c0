package app

import (
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/configs"
	"postrider/relay/port25"
)

// usualMXPort is the port that providers block.
const usualMXPort = 25

// newPort25 returns the watch on outgoing port 25, nil where nothing goes out by
// it: in a demo, in tests, or where smart hosts take all mail.
func (a *App) newPort25() *port25.Watch {
	if a.cfg.Delivery.MXPort != usualMXPort || !sendsByMX(a.cfg) {
		return nil
	}
	w := port25.New(port25.Options{
		Domains: a.cfg.Delivery.Port25Probe, Resolver: a.resolver, Sources: probeSources(a.cfg),
		AllowPrivate: a.cfg.Delivery.AllowPrivateDestinations, Now: a.now, Logger: a.log,
		Changed: func(f port25.Finding) { // by then all is built
			if a.alerts != nil {
				a.raisePort25(f)
			}
		},
	})
	a.metrics.registry.MustRegister(port25Collector{w})
	return w
}

// sendsByMX reports whether any mail goes to mail exchangers.
func sendsByMX(cfg *configs.Config) bool {
	if _, all := cfg.SmartHost(); !all {
		return true
	}
	return slices.ContainsFunc(cfg.Routes, func(r configs.Route) bool {
		return r.Via.ByMX() || slices.ContainsFunc(r.Then, func(s configs.RouteStep) bool { return s.Via.ByMX() })
	})
}

// probeSources are the IPv4 addresses that mail leaves from: it is there that the
// port is blocked. Only who has none of these is asked over IPv6.
func probeSources(cfg *configs.Config) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, s := range cfg.Sources {
		for _, a := range s.Addresses {
			if a.Unmap().Is4() {
				v4 = append(v4, a)
			} else {
				v6 = append(v6, a)
			}
		}
	}
	if len(v4) > 0 {
		return v4
	}
	return v6
}

// port25Collector shows what is known of the port.
type port25Collector struct{ watch *port25.Watch }

var port25Blocked = prometheus.NewDesc("postrider_port25_blocked",
	"Whether outgoing port 25 is found blocked (1) or not (0), by source address.", []string{"source"}, nil)

// Describe implements prometheus.Collector.
func (c port25Collector) Describe(ch chan<- *prometheus.Desc) { ch <- port25Blocked }

// Collect implements prometheus.Collector.
func (c port25Collector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.watch.Findings() {
		blocked, source := 0.0, "any"
		if f.State == port25.Blocked {
			blocked = 1
		}
		if f.Source.IsValid() {
			source = f.Source.String()
		}
		ch <- prometheus.MustNewConstMetric(port25Blocked, prometheus.GaugeValue, blocked, source)
	}
}
