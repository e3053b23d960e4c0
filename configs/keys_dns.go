package configs

import "net/netip"

func trustADField() field[Config] {
	return one(Key{Path: "dns.trust_ad", Env: "POSTRIDER_DNS_TRUST_AD", Example: "true", Advanced: true,
		Doc: "Believes the DNS servers when they say that an answer is signed, wherever they are. Servers on this machine are believed anyway. DANE needs a server that checks signatures, and a way to it that nobody can change: set this only for a network that is as safe as that."},
		func(c *Config) *bool { return &c.DNS.TrustAD }, boolKind())
}

func publicAddressesField() field[Config] {
	return many(Key{Path: "delivery.public_addresses", Env: "POSTRIDER_PUBLIC_ADDRESSES", Example: `["203.0.113.5"]`, Advanced: true,
		Doc: "Addresses that lead to this relay from outside, such as those of a NAT before it: mail for a domain whose mail server has one of them would come back, and is bounced instead. List them only if their port 25 is forwarded here."},
		func(c *Config) *[]netip.Addr { return &c.Delivery.PublicAddresses }, boundKind("addresses", parsePublicAddress))
}

func parsePublicAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return netip.Addr{}, wrong("write an address such as 203.0.113.5", "%q is not a public address", s)
	}
	return a.Unmap(), nil
}
