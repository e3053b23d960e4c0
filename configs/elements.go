package configs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func accountFields() []field[Account] {
	return []field[Account]{
		one(Key{Path: "name", Example: "shop", Doc: "Its user name."},
			func(a *Account) *string { return &a.Name }, accountNameKind()),
		one(Key{Path: "password", Example: `"a long secret"`, Doc: "Its password, in quotes."},
			func(a *Account) *Secret { return &a.Password }, secretKind()),
		many(Key{Path: "allowed_senders", Example: "[shop.example.com]", Default: "submission.allowed_senders",
			Doc: "What it may send from."},
			func(a *Account) *[]string { return &a.AllowedSenders }, senderKind()),
		one(Key{Path: "from_policy", Example: "rewrite", Default: "submission.from_policy",
			Doc: "What happens to any other From."},
			func(a *Account) *FromPolicy { return &a.FromPolicy }, oneOf(FromAccept, FromReject, FromRewrite)),
		one(Key{Path: "default_sender", Example: "orders@shop.example.com", Default: "submission.default_sender",
			Doc: "What `rewrite` puts in its place."},
			func(a *Account) *string { return &a.DefaultSender }, addressKind()),
		one(Key{Path: "rate_per_hour", Example: "500", Default: "submission.rate.per_hour",
			Doc: "Messages it may send in an hour."},
			func(a *Account) *int { return &a.RatePerHour }, countKind(1, math.MaxInt32)),
	}
}

func routeFields() []field[Route] {
	return []field[Route]{
		one(Key{Path: "match", Example: `"*"`, Doc: "A recipient domain, `*.example.com` for those below it, or `*` for every domain without a route of its own. The most specific one counts."},
			func(r *Route) *string { return &r.Match }, textual("pattern", parseMatch)),
		one(Key{Path: "via", Example: `"smtp://user:secret@smtp.example.net:587"`,
			Doc: "The smart host: `smtp://` or `smtps://`, user, password, host and port (587 or 465). With a user, `smtp://` requires STARTTLS; `?tls=opportunistic` or `?tls=none` says otherwise. `mx` is the domain's own mail exchangers."},
			func(r *Route) *SmartHost { return &r.Via }, smartHostKind()),
	}
}

func accountsSection() section {
	return section{"accounts", "Who may send with AUTH. With none here and no trusted network, Postrider makes one at the first start and prints its password once.", []field[Config]{{
		Key: Key{Path: "accounts", Env: "POSTRIDER_ACCOUNTS", Type: "list of accounts", Example: "shop:secret,blog:secret2",
			Doc: "In the environment `name:password`, separated by commas; in the file named by `POSTRIDER_ACCOUNTS_FILE` one a line, where the password may hold commas."},
		set: func(c *Config, g given) []fault {
			accounts, faults := parseAccounts(g)
			if len(faults) == 0 {
				c.Accounts = accounts
			}
			return faults
		},
		show: func(c *Config) string {
			var parts []string
			for _, a := range c.Accounts {
				parts = append(parts, a.Name+":"+hidden)
			}
			return strings.Join(parts, ",")
		},
	}}}
}

