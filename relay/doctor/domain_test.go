package doctor_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"postrider/dkim"
	"postrider/mx/dnssim"
	"postrider/relay/doctor"
)

// instead replaces the lines of the good zone that begin with a word.
func instead(zone, begins string, lines ...string) string {
	var out []string
	for line := range strings.SplitSeq(zone, "\n") {
		if !strings.HasPrefix(strings.Join(strings.Fields(line), " "), begins) {
			out = append(out, line)
		}
	}
	return strings.Join(append(out, lines...), "\n") + "\n"
}

func TestDomains(t *testing.T) {
	t.Parallel()
	const spfLine, dmarcLine = `@ TXT "v=spf1`, `_dmarc`
	key := keyOf(t, "example.com")
	keyRecord, err := dkim.RecordFor(key)
	if err != nil {
		t.Fatal(err)
	}
	offerKey := keyRecord.Name + " TXT " + keyRecord.Value
	signed := good + published(t, key)
	for _, tt := range []struct {
		name  string
		zones []string
		want  expectation
	}{
		{"a good SPF record", []string{signed}, expectation{id: "dom.spf.syntax", level: doctor.OK, found: "0 lookups"}},
		{"our address passes by it", []string{signed}, expectation{id: "dom.spf.pass", level: doctor.OK, found: "pass"}},
		{"no SPF record", []string{instead(good, spfLine)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "there is no SPF record; the zone's own name server ns1.example.com says the same",
				publish: "example.com TXT v=spf1 ip4:203.0.113.7 ~all", where: "at the DNS of example.com"}},
		{"two SPF records", []string{instead(good, spfLine, `@ TXT "v=spf1 include:a.test -all"`, `@ TXT "v=spf1 mx ~all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "2 SPF records", publish: "example.com TXT v=spf1 include:a.test mx ip4:203.0.113.7 ~all"}},
		{"a word that nobody understands", []string{instead(good, spfLine, `@ TXT "v=spf1 ipv4:203.0.113.7 -all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "receivers know no such mechanism"}},
		{"everybody may send", []string{instead(good, spfLine, `@ TXT "v=spf1 mx +all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "lets everybody", publish: "example.com TXT v=spf1 mx ip4:203.0.113.7 ~all"}},
		{"no end", []string{instead(good, spfLine, `@ TXT "v=spf1 ip4:203.0.113.7"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Warn, found: "does not end in all"}},
		{"something behind the end", []string{instead(good, spfLine, `@ TXT "v=spf1 ip4:203.0.113.7 -all mx"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Warn, found: "behind all is ignored"}},
		{"ptr", []string{instead(good, spfLine, `@ TXT "v=spf1 ptr ip4:203.0.113.7 -all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Warn, found: "uses ptr"}},
		{"an include that is gone", []string{instead(good, spfLine, `@ TXT "v=spf1 include:gone.test -all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "gone.test has 0 SPF records"}},
		{"too many lookups", []string{instead(good, spfLine, `@ TXT "v=spf1 include:a.test include:b.test -all"`),
			`a.test. TXT "v=spf1 a:mx.example.com mx:example.com a:mx.example.com mx:example.com a:mx.example.com -all"`,
			`b.test. TXT "v=spf1 a:mx.example.com mx:example.com a:mx.example.com mx:example.com -all"`},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "takes 11 lookups (a.test, b.test)"}},
		{"a record that includes itself", []string{instead(good, spfLine, `@ TXT "v=spf1 include:example.com -all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "receivers stop at 10"}},
		{"names that do not exist", []string{instead(good, spfLine, `@ TXT "v=spf1 a:x.example.com a:y.example.com mx:z.example.com -all"`)},
			expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "3 names that do not exist"}},
		{"our address is not named", []string{instead(good, spfLine, `@ TXT "v=spf1 include:other.test ~all"`), `other.test. TXT "v=spf1 ip4:198.51.100.0/24 -all"`},
			expectation{id: "dom.spf.pass", level: doctor.Fail, found: "softfail", publish: "example.com TXT v=spf1 include:other.test ip4:203.0.113.7 ~all"}},
		{"our address comes before a redirect", []string{instead(good, spfLine, `@ TXT "v=spf1 redirect=other.test"`), `other.test. TXT "v=spf1 ip4:198.51.100.0/24 -all"`},
			expectation{id: "dom.spf.pass", level: doctor.Fail, found: "fail", publish: "example.com TXT v=spf1 ip4:203.0.113.7 redirect=other.test"}},

		{"a good key", []string{signed}, expectation{id: "dom.dkim", level: doctor.OK, found: "holds our key"}},
		{"a signature that verifies", []string{signed}, expectation{id: "dom.dkim.self", level: doctor.OK, found: "1 signature verified"}},
		{"no key record", []string{good}, expectation{id: "dom.dkim", level: doctor.Fail, found: "no such record", publish: offerKey}},
		{"another key", []string{good + "s1._domainkey TXT \"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB\"\n"},
			expectation{id: "dom.dkim", level: doctor.Fail, found: "p= is that of another key", publish: offerKey}},
		{"a revoked key", []string{good + "s1._domainkey TXT \"v=DKIM1; p=\"\n"},
			expectation{id: "dom.dkim", level: doctor.Fail, found: "revoked", publish: offerKey}},
		{"a record that is pasted twice", []string{signed + "s1._domainkey TXT \"v=DKIM1; p=AAAA\"\n"},
			expectation{id: "dom.dkim", level: doctor.Fail, found: "there are 2 records", publish: offerKey}},
		{"only trying out", []string{good + strings.Replace(published(t, key), `"v=DKIM1; k=rsa; p=`, `"v=DKIM1; t=y; k=rsa; " "p=`, 1)},
			expectation{id: "dom.dkim", level: doctor.Warn, found: "t=y", publish: offerKey}},
		{"not for SHA-256", []string{good + strings.Replace(published(t, key), `"v=DKIM1; k=rsa; p=`, `"v=DKIM1; h=sha1; k=rsa; " "p=`, 1)},
			expectation{id: "dom.dkim", level: doctor.Fail, found: "h= does not allow sha256", publish: offerKey}},
		{"a CNAME to the record", []string{good + "s1._domainkey CNAME k.other.test.\n", strings.ReplaceAll(published(t, key), keyRecord.Name+".", "k.other.test.")},
			expectation{id: "dom.dkim", level: doctor.OK, found: "holds our key"}},

		{"a good DMARC record", []string{signed}, expectation{id: "dom.dmarc", level: doctor.OK, found: "p=reject"}},
		{"no DMARC record", []string{instead(good, dmarcLine)},
			expectation{id: "dom.dmarc", level: doctor.Fail, found: "there is no record", publish: "_dmarc.example.com TXT v=DMARC1; p=none; rua=mailto:dmarc@example.com"}},
		{"two DMARC records", []string{good + "_dmarc TXT \"v=DMARC1; p=none\"\n"}, expectation{id: "dom.dmarc", level: doctor.Fail, found: "several records"}},
		{"a policy that nobody knows", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; p=block"`)},
			expectation{id: "dom.dmarc", level: doctor.Fail, found: "receivers ignore", publish: "_dmarc.example.com TXT v=DMARC1; p=none; rua=mailto:dmarc@example.com"}},
		{"an address of reports that is none", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; p=quarantine; sp=reject; rua=dmarc@example.com; adkim=s"`)},
			expectation{id: "dom.dmarc", level: doctor.Warn, found: "write mailto:", publish: "_dmarc.example.com TXT v=DMARC1; p=quarantine; sp=reject; rua=mailto:dmarc@example.com; adkim=s"}},
		{"no policy", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; rua=mailto:a@example.com"`)},
			expectation{id: "dom.dmarc", level: doctor.Warn, found: "has no p=", publish: "_dmarc.example.com TXT v=DMARC1; p=none; rua=mailto:a@example.com"}},
		{"old tags are ignored", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; p=reject; pct=50; rf=afrf; ri=86400; x=y; rua=mailto:a@example.com"`)},
			expectation{id: "dom.dmarc", level: doctor.OK, found: "p=reject"}},
		{"reports to a stranger", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; p=none; rua=mailto:a@reports.test!10m"`)},
			expectation{id: "dom.dmarc.ext", level: doctor.Warn, found: "gets none", publish: "example.com._report._dmarc.reports.test TXT v=DMARC1", where: "at the DNS of reports.test"}},
		{"reports to a stranger who wants them", []string{instead(good, dmarcLine, `_dmarc TXT "v=DMARC1; p=none; rua=mailto:a@reports.test"`), `*._report._dmarc.reports.test. TXT "v=DMARC1"`},
			expectation{id: "dom.dmarc.ext", level: doctor.OK, found: "it does"}},

		{"signature and return path of the domain", []string{signed}, expectation{id: "dom.align", level: doctor.OK, found: "both are aligned"}},

		{"a mail exchanger", []string{signed}, expectation{id: "dom.mx", level: doctor.OK, found: "10 mx.example.com"}},
		{"no mail exchanger", []string{instead(good, "@ MX")},
			expectation{id: "dom.mx", level: doctor.Fail, found: "neither a mail exchanger nor an address", publish: "example.com MX 10 mail.example.com."}},
		{"a null MX", []string{instead(good, "@ MX", "@ MX 0 .")},
			expectation{id: "dom.mx", level: doctor.Fail, found: "null MX", publish: "example.com MX 10 mail.example.com."}},
		{"an address alone", []string{instead(good, "@ MX", "@ A 203.0.113.7")},
			expectation{id: "dom.mx", level: doctor.OK, found: "no MX", publish: "example.com MX 10 mail.example.com."}},
		{"a mail exchanger that is gone", []string{instead(good, "mx A")}, expectation{id: "dom.mx", level: doctor.Fail, found: "no mail exchanger exists"}},

		{"a domain of its own", []string{signed}, expectation{id: "dom.lookalike", level: doctor.OK, found: "does not"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(tt.zones, goodReverse)...)
			w.sign(t, key)
			tt.want.check(t, w.examine(t))
		})
	}
}

func TestTheNewRecordIsOnItsWay(t *testing.T) {
	t.Parallel()
	key := keyOf(t, "example.com")
	w := newWorld(t, instead(instead(good, `@ TXT "v=spf1`), "_dmarc"), goodReverse)
	w.sign(t, key)
	if err := w.own.Load("example.com", strings.ReplaceAll(good, "$ORIGIN example.com.", "$TTL 7200")+published(t, key)); err != nil {
		t.Fatal(err)
	}
	r := w.examine(t)
	for _, id := range []string{"dom.spf.syntax", "dom.dkim", "dom.dmarc"} {
		expectation{id: id, level: doctor.Warn, found: "ns1.example.com has it already, with a TTL of "}.check(t, r)
	}
	// That there is none may be kept for a minute, the minimum of the SOA; the
	// other records of a name for their TTL.
	expectation{id: "dom.dmarc", level: doctor.Warn, found: "the old answer is kept for 60 seconds more"}.check(t, r)
	expectation{id: "dom.spf.syntax", level: doctor.Warn, found: "the old answer is kept for 5 minutes more"}.check(t, r)
}

func TestAuthoritativeServersAtPrivateAddressesAreNotAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, instead(good, "_dmarc"), goodReverse)
	w.options.AllowPrivate = false
	f := findings(w.examine(t), "dom.dmarc")[0]
	if f.Level != doctor.Fail || strings.Contains(f.Found, "own name server") {
		t.Errorf("got %s: %s", f.Level, f.Found)
	}
	if n := w.own.Count("*", ""); n != 0 {
		t.Errorf("a name server at a loopback address was asked %d times", n)
	}
}

func TestUnsignedDomains(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		keys doctor.Keys
		want []expectation
	}{
		{"no key", keyFunc(func(context.Context, string) ([]dkim.Key, error) { return nil, dkim.ErrNoKey }), []expectation{
			{id: "dom.dkim", level: doctor.Fail, found: "leaves unsigned"},
			{id: "dom.align", level: doctor.Warn, found: "only SPF is aligned"},
		}},
		{"keys that cannot be read", keyFunc(func(context.Context, string) ([]dkim.Key, error) { return nil, errors.New("disk on fire") }), []expectation{
			{id: "dom.dkim", level: doctor.Unknown, found: "disk on fire"},
		}},
		{"nobody knows the keys", nil, []expectation{
			{id: "dom.dkim", level: doctor.Unknown, found: "not at hand"},
			{id: "dom.align", level: doctor.Unknown, found: "not at hand"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, good, goodReverse)
			w.options.Keys = tt.keys
			r := w.examine(t)
			for _, e := range tt.want {
				e.check(t, r)
			}
		})
	}
}

func TestAnEd25519KeyIsMissedByFew(t *testing.T) {
	t.Parallel()
	key, second := keyOf(t, "example.com"), edKeyOf(t, "example.com")
	w := newWorld(t, good+published(t, key), goodReverse)
	w.sign(t, key, second)
	want, err := dkim.RecordFor(second)
	if err != nil {
		t.Fatal(err)
	}
	expectation{id: "dom.dkim", level: doctor.Warn, found: "no such record", publish: want.Name + " TXT " + want.Value}.check(t, w.examine(t))
}

func TestKeysThatDoNotSign(t *testing.T) {
	t.Parallel()
	key := keyOf(t, "example.com")
	w := newWorld(t, good+published(t, key), goodReverse)
	w.sign(t, key)
	private, _ := keys()
	next, err := dkim.NewKey("example.com", "s9", private, dkim.Published, key.Created)
	if err != nil {
		t.Fatal(err)
	}
	want, err := dkim.RecordFor(next)
	if err != nil {
		t.Fatal(err)
	}
	w.options.Others = func(context.Context, string) ([]dkim.Key, error) { return []dkim.Key{next}, nil }
	expectation{id: "dom.dkim", level: doctor.Warn, found: "that of the next key", publish: want.Name + " TXT " + want.Value}.check(t, w.examine(t))
	w = newWorld(t, good+published(t, key)+published(t, next), goodReverse)
	w.sign(t, key)
	w.options.Others = func(context.Context, string) ([]dkim.Key, error) { return []dkim.Key{next}, nil }
	if all := findings(w.examine(t), "dom.dkim"); len(all) != 2 || all[0].Level != doctor.OK {
		t.Errorf("got %s", told(all))
	}
}

func TestAlignment(t *testing.T) {
	t.Parallel()
	const elsewhere = "$ORIGIN provider.test.\n@ TXT \"v=spf1 -all\"\n"
	key := keyOf(t, "example.com")
	for _, tt := range []struct {
		name, from, mailFrom, dmarc string
		keys                        []dkim.Key
		want                        expectation
	}{
		{"a return path of a provider", "example.com", "provider.test", "v=DMARC1; p=none", []dkim.Key{key},
			expectation{id: "dom.align", level: doctor.OK, found: "the signature is aligned"}},
		{"neither", "example.com", "provider.test", "v=DMARC1; p=none", []dkim.Key{keyOf(t, "provider.test")},
			expectation{id: "dom.align", level: doctor.Fail, found: "neither is aligned"}},
		{"the parent's key", "shop.example.com", "shop.example.com", "v=DMARC1; p=none", []dkim.Key{key},
			expectation{id: "dom.align", level: doctor.OK, found: "both are aligned"}},
		{"the parent's key where that is too little", "shop.example.com", "shop.example.com", "v=DMARC1; p=none; adkim=s", []dkim.Key{key},
			expectation{id: "dom.align", level: doctor.Warn, found: "only SPF is aligned"}},
		{"a subdomain as return path", "example.com", "bounces.example.com", "v=DMARC1; p=none", []dkim.Key{key},
			expectation{id: "dom.align", level: doctor.OK, found: "both are aligned"}},
		{"a subdomain where that is too little", "example.com", "bounces.example.com", "v=DMARC1; p=none; aspf=s", nil,
			expectation{id: "dom.align", level: doctor.Fail, found: "neither is aligned"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, instead(good, "_dmarc", `_dmarc TXT "`+tt.dmarc+`"`), elsewhere, goodReverse)
			w.options.Keys = keyFunc(func(context.Context, string) ([]dkim.Key, error) {
				if len(tt.keys) == 0 {
					return nil, dkim.ErrNoKey
				}
				return tt.keys, nil
			})
			w.c.Domains = []doctor.Domain{{Name: tt.from, MailFrom: tt.mailFrom}}
			tt.want.check(t, w.examine(t))
		})
	}
}

func TestDomainsOfMailboxProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	w.c.Domains = []doctor.Domain{{Name: "gmail.com"}, {Name: "yahoo.co.uk"}}
	r := w.examine(t)
	for _, f := range findings(r, "dom.lookalike") {
		if f.Level != doctor.Fail || !strings.Contains(f.Do, "domain of your own") {
			t.Errorf("%s: %s", f.Subject, f.Level)
		}
	}
}

func TestDeadDNSIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good, goodReverse)
	if err := w.here.Set("*", "", dnssim.Behavior{Rcode: "SERVFAIL"}); err != nil {
		t.Fatal(err)
	}
	w.sign(t, keyOf(t, "example.com"))
	r := w.examine(t)
	for _, id := range []string{"dom.spf.syntax", "dom.dkim", "dom.dmarc", "dom.align", "dom.mx", "ip.ptr", "host.helo", "host.spf"} {
		for _, f := range findings(r, id) {
			if f.Level != doctor.Unknown {
				t.Errorf("%s is %s: %s", id, f.Level, f.Found)
			}
		}
	}
	expectation{id: "dns.resolver", level: doctor.Fail, found: "SERVFAIL", where: "on this machine"}.check(t, r)
}

func TestDomainsThatDoNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	w.c.Domains, w.c.Sources = []doctor.Domain{{Name: "nowhere.test"}}, nil
	w.options.AllowPrivate = false // so that our address is not known
	r := w.examine(t)
	expectation{id: "dom.mx", level: doctor.Fail, found: "the domain does not exist"}.check(t, r)
	expectation{id: "dom.spf.syntax", level: doctor.Fail, found: "there is no SPF record", publish: "nowhere.test TXT v=spf1 a:mail.example.com ~all"}.check(t, r)
}

