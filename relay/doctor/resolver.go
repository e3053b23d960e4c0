package doctor

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"postrider/mx/zone"
)

// The names that a resolver is tried with: the root is signed by everybody's
// leave, the other is signed wrongly on purpose.
const (
	signedName = "."
	bogusName  = "dnssec-failed.org"
)

// resolver asks each recursive server for the kinds of record that mail needs,
// over both transports, and whether it validates.
func (x *exam) resolver(ctx context.Context) []Finding {
	servers := x.zones.Recursive()
	if len(servers) == 0 {
		return []Finding{about("dns.resolver", "dns", "the DNS servers of this machine").fail("no DNS server is configured").
			advise("Name one in dns.servers, or install a resolver such as unbound on this machine.", atConfig)}
	}
	var found []Finding
	for _, s := range servers {
		found = append(found, x.oneResolver(ctx, s))
	}
	return found
}

func (x *exam) oneResolver(ctx context.Context, server string) Finding {
	probe := "gmail.com"
	if len(x.o.Probes) > 0 {
		probe = x.o.Probes[0]
	}
	f := about("dns.resolver", server, fmt.Sprintf("the DNS server %s for A, MX and TXT of %s, over UDP and TCP, and for DNSSEC", server, probe))
	const fix = "Install a resolver that validates, such as unbound, on this machine and name it in dns.servers: 127.0.0.1:53."
	for _, t := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeTXT} {
		m, err := zone.Exchange(ctx, server, zone.Question(probe, t, true), nil)
		if err == nil && m.Rcode != dns.RcodeSuccess {
			err = fmt.Errorf("the answer is %s", dns.RcodeToString[m.Rcode])
		}
		if err == nil && t != dns.TypeA && len(m.Answer) == 0 {
			err = fmt.Errorf("there is none")
		}
		if err != nil {
			return f.fail(fmt.Sprintf("%s of %s: %s", dns.TypeToString[t], probe, shown(err.Error()))).advise(fix, atHost)
		}
	}
	if _, err := zone.Exchange(ctx, server, zone.Question(probe, dns.TypeTXT, true), nil, "tcp"); err != nil {
		return f.warn("it does not answer over TCP, so that large answers are lost: "+shown(err.Error())).
			advise("Open TCP port 53 to it, or "+lower(fix), atHost)
	}
	return x.validation(ctx, f, server, fix)
}

func lower(s string) string { return string(s[0]|0x20) + s[1:] }

// validation says whether the server checks signatures. Mail arrives without;
// DANE needs it.
func (x *exam) validation(ctx context.Context, f Finding, server, fix string) Finding {
	signed, err := zone.Exchange(ctx, server, zone.Question(signedName, dns.TypeSOA, true), nil)
	if err != nil || !signed.AuthenticatedData {
		return f.ok("it answers, and does not validate DNSSEC: DANE cannot be used").advise(fix, atHost)
	}
	bogus, err := zone.Exchange(ctx, server, zone.Question(bogusName, dns.TypeA, true), nil)
	if err == nil && bogus.Rcode == dns.RcodeSuccess && len(bogus.Answer) > 0 {
		return f.warn("it claims to validate DNSSEC, but gives out "+bogusName+", which is signed wrongly: what it says is authentic may not be").advise(fix, atHost)
	}
	if !x.o.Resolver.TrustsAD() {
		return f.ok("it answers over UDP and TCP and validates DNSSEC, but is not trusted to: DANE cannot be used").
			advise("If the network between here and there is yours, set dns.trust_ad. Else "+lower(fix), atConfig)
	}
	return f.ok("it answers over UDP and TCP and validates DNSSEC")
}
