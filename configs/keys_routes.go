package configs

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func routeFields() []field[Route] {
	return []field[Route]{
		one(Key{Path: "match", Example: `"*"`, Default: "*",
			Doc: "A recipient domain, `*.example.com` for those below it, or `*` for every domain. Of the routes that a message fits the most specific one counts: by the recipient's domain first (a domain, then the longest `*.domain`, then `*`), then by `sender` in the same order, then by `account`."},
			func(r *Route) *string { return &r.Match }, textual("pattern", parseMatch)),
		one(Key{Path: "sender", Example: "news.example.com", Default: "any",
			Doc: "For mail from this domain alone, or from those below it as `*.example.com`: the domain of the envelope sender, or of From where that is empty."},
			func(r *Route) *string { return &r.Sender }, textual("pattern", parseMatch)),
		one(Key{Path: "account", Example: "newsletter", Default: "any",
			Doc: "For mail of this account alone."},
			func(r *Route) *string { return &r.Account }, textual("name", parseRouteAccount)),
		viaField(),
		one(Key{Path: "tls", Example: "encrypt", Default: "delivery.tls, and what the receiver publishes",
			Doc: "What is asked of mail exchangers on this route: `opportunistic` and `none` also where the receiver publishes more, `encrypt` TLS whatever the certificate, `verify` one that is valid for the host's name, `dane` one that DNSSEC vouches for. Smart hosts have it in their URL."},
			func(r *Route) *RouteTLS { return &r.TLS }, oneOf(RouteOpportunistic, RouteNone, RouteEncrypt, RouteVerify, RouteDANE)),
		one(Key{Path: "source", Example: "news", Default: "the system's choice, and hostname",
			Doc: "Name of the element of `sources` whose address and name the mail leaves with."},
			func(r *Route) *string { return &r.Source }, sourceNameKind()),
	}
}

// stepWords explain what leads from one step to the next.
const stepWords = "A list is tried in order: `[mx, \"smtp://…\"]` is the mail exchangers first, and the smart host when it must be. Then a step may be written as `{to, after, when}`: `to` is where, `after` the attempts that a recipient has had, over all steps, when its turn comes (3 more than the step before), `when` the classes of failure that bring it forward, such as `block.ip` or `auth.*`, and `port25` for as long as port 25 is found blocked (block.ip, auth.ptr, route.*, port25). With one of the two, the other does not count. A refusal whose class is named goes on to the next step instead of bouncing. Nothing goes back."

func viaField() field[Route] {
	return field[Route]{
		Key: Key{Path: "via", Type: "URL, or list of steps",
			Example: `["mx", {to: "smtp://user:secret@smtp.example.net:587", after: 4, when: [block.*, port25]}]`,
			Default: "as the route for `*`",
			Doc:     "`mx` is the domain's own mail exchangers. A smart host is `smtp://` or `smtps://`, user, password, host and port (587 or 465). With a user, `smtp://` requires STARTTLS; `?tls=opportunistic` or `?tls=none` says otherwise. " + stepWords},
		set:  setVia,
		show: func(r *Route) string { return r.way() },
	}
}

func setVia(r *Route, g given) []fault {
	node := dealias(g.node)
	if node == nil || node.Kind != yaml.SequenceNode {
		text, f := g.scalar()
		if f != nil {
			return []fault{*f}
		}
		via, err := ParseSmartHost(text)
		if err != nil {
			return []fault{faultOf(err)}
		}
		r.Via, r.Then, r.written = via, nil, true
		return nil
	}
	var steps []RouteStep
	var faults []fault
	for i, n := range node.Content {
		step, found := parseStep(dealias(n))
		for _, f := range found {
			f.key = fmt.Sprintf("[%d]%s", i, f.key)
			if f.line == 0 {
				f.line = n.Line
			}
			faults = append(faults, f)
		}
		steps = append(steps, step)
	}
	switch {
	case len(faults) > 0:
		return faults
	case len(steps) == 0:
		return []fault{{what: "is an empty list", fix: "write mx, a smart host, or a list of them"}}
	case steps[0].After != 0 || len(steps[0].When) > 0:
		return []fault{{key: "[0]", what: "says when the first step's turn comes, which is at once", fix: "move after and when to the step that they lead to"}}
	}
	r.Via, r.Then, r.written = steps[0].Via, steps[1:], true
	return completeSteps(r)
}

// parseStep reads a step: where alone, or where and when.
func parseStep(n *yaml.Node) (s RouteStep, faults []fault) {
	if n.Kind == yaml.MappingNode {
		return s, element(&s, n, stepFields(), []string{"to"})
	}
	return s, stepFields()[0].set(&s, given{node: n})
}

func stepFields() []field[RouteStep] {
	return []field[RouteStep]{
		one(Key{Path: "to"}, func(s *RouteStep) *SmartHost { return &s.Via }, smartHostKind()),
		one(Key{Path: "after"}, func(s *RouteStep) *int { return &s.After }, countKind(1, 10000)),
		many(Key{Path: "when"}, func(s *RouteStep) *[]string { return &s.When }, textual("classes of failure", parseWhen)),
	}
}

// completeSteps gives the steps that say neither when nor after how many
// attempts the usual, and refuses a way that leads to one place twice.
func completeSteps(r *Route) []fault {
	seen := map[string]bool{r.Via.place(): true}
	after := 0
	for i := range r.Then {
		s := &r.Then[i]
		if seen[s.Via.place()] {
			return []fault{{key: fmt.Sprintf("[%d]", i+1), what: "is the same place as a step before it", fix: "name each place once"}}
		}
		seen[s.Via.place()] = true
		if s.After == 0 && len(s.When) == 0 {
			s.After, s.When = after+usualAfter, usualWhen()
		}
		after = max(after, s.After)
	}
	return nil
}

