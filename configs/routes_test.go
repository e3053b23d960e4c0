package configs

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func routesOf(c *Config) []string {
	var all []string
	for _, r := range c.Routes {
		all = append(all, r.String())
	}
	return all
}

func TestRoutesAreOrderedBySpecificity(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
routes:
  - {account: news, via: "smtp://h:1"}
  - {sender: "*.shop.example", via: "smtp://h:2"}
  - {sender: shop.example, account: news, via: "smtp://h:3"}
  - {sender: shop.example, via: "smtp://h:4"}
  - {match: "*", via: mx}
  - {match: "*.b.example", account: news, via: "smtp://h:5"}
  - {match: "*.a.b.example", via: "smtp://h:6"}
  - {match: b.example, via: "smtp://h:7"}
  - {match: b.example, sender: shop.example, via: "smtp://h:8"}
`)
	const tail = "?tls=opportunistic"
	want := []string{
		"b.example from shop.example=smtp://h:8" + tail,
		"b.example=smtp://h:7" + tail,
		"*.a.b.example=smtp://h:6" + tail,
		"*.b.example of news=smtp://h:5" + tail,
		"* from shop.example of news=smtp://h:3" + tail,
		"* from shop.example=smtp://h:4" + tail,
		"* from *.shop.example=smtp://h:2" + tail,
		"* of news=smtp://h:1" + tail,
		"*=mx",
	}
	if got := routesOf(c); !slices.Equal(got, want) {
		t.Errorf("routes are\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStepsOfARoute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ yaml, want string }{
		"one in a list":     {`[mx]`, "mx"},
		"the usual":         {`[mx, "smtp://h"]`, "mx then smtp://h:587?tls=opportunistic after 3 when block.ip auth.ptr route.* port25"},
		"by number alone":   {`[mx, {to: "smtp://h", after: 2}]`, "mx then smtp://h:587?tls=opportunistic after 2"},
		"by class alone":    {`[mx, {to: "smtp://h", when: [block.*, port25]}]`, "mx then smtp://h:587?tls=opportunistic when block.* port25"},
		"a list as text":    {`[mx, {to: "smtp://h", when: "block.*,port25"}]`, "mx then smtp://h:587?tls=opportunistic when block.* port25"},
		"the usual after 5": {`[mx, {to: "smtp://a", after: 5}, "smtp://b"]`, "mx then smtp://a:587?tls=opportunistic after 5 then smtp://b:587?tls=opportunistic after 8 when block.ip auth.ptr route.* port25"},
		"mx at the end":     {`["smtp://a", {to: mx, when: ["route.*"]}]`, "smtp://a:587?tls=opportunistic then mx when route.*"},
	} {
		if got := mustLoad(t, `routes: [{match: "*", via: `+c.yaml+`}]`).Routes[0].way(); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestFallbackEndsTheGeneralRoute(t *testing.T) {
	t.Parallel()
	const fallback = " then smtp://f:587?tls=opportunistic after 3 when block.ip auth.ptr route.* port25"
	for name, c := range map[string]struct {
		yaml string
		env  []string
		want []string
	}{
		"no routes":                        {"", nil, []string{"*=mx" + fallback}},
		"a smart host":                     {"", []string{"POSTRIDER_SMARTHOST=smtp://s"}, []string{"*=smtp://s:587?tls=opportunistic" + fallback}},
		"a route of its own is left":       {`routes: [{match: a.example, via: mx}]`, nil, []string{"a.example=mx", "*=mx" + fallback}},
		"a route without via goes along":   {`routes: [{account: news, source: n}]` + "\n" + `sources: [{name: N, address: 192.0.2.1}]`, nil, []string{"* of news=mx" + fallback + " source n", "*=mx" + fallback}},
		"the general route may be written": {`routes: [{match: "*", via: mx, tls: dane}]`, nil, []string{"*=mx" + fallback + " tls dane"}},
	} {
		got := routesOf(mustLoad(t, c.yaml, append(c.env, "POSTRIDER_FALLBACK_SMARTHOST=smtp://f")...))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q\nwant %q", name, got, c.want)
		}
	}
	if c := mustLoad(t, `routes: [{account: news, tls: verify}]`, "POSTRIDER_SMARTHOST=smtp://s"); c.Routes[0].Via.Host != "s" {
		t.Errorf("a route without via goes by %s", c.Routes[0])
	}
	if c := mustLoad(t, "delivery: {fallback_smarthost: off}"); len(c.Routes) != 0 {
		t.Errorf("routes are %v", c.Routes)
	}
}

func TestRoutesThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ yaml, key, text string }{
		"nothing selected":        {`routes: [{via: mx}]`, "routes[0]", "has no match"},
		"nothing said":            {`routes: [{account: a}]`, "routes[0]", "has no via"},
		"two for one sender":      {`routes: [{sender: a.example, via: mx}, {match: "*", sender: A.example, via: mx}]`, "routes", `"* from a.example"`},
		"the same place twice":    {`routes: [{match: "*", via: ["smtp://h", "smtp://h:587"]}]`, "routes[0].via[1]", "same place"},
		"an empty list":           {`routes: [{match: "*", via: []}]`, "routes[0].via", "empty list"},
		"the first step has when": {`routes: [{match: "*", via: [{to: mx, after: 3}]}]`, "routes[0].via[0]", "first step"},
		"an unknown class":        {`routes: [{match: "*", via: [mx, {to: "smtp://h", when: [blok.ip]}]}]`, "routes[0].via[1].when", "did you mean block.ip"},
		"an unknown family":       {`routes: [{match: "*", via: [mx, {to: "smtp://h", when: ["blok.*"]}]}]`, "routes[0].via[1].when", "not a class"},
		"a step without to":       {`routes: [{match: "*", via: [mx, {after: 3}]}]`, "routes[0].via[1]", "has no to"},
		"an unknown key":          {`routes: [{match: "*", via: [mx, {to: "smtp://h", if: x}]}]`, "routes[0].via[1].if", "no such key"},
		"no such source":          {`routes: [{match: "*", source: news}]`, "routes[0].source", "no source called"},
		"an unknown TLS":          {`routes: [{match: "*", tls: required}]`, "routes[0].tls", "encrypt"},
		"steps and a fallback":    {"routes: [{match: \"*\", via: [mx, \"smtp://h\"]}]\ndelivery: {fallback_smarthost: \"smtp://f\"}", FallbackKey, "steps of its own"},
		"the fallback is first":   {"routes: [{match: \"*\", via: \"smtp://f\"}]\ndelivery: {fallback_smarthost: \"smtp://f\"}", FallbackKey, "as it is"},
		"mx as a fallback":        {"delivery: {fallback_smarthost: mx}", FallbackKey, "not a smart host"},
		"a source without name":   {`sources: [{address: 192.0.2.1}]`, "sources[0]", "has no name"},
		"a source twice":          {`sources: [{name: a, address: 192.0.2.1}, {name: A, address: 192.0.2.2}]`, "sources", "two sources"},
		"two of one family":       {`sources: [{name: a, address: [192.0.2.1, 192.0.2.2]}]`, "sources[0].address", "either family"},
		"no address":              {`sources: [{name: a, address: mail.example.com}]`, "sources[0].address", "not an address"},
		"IPv6 alone, and off":     {"sources: [{name: a, address: \"2001:db8::1\"}]\ndelivery: {ipv6: off}", "sources[0].address", "IPv6 only"},
	} {
		_, problems := loadYAML(t, c.yaml)
		if f := problems.Failures(); len(f) != 1 || f[0].Key != c.key || !strings.Contains(f[0].String(), c.text) {
			t.Errorf("%s: %v; want %s … %s", name, f, c.key, c.text)
		}
	}
}

func TestRoutesThatDeserveAWord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ yaml, key, text string }{
		"a password in a later step": {`routes: [{match: "*", via: [mx, "smtp://u:p@h?tls=none"]}]`, "routes[0].via[1]", "clear text"},
		"a password of the fallback": {`delivery: {fallback_smarthost: "smtp://u:p@h?tls=none"}`, FallbackKey, "clear text"},
		"TLS where no exchanger is":  {`routes: [{match: "*", via: "smtp://h", tls: dane}]`, "routes[0].tls", "smart hosts alone"},
	} {
		_, problems := loadYAML(t, c.yaml)
		if w := problems.Warnings(); problems.Err() != nil || !slices.ContainsFunc(w, func(p Problem) bool { return p.Key == c.key && strings.Contains(p.What, c.text) }) {
			t.Errorf("%s: %v; want %s … %s", name, problems, c.key, c.text)
		}
	}
}

func TestSourceThatIsNotOfThisMachine(t *testing.T) {
	t.Parallel()
	load := func(here ...string) Problems {
		var addrs []netip.Addr
		for _, a := range here {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		_, problems := Load(LoadOptions{File: "p.yaml", Hostname: "mail.example.com", Addresses: addrs, ReadFile: files(map[string]string{
			"p.yaml": `sources: [{name: news, address: [192.0.2.10, "2001:db8::10"], helo: news.example.com}]`,
		})})
		return problems
	}
	if p := load(); len(p) != 0 {
		t.Errorf("with addresses unknown: %v", p)
	}
	if p := load("127.0.0.1", "192.0.2.10", "2001:db8::10"); len(p) != 0 {
		t.Errorf("with both here: %v", p)
	}
	p := load("127.0.0.1", "192.0.2.10", "192.0.2.11")
	if len(p) != 1 || p.Err() != nil || !strings.Contains(p[0].What, "2001:db8::10 is not an address of this machine") || !strings.HasSuffix(p[0].Fix, "192.0.2.10 192.0.2.11") {
		t.Errorf("with one missing: %v", p)
	}
}
