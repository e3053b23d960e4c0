package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"postrider/mx"
)

// probeTime bounds all connections to others: where port 25 is blocked, most do
// not answer, and other checks wait to know by which address we are seen.
const probeTime = 10 * time.Second

// A probe is a connection to a mail exchanger of somebody large, on which no mail
// is sent.
type probe struct {
	host  string
	addr  netip.Addr
	local netip.Addr // ours, at this end
	seen  netip.Addr // ours, as the other end says; zero: it did not say
	heard bool       // it answered EHLO
	tls   bool       // and offers STARTTLS
	err   error      // of the connection or the greeting
	dns   error      // why there was nobody to connect to
}

// probeAll connects to one mail exchanger of each probe domain.
func (x *exam) probeAll(ctx context.Context) []probe {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	all := make([]probe, len(x.o.Probes))
	together(len(all), func(i int) { all[i] = x.probeDomain(ctx, x.o.Probes[i]) })
	return all
}

func (x *exam) probeDomain(ctx context.Context, domain string) probe {
	p := probe{host: domain}
	found, err := x.o.Resolver.MX(ctx, domain)
	if err != nil {
		p.dns = err
		return p
	}
	best := slices.MinFunc(found.Values, func(a, b mx.Record) int { return int(a.Preference) - int(b.Preference) })
	p.host = best.Host
	addrs, err := x.o.Resolver.Addrs(ctx, best.Host)
	if err != nil {
		p.dns = err
		return p
	}
	p.addr = addrs.Values[0] // IPv4 comes first: whether IPv6 works is another question
	p.err = x.greet(ctx, &p)
	return p
}

// greet connects, says EHLO and leaves.
func (x *exam) greet(ctx context.Context, p *probe) error {
	dialer := x.dialer()
	for _, s := range x.c.Sources {
		if s.Addr.Is4() == p.addr.Is4() && s.Addr.IsValid() {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Addr, 0))
			break
		}
	}
	t, code, text, err := converse(ctx, dialer, "tcp", netip.AddrPortFrom(p.addr, x.o.MXPort).String(), nil)
	if err != nil {
		return err
	}
	defer t.quit()
	if local, ok := t.conn.LocalAddr().(*net.TCPAddr); ok {
		p.local = local.AddrPort().Addr().Unmap()
	}
	if code != 220 {
		return fmt.Errorf("the greeting is %d %s", code, shown(text))
	}
	// What it says of us is welcome; a refusal of EHLO is not what is asked here.
	if said, err := t.ehlo(x.c.Hostname); err == nil {
		p.seen, p.heard, p.tls = addrIn(said), true, t.offers("STARTTLS")
	}
	return nil
}

// bracketed is how servers name a client's address in the first line of their
// reply to EHLO.
var bracketed = regexp.MustCompile(`[\[(]([0-9a-fA-F:.]{3,45})[\])]`)

