package doctor

import (
	"slices"
	"strings"
	"testing"
)

func TestParseDMARC(t *testing.T) {
	t.Parallel()
	r, err := parseDMARC("v = DMARC1 ; p=Reject; sp=quarantine;np=none; adkim=s; aspf=r; psd=n; t=y; pct=10; fo=1; zz=1; rua=mailto:a@x.test!10m, https://x.test/r ;")
	if err != nil || len(r.faults) > 0 {
		t.Fatal(err, r.faults)
	}
	if r.policy != "reject" || r.sub != "quarantine" || r.np != "none" || !r.strictDKIM || r.strictSPF || r.psd != "n" || !r.testing {
		t.Errorf("read as %+v", r)
	}
	if !slices.Equal(r.reports, []string{"mailto:a@x.test", "https://x.test/r"}) || !slices.Equal(r.reportHosts(), []string{"x.test"}) || !slices.Equal(r.old, []string{"pct"}) {
		t.Errorf("read as %+v", r)
	}
	for text, usable := range map[string]bool{
		"v=DMARC1": true, "v=DMARC1; p=": false, "v=DMARC1; p=block": false, "v=DMARC1; p=block; rua=mailto:a@x.test": true, "v=DMARC1; p=none; p=reject": true,
	} {
		r, err := parseDMARC(text)
		if err != nil || r.usable() != usable {
			t.Errorf("%q: usable is %v, %v", text, r.usable(), err)
		}
	}
	for _, text := range []string{"", "p=none; v=DMARC1", "v=dmarc1; p=none", "v=DMARC10; p=none", "DMARC1"} {
		if _, err := parseDMARC(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// RFC 9989 §4.10: at most eight questions, whatever a sender writes.
func TestTreeNames(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{
		"com":                       "com",
		"a.example.com":             "a.example.com example.com com",
		"a.b.c.d.e.f.g.h.i.j.k.com": "a.b.c.d.e.f.g.h.i.j.k.com f.g.h.i.j.k.com g.h.i.j.k.com h.i.j.k.com i.j.k.com j.k.com k.com com",
	} {
		if got := strings.Join(treeNames(domain), " "); got != want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
	}
}

func TestOrganisationalDomains(t *testing.T) {
	t.Parallel()
	at := func(domain, text string) dmarcAt {
		r, err := parseDMARC(text)
		if err != nil {
			t.Fatal(err)
		}
		return dmarcAt{domain, r}
	}
	for _, tt := range []struct {
		name, domain string
		found        []dmarcAt
		want         string
	}{
		{"no record", "a.example.com", nil, "a.example.com"},
		{"the highest record", "a.b.example.com", []dmarcAt{at("a.b.example.com", "v=DMARC1"), at("example.com", "v=DMARC1; p=none")}, "example.com"},
		{"one that says so", "a.b.example.com", []dmarcAt{at("b.example.com", "v=DMARC1; psd=n")}, "b.example.com"},
		{"below a public suffix", "a.b.co.test", []dmarcAt{at("co.test", "v=DMARC1; psd=y")}, "b.co.test"},
		{"a public suffix itself", "co.test", []dmarcAt{at("co.test", "v=DMARC1; psd=y")}, "co.test"},
	} {
		if got := organisational(tt.domain, tt.found); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzDMARC(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=none", "v=DMARC1;p=reject;rua=mailto:a@b.test!1m,x", "v=DMARC1; ;=;p", "v\t=\tDMARC1;t=y;psd=u", "v=DMARC1; rua=mailto:%", "v=DMARC1; rua=mailto:a@b;ruf=,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseDMARC(text)
		if isDMARC(text) != (err == nil) && !strings.Contains(text, ";;") && len(strings.Split(text, ";")) <= maxTags {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		_ = r.reportHosts()
		mended := mendedDMARC(dmarcAt{"example.com", r})
		m, err := parseDMARC(mended)
		if err != nil || !m.usable() {
			t.Fatalf("%q was mended to %q: %v", text, mended, err)
		}
		if again := mendedDMARC(dmarcAt{"example.com", m}); again != mended {
			t.Fatalf("%q is mended again to %q", mended, again)
		}
	})
}
