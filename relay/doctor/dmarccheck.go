package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// dmarc judges the policy that applies to mail from the domain, and whether those
// whom it sends reports to want them.
func (x *exam) dmarc(ctx context.Context, d Domain) []Finding {
	f := about("dom.dmarc", d.Name, "TXT of _dmarc."+d.Name+" and of the domains above")
	w, err := x.climb(ctx, d.Name)
	if err != nil {
		return []Finding{f.unknown(trouble(err))}
	}
	name := "_dmarc." + d.Name
	fresh := txtRecord(name, "v=DMARC1; p=none; rua=mailto:dmarc@"+d.Name)
	fresh.Note = "Put an address that you read in place of dmarc@" + d.Name + "."
	good := func(texts []string) bool {
		return len(slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !isDMARC(s) })) == 1
	}
	at, ok := w.applies(d.Name)
	switch {
	case slices.Contains(w.many, d.Name):
		return []Finding{x.missed(ctx, f.fail("there are several records, so that receivers take none").
			advise("Leave one.", atDNS(d.Name)), name, good)}
	case !ok:
		return []Finding{x.missed(ctx, f.fail("there is no record: Gmail, Yahoo and Microsoft refuse or junk bulk mail without one").
			advise("Publish this record. It changes nothing about your mail and brings reports; when they show no mail of yours that fails, go on to p=quarantine and then to p=reject.", atDNS(d.Name)).offer(fresh), name, good)}
	}
	return append([]Finding{judgeDMARC(f, d, at)}, x.reportsWanted(ctx, d, at, w)...)
}

func judgeDMARC(f Finding, d Domain, at dmarcAt) Finding {
	r := at.record
	where := ""
	if at.domain != d.Name {
		where = " at " + at.domain
	}
	said := quoted(r.text) + where
	mended := txtRecord("_dmarc."+at.domain, mendedDMARC(at))
	switch {
	case !r.usable():
		return f.fail(said+": "+strings.Join(r.faults, "; ")+": receivers ignore the record").
			advise("Replace it by this one.", atDNS(at.domain)).offer(mended)
	case len(r.faults) > 0:
		return f.warn(said+": "+strings.Join(r.faults, "; ")).
			advise("Mend the record.", atDNS(at.domain)).offer(mended)
	case r.policy == "":
		return f.warn(said+" has no p=, which older receivers insist on").
			advise("Replace it by this one.", atDNS(at.domain)).offer(mended)
	}
	f = f.ok(said)
	switch {
	case len(r.reports) == 0:
		f = f.advise("Add rua=mailto:… to hear what receivers see of mail in your name.", atDNS(at.domain))
	case r.policy == "none":
		f = f.advise("When reports show no mail of yours that fails, go on to p=quarantine and then to p=reject.", atDNS(at.domain))
	case len(r.old) > 0:
		f = f.advise(strings.Join(r.old, ", ")+" may go: they mean nothing since RFC 9989.", atDNS(at.domain))
	}
	return f
}

// mendedDMARC keeps what is good of a record, in the usual order.
func mendedDMARC(at dmarcAt) string {
	r := at.record
	policies := []string{"none", "quarantine", "reject"}
	parts := []string{"v=DMARC1", "p=none"}
	if slices.Contains(policies, r.policy) {
		parts[1] = "p=" + r.policy
	}
	if slices.Contains(policies, r.sub) {
		parts = append(parts, "sp="+r.sub)
	}
	if slices.Contains(policies, r.np) {
		parts = append(parts, "np="+r.np)
	}
	if len(r.reports) > 0 {
		parts = append(parts, "rua="+strings.Join(r.reports, ","))
	} else {
		parts = append(parts, "rua=mailto:dmarc@"+at.domain)
	}
	if r.strictDKIM {
		parts = append(parts, "adkim=s")
	}
	if r.strictSPF {
		parts = append(parts, "aspf=s")
	}
	if r.testing {
		parts = append(parts, "t=y")
	}
	return strings.Join(parts, "; ")
}

