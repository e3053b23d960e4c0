package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"
)

type spfResult = spf.Result

// The results of an evaluation that are told apart.
const (
	spfPass = spf.Pass
	spfNone = spf.None
	spfTemp = spf.TempError
)

// Limits of RFC 7208 §4.6.4 and §3.4, and of our own patience.
const (
	maxLookups = 10
	maxVoid    = 2
	maxSPFText = 450
	maxVisited = 60
)

// evaluate says what a receiver would make of mail from a sender.
func (x *exam) evaluate(ctx context.Context, o origin, sender string) (spfResult, string) {
	result, err := spf.CheckHostWithSender(o.addr.AsSlice(), o.helo, sender, spf.WithContext(ctx), spf.WithResolver(spfResolver{x.o.Resolver}))
	why := "no mechanism matches"
	if err != nil {
		why = shown(err.Error())
	}
	if ctx.Err() != nil && result != spfPass {
		return spfTemp, "there was not enough time"
	}
	return result, why
}

// spf judges the SPF record of a return path's domain, and whether our addresses
// pass by it.
func (x *exam) spf(ctx context.Context, d Domain) []Finding {
	f := about("dom.spf.syntax", d.Name, "TXT of "+d.MailFrom)
	texts, err := x.txt(ctx, d.MailFrom)
	if err != nil {
		return []Finding{f.unknown(trouble(err))}
	}
	own := spfRecords(texts)
	merged := mergeSPF(first(own), x.addresses())
	record := txtRecord(d.MailFrom, merged)
	good := func(texts []string) bool { return len(spfRecords(texts)) == 1 }
	switch {
	case len(own) == 0:
		do, offer := x.newSPF(record)
		f = f.fail("there is no SPF record").advise(do, atDNS(d.MailFrom)).offer(offer...)
		return []Finding{x.missed(ctx, f, d.MailFrom, good)}
	case len(own) > 1:
		all := mergeSPF(joinSPF(own), x.addresses())
		f = f.fail(fmt.Sprintf("there are %d SPF records, so that receivers take none: %s", len(own), quotedList(own))).
			advise("Leave one. This one says what they say together.", atDNS(d.MailFrom)).offer(txtRecord(d.MailFrom, all))
		return []Finding{x.missed(ctx, f, d.MailFrom, good)}
	}
	found := []Finding{x.spfForm(ctx, f, d, own[0])}
	return append(found, x.spfPasses(ctx, d, own[0], record)...)
}

// newSPF is what to publish where there is nothing.
func (x *exam) newSPF(record Record) (do string, offer []Record) {
	do = "Publish this record. If other servers send for the domain too, name them in it."
	switch {
	case !x.direct():
		return "Publish what your smart host's provider tells, such as v=spf1 include:… ~all.", nil
	case len(x.addresses()) > 0:
		return do, []Record{record}
	case noFullName(x.c.Hostname) == "":
		return do, []Record{txtRecord(record.Name, "v=spf1 a:"+x.c.Hostname+" ~all")}
	}
	return "Publish v=spf1 ip4:ADDRESS ~all, with the address that mail leaves from.", nil
}

func spfRecords(texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !isSPF(s) })
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// joinSPF makes one record of several: every mechanism of each, once, and the
// mildest end.
func joinSPF(texts []string) string {
	words, end := []string{"v=spf1"}, ""
	for _, t := range texts {
		for _, w := range spaced(t)[1:] {
			switch {
			case decides(w) && strings.HasPrefix(strings.ToLower(w), "redirect="):
				w = "include:" + w[len("redirect="):]
				fallthrough
			case !decides(w):
				if !slices.Contains(words, w) {
					words = append(words, w)
				}
			case end == "" || end == "-all":
				end = w
			}
		}
	}
	if end == "" {
		end = "~all"
	}
	return strings.Join(append(words, end), " ")
}

func (x *exam) addresses() (addrs []netip.Addr) {
	if !x.direct() {
		return nil
	}
	for _, o := range x.from() {
		addrs = append(addrs, o.addr)
	}
	return addrs
}

// spfForm judges the record by itself.
func (x *exam) spfForm(ctx context.Context, f Finding, d Domain, text string) Finding {
	terms, err := parseSPF(text)
	if err != nil {
		return f.fail(fmt.Sprintf("%s: %v", quoted(text), err)).
			advise("Mend that word, or take it out: receivers fail the whole record for it.", atDNS(d.MailFrom))
	}
	for _, t := range terms {
		if t.name == "all" && !t.modifier && t.qualifier == '+' {
			return f.fail(quoted(text)+" lets everybody send as this domain").
				advise("End the record in ~all or -all.", atDNS(d.MailFrom)).offer(txtRecord(d.MailFrom, mergeSPF(withoutAll(text), x.addresses())))
		}
	}
	cost, err := x.spfCost(ctx, d.MailFrom)
	var warnings []string
	switch {
	case err != nil && !errors.Is(err, errSPFPart):
		return f.unknown(trouble(err))
	case err != nil:
		return f.fail(quoted(text)+": "+shown(err.Error())).advise("Take out what leads there, or have it mended.", atDNS(d.MailFrom))
	case cost.lookups > maxLookups:
		return f.fail(fmt.Sprintf("%s takes %d lookups (%s); receivers stop at %d and fail it", quoted(text), cost.lookups, list(cost.path), maxLookups)).
			advise("Take out providers that do not send for this domain any more, or write their addresses as ip4: and ip6: in place of include:.", atDNS(d.MailFrom))
	case cost.void > maxVoid:
		return f.fail(fmt.Sprintf("%s asks for %d names that do not exist; receivers stop at %d and fail it", quoted(text), cost.void, maxVoid)).
			advise("Take out what leads to names that are gone.", atDNS(d.MailFrom))
	}
	if slices.ContainsFunc(terms, func(t spfTerm) bool { return t.name == "ptr" && !t.modifier }) {
		warnings = append(warnings, "it uses ptr, which many receivers ignore")
	}
	if len(text) > maxSPFText {
		warnings = append(warnings, fmt.Sprintf("with %d octets it may not fit into an answer over UDP", len(text)))
	}
	if !endsInAll(terms) {
		warnings = append(warnings, "it does not end in all, so that it says nothing about everybody else")
	}
	if at := slices.IndexFunc(terms, func(t spfTerm) bool { return t.name == "all" && !t.modifier }); at >= 0 && at != lastMechanism(terms) {
		warnings = append(warnings, "what stands behind all is ignored")
	}
	if len(warnings) > 0 {
		return f.warn(quoted(text)+": "+strings.Join(warnings, "; ")).advise("Shorten and mend the record.", atDNS(d.MailFrom))
	}
	return f.ok(fmt.Sprintf("%s, %s", quoted(text), count(int64(cost.lookups), "lookup")))
}

