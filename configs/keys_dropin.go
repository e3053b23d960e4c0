package configs

import (
	"slices"
	"strings"
)

// AliasesKey is the path of the setting that says whose names count.
const AliasesKey = "aliases"

// Aliases says whose environment names count beside our own.
type Aliases string

// aliasesAuto takes the names of the image whose leading ones are set.
const aliasesAuto Aliases = "auto"

func aliasesField() field[Config] {
	return one(Key{Path: AliasesKey, Env: "POSTRIDER_ALIASES", Example: "auto", Advanced: true,
		Doc: "Whose environment names count beside our own: see Names of other images. `auto` is the image whose leading names are set, `off` is none."},
		func(c *Config) *Aliases { return &c.Aliases }, oneOf(append([]Aliases{aliasesAuto, off}, imageIDs()...)...))
}

func containerField() field[Config] {
	return one(Key{Path: "container", Env: "POSTRIDER_CONTAINER", Example: "false", Advanced: true,
		Doc: "Whether this is a container, whose own network is the boundary: listeners that are not set are then on every interface. The image sets it. Who may send is another matter."},
		func(c *Config) *bool { return &c.Container }, boolKind())
}

// openInContainer puts the listeners that nobody set on every interface.
func (l *loader) openInContainer() {
	c := l.cfg
	if !c.Container {
		return
	}
	for path, list := range map[string][]Listener{
		"submission.listen": c.Submission.Listen, "http.listen": c.HTTP.Listen, "imap.listen": c.IMAP.Listen, "pop3.listen": c.POP3.Listen,
	} {
		if l.isSet(path) || l.broken[path] {
			continue
		}
		for i := range list {
			list[i].Host = ""
		}
		c.origins[path] = "container"
	}
}

// Masquerade is a domain whose host names are hidden in senders, or, with Except,
// one below it that is left as it is.
type Masquerade struct {
	Domain string
	Except bool
}

// String is the form that is read.
func (m Masquerade) String() string {
	if m.Except {
		return "!" + m.Domain
	}
	return m.Domain
}

func parseMasquerade(s string) (Masquerade, error) {
	rest, except := strings.CutPrefix(s, "!")
	d, err := parseDomain(rest)
	return Masquerade{Domain: d, Except: except}, err
}

func masqueradeField() field[Config] {
	return many(Key{Path: "submission.masquerade", Env: "POSTRIDER_MASQUERADE", Type: "list of domains", Example: `["!lists.example.com", "example.com"]`,
		Doc: "Domains below which host names are hidden: with `example.com`, mail from `root@web1.example.com` is from `root@example.com`, in the envelope and in From, Sender and Reply-To, before anything else looks at it. `!lists.example.com` before it is left as it is. The first that fits counts."},
		func(c *Config) *[]Masquerade { return &c.Submission.Masquerade }, boundKind("domains", parseMasquerade))
}

// DomainSelector is the selector of one domain's imported keys.
type DomainSelector struct{ Domain, Selector string }

// String is the form that is read.
func (s DomainSelector) String() string { return s.Domain + "=" + s.Selector }

const domainSelectorFix = "write example.com=mail"

func parseDomainSelector(s string) (DomainSelector, error) {
	domain, selector, ok := strings.Cut(s, "=")
	if !ok {
		return DomainSelector{}, wrong(domainSelectorFix, "%q has no = between domain and selector", s)
	}
	d, err := parseDomain(strings.TrimSpace(domain))
	if err != nil {
		return DomainSelector{}, err
	}
	sel, err := selectorKind().parse(strings.TrimSpace(selector))
	return DomainSelector{d, sel}, err
}

func selectorsField() field[Config] {
	return many(Key{Path: "dkim.selectors", Env: "POSTRIDER_DKIM_SELECTORS", Type: "list of domain=selector", Example: `["example.org=postfix"]`, Advanced: true,
		Doc: "Selectors of the imported keys of single domains, in the place of `dkim.selector`."},
		func(c *Config) *[]DomainSelector { return &c.DKIM.Selectors }, boundKind("domain=selector", parseDomainSelector))
}

// SelectorFor returns the selector of a domain's imported keys whose file names
// none.
func (d DKIM) SelectorFor(domain string) string {
	i := slices.IndexFunc(d.Selectors, func(s DomainSelector) bool { return strings.EqualFold(s.Domain, domain) })
	if i < 0 {
		return d.Selector
	}
	return d.Selectors[i].Selector
}