func routesSection() section {
	return section{"routes", "Where mail goes that does not go to the mail exchangers of its domain.", []field[Config]{
		{
			Key: Key{Path: "routes", Type: "list of routes", Doc: "Smart hosts by recipient domain.", Default: "by MX"},
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
					parts = append(parts, r.Match+"="+r.Via.String())
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

// setSmartHost replaces the * route, which is the last one.
func (c *Config) setSmartHost(via SmartHost) {
	routes := slices.DeleteFunc(slices.Clone(c.Routes), func(r Route) bool { return r.Match == "*" })
	c.Routes = append(routes, Route{Match: "*", Via: via})
}

// moreSpecific orders routes: domains, then the domains below one, the longest
// first, then *.
func moreSpecific(a, b Route) int {
	rank := func(r Route) int {
		switch {
		case r.Match == "*":
			return math.MaxInt
		case strings.HasPrefix(r.Match, "*"):
			return 1000 - len(r.Match)
		default:
			return 0
		}
	}
	return cmp.Compare(rank(a), rank(b))
}

func parseRoutes(g given) ([]Route, []fault) {
	if g.node == nil {
		return nil, []fault{{what: "can only be written in the file", fix: "use POSTRIDER_SMARTHOST for a single smart host"}}
	}
	routes, faults := elements(g.node, routeFields(), []string{"match", "via"})
	seen := make(map[string]bool)
	for _, r := range routes {
		if r.Match != "" && seen[r.Match] {
			faults = append(faults, fault{what: fmt.Sprintf("there are two routes for %q", r.Match), fix: "keep one"})
		}
		seen[r.Match] = true
	}
	slices.SortStableFunc(routes, moreSpecific)
	return routes, faults
}

func parseAccounts(g given) ([]Account, []fault) {
	var accounts []Account
	var faults []fault
	if g.node != nil && dealias(g.node).Kind == yaml.SequenceNode {
		accounts, faults = elements(g.node, accountFields(), []string{"name", "password"})
	} else if g.node != nil {
		return nil, []fault{{what: "is not a list of accounts", fix: "write a list, each with name and password"}}
	} else {
		accounts, faults = accountsOfText(g)
	}
	seen := make(map[string]bool)
	for _, a := range accounts {
		name := strings.ToLower(a.Name)
		if name != "" && seen[name] {
			faults = append(faults, fault{what: fmt.Sprintf("there are two accounts named %q", a.Name), fix: "rename or remove one"})
		}
		seen[name] = true
	}
	return accounts, faults
}

// accountsOfText reads name:password pairs, separated by commas or, from a file,
// one a line with # for comments. No fault repeats any of the text.
func accountsOfText(g given) ([]Account, []fault) {
	var accounts []Account
	var faults []fault
	separator := ","
	if g.lines {
		separator = "\n"
	}
	n := 0
	for part := range strings.SplitSeq(g.text, separator) {
		part = strings.TrimSpace(part)
		if part == "" || g.lines && part[0] == '#' {
			continue
		}
		n++
		name, password, ok := strings.Cut(part, ":")
		if !ok {
			faults = append(faults, fault{what: fmt.Sprintf("account %d has no colon between name and password", n),
				fix: "write name:password; a password with a comma in it needs POSTRIDER_ACCOUNTS_FILE"})
			continue
		}
		var a Account
		for i, value := range []string{name, password} {
			for _, f := range accountFields()[i].set(&a, given{text: value}) {
				f.what = fmt.Sprintf("account %d: %s", n, f.what)
				faults = append(faults, f)
			}
		}
		accounts = append(accounts, a)
	}
	return accounts, faults
}

// elements reads a sequence of mappings, each with the needed keys at least.
func elements[C any](node *yaml.Node, fs []field[C], needed []string) ([]C, []fault) {
	node = dealias(node)
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return nil, nil
	}
	if node.Kind != yaml.SequenceNode {
		return nil, []fault{{line: node.Line, what: "is not a list", fix: "write a list, each element with " + strings.Join(needed, " and ")}}
	}
	var list []C
	var faults []fault
	for i, n := range node.Content {
		var c C
		for _, f := range element(&c, dealias(n), fs, needed) {
			f.key = fmt.Sprintf("[%d]%s", i, f.key)
			if f.line == 0 {
				f.line = n.Line
			}
			faults = append(faults, f)
		}
		list = append(list, c)
	}
	return list, faults
}

func element[C any](c *C, n *yaml.Node, fs []field[C], needed []string) []fault {
	if n.Kind != yaml.MappingNode {
		return []fault{{line: n.Line, what: "is not a group of keys", fix: "write " + strings.Join(needed, " and ")}}
	}
	var faults []fault
	var known []string
	byName := make(map[string]field[C])
	for _, f := range fs {
		known = append(known, f.Path)
		byName[f.Path] = f
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := dealias(n.Content[i]), n.Content[i+1]
		f, ok := byName[name.Value]
		switch {
		case !ok || name.Kind != yaml.ScalarNode:
			faults = append(faults, unknownKey(name, name.Value, known))
			continue
		case seen[name.Value]:
			faults = append(faults, fault{line: name.Line, key: "." + name.Value, what: "is given twice", fix: "keep one"})
			continue
		}
		seen[name.Value] = true
		for _, found := range f.set(c, given{node: value}) {
			found.key = "." + f.Path
			if found.line == 0 {
				found.line = value.Line
			}
			faults = append(faults, found)
		}
	}
	for _, name := range needed {
		if !seen[name] {
			faults = append(faults, fault{line: n.Line, what: "has no " + name, fix: "add " + name})
		}
	}
	return faults
}
