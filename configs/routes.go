package configs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// setSmartHost replaces the * route, which is the last one.
func (c *Config) setSmartHost(via SmartHost) {
	routes := slices.DeleteFunc(slices.Clone(c.Routes), Route.general)
	c.Routes = append(routes, Route{Match: "*", Via: via, written: true})
}

// general reports whether the route is for all mail without one of its own.
func (r Route) general() bool { return r.Match == "*" && r.Sender == "" && r.Account == "" }

// completeRoutes puts the fallback at the end of the * route, and gives the
// routes that do not say where the mail goes the way of that one.
func (c *Config) completeRoutes() []fault {
	if c.Delivery.Fallback.ByMX() && len(c.Routes) == 0 {
		return nil
	}
	routes := slices.Clone(c.Routes)
	at := slices.IndexFunc(routes, Route.general)
	if at < 0 && !c.Delivery.Fallback.ByMX() {
		at, routes = len(routes), append(routes, Route{Match: "*", written: true})
	}
	way := Route{}
	if at >= 0 {
		if !c.Delivery.Fallback.ByMX() {
			if len(routes[at].Then) > 0 {
				return []fault{{what: "the route for * has steps of its own", fix: "make the fallback its last step, and remove it here"}}
			}
			routes[at].Then = []RouteStep{{Via: c.Delivery.Fallback}}
			if faults := completeSteps(&routes[at]); len(faults) > 0 {
				return []fault{{what: "the route for * goes to this smart host as it is", fix: "name another, or remove it here"}}
			}
		}
		way = routes[at]
	}
	for i := range routes {
		if !routes[i].written {
			routes[i].Via, routes[i].Then = way.Via, way.Then
		}
	}
	c.Routes = routes
	return nil
}

// moreSpecific orders routes by recipient domain, then by sender domain, then
// those for an account before those for any. Domains come before the domains
// below one, the longest of those first, and * last.
func moreSpecific(a, b Route) int {
	rank := func(pattern string) int {
		switch {
		case pattern == "*" || pattern == "":
			return math.MaxInt
		case strings.HasPrefix(pattern, "*"):
			return 1000 - len(pattern)
		default:
			return 0
		}
	}
	anyAccount := func(r Route) int {
		if r.Account == "" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a.Match), rank(b.Match)), cmp.Compare(rank(a.Sender), rank(b.Sender)), anyAccount(a)-anyAccount(b))
}

// selection is which mail the route is for.
func (r Route) selection() string {
	s := r.Match
	if r.Sender != "" {
		s += " from " + r.Sender
	}
	if r.Account != "" {
		s += " of " + r.Account
	}
	return s
}

// way is where the mail goes, with its passwords hidden.
func (r Route) way() string {
	s := r.Via.String()
	for _, step := range r.Then {
		s += " then " + step.String()
	}
	return s
}

// String is the route in one line, with its passwords hidden.
func (r Route) String() string {
	s := r.selection() + "=" + r.way()
	if r.TLS != "" {
		s += " tls " + string(r.TLS)
	}
	if r.Source != "" {
		s += " source " + r.Source
	}
	return s
}

// String is the step in a few words, with its password hidden.
func (s RouteStep) String() string {
	text := s.Via.String()
	if s.After > 0 {
		text += fmt.Sprintf(" after %d", s.After)
	}
	if len(s.When) > 0 {
		text += " when " + strings.Join(s.When, " ")
	}
	return text
}

// checkRoutes looks at what routes name and at passwords that may be overheard.
func (l *loader) checkRoutes() {
	if l.anyBroken("routes", "sources", FallbackKey) {
		return
	}
	for i, r := range l.cfg.Routes {
		source := l.cfg.Origin("routes")
		if r.general() && l.isSet(SmartHostKey) {
			source = l.cfg.Origin(SmartHostKey)
		}
		key := fmt.Sprintf("routes[%d]", i)
		for n, h := range r.places() {
			if h.Username == "" || h.TLS == SmartHostRequired || h.local() || !r.written {
				continue
			}
			at, from := key+".via", source
			switch {
			case r.general() && h == l.cfg.Delivery.Fallback:
				at, from = FallbackKey, l.cfg.Origin(FallbackKey)
			case n > 0:
				at += fmt.Sprintf("[%d]", n)
			}
			l.problems = append(l.problems, Problem{Severity: Warning, Key: at, Source: from,
				What: "the password for " + h.Address() + " may be sent in clear text", Fix: "leave ?tls= out, so that STARTTLS is required, or use smtps://"})
		}
		if r.Source != "" && !slices.ContainsFunc(l.cfg.Sources, func(s Source) bool { return s.Name == r.Source }) {
			l.fail(key+".source", source, fmt.Sprintf("there is no source called %q", r.Source), "name it under sources, or correct the name")
		}
		if r.TLS != "" && !slices.ContainsFunc(r.places(), SmartHost.ByMX) {
			l.problems = append(l.problems, Problem{Severity: Warning, Key: key + ".tls", Source: source,
				What: "it says nothing: the route goes to smart hosts alone", Fix: "write ?tls= in their URLs"})
		}
	}
}

// places are where the steps of a route lead.
func (r Route) places() []SmartHost {
	all := []SmartHost{r.Via}
	for _, s := range r.Then {
		all = append(all, s.Via)
	}
	return all
}
