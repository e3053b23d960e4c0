package mx_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mx"
	"postrider/mx/dnssim"
)

func TestParseSmartHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, want, user, password string }{
		{"smtp://relay.example", "smtp://relay.example:587?tls=opportunistic", "", ""},
		{"SMTP://Relay.Example./", "smtp://relay.example:587?tls=opportunistic", "", ""},
		{"smtp://relay.example:25?tls=none", "smtp://relay.example:25?tls=none", "", ""},
		{"smtps://relay.example", "smtps://relay.example:465?tls=required", "", ""},
		{"smtp://u:p@relay.example", "smtp://***@relay.example:587?tls=required", "u", "p"},
		{"smtp://u:p@relay.example?tls=opportunistic", "smtp://***@relay.example:587?tls=opportunistic", "u", "p"},
		{"smtp://u:p@localhost:2525", "smtp://***@localhost:2525?tls=opportunistic", "u", "p"},
		{"smtp://u:p@127.0.0.1:2525", "smtp://***@127.0.0.1:2525?tls=opportunistic", "u", "p"},
		{"smtp://me%40example.com:a%2Fb%23c%3Ad%25@relay.example", "smtp://***@relay.example:587?tls=required", "me@example.com", "a/b#c:d%"},
		{"smtp://me@example.com:p@ss@relay.example", "smtp://***@relay.example:587?tls=required", "me@example.com", "p@ss"},
		{"smtps://u:p@[2001:db8::1]:4650", "smtps://***@[2001:db8::1]:4650?tls=required", "u", "p"},
		{"smtp://mailpit:1025", "smtp://mailpit:1025?tls=opportunistic", "", ""},
		{"smtp://bücher.example", "smtp://xn--bcher-kva.example:587?tls=opportunistic", "", ""},
	} {
		h, err := mx.ParseSmartHost(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		user, password := h.Auth.Reveal()
		if h.String() != c.want || user != c.user || password != c.password {
			t.Errorf("%s: %s %q %q; want %s %q %q", c.url, h, user, password, c.want, c.user, c.password)
		}
	}
}

func TestParseSmartHostRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "relay.example", "relay.example:587", "http://relay.example", "smtp://", "smtp://:587", "smtp:relay.example",
		"smtp://s3cret:s3cret@", "smtp://relay.example:0", "smtp://relay.example:65536", "smtp://relay.example:x",
		"smtp://s3cret@relay.example", "smtp://s3cret:@relay.example", "smtp://:s3cret@relay.example",
		"smtp://u:s3cret#x@relay.example", "smtp://u:s3cret/x@relay.example", "smtp://u:s3cret%zz@relay.example",
		"smtp://u:s3cret?x@relay.example", "smtp://u:s3cret\x00@relay.example", "smtp://u:s3cret%00@relay.example",
		"smtp://relay.example/path", "smtp://relay.example?tls=yes", "smtp://relay.example?tls=none&tls=required",
		"smtp://relay.example?x=y", "smtps://relay.example?tls=none", "smtp://a b.example", "smtp://-.example",
		"smtp://0.0.0.0", "smtp://[fe80::1%25eth0]", "smtp://1.2.3",
	} {
		h, err := mx.ParseSmartHost(s)
		if err == nil {
			t.Errorf("%q was taken as %s", s, h)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error tells the secret: %v", s, err)
		}
		if !strings.Contains(err.Error(), "smtp://user:password@host:587") {
			t.Errorf("%q: the error does not say what to write: %v", s, err)
		}
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	t.Parallel()
	h, err := mx.ParseSmartHost("smtps://us3r:s3cret@relay.example")
	if err != nil {
		t.Fatal(err)
	}
	type inner struct{ h mx.SmartHost }
	var out bytes.Buffer
	for _, v := range []any{h, &h, h.Auth, []mx.SmartHost{h}, inner{h}, mx.Route{Hosts: []mx.SmartHost{h}}} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		if b, err := json.Marshal(v); err != nil {
			t.Error(err)
		} else {
			out.Write(b)
		}
	}
	fmt.Fprintf(&out, "%q %d %x", h.Auth, h.Auth, h.Auth)
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "host", h, "auth", h.Auth)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "host", h, "auth", h.Auth)
	for _, secret := range []string{"s3cret", "us3r", fmt.Sprintf("%x", "s3cret")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed: %s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "***") {
		t.Errorf("nothing says that credentials are there: %s", out.String())
	}
}

