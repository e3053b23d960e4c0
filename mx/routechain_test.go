package mx_test

import (
	"testing"

	"postrider/mx"
)

func TestRouteBySenderAndAccount(t *testing.T) {
	t.Parallel()
	via := smart(t, "smtp://relay.example")
	to := func(id string) mx.Route { return mx.Route{ID: id, Hosts: via} }
	routes, err := mx.NewRoutes([]mx.Rule{
		{Pattern: "partner.example", Sender: "shop.example", Route: to("partner of shop")},
		{Pattern: "*.partner.example", Account: "erp", Route: to("partners of erp")},
		{Pattern: "partner.example", Route: to("partner")},
		{Pattern: "*", Sender: "News.Example", Account: "erp", Route: to("news of erp")},
		{Pattern: "*", Sender: "news.example", Route: to("news")},
		{Pattern: "*", Sender: "*.news.example", Route: to("below news")},
		{Pattern: "*", Sender: "bücher.example", Route: to("idn")},
		{Pattern: "*", Sender: "*", Account: "erp", Route: to("erp")},
		{Pattern: "*", Route: to("rest")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ account, sender, domain, want string }{
		{"any", "shop.example", "partner.example", "partner of shop"},
		{"any", "SHOP.example.", "Partner.Example.", "partner of shop"},
		{"any", "other.example", "partner.example", "partner"},
		{"any", "", "partner.example", "partner"},
		{"erp", "other.example", "a.partner.example", "partners of erp"},
		{"any", "other.example", "a.partner.example", "rest"},
		{"erp", "news.example", "gmail.com", "news of erp"},
		{"any", "news.example", "gmail.com", "news"},
		{"any", "a.b.news.example", "gmail.com", "below news"},
		{"any", "badnews.example", "gmail.com", "rest"},
		{"any", "xn--bcher-kva.example", "gmail.com", "idn"},
		{"erp", "other.example", "gmail.com", "erp"},
		{"erp", "not a domain", "not a domain", "erp"},
		{"ERP", "other.example", "gmail.com", "rest"},
		{"", "", "", "rest"},
	} {
		if got := routes.Find(mx.Mail{Account: c.account, Sender: c.sender, Domain: c.domain}).Route(0).ID; got != c.want {
			t.Errorf("account %q, sender %q, domain %q: %q; want %q", c.account, c.sender, c.domain, got, c.want)
		}
	}
	if _, err := mx.NewRoutes([]mx.Rule{{Pattern: "*", Sender: "a b"}}); err == nil {
		t.Error("a sender that is no domain was taken")
	}
}

// chainOf makes a chain of one rule for all mail.
func chainOf(t testing.TB, r mx.Rule) mx.Chain {
	t.Helper()
	r.Pattern = "*"
	routes, err := mx.NewRoutes([]mx.Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	return routes.Find(mx.Mail{Domain: "example.com"})
}

func TestLanesTellTheNextHops(t *testing.T) {
	t.Parallel()
	via := smart(t, "smtp://relay.example")
	plain := chainOf(t, mx.Rule{Then: []mx.Step{{Route: mx.Route{Hosts: via}, After: 1}}})
	sourced := chainOf(t, mx.Rule{Source: "news", Then: []mx.Step{{Route: mx.Route{Hosts: via}, After: 1}}})
	for _, c := range []struct {
		chain mx.Chain
		step  int
		want  string
	}{
		{mx.Chain{}, 0, "example.com"},
		{plain, 0, "example.com"},
		{plain, 1, "via:relay.example:587"},
		{sourced, 0, "example.com@news"},
		{sourced, 1, "via:relay.example:587@news"},
	} {
		if got := c.chain.Lane(c.step, "Example.COM."); got != c.want {
			t.Errorf("step %d: lane %q, want %q", c.step, got, c.want)
		}
	}
	if got := (mx.Chain{}).Lane(0, "Not A Domain"); got != "not a domain" {
		t.Errorf("lane %q", got)
	}
}

func TestStepOfARecipient(t *testing.T) {
	t.Parallel()
	one, two := smart(t, "smtp://one.example"), smart(t, "smtp://two.example")
	const mxLane, oneLane, twoLane = "example.com", "via:one.example:587", "via:two.example:587"
	const mxSite, oneSite, twoSite = "google.com", "route:via:one.example:587", "route:via:two.example:587"
	c := chainOf(t, mx.Rule{Then: []mx.Step{
		{Route: mx.Route{Hosts: one}, After: 3, Classes: []string{"block.*", "auth.ptr"}, Blocked: true},
		{Route: mx.Route{Hosts: two}, After: 6, Classes: []string{"route.*", "block.ip"}},
	}})
	for _, v := range []struct {
		name    string
		p       mx.Progress
		blocked bool
		want    int
	}{
		{"new", mx.Progress{}, false, 0},
		{"new while port 25 is blocked", mx.Progress{}, true, 1},
		{"two attempts", mx.Progress{Lane: mxLane, Attempts: 2, Site: mxSite, Class: "greylist"}, false, 0},
		{"three attempts", mx.Progress{Lane: mxLane, Attempts: 3, Site: mxSite, Class: "greylist"}, false, 1},
		{"attempts that found no site count too", mx.Progress{Lane: mxLane, Attempts: 3, Class: "dns.temp"}, false, 1},
		{"seven attempts pass over a step", mx.Progress{Lane: mxLane, Attempts: 7, Site: mxSite, Class: "greylist"}, false, 2},
		{"class by prefix", mx.Progress{Lane: mxLane, Attempts: 1, Site: mxSite, Class: "block.ip"}, false, 1},
		{"class by name", mx.Progress{Lane: mxLane, Attempts: 1, Site: mxSite, Class: "auth.ptr"}, false, 1},
		{"another class", mx.Progress{Lane: mxLane, Attempts: 1, Site: mxSite, Class: "auth.spf"}, false, 0},
		{"the class was of the step before", mx.Progress{Lane: oneLane, Attempts: 1, Site: mxSite, Class: "block.ip"}, false, 1},
		{"the class is of this step", mx.Progress{Lane: oneLane, Attempts: 2, Site: oneSite, Class: "block.ip"}, false, 2},
		{"a class of the first step does not lead back", mx.Progress{Lane: oneLane, Attempts: 2, Site: oneSite, Class: "auth.spf"}, false, 1},
		{"no way back when port 25 is open again", mx.Progress{Lane: oneLane, Attempts: 1, Site: oneSite, Class: "greylist"}, false, 1},
		{"the last step is the last", mx.Progress{Lane: twoLane, Attempts: 90, Site: twoSite, Class: "block.ip"}, true, 2},
		{"in doubt", mx.Progress{Lane: mxLane, Attempts: 5, Site: mxSite, Class: "block.ip", InDoubt: true}, false, 0},
		{"in doubt and blocked", mx.Progress{Lane: mxLane, Attempts: 5, Site: mxSite, InDoubt: true}, true, 1},
		{"set aside after an attempt at the smart host", mx.Progress{Lane: "suspended/sus_1", Attempts: 1, Site: oneSite, Class: "greylist"}, false, 1},
		{"set aside when its class had led on", mx.Progress{Lane: "suspended/sus_1", Attempts: 1, Site: mxSite, Class: "block.ip"}, false, 1},
		{"a route that is gone", mx.Progress{Lane: "via:gone.example:587", Attempts: 1, Site: "route:via:gone.example:587", Class: "block.ip"}, false, 0},
	} {
		if got := c.Step("example.com", v.p, v.blocked); got != v.want {
			t.Errorf("%s: step %d, want %d", v.name, got, v.want)
		}
	}
	for class, want := range map[string]bool{"block.ip": true, "auth.ptr": true, "rcpt.unknown": false, "": false} {
		if next, ok := c.Rescue(0, class); ok != want || next != 1 {
			t.Errorf("class %q leads to %d, %v", class, next, ok)
		}
	}
	if _, ok := c.Rescue(2, "block.ip"); ok {
		t.Error("something follows the last step")
	}
	if at := (mx.Chain{}).Step("example.com", mx.Progress{Lane: "example.com", Attempts: 9, Site: mxSite, Class: "block.ip"}, true); at != 0 {
		t.Errorf("step %d without a route", at)
	}
}

func TestChainsThatCannotBe(t *testing.T) {
	t.Parallel()
	one := mx.Route{Hosts: smart(t, "smtp://one.example")}
	for name, r := range map[string]mx.Rule{
		"mx twice":                   {Then: []mx.Step{{After: 1}}},
		"a smart host twice":         {Route: one, Then: []mx.Step{{Route: one, After: 1}}},
		"nothing leads to a step":    {Then: []mx.Step{{Route: one}}},
		"a class that is none":       {Then: []mx.Step{{Route: one, Classes: []string{"block*"}}}},
		"an empty class":             {Then: []mx.Step{{Route: one, Classes: []string{""}}}},
		"a source that splits lanes": {Route: one, Source: "a@b"},
	} {
		r.Pattern = "*"
		if _, err := mx.NewRoutes([]mx.Rule{r}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// The step grows with attempts and never leaves the chain, whatever else is
// known.
func FuzzStep(f *testing.F) {
	f.Add("example.com", "google.com", "block.ip", 2, true, false)
	f.Add("via:one.example:587", "route:via:one.example:587", "route.bad", 4, false, true)
	c := chainOf(f, mx.Rule{Source: "", Then: []mx.Step{
		{Route: mx.Route{Hosts: smart(f, "smtp://one.example")}, After: 3, Classes: []string{"block.*"}, Blocked: true},
		{Route: mx.Route{Hosts: smart(f, "smtp://two.example")}, Classes: []string{"*"}},
	}})
	f.Fuzz(func(t *testing.T, lane, site, class string, attempts int, blocked, doubt bool) {
		p := mx.Progress{Lane: lane, Site: site, Class: class, Attempts: attempts & 0xff, InDoubt: doubt}
		at := c.Step("example.com", p, blocked)
		if at < 0 || at >= c.Len() {
			t.Fatalf("step %d of %d", at, c.Len())
		}
		p.Lane, p.Attempts = c.Lane(at, "example.com"), p.Attempts+1
		if next := c.Step("example.com", p, blocked); next < at {
			t.Fatalf("it went from step %d back to %d", at, next)
		}
	})
}
