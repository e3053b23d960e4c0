package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// maxTags bounds what is read of one record.
const maxTags = 64

// A dmarcRecord is what a DMARC policy record says (RFC 9989 §4.7). Tags that are
// not known are ignored, among them pct, rf and ri of the older RFC 7489.
type dmarcRecord struct {
	text            string
	policy, sub, np string // p, sp, np; empty: not given
	strictDKIM      bool   // adkim=s
	strictSPF       bool   // aspf=s
	psd             string // y, n or u
	testing         bool   // t=y
	reports         []string
	old             []string // tags that mean nothing any more
	faults          []string // what is wrong with tags that do
}

// isDMARC reports whether a TXT record is a policy record: the version comes
// first and is written like this.
func isDMARC(text string) bool {
	head, _, _ := strings.Cut(text, ";")
	name, value, ok := strings.Cut(head, "=")
	return ok && strings.EqualFold(strings.Trim(name, " \t"), "v") && strings.Trim(value, " \t") == "DMARC1"
}

// parseDMARC reads a policy record.
func parseDMARC(text string) (dmarcRecord, error) {
	r := dmarcRecord{text: text, psd: "u"}
	if !isDMARC(text) {
		return r, errors.New("it does not begin with v=DMARC1")
	}
	seen := map[string]bool{}
	for i, part := range strings.Split(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case i == 0 || strings.TrimSpace(part) == "":
			continue
		case i > maxTags:
			return r, errors.New("too many tags")
		case !ok || name == "":
			r.faults = append(r.faults, quoted(strings.TrimSpace(part))+" is no tag")
			continue
		case seen[name]:
			r.faults = append(r.faults, shown(name)+"= is there twice")
			continue
		}
		seen[name] = true
		r.tag(name, value)
	}
	return r, nil
}

func (r *dmarcRecord) tag(name, value string) {
	word := strings.ToLower(value)
	wrong := func(want string) {
		r.faults = append(r.faults, fmt.Sprintf("%s=%s must be %s", name, shown(value), want))
	}
	policy := func(into *string) {
		if *into = word; word == "" {
			*into = "nothing" // which is not the same as no tag at all
		}
		if !slices.Contains([]string{"none", "quarantine", "reject"}, word) {
			wrong("none, quarantine or reject")
		}
	}
	flag := func(a, b string) string {
		if word != a && word != b {
			wrong(a + " or " + b)
		}
		return word
	}
	switch name {
	case "p":
		policy(&r.policy)
	case "sp":
		policy(&r.sub)
	case "np":
		policy(&r.np)
	case "adkim":
		r.strictDKIM = flag("r", "s") == "s"
	case "aspf":
		r.strictSPF = flag("r", "s") == "s"
	case "t":
		r.testing = flag("y", "n") == "y"
	case "psd":
		if r.psd = word; !slices.Contains([]string{"y", "n", "u"}, word) {
			r.psd = "u"
			wrong("y, n or u")
		}
	case "rua", "ruf":
		r.addresses(name, value)
	case "pct", "rf", "ri":
		r.old = append(r.old, name)
	}
}

// maxReports bounds the addresses that are looked at.
const maxReports = 20

// addresses reads where reports go. A size behind an exclamation mark is of the
// older RFC.
func (r *dmarcRecord) addresses(name, value string) {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if cut, _, ok := strings.Cut(part, "!"); ok {
			part = strings.TrimSpace(cut)
		}
		u, err := url.Parse(part)
		switch {
		case err != nil || u.Scheme == "":
			r.faults = append(r.faults, fmt.Sprintf("%s=%s is no address: write mailto:user@example.com", name, shown(part)))
		case strings.EqualFold(u.Scheme, "mailto") && !isMailbox(u.Opaque):
			r.faults = append(r.faults, fmt.Sprintf("%s=%s has no mailbox behind mailto:", name, shown(part)))
		case name == "rua" && len(r.reports) < maxReports:
			r.reports = append(r.reports, part)
		}
	}
}

func isMailbox(s string) bool {
	s, err := url.PathUnescape(s)
	if err != nil {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == ""
}

// reportHosts are the domains that reports are mailed to.
func (r dmarcRecord) reportHosts() (hosts []string) {
	for _, uri := range r.reports {
		u, err := url.Parse(uri)
		if err != nil || !strings.EqualFold(u.Scheme, "mailto") {
			continue
		}
		_, host, _ := strings.Cut(u.Opaque, "@")
		if host = strings.ToLower(host); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// usable reports whether receivers apply the record: without a policy that they
// understand it is one of p=none if there is somewhere to report to, else none
// at all.
func (r dmarcRecord) usable() bool {
	return slices.Contains([]string{"none", "quarantine", "reject"}, r.policy) || r.policy == "" || len(r.reports) > 0
}

// A dmarcAt is a record and the domain that publishes it.
type dmarcAt struct {
	domain string
	record dmarcRecord
}

// A walk is what the DNS tree says about a domain (RFC 9989 §4.10).
type walk struct {
	found []dmarcAt // from the domain upwards
	many  []string  // domains with several records, which count as none
	org   string    // the organisational domain
}

// treeNames are the names that a walk asks for: the domain, then its parents. Of
// a very long name the middle is left out, so that nobody can make us ask for
// ever.
func treeNames(domain string) []string {
	const most = 8
	labels := strings.Split(domain, ".")
	names := []string{domain}
	if len(labels) > most {
		labels = labels[len(labels)-most+1:]
		names = append(names, strings.Join(labels, "."))
	}
	for len(labels) > 1 {
		labels = labels[1:]
		names = append(names, strings.Join(labels, "."))
	}
	return names
}

// climb walks the tree.
func (x *exam) climb(ctx context.Context, domain string) (walk, error) {
	w := walk{org: domain}
	for _, name := range treeNames(domain) {
		texts, err := x.txt(ctx, "_dmarc."+name)
		if err != nil {
			return w, err
		}
		texts = slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !isDMARC(s) })
		if len(texts) > 1 {
			w.many = append(w.many, name)
		}
		if len(texts) != 1 {
			continue
		}
		r, err := parseDMARC(texts[0])
		if err != nil {
			continue
		}
		w.found = append(w.found, dmarcAt{name, r})
		if r.psd != "u" {
			break
		}
	}
	w.org = organisational(domain, w.found)
	return w, nil
}

// organisational picks the organisational domain from the records of a walk: the
// one that says so, the one below a public suffix that says so, else the highest
// that has a record at all.
func organisational(domain string, found []dmarcAt) string {
	for _, f := range found {
		switch {
		case f.record.psd == "n":
			return f.domain
		case f.record.psd == "y" && f.domain != domain:
			return oneBelow(domain, f.domain)
		}
	}
	if len(found) > 0 {
		return found[len(found)-1].domain
	}
	return domain
}

// oneBelow is the domain that has one label more than a parent of domain.
func oneBelow(domain, parent string) string {
	rest := strings.TrimSuffix(domain, "."+parent)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + parent
}

// applies is the record that receivers use for mail from the domain: its own,
// else that of its organisation, else that of the public suffix above.
func (w walk) applies(domain string) (dmarcAt, bool) {
	for _, want := range []string{domain, w.org} {
		for _, f := range w.found {
			if f.domain == want {
				return f, true
			}
		}
	}
	if len(w.found) > 0 {
		return w.found[len(w.found)-1], true
	}
	return dmarcAt{}, false
}
