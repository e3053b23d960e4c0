package throttle

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postrider/queue"
)

// Rate is so many messages in a time; the zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// IsZero reports whether r is no limit.
func (r Rate) IsZero() bool { return r.Count <= 0 || r.Per <= 0 }

func (r Rate) perSecond() float64 {
	if r.IsZero() {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String is the way ParseRate reads it; a rate without limit is "none".
func (r Rate) String() string {
	if r.IsZero() {
		return "none"
	}
	unit := r.Per.String()
	switch r.Per {
	case time.Second:
		unit = "s"
	case time.Minute:
		unit = "min"
	case time.Hour:
		unit = "h"
	case 24 * time.Hour:
		unit = "d"
	}
	return strconv.Itoa(r.Count) + "/" + unit
}

// ParseRate reads a rate such as 10/s, 600/min, 5000/h or 20000/d.
func ParseRate(s string) (Rate, error) {
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n <= 0 || n > maxLimit {
		return Rate{}, fmt.Errorf("%q is not a rate such as 10/s, 600/min or 5000/h", s)
	}
	switch unit {
	case "s":
		return Rate{n, time.Second}, nil
	case "m", "min":
		return Rate{n, time.Minute}, nil
	case "h":
		return Rate{n, time.Hour}, nil
	case "d":
		return Rate{n, 24 * time.Hour}, nil
	}
	return Rate{}, fmt.Errorf("%q is not a rate: after the slash comes s, min, h or d", s)
}

// TLSEncrypt is what a rule says of a site that is not sent to without TLS.
const TLSEncrypt = "encrypt"

const maxLimit = 1_000_000

// Rule are the limits of the sites whose mail hosts are all below the same
// domains.
type Rule struct {
	Name  string   // of the provider; empty: no rule
	MX    []string // domains: each stands for itself and those below it
	Apart bool     // each set of hosts by itself

	Connections           int    // at a time; 0: not said
	MessagesPerConnection int    // 0: not said
	Rate                  Rate   // of messages; zero: not said
	TLS                   string // TLSEncrypt or empty

	samples [][]string
}

// Override is what the operator says of a provider or of mail hosts. Zero values
// leave what holds otherwise.
type Override struct {
	// Match is the name of a provider of the table, or a domain, which has a dot:
	// then it makes a rule of its own for the hosts of that name and below it.
	Match                 string
	Connections           int
	MessagesPerConnection int
	Rate                  Rate
	TLS                   string // TLSEncrypt; "opportunistic" asks for no TLS
}

// Table are rules, none of which hides another one by accident. It is not
// changed once it is made.
type Table struct {
	rules  []Rule         // in the order in which they are tried
	byMX   map[string]int // index of the rule by its domains
	byName map[string]int
}

//go:embed providers.txt
var providers string

var builtin = sync.OnceValues(func() (*Table, error) { return ParseTable(providers) })

// Providers returns the table that comes with the program. It was tested, so it
// has no error.
func Providers() *Table {
	t, err := builtin()
	if err != nil {
		panic("throttle: providers.txt: " + err.Error())
	}
	return t
}

// Rules returns a copy of all rules, in the order in which they are tried.
func (t *Table) Rules() []Rule { return slices.Clone(t.rules) }

// Match returns the rule for a site with these mail hosts: all of them must be
// the rule's. ok is false if there is none.
func (t *Table) Match(hosts []string) (r Rule, ok bool) {
	if i := t.match(hosts); i >= 0 {
		return t.rules[i], true
	}
	return Rule{}, false
}

// match finds the first rule that all hosts fit; -1: none. Whatever the order of
// the hosts, it is the same one.
func (t *Table) match(hosts []string) int {
	if len(hosts) == 0 {
		return -1
	}
	best := -1
	for name := plainHost(hosts[0]); name != ""; _, name, _ = strings.Cut(name, ".") {
		i, ok := t.byMX[name]
		if ok && (best < 0 || i < best) && t.rules[i].holds(hosts[1:]) {
			best = i
		}
	}
	return best
}

func (r *Rule) holds(hosts []string) bool {
	for _, h := range hosts {
		if !slices.ContainsFunc(r.MX, func(mx string) bool { return queue.Below(plainHost(h), mx) }) {
			return false
		}
	}
	return true
}

// plainHost is a host as the table has it: in lower case, without a dot at its end.
func plainHost(h string) string { return strings.ToLower(strings.TrimSuffix(h, ".")) }

// newTable checks rules against each other and their samples.
func newTable(rules []Rule) (*Table, error) {
	t := &Table{rules: rules, byMX: make(map[string]int), byName: make(map[string]int)}
	for i, r := range rules {
		if other, ok := t.byName[r.Name]; ok && other != i {
			return nil, fmt.Errorf("there are two rules for %s", r.Name)
		}
		t.byName[r.Name] = i
		for _, mx := range r.MX {
			if other, ok := t.byMX[mx]; ok {
				return nil, fmt.Errorf("hosts below %s are claimed by %s and by %s", mx, rules[other].Name, r.Name)
			}
			t.byMX[mx] = i
		}
	}
	for i, r := range rules {
		for _, sample := range r.samples {
			if got := t.match(sample); got != i {
				return nil, fmt.Errorf("provider %s: its sample %s does not lead to it", r.Name, strings.Join(sample, " "))
			}
		}
	}
	return t, nil
}

// With returns the table with what the operator says. A provider's name changes
// the values of its rule; a domain is a rule of its own, which comes before those
// of the table, the more specific domain first.
func (t *Table) With(overrides []Override) (*Table, error) {
	rules := slices.Clone(t.rules)
	var own []Rule
	seen := make(map[string]bool)
	for _, o := range overrides {
		match := plainHost(strings.TrimPrefix(strings.TrimPrefix(o.Match, "*"), "."))
		if seen[match] {
			return nil, fmt.Errorf("there are two entries for %s", match)
		}
		seen[match] = true
		if i, ok := t.byName[match]; ok {
			o.change(&rules[i])
			continue
		}
		if !strings.Contains(match, ".") {
			return nil, fmt.Errorf("there is no provider named %q; there are %s", o.Match, strings.Join(t.names(), ", "))
		}
		if err := checkMX(match); err != nil {
			return nil, err
		}
		r := Rule{Name: "*." + match, MX: []string{match}}
		o.change(&r)
		own = append(own, r)
	}
	slices.SortStableFunc(own, func(a, b Rule) int { return strings.Count(b.MX[0], ".") - strings.Count(a.MX[0], ".") })
	for _, r := range rules {
		if hider, hidden := hides(own, r); hidden && seen[r.Name] {
			return nil, fmt.Errorf("the entry for %s never applies: all its hosts are below %s", r.Name, hider)
		}
	}
	return mergeTables(own, rules)
}

// hides reports whether one of the operator's rules takes all hosts of another.
func hides(own []Rule, r Rule) (hider string, hidden bool) {
	for _, o := range own {
		if !slices.ContainsFunc(r.MX, func(mx string) bool { return !queue.Below(mx, o.MX[0]) }) {
			return o.MX[0], true
		}
	}
	return "", false
}

// mergeTables puts the operator's rules first: what they take from the others is
// meant, so that samples need not lead to these any more.
func mergeTables(own, rules []Rule) (*Table, error) {
	taken := make(map[string]bool)
	for _, r := range own {
		taken[r.MX[0]] = true
	}
	for i := range rules {
		rules[i].samples = nil
		rules[i].MX = slices.DeleteFunc(slices.Clone(rules[i].MX), func(mx string) bool { return taken[mx] })
	}
	return newTable(append(own, rules...))
}

func (o Override) change(r *Rule) {
	if o.Connections > 0 {
		r.Connections = o.Connections
	}
	if o.MessagesPerConnection > 0 {
		r.MessagesPerConnection = o.MessagesPerConnection
	}
	if !o.Rate.IsZero() {
		r.Rate = o.Rate
	}
	switch o.TLS {
	case "":
	case TLSEncrypt:
		r.TLS = TLSEncrypt
	default:
		r.TLS = ""
	}
}

func (t *Table) names() []string {
	var all []string
	for _, r := range t.rules {
		if !strings.Contains(r.Name, ".") {
			all = append(all, r.Name)
		}
	}
	slices.Sort(all)
	return all
}
