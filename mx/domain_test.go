package mx_test

import (
	"errors"
	"strings"
	"testing"

	"postrider/mx"
)

func TestNormalizeDomain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Example.COM": "example.com", "example.com.": "example.com", "a_b.example": "a_b.example",
		"bücher.example": "xn--bcher-kva.example", "BÜCHER。example": "xn--bcher-kva.example",
		"straße.example":        "xn--strae-oqa.example", // non-transitional: not strasse
		"xn--bcher-kva.example": "xn--bcher-kva.example", "[192.0.2.1]": "[192.0.2.1]",
		"[ipv6:2001:DB8:0::1]": "[IPv6:2001:db8::1]", "localhost": "localhost", "1.com": "1.com",
	} {
		if got, err := mx.NormalizeDomain(in); err != nil || got != want {
			t.Errorf("%q = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "a..b", ".a", "-a.example", "a-.example", "a b.example", "a\x00.example", "a\r\n.example",
		"exa mple.com", "1.2.3.4", "a.1", "[1.2.3.4", "[2001:db8::1]", "[IPv6:1.2.3.4]", "[IPv6:fe80::1%eth0]", "[]",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "aa", "é..", "a\u200dü.example", "\xff.example",
	} {
		got, err := mx.NormalizeDomain(bad)
		var e *mx.Error
		if !errors.As(err, &e) || e.Kind != mx.KindSyntax || e.Temporary {
			t.Errorf("%q = %q, %v; want a syntax error", bad, got, err)
		}
	}
}

func TestNormalDomainsCostNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if _, err := mx.NormalizeDomain("mail.example.com"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

func FuzzNormalizeDomain(f *testing.F) {
	for _, s := range []string{"example.com", "BÜCHER。example.", "[192.0.2.1]", "[IPv6:::ffff:1.2.3.4]", "xn--a", "a..b", "1.2.3.4", "\xff", "é.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := mx.NormalizeDomain(s)
		if err != nil {
			return
		}
		if again, err := mx.NormalizeDomain(d); err != nil || again != d {
			t.Fatalf("%q became %q, and that %q, %v", s, d, again, err)
		}
		if strings.ContainsAny(d, " \t\r\n\x00<>@\"") || len(d) > 253 {
			t.Fatalf("%q became %q", s, d)
		}
	})
}

func FuzzParseSmartHost(f *testing.F) {
	for _, s := range []string{"smtp://u:p@relay.example:25?tls=none", "smtps://[::1]", "smtp://a%40b:c%2f@h", "smtp://h/", "smtp://u:p#@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := mx.ParseSmartHost(s)
		if err != nil {
			return
		}
		if h.Host == "" || h.Port == 0 || h.TLS == "" {
			t.Fatalf("%q: incomplete %+v", s, h)
		}
		bare := h
		bare.Auth = mx.Credentials{}
		again, err := mx.ParseSmartHost(bare.String())
		if err != nil || again != bare {
			t.Fatalf("%q printed as %s, which reads %v, %v", s, bare, again, err)
		}
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add("*.example.com", "a.example.com")
	f.Add("*", "[192.0.2.1]")
	f.Add("bücher.example", "BÜCHER.example.")
	f.Fuzz(func(t *testing.T, pattern, domain string) {
		routes, err := mx.NewRoutes([]mx.Rule{{Pattern: pattern, Route: mx.Route{ID: "r", Hosts: []mx.SmartHost{{Host: "h", Port: 25}}}}})
		if err != nil {
			return
		}
		got := !routes.Find(mx.Mail{Domain: domain}).Route(0).ByMX()
		name, err := mx.NormalizeDomain(domain)
		p := strings.TrimSpace(pattern)
		want := p == "*"
		if rest, ok := strings.CutPrefix(p, "*."); ok && err == nil {
			suffix, _ := mx.NormalizeDomain(rest)
			want = strings.HasSuffix(name, "."+suffix)
		} else if p != "*" && err == nil {
			exact, _ := mx.NormalizeDomain(p)
			want = name == exact
		}
		if got != want {
			t.Fatalf("pattern %q, domain %q: %v; want %v", pattern, domain, got, want)
		}
	})
}
