package mx

import (
	"errors"
	"fmt"
	"strings"
)

// Route sends mail through smart hosts, tried in order. A Route without hosts
// stands for delivery by MX.
type Route struct {
	ID    string
	Hosts []SmartHost
}

// Rule gives the domains of a pattern a route. The pattern is a domain, a
// suffix such as "*.example.com" (every domain below example.com, but not
// example.com itself), or "*".
type Rule struct {
	Pattern string
	Route   Route
}

// Routes is the operator's table of routes. It does not change, and is safe
// for concurrent use. The nil table has no routes.
type Routes struct {
	rules   []Rule
	exact   map[string]int // place of the first rule
	suffix  map[string]int // by what follows "*."
	any     int            // -1: none
	simple  bool           // only "*"
	nothing bool
}

// NewRoutes makes a table in which the first matching rule counts. A route
// with an empty ID gets one made of its hosts, without anything secret, which
// stays the same over restarts. It fails on patterns that are not valid.
func NewRoutes(rules []Rule) (*Routes, error) {
	t := &Routes{exact: make(map[string]int), suffix: make(map[string]int), any: -1}
	for i, rule := range rules {
		kind, domain, err := parsePattern(rule.Pattern)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", clip(rule.Pattern), err)
		}
		if rule.Route.ID == "" {
			rule.Route.ID = defaultID(rule.Route.Hosts)
		}
		t.rules = append(t.rules, rule)
		switch kind {
		case matchAny:
			if t.any < 0 {
				t.any = i
			}
		case matchSuffix:
			first(t.suffix, domain, i)
		case matchExact:
			first(t.exact, domain, i)
		}
	}
	t.nothing = len(rules) == 0
	t.simple = len(t.exact)+len(t.suffix) == 0
	return t, nil
}

func first(m map[string]int, k string, i int) {
	if _, ok := m[k]; !ok {
		m[k] = i
	}
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

// Lookup returns the route for a recipient domain, and false when its mail
// goes by MX. It asks no DNS and costs less than a microsecond. A domain that
// is not valid can only match "*". The hosts of the route must not be changed.
func (t *Routes) Lookup(domain string) (Route, bool) {
	if t == nil || t.nothing {
		return Route{}, false
	}
	best := t.any
	if !t.simple {
		if name, err := NormalizeDomain(domain); err == nil {
			best = t.match(name)
		}
	}
	if best < 0 || len(t.rules[best].Route.Hosts) == 0 {
		return Route{}, false
	}
	return t.rules[best].Route, true
}

// match returns the place of the first rule for a normal domain, or -1.
func (t *Routes) match(name string) int {
	best := t.any
	consider := func(i int, ok bool) {
		if ok && (best < 0 || i < best) {
			best = i
		}
	}
	i, ok := t.exact[name]
	consider(i, ok)
	for rest := name; len(t.suffix) > 0; {
		_, parent, more := strings.Cut(rest, ".")
		if !more || strings.HasPrefix(name, "[") {
			break
		}
		i, ok := t.suffix[parent]
		consider(i, ok)
		rest = parent
	}
	return best
}