// place distinguishes next hops.
func (h SmartHost) place() string {
	if h.ByMX() {
		return byMX
	}
	return fmt.Sprintf("%s %t %s", h.Address(), h.Implicit, h.Username)
}

// parseWhen reads a class of failure, a family of them, or port25.
func parseWhen(s string) (string, error) {
	s = strings.ToLower(s)
	if s == WhenPort25 || s == "*" || slices.Contains(failureClasses(), s) {
		return s, nil
	}
	if family, ok := strings.CutSuffix(s, "*"); ok && strings.HasSuffix(family, ".") {
		if slices.ContainsFunc(failureClasses(), func(c string) bool { return strings.HasPrefix(c, family) }) {
			return s, nil
		}
	}
	fix := "write port25, a class such as block.ip, or a family of them such as block.*"
	if near := nearest(s, failureClasses(), "."); near != "" {
		fix = didYouMean(near)
	}
	return "", wrong(fix, "%q is not a class of failure", s)
}

// parseRouteAccount reads the name of any account, also of one that is made at
// run time, or that of the socket or the trusted networks.
func parseRouteAccount(s string) (string, error) {
	if s == "local" || s == "trusted" {
		return s, nil
	}
	return accountNameKind().parse(s)
}

func routesSection() section {
	return section{"routes", "Where mail goes that does not go to the mail exchangers of its domain, and from which address and with which TLS it goes. A route names at least one of `match`, `sender` and `account`, and at least one of `via`, `tls` and `source`.", []field[Config]{
		{
			Key: Key{Path: "routes", Type: "list of routes", Doc: "Ways of mail by recipient domain, sender domain and account.", Default: "by MX"},
			set: func(c *Config, g given) []fault {
				routes, faults := parseRoutes(g)
				if len(faults) == 0 {
					c.Routes = routes
				}
				return faults
			},
			show: func(c *Config) string {
				var parts []string
				for _, r := range c.Routes {
					parts = append(parts, r.String())
				}
				return strings.Join(parts, ",")
			},
		},
		{
			Key: Key{Path: SmartHostKey, Env: "POSTRIDER_SMARTHOST", Type: "URL", Example: "smtp://user:secret@smtp.example.net:587",
				Default: "by MX",
				Doc:     "Sets the `*` route and leaves the other routes as they are. In the file it is written under `routes`."},
			set: func(c *Config, g given) []fault {
				via, err := ParseSmartHost(strings.TrimSpace(g.text))
				if err != nil {
					return []fault{faultOf(err)}
				}
				c.setSmartHost(via)
				return nil
			},
			show: func(c *Config) string {
				if h, ok := c.SmartHost(); ok {
					return h.String()
				}
				return ""
			},
		},
	}}
}

// fallbackField is the smart host that the * route ends with.
func fallbackField() field[Config] {
	return one(Key{Path: FallbackKey, Env: "POSTRIDER_FALLBACK_SMARTHOST", Example: `"smtp://user:secret@smtp.example.net:587"`,
		Doc: "Smart host for what cannot be delivered otherwise: mail goes to the mail exchangers first, and through it when port 25 is found blocked, when they refuse this machine's address, or after 3 attempts. It is what the `*` route ends with; a route with a `via` of its own does not use it. `off` is none."},
		func(c *Config) *SmartHost { return &c.Delivery.Fallback }, optionalSmartHostKind())
}

func optionalSmartHostKind() kind[SmartHost] {
	k := smartHostKind()
	return kind[SmartHost]{
		name: "URL or off",
		format: func(h SmartHost) string {
			if h.ByMX() {
				return off
			}
			return h.String()
		},
		parse: func(s string) (SmartHost, error) {
			if s == off {
				return SmartHost{}, nil
			}
			h, err := k.parse(s)
			if err == nil && h.ByMX() {
				return h, wrong("write smtp://user:password@host:587, or off", "the fallback is not a smart host")
			}
			return h, err
		},
	}
}

func parseRoutes(g given) ([]Route, []fault) {
	if g.node == nil {
		return nil, []fault{{what: "can only be written in the file", fix: "use POSTRIDER_SMARTHOST for a single smart host"}}
	}
	routes, faults := elements(g.node, routeFields(), nil)
	for i := range routes {
		r := &routes[i]
		nothing := r.Match == "" && r.Sender == "" && r.Account == ""
		switch {
		case len(faults) > 0: // said already
		case nothing:
			faults = append(faults, fault{key: fmt.Sprintf("[%d]", i), what: "has no match", fix: "add match, sender or account"})
		case !r.written && r.TLS == "" && r.Source == "":
			faults = append(faults, fault{key: fmt.Sprintf("[%d]", i), what: "has no via", fix: "add via, tls or source"})
		}
		if r.Match == "" {
			r.Match = "*"
		}
		if r.Sender == "*" {
			r.Sender = ""
		}
	}
	seen := make(map[[3]string]bool)
	for _, r := range routes {
		key := [3]string{r.Match, r.Sender, r.Account}
		if seen[key] && len(faults) == 0 {
			faults = append(faults, fault{what: fmt.Sprintf("there are two routes for %q", r.selection()), fix: "keep one"})
		}
		seen[key] = true
	}
	slices.SortStableFunc(routes, moreSpecific)
	return routes, faults
}
