package configs

import (
	"fmt"
	"math"
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
		return nil, []fault{{line: node.Line, what: "is not a list", fix: "write a list, each element with " + someKeys(fs, needed)}}
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
		return []fault{{line: n.Line, what: "is not a group of keys", fix: "write " + someKeys(fs, needed)}}
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
			found.key = "." + f.Path + found.key
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

// someKeys names what an element needs, or what it may have if that is nothing.
func someKeys[C any](fs []field[C], needed []string) string {
	if len(needed) > 0 {
		return strings.Join(needed, " and ")
	}
	var names []string
	for _, f := range fs {
		names = append(names, f.Path)
	}
	return "some of " + strings.Join(names, ", ")
}
