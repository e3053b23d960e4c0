package mx

import "net/netip"

// arrange makes the plan of one attempt: equal preferences in random order,
// addresses of each host in random order with the families alternating, and
// no more of them than allowed.
func (r *Resolver) arrange(c *compiled) Plan {
	p := Plan{
		Domain: c.domain, Site: c.site, Pool: c.pool,
		AD: c.ad, MXName: c.mxName, Implicit: c.implicit, AllowPrivate: r.o.AllowPrivate,
		Hosts: make([]Host, len(c.hosts)),
	}
	total := 0
	for i := range c.hosts {
		h := &c.hosts[i]
		total += len(h.v4) + len(h.v6)
		p.Hosts[i] = Host{Name: h.Record.Host, Preference: h.Preference, AD: h.ad, AddrName: h.name}
	}
	buf := make([]netip.Addr, 0, total)
	for i := range c.hosts {
		h := &c.hosts[i]
		from := len(buf)
		buf = r.mix(buf, h.v4, h.v6)
		p.Hosts[i].Addrs = buf[from:len(buf):len(buf)]
	}
	for from := 0; from < len(p.Hosts); {
		to := from + 1
		for to < len(p.Hosts) && p.Hosts[to].Preference == p.Hosts[from].Preference {
			to++
		}
		shuffle(p.Hosts[from:to], r.o.Rand)
		from = to
	}
	p.Hosts = limitAddrs(p.Hosts, r.o.MaxAddrs)
	return p
}

// mix appends both families to buf, each shuffled, alternating, and beginning
// with either.
func (r *Resolver) mix(buf, v4, v6 []netip.Addr) []netip.Addr {
	var store [2][maxAddrs]netip.Addr
	a := append(store[0][:0], v4...)
	b := append(store[1][:0], v6...)
	shuffle(a, r.o.Rand)
	shuffle(b, r.o.Rand)
	if len(a) > 0 && len(b) > 0 && r.o.Rand(2) == 1 {
		a, b = b, a
	}
	for len(a) > 0 || len(b) > 0 {
		if len(a) > 0 {
			buf, a = append(buf, a[0]), a[1:]
		}
		if len(b) > 0 {
			buf, b = append(buf, b[0]), b[1:]
		}
	}
	return buf
}

// limitAddrs leaves at most limit addresses, and to each host one at least as
// long as there are enough for that: a host with many addresses does not
// crowd out the others.
func limitAddrs(hosts []Host, limit int) []Host {
	for i := range hosts {
		if limit == 0 {
			return hosts[:i]
		}
		later := len(hosts) - i - 1
		n := min(len(hosts[i].Addrs), max(1, limit-later))
		hosts[i].Addrs = hosts[i].Addrs[:n:n]
		limit -= n
	}
	return hosts
}

func shuffle[T any](s []T, rand func(int) int) {
	for i := len(s) - 1; i > 0; i-- {
		j := rand(i + 1)
		s[i], s[j] = s[j], s[i]
	}
}