func TestBehindASmartHostNobodyJudgesOurAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, good)
	w.c.SmartHosts = []string{"smtp.provider.test"}
	r := w.examine(t)
	for _, id := range []string{"net.port25", "net.source", "ip.ptr", "ip.v6", "host.spf"} {
		expectation{id: id, level: doctor.OK, found: "does not apply: all mail leaves through smtp.provider.test"}.check(t, r)
	}
	expectation{id: "dom.spf.pass", level: doctor.Unknown, found: "not known here", where: "at the DNS"}.check(t, r)
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	six := netip.MustParseAddr("2001:db8::7")
	w := newWorld(t, good, goodReverse)
	expectation{id: "ip.v6", level: doctor.OK, found: "IPv4 only"}.check(t, w.examine(t))
	w.c.IPv6, w.c.Sources = true, append(w.c.Sources, doctor.Source{Addr: six})
	expectation{id: "ip.v6", level: doctor.Fail, found: "has no reverse name", where: "provider",
		publish: "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mail.example.com.\nmail.example.com AAAA 2001:db8::7"}.check(t, w.examine(t))

	w = newWorld(t, good+"mail AAAA 2001:db8::7\n", goodReverse, "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.com.")
	w.c.IPv6, w.c.Sources = true, append(w.c.Sources, doctor.Source{Addr: six})
	expectation{id: "ip.v6", level: doctor.OK, found: "and back"}.check(t, w.examine(t))
}
