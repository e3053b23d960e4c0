package mx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Route sends mail through smart hosts, tried in order. A Route without hosts
// stands for delivery by MX.
type Route struct {
	ID    string
	Hosts []SmartHost
}

// ByMX reports whether the route is the mail exchangers of the domain.
func (r Route) ByMX() bool { return len(r.Hosts) == 0 }

// Mail is what a rule is chosen by.
type Mail struct {
	Account string // that sent it
	Sender  string // domain of the reverse-path, or of the author where that is null
	Domain  string // of the recipient
}

// Rule gives mail a route. A pattern is a domain, a suffix such as
// "*.example.com" (every domain below example.com, but not example.com itself),
// or "*". All of Pattern, Sender and Account must match.
type Rule struct {
	Pattern string // of the recipient's domain
	Sender  string // pattern of the sender's domain; empty: any, also none
	Account string // empty: any

	Route  Route
	Then   []Step // what follows where Route does not do
	Source string // name of the source address; empty: the system's choice
	TLS    string // asked of mail exchangers; empty: nothing special
}

// Routes is the operator's table of routes. It does not change, and is safe
// for concurrent use. The nil table has no routes.
type Routes struct {
	rules    []rule
	exact    map[string][]int // places of the rules, ascending
	suffix   map[string][]int // by what follows "*."
	any      []int
	bySender bool // any rule asks for the sender
}

// rule is a Rule that has been read.
type rule struct {
	chain      Chain
	account    string
	senderKind matchKind
	sender     string // empty: any
}

// NewRoutes makes a table in which the first matching rule counts. A route
// with an empty ID gets one made of its hosts, without anything secret, which
// stays the same over restarts. It fails on patterns that are not valid and on
// rules that lead to one place twice.
func NewRoutes(rules []Rule) (*Routes, error) {
	t := &Routes{exact: make(map[string][]int), suffix: make(map[string][]int)}
	for i, given := range rules {
		kind, domain, err := parsePattern(given.Pattern)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", clip(given.Pattern), err)
		}
		r := rule{account: given.Account}
		if s := strings.TrimSpace(given.Sender); s != "" && s != "*" {
			if r.senderKind, r.sender, err = parsePattern(s); err != nil {
				return nil, fmt.Errorf("route of sender %q: %w", clip(s), err)
			}
			t.bySender = true
		}
		if r.chain, err = newChain(given); err != nil {
			return nil, fmt.Errorf("route %q: %w", clip(given.Pattern), err)
		}
		t.rules = append(t.rules, r)
		switch kind {
		case matchAny:
			t.any = append(t.any, i)
		case matchSuffix:
			t.suffix[domain] = append(t.suffix[domain], i)
		case matchExact:
			t.exact[domain] = append(t.exact[domain], i)
		}
	}
	return t, nil
}

func defaultID(hosts []SmartHost) string {
	if len(hosts) == 0 {
		return ""
	}
	ids := make([]string, len(hosts))
	for i, h := range hosts {
		ids[i] = h.identity()
	}
	return shorten("via:" + strings.Join(ids, ","))
}

type matchKind int

const (
	matchExact matchKind = iota
	matchSuffix
	matchAny
)

// parsePattern reads the pattern of a rule and returns its domain normal.
func parsePattern(p string) (matchKind, string, error) {
	p = strings.TrimSpace(p)
	if p == "*" {
		return matchAny, "", nil
	}
	kind := matchExact
	if rest, ok := strings.CutPrefix(p, "*."); ok {
		if strings.HasPrefix(rest, "[") {
			return 0, "", errors.New("an address literal has no subdomains")
		}
		kind, p = matchSuffix, rest
	}
	domain, err := NormalizeDomain(p)
	if err != nil {
		return 0, "", fmt.Errorf("want *, example.com or *.example.com: %w", err)
	}
	return kind, domain, nil
}

// Find returns the way of mail by the first rule that matches, or the zero Chain
// if none does. It asks no DNS and costs about a microsecond. A domain that is
// not valid can only match "*". What it returns must not be changed.
func (t *Routes) Find(m Mail) Chain {
	if t == nil || len(t.rules) == 0 {
		return Chain{}
	}
	sender := ""
	if t.bySender && m.Sender != "" {
		sender, _ = NormalizeDomain(m.Sender)
	}
	best := t.first(t.any, len(t.rules), m.Account, sender)
	if len(t.exact)+len(t.suffix) > 0 {
		if name, err := NormalizeDomain(m.Domain); err == nil {
			best = t.match(name, best, m.Account, sender)
		}
	}
	if best == len(t.rules) {
		return Chain{}
	}
	return t.rules[best].chain
}

// Leads reports whether a class of failure leads anywhere in any route.
func (t *Routes) Leads(class string) bool {
	return t != nil && class != "" && slices.ContainsFunc(t.rules, func(r rule) bool {
		return slices.ContainsFunc(r.chain.steps, func(s Step) bool { return s.leads(class) })
	})
}

// match returns the place of the first rule for a normal domain, if that is
// before best.
func (t *Routes) match(name string, best int, account, sender string) int {
	best = t.first(t.exact[name], best, account, sender)
	for rest := name; len(t.suffix) > 0; {
		_, parent, more := strings.Cut(rest, ".")
		if !more || strings.HasPrefix(name, "[") {
			break
		}
		best = t.first(t.suffix[parent], best, account, sender)
		rest = parent
	}
	return best
}

// first returns the first of some places whose rule is for account and sender,
// if that is before best.
func (t *Routes) first(places []int, best int, account, sender string) int {
	for _, i := range places {
		if i >= best {
			break
		}
		if t.rules[i].isFor(account, sender) {
			return i
		}
	}
	return best
}

func (r *rule) isFor(account, sender string) bool {
	switch {
	case r.account != "" && r.account != account:
		return false
	case r.sender == "":
		return true
	case r.senderKind == matchSuffix:
		return strings.HasSuffix(sender, "."+r.sender)
	}
	return sender == r.sender
}
