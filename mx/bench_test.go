package mx_test

import (
	"net/netip"
	"testing"

	"postrider/mx"
)

func benchResolver(b *testing.B) *mx.Resolver {
	sim := startSim(b, internet)
	return newResolver(b, mx.Options{Servers: []string{sim.Addr()}, OwnAddrs: []netip.Addr{}})
}

func BenchmarkPlanCached(b *testing.B) {
	r := benchResolver(b)
	for _, domain := range []string{"plain.test", "equal.test"} {
		b.Run(domain, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Plan(b.Context(), domain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlanCachedParallel(b *testing.B) {
	r := benchResolver(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Plan(b.Context(), "two.test"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPlanUncached(b *testing.B) {
	sim := startSim(b, internet)
	b.ReportAllocs()
	for b.Loop() {
		r, err := mx.New(mx.Options{Servers: []string{sim.Addr()}, OwnAddrs: []netip.Addr{}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Plan(b.Context(), "two.test"); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlanRoute(b *testing.B) {
	r := benchResolver(b)
	route := mx.Route{ID: "r", Hosts: smart(b, "smtp://mx1.plain.test")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.PlanRoute(b.Context(), route); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoutesFind(b *testing.B) {
	via := smart(b, "smtp://relay.example")
	routes, err := mx.NewRoutes([]mx.Rule{
		{Pattern: "example.com", Route: mx.Route{Hosts: via}},
		{Pattern: "*.example.org", Route: mx.Route{Hosts: via}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if routes.Find(mx.Mail{Domain: "a.mail.example.org"}).Route(0).ByMX() {
			b.Fatal("no route")
		}
	}
}

func BenchmarkProhibitedAddr(b *testing.B) {
	a := netip.MustParseAddr("8.8.8.8")
	for b.Loop() {
		if mx.ProhibitedAddr(a) {
			b.Fatal("prohibited")
		}
	}
}
