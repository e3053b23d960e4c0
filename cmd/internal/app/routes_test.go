package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"postrider/configs"
	"postrider/mx"
	"postrider/queue"
)

// Intake and delivery do not write a domain alike; a lane that differed would
// count as a change of route, and delay the message.
func TestEveryWayToWriteADomainIsOneLane(t *testing.T) {
	t.Parallel()
	routes, err := mx.NewRoutes([]mx.Rule{{Pattern: "inside.example", Route: mx.Route{Hosts: []mx.SmartHost{{Host: "10.0.0.1", Port: 25}}}}})
	if err != nil {
		t.Fatal(err)
	}
	find := laneOf(routes, nil, nil)
	lane := func(domain string) queue.Lane { return find("shop", "shop.example", domain) }
	for _, same := range [][]string{
		{"customer.example", "CUSTOMER.Example"}, {"xn--bcher-kva.example", "bücher.example", "BÜCHER.example", "XN--BCHER-KVA.example"},
		{string(lane("inside.example")), "INSIDE.example"}, {"[192.0.2.1]", "[192.0.2.1]"}, {"under_score.example", "Under_Score.example"},
	} {
		for _, domain := range same[1:] {
			if got := lane(domain); got != queue.Lane(same[0]) {
				t.Errorf("%s is in lane %q, want %q", domain, got, same[0])
			}
		}
	}
}

// The configuration names the classes of failure that there are.
func TestRoutesKnowTheClassesOfFailure(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../queue/class.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var classes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if class, err := strconv.Unquote(lit.Value); err == nil && class != "" {
				classes = append(classes, class)
			}
		}
		return true
	})
	// Nothing is tried after these.
	classes = slices.DeleteFunc(classes, func(c string) bool {
		return c == string(queue.ClassRcptSuppressed) || c == string(queue.ClassExpired) || c == string(queue.ClassLocalTemp) || c == string(queue.ClassLocalStaging)
	})
	known := configs.FailureClasses()
	slices.Sort(classes)
	slices.Sort(known)
	if !slices.Equal(known, classes) {
		t.Errorf("configs knows\n%q, queue has\n%q", known, classes)
	}
}

func TestConfiguredStepsBecomeAChain(t *testing.T) {
	t.Parallel()
	text := `
sources: [{name: news, address: [192.0.2.1, "2001:db8::1"], helo: news.example.com}]
routes:
  - {account: news, source: news, tls: dane}
  - {match: "*", via: [mx, {to: "smtp://a.example", when: [block.*, port25]}, {to: "smtp://b.example", after: 5}]}
`
	cfg, problems := configs.Load(configs.LoadOptions{File: "p.yaml", Hostname: "mail.example.com", ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	routes, err := routesOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := routes.Find(mx.Mail{Account: "news", Domain: "example.org"})
	if c.Source != "news" || c.TLS != "dane" || c.Len() != 3 || c.When(1) != "on block.*, or while port 25 is blocked" || c.When(2) != "after 5 attempts" {
		t.Errorf("chain is %+v: %s; %s", c, c.When(1), c.When(2))
	}
	sources := deliverySources(cfg)
	if s := sources["news"]; s.V4.String() != "192.0.2.1" || s.V6.String() != "2001:db8::1" || s.HELO != "news.example.com" {
		t.Errorf("source is %+v", s)
	}
	blocked := laneOf(routes, sources, func(from netip.Addr) bool { return from == sources["news"].V4 })
	for _, v := range []struct {
		account string
		want    queue.Lane
	}{{"news", "via:a.example:587@news"}, {"shop", "example.org"}} {
		if got := blocked(v.account, "", "example.org"); got != v.want {
			t.Errorf("mail of %s is in lane %q, want %q", v.account, got, v.want)
		}
	}
}