// reportsWanted asks whether strangers that get reports agreed to that (RFC 9990
// §4): otherwise nobody sends them any.
func (x *exam) reportsWanted(ctx context.Context, d Domain, at dmarcAt, w walk) []Finding {
	var found []Finding
	for _, host := range at.record.reportHosts() {
		other, err := x.climb(ctx, host)
		f := about("dom.dmarc.ext", d.Name, "whether "+shown(host)+" takes reports about "+at.domain).marked(host)
		if err != nil {
			found = append(found, f.unknown(trouble(err)))
			continue
		}
		if other.org == w.org {
			continue
		}
		name := at.domain + "._report._dmarc." + host
		texts, err := x.txt(ctx, name)
		good := func(texts []string) bool { return slices.ContainsFunc(texts, isDMARC) }
		switch {
		case err != nil:
			f = f.unknown(trouble(err))
		case good(texts):
			f = f.ok("it does, at " + name)
		default:
			f = x.missed(ctx, f.warn("it does not say so, and so gets none").
				advise("Have this record published, or send the reports to an address of "+at.domain+".", atDNS(host)).
				offer(txtRecord(name, "v=DMARC1")), name, good)
		}
		found = append(found, f)
	}
	return found
}

// align compares the domains that prove something with the one that readers see.
func (x *exam) align(ctx context.Context, d Domain) []Finding {
	f := about("dom.align", d.Name, "From "+d.Name+" beside d= of the signatures and the return path "+d.MailFrom)
	w, err := x.climb(ctx, d.Name)
	if err != nil {
		return []Finding{f.unknown(trouble(err))}
	}
	at, _ := w.applies(d.Name)
	spfGood, err := x.aligned(ctx, d.Name, w.org, d.MailFrom, at.record.strictSPF)
	if err != nil {
		return []Finding{f.unknown(trouble(err))}
	}
	if x.o.Keys == nil {
		return []Finding{f.unknown("the keys are not at hand: " + cmp.Or(x.c.NoStore, "nothing was opened"))}
	}
	keys, err := x.o.Keys.Keys(ctx, d.Name)
	if err != nil && len(keys) == 0 && ctx.Err() != nil {
		return []Finding{f.unknown("the keys could not be read: " + shown(err.Error()))}
	}
	var signers []string
	dkimGood := false
	for _, k := range keys {
		good, err := x.aligned(ctx, d.Name, w.org, k.Domain, at.record.strictDKIM)
		if err != nil {
			return []Finding{f.unknown(trouble(err))}
		}
		dkimGood = dkimGood || good
		if !slices.Contains(signers, k.Domain) {
			signers = append(signers, k.Domain)
		}
	}
	signed := "no signature"
	if len(signers) > 0 {
		signed = "signed by " + list(signers)
	}
	is := fmt.Sprintf("%s, return path %s", signed, d.MailFrom)
	switch {
	case dkimGood && spfGood:
		return []Finding{f.ok("both are aligned: " + is)}
	case dkimGood:
		return []Finding{f.ok("the signature is aligned: "+is).advise("SPF is not aligned, which is usual where the return path belongs to a provider.", "")}
	case spfGood:
		return []Finding{f.warn("only SPF is aligned, which does not survive forwarding: "+is).
			advise("Have mail signed with a key of "+d.Name+": `postrider domain records "+d.Name+"`.", atConfig)}
	}
	return []Finding{f.fail("neither is aligned: "+is).
		advise("Sign as "+d.Name+" (`postrider domain records "+d.Name+"`), or change the From address.", atConfig)}
}

// aligned compares a domain with that of From: strictly the same, else of the
// same organisation (RFC 9989 §4.4).
func (x *exam) aligned(ctx context.Context, from, org, other string, strict bool) (bool, error) {
	if other == from {
		return true, nil
	}
	if strict {
		return false, nil
	}
	w, err := x.climb(ctx, other)
	if err != nil {
		return false, err
	}
	// Without any record each would be an organisation of its own; the one above
	// both still is the same.
	return w.org == org || len(w.found) == 0 && strings.HasSuffix(from, "."+other), nil
}
