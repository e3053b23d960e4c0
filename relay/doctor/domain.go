package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"postrider/mx"
)

// mailbox asks whether answers and reports of failure can reach the domain.
func (x *exam) mailbox(ctx context.Context, d Domain) []Finding {
	found := []Finding{x.exchangers(ctx, d.Name, d.Name)}
	if d.MailFrom != d.Name {
		found = append(found, x.exchangers(ctx, d.Name, d.MailFrom))
	}
	return found
}

func (x *exam) exchangers(ctx context.Context, subject, domain string) Finding {
	f := about("dom.mx", subject, "MX and SOA of "+domain)
	record := Record{Name: domain, Type: "MX", Value: "10 mail." + domain + ".", Note: "Put the server that takes mail for the domain in place of mail." + domain + "."}
	soa, err := x.zones.Recurse(ctx, domain, dns.TypeSOA)
	switch {
	case err != nil: // the questions below tell what that means
	case soa.Rcode == dns.RcodeNameError:
		return f.fail("the domain does not exist: receivers refuse mail from it").
			advise("See whether it is written rightly, whether it was paid for, and whether its name servers answer.", atDNS(domain))
	case !hasSOA(soa):
		return f.fail("its zone has no SOA record: Yahoo refuses mail from it").
			advise("Have the zone mended.", atDNS(domain))
	}
	a, err := x.o.Resolver.MX(ctx, domain)
	switch {
	case err != nil && !absent(err):
		return f.unknown(trouble(err))
	case err != nil:
		addrs, err := x.addrs(ctx, domain)
		if err != nil {
			return f.unknown(trouble(err))
		}
		if len(addrs) == 0 {
			return f.fail("it has neither a mail exchanger nor an address: answers and reports of failure cannot reach you, and many receivers refuse mail from such a domain").
				advise("Publish where mail for the domain goes.", atDNS(domain)).offer(record)
		}
		return f.ok("no MX; mail for it goes to "+addrList(addrs)).advise("An MX record says it better.", atDNS(domain)).offer(record)
	case len(a.Values) == 1 && a.Values[0].Host == ".":
		return f.fail("it says that it takes no mail (null MX): receivers refuse mail from it").
			advise("Publish where mail for the domain goes, in place of the MX record that names a dot.", atDNS(domain)).offer(record)
	}
	return x.exchangersExist(ctx, f, domain, a.Values)
}

func hasSOA(m *dns.Msg) bool {
	return slices.ContainsFunc(append(slices.Clone(m.Answer), m.Ns...), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

func (x *exam) exchangersExist(ctx context.Context, f Finding, domain string, records []mx.Record) Finding {
	var names, missing []string
	for _, r := range records[:min(len(records), 10)] {
		names = append(names, fmt.Sprintf("%d %s", r.Preference, r.Host))
		addrs, err := x.addrs(ctx, r.Host)
		if err == nil && len(addrs) == 0 {
			missing = append(missing, r.Host)
		}
	}
	switch {
	case len(missing) == len(names):
		return f.fail("no mail exchanger exists: "+list(missing)).advise("Name servers that exist, or publish their addresses.", atDNS(domain))
	case len(missing) > 0:
		return f.warn("some mail exchangers do not exist: "+list(missing)).advise("Take them out, or publish their addresses.", atDNS(domain))
	}
	return f.ok(list(names))
}

// freemail are domains whose mail only their owners may send: by their DMARC
// policy, or by how receivers judge it.
func freemail() []string {
	return []string{
		"gmail.com", "googlemail.com", "yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "outlook.com", "hotmail.com", "live.com", "msn.com",
		"icloud.com", "me.com", "mac.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "t-online.de", "mail.ru", "yandex.ru", "yandex.com",
		"proton.me", "protonmail.com", "qq.com", "163.com", "orange.fr", "free.fr", "laposte.net", "libero.it", "comcast.net", "zoho.com",
	}
}

// lookalike refuses what belongs to a provider of mailboxes.
func (x *exam) lookalike(_ context.Context, d Domain) []Finding {
	f := about("dom.lookalike", d.Name, "whether the domain belongs to a provider of mailboxes")
	name := d.Name
	if strings.HasPrefix(name, "yahoo.") {
		name = "yahoo.com" // yahoo.co.uk and the like have the same policy
	}
	if slices.Contains(freemail(), name) {
		return []Finding{f.fail("only "+d.Name+" itself may send as "+d.Name+": Gmail, Yahoo and Microsoft refuse such mail from others").
			advise("Send from a domain of your own, and put the address in Reply-To.", atPrograms)}
	}
	return []Finding{f.ok("it does not")}
}
