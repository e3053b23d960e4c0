package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Prefixes of public addresses shorter than these hold more hosts than one
// operator can vouch for; trusting them is an open relay.
const (
	widestTrusted4 = 16
	widestTrusted6 = 32
)

// Shorter than these is allowed, but worth a word.
const (
	usualTrusted4 = 24
	usualTrusted6 = 48
)

// privateNetworks cannot be reached from the internet by routing.
func privateNetworks() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", // RFC 1122, 1918, 3927
		"100.64.0.0/10",                    // RFC 6598
		"::1/128", "fc00::/7", "fe80::/10", // RFC 4291, 4193
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Addr().Is4() == inner.Addr().Is4() && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func isPrivate(p netip.Prefix) bool {
	for _, private := range privateNetworks() {
		if covers(private, p) {
			return true
		}
	}
	return false
}

// tooWide reports whether trusting the network trusts the internet at large. An
// IPv6 network that holds the IPv4-mapped addresses holds all of IPv4.
func tooWide(p netip.Prefix) bool {
	if isPrivate(p) {
		return false
	}
	if p.Addr().Is4() {
		return p.Bits() < widestTrusted4
	}
	return p.Bits() < widestTrusted6 || covers(p, netip.MustParsePrefix("::ffff:0:0/96"))
}

func unusuallyWide(p netip.Prefix) bool {
	if isPrivate(p) {
		return false
	}
	return p.Addr().Is4() && p.Bits() < usualTrusted4 || p.Addr().Is6() && p.Bits() < usualTrusted6
}

// checkOpenRelay refuses a listener that others can reach together with trust
// in addresses that others have.
func (l *loader) checkOpenRelay() {
	const key = "submission.trusted_networks"
	if l.anyBroken(key, "submission.listen") {
		return
	}
	var reachable []string
	for _, listener := range l.cfg.Submission.Listen {
		if !listener.Loopback() {
			reachable = append(reachable, listener.String())
		}
	}
	for _, p := range l.cfg.Submission.TrustedNetworks {
		switch {
		case tooWide(p) && len(reachable) > 0:
			l.problems = append(l.problems, Problem{
				Key: key, Source: l.cfg.Origin(key), OpenRelay: true,
				What: fmt.Sprintf("this would be an open relay: anyone in %s could send mail through %s without a password", p, strings.Join(reachable, ", ")),
				Fix:  "name only your own networks in submission.trusted_networks (POSTRIDER_TRUSTED_NETWORKS), such as 10.1.0.0/16; or leave it empty and let programs log in with an account (POSTRIDER_ACCOUNTS); or listen on 127.0.0.1 alone (POSTRIDER_SUBMISSION_LISTEN)",
			})
		case tooWide(p):
			l.warn(key, fmt.Sprintf("%s is far wider than the machines that can reach the listener", p), "name only your own networks")
		case unusuallyWide(p) && len(reachable) > 0:
			l.warn(key, fmt.Sprintf("%s is a wide range of public addresses, all of which may send without a password", p), "narrow it, if others have addresses in it")
		}
		for _, gateway := range l.Gateways {
			if p.Contains(gateway.Unmap()) && len(reachable) > 0 {
				l.warn(key, fmt.Sprintf("%s includes %s, the gateway of this host: behind a published container port every client may seem to come from it", p, gateway),
					"do not publish the port, or leave the gateway out and use accounts")
			}
		}
	}
}

// Gateways reads default gateways from the text of Linux's /proc/net/route.
// What it does not understand it leaves out.
func Gateways(routes []byte) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(string(routes)) {
		columns := strings.Fields(line)
		if len(columns) < 3 || columns[1] != "00000000" || len(columns[2]) != 8 {
			continue
		}
		var b [4]byte
		// The kernel prints the address as a number in host order: little-endian
		// on everything Postrider is built for.
		if n, err := fmt.Sscanf(columns[2], "%02x%02x%02x%02x", &b[3], &b[2], &b[1], &b[0]); n == 4 && err == nil && b != [4]byte{} {
			all = append(all, netip.AddrFrom4(b))
		}
	}
	return all
}