func smart(t testing.TB, urls ...string) []mx.SmartHost {
	t.Helper()
	var hosts []mx.SmartHost
	for _, u := range urls {
		h, err := mx.ParseSmartHost(u)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	via := smart(t, "smtp://relay.example")
	routes, err := mx.NewRoutes([]mx.Rule{
		{Pattern: "direct.example.com", Route: mx.Route{ID: "by-mx"}},
		{Pattern: "*.example.com", Route: mx.Route{ID: "below", Hosts: via}},
		{Pattern: "a.example.com", Route: mx.Route{ID: "never", Hosts: via}},
		{Pattern: "Example.COM.", Route: mx.Route{ID: "itself", Hosts: via}},
		{Pattern: "bücher.example", Route: mx.Route{ID: "idn", Hosts: via}},
		{Pattern: "first.example.org", Route: mx.Route{ID: "exact first", Hosts: via}},
		{Pattern: "*.example.org", Route: mx.Route{ID: "org", Hosts: via}},
		{Pattern: "[192.0.2.1]", Route: mx.Route{ID: "literal", Hosts: via}},
		{Pattern: "*", Route: mx.Route{ID: "rest", Hosts: via}},
		{Pattern: "late.example", Route: mx.Route{ID: "never", Hosts: via}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for domain, id := range map[string]string{
		"direct.example.com": "", "example.com": "itself", "EXAMPLE.com.": "itself",
		"a.example.com": "below", "b.a.example.com": "below", "badexample.com": "rest",
		"BÜCHER.example": "idn", "xn--bcher-kva.example": "idn",
		"first.example.org": "exact first", "second.example.org": "org", "example.org": "rest",
		"late.example": "rest", "[192.0.2.1]": "literal", "[192.0.2.2]": "rest", "not a domain": "rest", "": "rest",
	} {
		if got := routes.Find(mx.Mail{Domain: domain}).Route(0); got.ID != id || got.ByMX() != (id == "") {
			t.Errorf("%q goes by %q; want %q", domain, got.ID, id)
		}
	}
	var none *mx.Routes
	if c := none.Find(mx.Mail{Domain: "example.com"}); c.Len() != 1 || !c.Route(0).ByMX() {
		t.Error("the nil table has a route")
	}
	for _, bad := range []string{"", "*.", "**", "*example.com", "a.*.com", "*.*.com", "a b", ".example.com", "*.[192.0.2.1]"} {
		if _, err := mx.NewRoutes([]mx.Rule{{Pattern: bad}}); err == nil {
			t.Errorf("pattern %q was taken", bad)
		}
	}
}

func TestRouteIDs(t *testing.T) {
	t.Parallel()
	id := func(urls ...string) string {
		routes, err := mx.NewRoutes([]mx.Rule{{Pattern: "*", Route: mx.Route{Hosts: smart(t, urls...)}}})
		if err != nil {
			t.Fatal(err)
		}
		return routes.Find(mx.Mail{Domain: "x.example"}).Route(0).ID
	}
	if got := id("smtp://relay.example"); got != "via:relay.example:587" {
		t.Errorf("id = %s", got)
	}
	a, b := id("smtp://alice:p1@relay.example"), id("smtp://bob:p1@relay.example")
	if a == b || a != id("smtp://alice:p2@relay.example") || strings.Contains(a, "alice") {
		t.Errorf("ids %s and %s: must differ by user, not by password, and not tell the user", a, b)
	}
}

func TestPlanRoute(t *testing.T) {
	t.Parallel()
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("# comment\n10.1.1.1 filehost FileHost.lan # more\nbroken\n999.1.1.1 x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *mx.Options) { o.HostsFile, o.Search = hosts, []string{"cluster.test", "test"} })
	if err := w.sim.Load("cluster.test", "@ 600 TXT x\nrelay 600 A 10.9.9.9"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, url, addrs string }{
		{"IP address", "smtp://10.0.0.1", "10.0.0.1"},
		{"IPv6 address though that is off", "smtp://[::1]", "::1"},
		{"localhost without a hosts file entry", "smtp://localhost", "127.0.0.1"},
		{"hosts file", "smtp://filehost.lan", "10.1.1.1"},
		{"DNS, private addresses allowed", "smtp://mx.private.test", "10.1.2.3 127.0.0.1"},
		{"our own address", "smtp://mx.mine.test", "8.8.9.9"},
		{"a name with only IPv6", "smtp://mx.six.test", "2a00:1450:4001::6"},
		{"short name, first search suffix", "smtp://relay", "10.9.9.9"},
		{"short name, second search suffix", "smtp://implicit", "8.8.6.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := w.r.PlanRoute(ctx(t), mx.Route{ID: "r", Hosts: smart(t, c.url)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range p.Hosts[0].Addrs {
				got = append(got, a.String())
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.addrs || !p.AllowPrivate || p.Route != "r" || p.Hosts[0].Via == nil || p.Site != "route:r" {
				t.Errorf("plan = %+v; want addresses %s", p, c.addrs)
			}
		})
	}

	two := mx.Route{ID: "two", Hosts: smart(t, "smtp://nothing.test", "smtps://mx1.plain.test", "smtp://10.0.0.1:26")}
	p, err := w.r.PlanRoute(ctx(t), two)
	if err != nil || !slices.Equal(hostNames(p), []string{"mx1.plain.test", "10.0.0.1"}) || p.Hosts[0].Via.Port != 465 || p.Hosts[1].Via.Port != 26 {
		t.Errorf("plan = %+v, %v; want the two hosts that can be found, in order", p, err)
	}

	if err := os.WriteFile(hosts, []byte("10.1.1.2 filehost.lan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(hosts, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(5 * time.Second)
	p, err = w.r.PlanRoute(ctx(t), mx.Route{Hosts: smart(t, "smtp://filehost.lan")})
	if err != nil || p.Hosts[0].Addrs[0] != netip.MustParseAddr("10.1.1.2") {
		t.Errorf("after a change of the hosts file: %+v, %v", p, err)
	}
}

func TestPlanRouteFailuresAreTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mx.Options) { o.Search = []string{"cluster.test", "test"} })
	w.set("servfail.test", "", dnssim.Behavior{Rcode: "SERVFAIL"})
	w.set("plain.cluster.test", "", dnssim.Behavior{Rcode: "SERVFAIL"})
	for name, c := range map[string]struct {
		hosts    []mx.SmartHost
		enhanced string
	}{
		"does not exist":        {smart(t, "smtp://nothing.test"), "4.4.4"},
		"has no address":        {smart(t, "smtp://empty.test"), "4.4.4"},
		"DNS trouble":           {smart(t, "smtp://servfail.test"), "4.4.3"},
		"trouble in the search": {smart(t, "smtp://plain"), "4.4.3"},
		"no hosts":              {nil, "4.4.4"},
	} {
		p, err := w.r.PlanRoute(ctx(t), mx.Route{ID: "r", Hosts: c.hosts})
		if e := wantError(t, p, err); !e.Temporary || e.Enhanced != c.enhanced {
			t.Errorf("%s: %+v; want temporary %s", name, e, c.enhanced)
		}
	}
}