func lastMechanism(terms []spfTerm) int {
	last := -1
	for i, t := range terms {
		if !t.modifier {
			last = i
		}
	}
	return last
}

func withoutAll(text string) string {
	return strings.Join(slices.DeleteFunc(spaced(text), func(w string) bool {
		return strings.TrimLeft(strings.ToLower(w), "+-~?") == "all"
	}), " ")
}

// spfCost is what evaluating a record may take at the most.
type spfCost struct {
	lookups, void, visited int
	path                   []string // the domains that are looked into
}

// errSPFPart is wrapped where a record that is led to is no good.
var errSPFPart = errors.New("leads to a record that is no good")

// spfCost follows a record wherever it leads.
func (x *exam) spfCost(ctx context.Context, domain string) (spfCost, error) {
	var c spfCost
	err := x.addCost(ctx, &c, domain, nil)
	return c, err
}

func (x *exam) addCost(ctx context.Context, c *spfCost, domain string, way []string) error {
	if c.visited++; c.visited > maxVisited || slices.Contains(way, domain) {
		c.lookups += maxLookups + 1 // it goes round in circles, or has no end
		return nil
	}
	way = append(way, domain)
	texts, err := x.txt(ctx, domain)
	if err != nil {
		return err
	}
	own := spfRecords(texts)
	if len(own) != 1 {
		return fmt.Errorf("%s has %s: %w", domain, count(int64(len(own)), "SPF record"), errSPFPart)
	}
	terms, err := parseSPF(own[0])
	if err != nil {
		return fmt.Errorf("%s: %w: %w", domain, err, errSPFPart)
	}
	for _, t := range terms {
		if !t.looksUp() {
			continue
		}
		c.lookups++
		if next := t.leads(); next != "" {
			c.path = append(c.path, next)
			if err := x.addCost(ctx, c, next, way); err != nil {
				return err
			}
			continue
		}
		if err := x.addVoid(ctx, c, domain, t); err != nil {
			return err
		}
	}
	return nil
}

// addVoid counts what a and mx ask for in vain.
func (x *exam) addVoid(ctx context.Context, c *spfCost, domain string, t spfTerm) error {
	target, _, _ := strings.Cut(t.arg, "/")
	if target == "" {
		target = domain
	}
	if strings.Contains(target, "%") {
		return nil
	}
	var n int
	var err error
	switch t.name {
	case "a":
		var addrs []netip.Addr
		addrs, err = x.addrs(ctx, target)
		n = len(addrs)
	case "mx":
		a, mxErr := x.o.Resolver.MX(ctx, target)
		if !absent(mxErr) {
			err = mxErr
		}
		n = len(a.Values)
	default:
		return nil
	}
	if err == nil && n == 0 {
		c.void++
	}
	return err
}

// spfPasses evaluates the record for each address that mail leaves from.
func (x *exam) spfPasses(ctx context.Context, d Domain, text string, merged Record) []Finding {
	asked := fmt.Sprintf("what receivers make of mail from %s by the SPF record of %s", x.c.Hostname, d.MailFrom)
	f := about("dom.spf.pass", d.Name, asked)
	if !x.direct() {
		return []Finding{f.unknown("the addresses of "+list(x.c.SmartHosts)+" are not known here").
			advise("See that the record has what your smart host's provider tells to include.", atDNS(d.MailFrom))}
	}
	from := x.from()
	if len(from) == 0 {
		return noOrigin(f)
	}
	var found []Finding
	for _, o := range from {
		f := about("dom.spf.pass", d.Name, fmt.Sprintf("SPF of %s for mail from %s with EHLO %s", d.MailFrom, o.addr, o.helo)).marked(o.addr.String())
		result, why := x.evaluate(ctx, o, "postmaster@"+d.MailFrom)
		switch result {
		case spfPass:
			f = f.ok("pass")
		case spfTemp:
			f = f.unknown("the DNS did not answer: " + why)
		default:
			f = f.fail(fmt.Sprintf("%s (%s): the record %s does not name %s", result, why, quoted(text), o.addr)).
				advise("Replace the record by this one, which has our addresses in it and is the same otherwise.", atDNS(d.MailFrom)).offer(merged)
			f = x.missed(ctx, f, d.MailFrom, func(texts []string) bool {
				own := spfRecords(texts)
				terms, err := parseSPF(first(own))
				return len(own) == 1 && err == nil && covers(terms, o.addr)
			})
		}
		found = append(found, f)
	}
	return found
}
