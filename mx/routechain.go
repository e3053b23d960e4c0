package mx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Step is a way that mail takes where the one before it does not do: after so
// many attempts, on a class of failure, or since port 25 is blocked.
type Step struct {
	Route Route
	// After is how many attempts a recipient has had, over all steps, when this
	// one's turn comes; 0: its number does not bring it here.
	After int
	// Classes of failure that lead here from the step before, such as "block.ip"
	// or "auth.*"; "*" is any.
	Classes []string
	// Blocked leads here from the mail exchangers while port 25 is blocked.
	Blocked bool
}

// Chain is the way of mail, step by step. The zero Chain is the mail exchangers
// of the domain and nothing else.
type Chain struct {
	Source string
	TLS    string
	steps  []Step
}

// sitePrefix begins the site of a plan for smart hosts.
const sitePrefix = "route:"

func newChain(r Rule) (Chain, error) {
	c := Chain{Source: r.Source, TLS: r.TLS, steps: append([]Step{{Route: r.Route}}, r.Then...)}
	if strings.ContainsAny(r.Source, "@\x00") || len(r.Source) > 60 {
		return c, fmt.Errorf("%q is no name of a source", clip(r.Source))
	}
	seen := make(map[string]bool)
	for i := range c.steps {
		s := &c.steps[i]
		if s.Route.ID == "" {
			s.Route.ID = defaultID(s.Route.Hosts)
		}
		if s.Route.ByMX() {
			s.Route.ID = ""
		}
		if seen[s.Route.ID] {
			return c, fmt.Errorf("%s is there twice", s.Route)
		}
		seen[s.Route.ID] = true
		if i > 0 && s.After <= 0 && len(s.Classes) == 0 && !s.Blocked {
			return c, fmt.Errorf("nothing leads to %s", s.Route)
		}
		for _, p := range s.Classes {
			if err := checkClasses(p); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// checkClasses looks at a pattern of classes.
func checkClasses(p string) error {
	name := strings.TrimSuffix(p, ".*")
	if p == "*" || name != "" && !strings.ContainsAny(name, "* \t") {
		return nil
	}
	return errors.New("a class of failure is written block.ip, block.* or *")
}

// String names the route for people.
func (r Route) String() string {
	if r.ByMX() {
		return "mx"
	}
	names := make([]string, len(r.Hosts))
	for i, h := range r.Hosts {
		names[i] = h.HostPort()
	}
	return strings.Join(names, ", ")
}

// When says in words what leads to a step; empty for the first.
func (c Chain) When(step int) string {
	if step <= 0 || step >= len(c.steps) {
		return ""
	}
	s := &c.steps[step]
	var all []string
	if s.After > 0 {
		all = append(all, fmt.Sprintf("after %d attempts", s.After))
	}
	if len(s.Classes) > 0 {
		all = append(all, "on "+strings.Join(s.Classes, ", "))
	}
	if s.Blocked {
		all = append(all, "while port 25 is blocked")
	}
	return strings.Join(all, ", or ")
}

// Site is that of plans for the route, empty if it is by MX.
func (r Route) Site() string {
	if r.ByMX() {
		return ""
	}
	return sitePrefix + r.ID
}

// Len is how many steps there are: at least one.
func (c Chain) Len() int { return max(1, len(c.steps)) }

// Route returns that of a step. Its hosts must not be changed.
func (c Chain) Route(step int) Route {
	if step >= len(c.steps) {
		return Route{}
	}
	return c.steps[step].Route
}

// Lane names what shares the next hops of a step: the id of its route, else the
// domain in the spelling of [NormalizeDomain]; and the source, if there is one.
func (c Chain) Lane(step int, domain string) string {
	name := c.Route(step).ID
	if name == "" {
		name = laneOfDomain(domain)
	}
	if c.Source != "" {
		return name + "@" + c.Source
	}
	return name
}

func laneOfDomain(domain string) string {
	if name, err := NormalizeDomain(domain); err == nil {
		return name
	}
	return strings.ToLower(domain)
}

// Progress is what is known of a recipient when its step is chosen.
type Progress struct {
	Lane     string // where it waits; empty: it is new
	Attempts int    // so far, over all steps
	Site     string // of the last attempt, as in Plan.Site; empty if it found none
	Class    string // what that failed with
	InDoubt  bool   // that, or one before it, may have been a delivery
	Closed   string // class of failure for which nothing goes to the site of Lane now
}

// Step returns at which step a recipient of the domain is. It depends on nothing
// but its arguments. It is never before the step whose lane it waits in: a
// recipient that has gone on does not come back. One that waits in a lane of no
// step, since the routes were changed or it had been set aside, goes on from the
// step of its last attempt.
//
// A recipient that may have been delivered goes on only if port 25 is blocked:
// another way would be one more chance of a second copy.
func (c Chain) Step(domain string, p Progress, blocked bool) int {
	if len(c.steps) < 2 {
		return 0
	}
	tried := c.tried(p)
	waits := c.inLane(domain, p.Lane)
	at := waits
	if at < 0 {
		at = max(tried, 0)
	}
	for at+1 < len(c.steps) {
		next := &c.steps[at+1]
		switch {
		case blocked && next.Blocked && c.steps[at].Route.ByMX():
		case p.InDoubt:
			return at
		case next.After > 0 && p.Attempts >= next.After:
		case tried == at && next.leads(p.Class), at == waits && next.leads(p.Closed):
		default:
			return at
		}
		at++
	}
	return at
}

// Rescue returns the step after one, if the class of failure leads there.
func (c Chain) Rescue(step int, class string) (next int, ok bool) {
	next = step + 1
	return next, next < len(c.steps) && c.steps[next].leads(class)
}

// inLane returns the step of a lane, or -1.
func (c Chain) inLane(domain, lane string) int {
	if lane == "" {
		return -1
	}
	for i := range c.Len() {
		if c.Lane(i, domain) == lane {
			return i
		}
	}
	return -1
}

// tried returns the step that the last attempt was made at, or -1.
func (c Chain) tried(p Progress) int {
	if p.Attempts == 0 {
		return -1
	}
	id, viaRoute := strings.CutPrefix(p.Site, sitePrefix)
	if !viaRoute {
		id = "" // by MX, or it got to no site
	}
	return slices.IndexFunc(c.steps, func(s Step) bool { return s.Route.ID == id })
}

// leads reports whether a class of failure leads to the step.
func (s *Step) leads(class string) bool {
	return class != "" && slices.ContainsFunc(s.Classes, func(p string) bool {
		prefix, all := strings.CutSuffix(p, "*")
		return p == class || all && strings.HasPrefix(class, prefix)
	})
}
