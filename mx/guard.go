package mx

import (
	"fmt"
	"net/netip"
	"syscall"
)

// prohibited4 lists what is not a host on the public Internet, after the IANA
// special-purpose registry, and the one well-known cloud control address that
// looks public.
func prohibited4() [17]netip.Prefix {
	p := func(a, b, c, d byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
	}
	return [17]netip.Prefix{
		p(0, 0, 0, 0, 8),
		p(10, 0, 0, 0, 8),
		p(100, 64, 0, 0, 10),
		p(127, 0, 0, 0, 8),
		p(168, 63, 129, 16, 32), // Azure's host agent
		p(169, 254, 0, 0, 16),
		p(172, 16, 0, 0, 12),
		p(192, 0, 0, 0, 24),
		p(192, 0, 2, 0, 24),
		p(192, 88, 99, 0, 24),
		p(192, 168, 0, 0, 16),
		p(198, 18, 0, 0, 15),
		p(198, 51, 100, 0, 24),
		p(203, 0, 113, 0, 24),
		p(224, 0, 0, 0, 4),
		p(240, 0, 0, 0, 4),
		p(255, 255, 255, 255, 32),
	}
}

// ProhibitedAddr reports whether mail must not be delivered to a, because it
// is private, loopback, link-local, multicast or otherwise not a host on the
// public Internet. Addresses that embed an IPv4 address (mapped, translated,
// 6to4, NAT64) are judged by it. The zero Addr is prohibited.
func ProhibitedAddr(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if !a.IsValid() {
		return true
	}
	if a.Is4() {
		for _, p := range prohibited4() {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return prohibited6(a.As16())
}

func prohibited6(b [16]byte) bool {
	embedded := func(at int) bool {
		return ProhibitedAddr(netip.AddrFrom4([4]byte(b[at : at+4])))
	}
	zero := func(from, to int) bool {
		for _, c := range b[from:to] {
			if c != 0 {
				return false
			}
		}
		return true
	}
	switch {
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && zero(4, 12):
		return embedded(12) // 64:ff9b::/96, NAT64 (RFC 6052 §2.1)
	case zero(0, 8) && b[8] == 0xff && b[9] == 0xff && b[10] == 0 && b[11] == 0:
		return embedded(12) // ::ffff:0:0:0/96, IPv4-translated (RFC 2765 §2.1)
	case b[0]&0xe0 != 0x20:
		// Outside 2000::/3, the only space given out for global unicast:
		// ::, ::1, 64:ff9b:1::/48, 100::/64, 5f00::/16, fc00::/7, fe80::/10,
		// fec0::/10, ff00::/8.
		return true
	case b[0] == 0x20 && b[1] == 0x02:
		return embedded(2) // 2002::/16, 6to4 (RFC 3056 §2)
	case b[0] == 0x20 && b[1] == 0x01 && b[2]&0xfe == 0:
		return true // 2001::/23, protocol assignments, Teredo among them
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8:
		return true // 2001:db8::/32, documentation
	case b[0] == 0x3f && b[1] == 0xff && b[2]&0xf0 == 0:
		return true // 3fff::/20, documentation (RFC 9637)
	}
	return false
}

// DialControl returns a function for [net.Dialer.Control] that refuses to
// connect to prohibited addresses. It sees the address that is about to be
// dialled, so no change of DNS in between gets round it. The refusal is an
// [*Error] of [KindProhibited], wrapped by the dialer. With allowPrivate
// every IP address is let through.
func DialControl(allowPrivate bool) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return newError(KindProhibited, clip(address), fmt.Sprintf("refused to dial %s: not an IP address and port", network)).because(err)
		}
		if !allowPrivate && ProhibitedAddr(ap.Addr()) {
			return newError(KindProhibited, ap.Addr().String(), "refused to connect: the address is private or reserved")
		}
		return nil
	}
}
