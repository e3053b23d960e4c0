package mx

import (
	"context"
	"net/netip"
	"slices"
)

// PlanRoute finds the addresses of a route's smart hosts, in the order of the
// route. IP addresses are taken as they are, names are looked up in the hosts
// file and then in DNS, where short names are completed by the search list.
// IPv6 addresses are used where there is no other, even if
// [Options.IPv6] is off, and private addresses are allowed: the operator has
// named the host. That a smart host cannot be found is always a temporary
// [*Error]: the configuration is wrong, not the recipient.
func (r *Resolver) PlanRoute(ctx context.Context, route Route) (Plan, error) {
	p := Plan{Domain: route.ID, Site: route.Site(), Pool: sitePrefix + route.ID, Route: route.ID, AllowPrivate: true}
	var last *Error
	for i := range route.Hosts {
		via := route.Hosts[i]
		addrs, ad, fail := r.smartHostAddrs(ctx, via.Host)
		if fail != nil {
			last = fail
			continue
		}
		p.Hosts = append(p.Hosts, Host{Name: via.Host, Preference: uint16(min(i, 1<<16-1)), Addrs: addrs, AD: ad, Via: &via})
	}
	if len(p.Hosts) > 0 {
		p.Hosts = limitAddrs(p.Hosts, r.o.MaxAddrs)
		return p, nil
	}
	if last == nil {
		return Plan{}, newError(KindUnroutable, route.ID, "the route has no smart host")
	}
	kind := last.Kind
	if !last.Temporary {
		kind = KindUnroutable
	}
	return Plan{}, newError(kind, route.ID, "smart host "+last.Domain+": "+last.Detail).because(last.err)
}

func (r *Resolver) smartHostAddrs(ctx context.Context, host string) ([]netip.Addr, bool, *Error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, false, nil
	}
	if addrs := r.hosts.lookup(host, r.o.Now()); len(addrs) > 0 {
		return r.mixFamilies(addrs), false, nil
	}
	var fail *Error
	for _, name := range r.conf.NameList(host) {
		h, err := r.waitFamilies(ctx, r.beginFamilies(name, true, false))
		if err != nil {
			return nil, false, newError(KindTrouble, host, "gave up waiting for DNS").because(err)
		}
		if h.kind == "" {
			return r.mixFamilies(slices.Concat(h.v4, h.v6)), h.ad, nil
		}
		// The search goes on only from a name that does not exist: with DNS in
		// trouble a later name might be another host.
		fail = newError(h.kind, host, h.detail).because(h.cause)
		if fail.Temporary {
			break
		}
	}
	return nil, false, fail
}

// mixFamilies orders the addresses for an attempt. With IPv6 off those come
// into play only where there is nothing else.
func (r *Resolver) mixFamilies(addrs []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	if !r.o.IPv6 && len(v4) > 0 {
		v6 = nil
	}
	return r.mix(nil, v4, v6)
}
