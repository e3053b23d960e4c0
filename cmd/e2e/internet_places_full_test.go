//go:build full && linux

package e2e_test

import (
	"sync/atomic"

	"postrider/relay/smtpsim"
)

// place is a domain that gets mail.
type place struct {
	chapter, domain, is string

	hosts       []host
	records     string // further ones, one a line, their names relative to the domain
	sts         *policy
	fails       []string // questions that end in SERVFAIL, "name type"
	expired     []string // names whose signatures have run out
	forged      []string // names whose signatures are for other records
	breaksLater bool     // after the restart the hosts have another certificate

	visits []visit

	breaks atomic.Bool
	id     string // of the message sent last
}

// host is one mail server of a place.
type host struct {
	name string
	pref int    // 0: it has no MX record
	is   string // "": it listens; "closed": nobody does; "silent": nobody answers
	addr string // "": one of its own
	six  bool   // it has an IPv6 address, and no other

	noTLS    bool
	public   bool   // the certificate is by an authority that the relay trusts
	certName string // "": the host's
	expired  bool   // the certificate
	tlsa     []string

	offers smtpsim.Capabilities
	rules  []smtpsim.Rule

	at      string // its address
	records []string
}

func (h *host) label() string {
	switch h.is {
	case "closed":
		return h.name + " (refuses)"
	case "silent":
		return h.name + " (silent)"
	}
	return h.name
}

// policy is an MTA-STS policy and what is wrong with its host.
type policy struct {
	mode, mx        string
	down, untrusted bool
}

// When mail is sent.
const (
	atFirst      = "at first"
	atRetry      = "at the second attempt"
	afterRestart = "after the restart" // and when all is changed
)

// visit is one attempt at a place.
type visit struct {
	when, how string
	is        string // what is there, if not what the place says
	got       row
}

// ownAddr is said to lead to the relay itself.
const ownAddr = "8.8.3.1"

func to(domain, is string, hosts ...host) *place {
	return &place{domain: domain, is: is, hosts: hosts, visits: []visit{{when: atFirst}}}
}

// with changes a place.
func (p *place) with(change func(p *place)) *place {
	change(p)
	return p
}

func places() []*place {
	var all []*place
	for _, c := range []struct {
		title string
		in    []*place
	}{
		{"DANE", danePlaces()}, {"MTA-STS", stsPlaces()}, {"What the message asks for", askedPlaces()},
		{"No policy", openPlaces()}, {"Which servers are tried", routePlaces()}, {"What DNS says", dnsPlaces()},
	} {
		for _, p := range c.in {
			p.chapter = c.title
		}
		all = append(all, c.in...)
	}
	return all
}

func danePlaces() []*place {
	ee := []string{"ee"}
	return []*place{
		to("dane-ee.example", "the certificate is the one of the TLSA record; no authority vouches for it", host{name: "mx", pref: 10, tlsa: ee}),
		to("dane-ta.example", "the authority is the one of the TLSA record", host{name: "mx", pref: 10, tlsa: []string{"ta"}}),
		to("dane-ee-old.example", "the certificate of the TLSA record (3) is out of date, and for another name", host{name: "mx", pref: 10, tlsa: ee, expired: true, certName: "other.example"}),
		to("dane-ta-old.example", "the authority is the one of the TLSA record (2), the certificate is out of date", host{name: "mx", pref: 10, tlsa: []string{"ta"}, expired: true}),
		to("dane-ta-name.example", "the authority is the one of the TLSA record (2), the certificate is for another name", host{name: "mx", pref: 10, tlsa: []string{"ta"}, certName: "other.example"}),
		to("dane-wrong.example", "the certificate is another one than that of the TLSA record", host{name: "mx", pref: 10, tlsa: []string{"other"}, public: true}),
		to("dane-roll.example", "one TLSA record is of the old key, one of the new", host{name: "mx", pref: 10, tlsa: []string{"other", "ee"}}),
		to("dane-second.example", "the better server has another certificate than its TLSA record, the second has the right one",
			host{name: "mx1", pref: 10, tlsa: []string{"other"}}, host{name: "mx2", pref: 20, tlsa: ee}),
		to("dane-stripped.example", "TLSA record, and the server offers no STARTTLS", host{name: "mx", pref: 10, tlsa: ee, offers: smtpsim.Capabilities{HideStartTLS: true}}),
		to("dane-unusable.example", "TLSA records of usages and types that SMTP does not know", host{name: "mx", pref: 10, tlsa: []string{"pkix", "3 1 9 00"}}),
		to("dane-servfail.example", "the TLSA record cannot be looked up", host{name: "mx", pref: 10, tlsa: ee}).with(func(p *place) { p.fails = []string{"_25._tcp.mx TLSA"} }),
		to("dane-bogus.example", "the signature of the TLSA record has run out", host{name: "mx", pref: 10, tlsa: ee}).with(func(p *place) { p.expired = []string{"_25._tcp.mx"} }),
		to("bogus.example", "the MX record is not the one that was signed", host{name: "mx", pref: 10, tlsa: ee}).with(func(p *place) { p.forged = []string{"@"} }),
		to("dane-unsigned.test", "a TLSA record of another certificate in a zone without signatures", host{name: "mx", pref: 10, tlsa: []string{"other"}}),
	}
}