func addrIn(text string) netip.Addr {
	line, _, _ := strings.Cut(text, "\n")
	for _, m := range bracketed.FindAllStringSubmatch(line, 4) {
		if a, err := netip.ParseAddr(m[1]); err == nil {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// port25 says whether mail can leave at all.
func (x *exam) port25(context.Context) []Finding {
	asked := fmt.Sprintf("TCP connections to port %d of mail exchangers of %s, without sending mail", x.o.MXPort, list(x.o.Probes))
	if !x.direct() {
		return x.notApplicable("net.port25", asked)
	}
	return append(x.watched(), x.tried(about("net.port25", x.c.Hostname, asked))...)
}

const openPort = "Outgoing port 25 is blocked, most likely by the provider of your server. Ask it to open the port, or send through a smart host: POSTRIDER_SMARTHOST=smtp://user:password@host:587."

// watched tells what deliveries found out already.
func (x *exam) watched() (found []Finding) {
	for _, w := range x.c.Port25 {
		if !w.Blocked {
			continue
		}
		subject := x.c.Hostname
		if w.Source.IsValid() {
			subject = w.Source.String()
		}
		found = append(found, about("net.port25", subject, "the connections of deliveries").marked("deliveries").
			fail("found blocked since "+w.Since.UTC().Format("2006-01-02 15:04")+" UTC: "+shown(w.Detail)).advise(openPort, atProvider))
	}
	return found
}

// tried tells what connections made now came to.
func (x *exam) tried(f Finding) []Finding {
	var open, shut, unsure []string
	for _, p := range x.probed() {
		switch {
		case p.dns != nil:
			unsure = append(unsure, trouble(p.dns))
		case p.err != nil && !p.local.IsValid():
			shut = append(shut, fmt.Sprintf("%s [%s]: %s", p.host, p.addr, shown(p.err.Error())))
		default: // reached, if perhaps not wanted
			open = append(open, p.host)
		}
	}
	opened := slices.ContainsFunc(x.c.Port25, func(w Port25) bool { return !w.Blocked })
	switch {
	case len(open) > 0 && len(shut) > 0:
		return []Finding{f.ok(list(open) + " answered; " + strings.Join(shut, "; ") + " did not")}
	case len(open) > 0:
		return []Finding{f.ok(list(open) + " answered")}
	case len(shut) > 0:
		return []Finding{f.fail("nobody could be reached: "+strings.Join(shut, "; ")).advise(openPort, atProvider)}
	case opened:
		return []Finding{f.ok("nobody was asked now; deliveries connect")}
	case len(x.c.Port25) > 0 && len(unsure) == 0:
		return nil
	case len(unsure) == 0:
		return []Finding{f.unknown("nobody is asked: delivery.port25_probe is off")}
	}
	return []Finding{f.unknown(strings.Join(unsure, "; "))}
}

// An origin is an address that mail leaves from, as the world sees it.
type origin struct {
	addr netip.Addr
	helo string
}

// origins are the configured sources, or what mail exchangers say of us where
// none is configured or where they are private addresses behind a NAT.
func (x *exam) origins() []origin {
	var all []origin
	add := func(a netip.Addr, helo string) {
		if helo == "" {
			helo = x.c.Hostname
		}
		o := origin{a, helo}
		if !a.IsValid() || !x.o.AllowPrivate && mx.ProhibitedAddr(a) || slices.Contains(all, o) {
			return
		}
		all = append(all, o)
	}
	hidden := len(x.c.Sources) == 0
	for _, s := range x.c.Sources {
		hidden = hidden || !s.Addr.IsValid() || !x.o.AllowPrivate && mx.ProhibitedAddr(s.Addr)
		add(s.Addr, s.Helo)
	}
	if x.c.IPv6 && !slices.ContainsFunc(x.c.Sources, func(s Source) bool { return s.Addr.Is6() }) {
		if a, ok := ownIPv6(); ok {
			add(a, "")
		}
	}
	if !hidden {
		return all
	}
	for _, p := range x.probed() {
		switch {
		case p.seen.IsValid():
			add(p.seen, "")
		case p.local.IsValid():
			add(p.local, "")
		}
	}
	return all
}

// ownIPv6 is the address that the system would send from. Nothing is sent: a UDP
// socket that is connected has an address.
func ownIPv6() (netip.Addr, bool) {
	const somebody = "[2001:4860:4860::8888]:53"
	c, err := net.Dial("udp6", somebody)
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return a.AddrPort().Addr(), true
}

// source compares where we send from with what others see.
func (x *exam) source(context.Context) []Finding {
	const asked = "by which address mail exchangers see us, from their reply to EHLO"
	if !x.direct() {
		return x.notApplicable("net.source", asked)
	}
	f := about("net.source", x.c.Hostname, asked)
	var seen, local []netip.Addr
	for _, p := range x.probed() {
		if p.local.IsValid() && !slices.Contains(local, p.local) {
			local = append(local, p.local)
		}
		if p.seen.IsValid() && !slices.Contains(seen, p.seen) {
			seen = append(seen, p.seen)
		}
	}
	var want []netip.Addr
	for _, s := range x.c.Sources {
		if s.Addr.IsValid() {
			want = append(want, s.Addr)
		}
	}
	switch {
	case len(seen) == 0 && len(local) == 0:
		return []Finding{f.unknown("no mail exchanger could be reached")}
	case len(seen) == 0 && mx.ProhibitedAddr(local[0]):
		return []Finding{f.unknown(fmt.Sprintf("we connect from %s, a private address, and nobody said as what that arrives", addrList(local)))}
	case len(seen) == 0:
		return []Finding{f.ok("we connect from " + addrList(local))}
	case len(want) < max(1, len(x.c.Sources)):
		return []Finding{f.ok("seen as " + addrList(seen) + ", connecting from " + addrList(local))}
	}
	for _, a := range seen {
		if !slices.Contains(want, a) && !slices.ContainsFunc(want, mx.ProhibitedAddr) {
			return []Finding{f.warn(fmt.Sprintf("seen as %s, but the configured sources are %s", addrList(seen), addrList(want))).
				advise("Something in between translates addresses. Set PTR, SPF and EHLO name for the address that is seen.", atConfig)}
		}
	}
	return []Finding{f.ok("seen as " + addrList(seen))}
}