func stsPlaces() []*place {
	good := host{name: "mx", pref: 10, public: true}
	sts := func(domain, is, mode string, hosts ...host) *place {
		p := to(domain, is, hosts...)
		p.sts = &policy{mode: mode, mx: "*." + domain}
		return p
	}
	kept := []visit{{when: atFirst, is: "the policy is fetched"}, {when: afterRestart, is: "the policy host is down, and the policy known"}}
	return []*place{
		sts("sts.test", "all is right", "enforce", good),
		sts("sts-name.test", "the certificate is for another name", "enforce", host{name: "mx", pref: 10, public: true, certName: "other.test"}),
		sts("sts-old.test", "the certificate is out of date", "enforce", host{name: "mx", pref: 10, public: true, expired: true}),
		sts("sts-untrusted.test", "no authority that is known vouches for the certificate", "enforce", host{name: "mx", pref: 10}),
		sts("sts-stripped.test", "the server offers no STARTTLS", "enforce", host{name: "mx", pref: 10, public: true, offers: smtpsim.Capabilities{HideStartTLS: true}}),
		sts("sts-unlisted.test", "the server is not one of the policy", "enforce", good).with(func(p *place) { p.sts.mx = "mail.sts-unlisted.test" }),
		sts("sts-second.test", "the better server is not one of the policy, the next has a bad certificate, the third is right", "enforce",
			host{name: "mx1", pref: 10, public: true}, host{name: "mx2", pref: 20}, host{name: "mx3", pref: 30, public: true}).with(func(p *place) { p.sts.mx = "mx2.sts-second.test\r\nmx: mx3.sts-second.test" }),
		sts("sts-testing.test", "mode testing, and no authority that is known vouches for the certificate", "testing", host{name: "mx", pref: 10}),
		sts("sts-testing-unlisted.test", "mode testing, and the server is not one of the policy", "testing", good).with(func(p *place) { p.sts.mx = "mail.sts-testing-unlisted.test" }),
		sts("sts-down.test", "the policy host is down, and no policy known", "enforce", host{name: "mx", pref: 10}).with(func(p *place) { p.sts.down = true }),
		sts("sts-webpki.test", "the policy host has a certificate that nobody vouches for, and no policy is known", "enforce", host{name: "mx", pref: 10}).with(func(p *place) { p.sts.untrusted = true }),
		sts("sts-kept.test", "", "enforce", good).with(func(p *place) { p.visits = kept }),
		sts("sts-kept-broken.test", "", "enforce", good).with(func(p *place) {
			p.breaksLater = true
			p.visits = []visit{kept[0], {when: afterRestart, is: "the policy host is down, the policy known, and the certificate bad"}}
		}),
		sts("both.example", "DANE is right, and MTA-STS would refuse the certificate", "enforce", host{name: "mx", pref: 10, tlsa: []string{"ee"}}),
		sts("both-wrong.example", "MTA-STS is right, and DANE is not", "enforce", host{name: "mx", pref: 10, public: true, tlsa: []string{"other"}}),
		sts("both-unusable.example", "MTA-STS is right, and the TLSA record cannot be used", "enforce", host{name: "mx", pref: 10, public: true, tlsa: []string{"pkix"}}),
	}
}

func askedPlaces() []*place {
	keyword := smtpsim.Capabilities{RequireTLS: true}
	asking := func(how string, p *place) *place {
		p.visits[0].how = how
		return p
	}
	return []*place{
		asking("REQUIRETLS", to("requiretls.example", "DANE is right, and the server offers REQUIRETLS", host{name: "mx", pref: 10, tlsa: []string{"ee"}, offers: keyword})),
		asking("REQUIRETLS", to("requiretls-keyword.example", "DANE is right, and the server does not offer REQUIRETLS", host{name: "mx", pref: 10, tlsa: []string{"ee"}})),
		asking("REQUIRETLS", to("requiretls-second.example", "DANE is right; the second server alone offers REQUIRETLS",
			host{name: "mx1", pref: 10, tlsa: []string{"ee"}}, host{name: "mx2", pref: 20, tlsa: []string{"ee"}, offers: keyword})),
		asking("REQUIRETLS", to("requiretls-open.test", "no policy; the server has a good certificate, and offers REQUIRETLS", host{name: "mx", pref: 10, public: true, offers: keyword})),
		asking("REQUIRETLS", to("requiretls-wrong.example", "the certificate is another one than that of the TLSA record", host{name: "mx", pref: 10, tlsa: []string{"other"}, offers: keyword})),
		asking("TLS-Required: No", to("optional-dane.example", "the certificate is another one than that of the TLSA record", host{name: "mx", pref: 10, tlsa: []string{"other"}})),
		asking("TLS-Required: No", to("optional-sts.test", "MTA-STS, and the server offers no STARTTLS", host{name: "mx", pref: 10, noTLS: true})).with(func(p *place) {
			p.sts = &policy{mode: "enforce", mx: "*.optional-sts.test"}
		}),
		asking("TLS-Required: No", to("optional-servfail.example", "the TLSA record cannot be looked up", host{name: "mx", pref: 10, tlsa: []string{"ee"}})).with(func(p *place) { p.fails = []string{"_25._tcp.mx TLSA"} }),
	}
}

func openPlaces() []*place {
	return []*place{
		to("tls.test", "STARTTLS with a good certificate", host{name: "mx", pref: 10, public: true}),
		to("tls-old.test", "STARTTLS with a certificate out of date, that no known authority vouches for", host{name: "mx", pref: 10, expired: true}),
		to("tls-broken.test", "", host{name: "mx", pref: 10, rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.PlaintextForTLS())}}}).with(func(p *place) {
			p.visits = []visit{{when: atFirst, is: "STARTTLS is offered, and the handshake fails"}, {when: afterRestart, is: "the same, which is remembered"}}
		}),
		to("tls-refused.test", "STARTTLS is offered, and refused", host{name: "mx", pref: 10, rules: []smtpsim.Rule{{Stage: smtpsim.StartTLSVerb, Do: smtpsim.Do(smtpsim.Reply(454, "4.7.0", "TLS not available"))}}}),
		to("clear.test", "no STARTTLS", host{name: "mx", pref: 10, noTLS: true}),
	}
}

func routePlaces() []*place {
	greets := func(code int, enhanced, text string) []smtpsim.Rule {
		return []smtpsim.Rule{{Stage: smtpsim.Connect, Do: smtpsim.Do(smtpsim.Reply(code, enhanced, text))}}
	}
	at := func(name string, pref int) host { return host{name: name, pref: pref, noTLS: true} }
	is := func(name string, pref int, what string) host { return host{name: name, pref: pref, is: what} }
	speaks := func(name string, pref int, rules []smtpsim.Rule) host {
		return host{name: name, pref: pref, noTLS: true, rules: rules}
	}
	return []*place{
		to("order.test", "two servers that are well", at("mx2", 20), at("mx1", 10)),
		to("dead-first.test", "nobody listens at the better server", is("mx1", 10, "closed"), at("mx2", 20)),
		to("silent-first.test", "the better server does not answer", is("mx1", 10, "silent"), at("mx2", 20)),
		to("busy-first.test", "the better server greets with 421", speaks("mx1", 10, greets(421, "4.3.2", "Too busy")), at("mx2", 20)),
		to("rejecting-first.test", "the better server greets with 554", speaks("mx1", 10, greets(554, "5.3.2", "No service")), at("mx2", 20)),
		to("mail-421.test", "the better server says 421 to MAIL", speaks("mx1", 10, []smtpsim.Rule{{Stage: smtpsim.Mail, Do: smtpsim.Do(smtpsim.Reply(421, "4.3.2", "Shutting down"))}}), at("mx2", 20)),
		to("refused-first.test", "the better server refuses the recipient: that counts", speaks("mx1", 10, []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(550, "5.1.1", "No such user"))}}), at("mx2", 20)),
		to("equal.test", "two servers alike, nobody listens at one: which is tried first is left to chance", is("mx1", 10, "closed"), at("mx2", 10)),
		to("all-dead.test", "no server can be reached", is("mx1", 10, "closed"), is("mx2", 20, "silent"), is("mx3", 30, "closed")),
		to("all-busy.test", "both servers greet with 421", speaks("mx1", 10, greets(421, "4.3.2", "Too busy")), speaks("mx2", 20, greets(421, "4.3.2", "Too busy"))),
		to("six.test", "", host{name: "mx", pref: 10, noTLS: true, six: true}).with(func(p *place) {
			p.visits = []visit{{when: atFirst, is: "an IPv6 address only"}, {when: afterRestart, is: "the same, and the relay has no IPv6"}}
		}),
		to("six-first.test", "", host{name: "mx1", pref: 10, noTLS: true, six: true}, at("mx2", 20)).with(func(p *place) {
			p.visits = []visit{{when: atFirst, is: "the better server has an IPv6 address only"}, {when: afterRestart, is: "the same, and the relay has no IPv6"}}
		}),
		to("implicit.test", "no MX record, but an address", at("@", 0)),
		to("alias.test", "the MX record names an alias", at("real", 0)).with(func(p *place) { p.records = "@ MX 10 mx\nmx CNAME real.alias.test." }),
		to("own.test", "the mail server is this relay", host{name: "mx", pref: 10, is: "closed", addr: ownAddr}),
		to("own-second.test", "this relay is the second mail server, and nobody listens at the first", is("mx1", 10, "closed"), host{name: "mx2", pref: 20, is: "closed", addr: ownAddr}, at("mx3", 30)),
		to("private.test", "the mail server has a private address", host{name: "mx", pref: 10, is: "closed", addr: "10.1.1.1"}).with(twice),
		to("private-first.test", "the better server has a private address", host{name: "mx1", pref: 10, is: "closed", addr: "10.1.1.2"}, at("mx2", 20)),
	}
}

// twice lets a place be looked at once more.
func twice(p *place) { p.visits = append(p.visits, visit{when: atRetry}) }

func dnsPlaces() []*place {
	records := func(text string) func(*place) { return func(p *place) { p.records = text } }
	return []*place{
		to("gone.test", "the domain does not exist").with(twice),
		to("gone.example", "the domain does not exist, as is proven").with(twice),
		to("null.test", "null MX").with(records("@ MX 0 .")),
		to("nothing.test", "neither MX record nor address").with(records(`@ TXT "no mail"`)),
		to("no-hosts.test", "the mail servers do not exist").with(records("@ MX 10 mx1\n@ MX 20 mx2")),
		to("no-hosts-but-one.test", "the better server does not exist", host{name: "mx2", pref: 20, noTLS: true}).with(records("@ MX 10 mx1")),
		to("servfail.test", "the MX record cannot be looked up", host{name: "@", noTLS: true}).with(func(p *place) { p.fails = []string{"@ MX"} }),
		to("servfail-first.test", "the address of the better server cannot be looked up", host{name: "mx1", pref: 10, noTLS: true}, host{name: "mx2", pref: 20, noTLS: true}).with(func(p *place) {
			p.fails = []string{"mx1 A", "mx1 AAAA"}
		}),
		to("circle.test", "aliases that lead in a circle").with(records("@ MX 10 mx\nmx CNAME my\nmy CNAME mx")),
	}
}
