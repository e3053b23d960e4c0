package doctor

import (
	"net/netip"
	"slices"
	"testing"
)

func TestParseSPF(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"v=spf1", "v=spf1 -all", "V=SPF1 A MX ~ALL", "v=spf1 a:x.test/24//64 mx/24 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
		"v=spf1 include:_spf.x.test exists:%{i}._spf.%{d2} redirect=x.test", "v=spf1 unknown=ok exp=why.%{d} ?all", "v=spf1 a//64 ptr ptr:x.test  +all",
	} {
		if _, err := parseSPF(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "v=spf10 -all", "spf1 -all", "v=spf1 ipv4:192.0.2.1", "v=spf1 ip4:192.0.2.256", "v=spf1 ip4:192.0.2.0/33", "v=spf1 ip4:2001:db8::1", "v=spf1 ip6:192.0.2.1",
		"v=spf1 all:x", "v=spf1 include:", "v=spf1 include:x", "v=spf1 a:/24", "v=spf1 a/33", "v=spf1 a/024", "v=spf1 redirect=", "v=spf1 redirect=a.test redirect=b.test",
		"v=spf1 1x=y", "v=spf1 -", "v=spf1 ip4", "v=spf1 foo -all",
	} {
		if _, err := parseSPF(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestMergeSPF(t *testing.T) {
	t.Parallel()
	ours := []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")}
	for was, want := range map[string]string{
		"":                               "v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 ~all",
		"v=spf1 -all":                    "v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 -all",
		"v=spf1 include:x.test ?all":     "v=spf1 include:x.test ip4:203.0.113.7 ip6:2001:db8::7 ?all",
		"v=spf1 mx":                      "v=spf1 mx ip4:203.0.113.7 ip6:2001:db8::7 ~all",
		"v=spf1 redirect=x.test":         "v=spf1 ip4:203.0.113.7 ip6:2001:db8::7 redirect=x.test",
		"v=spf1 ip4:203.0.113.0/24 -ALL": "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::7 -ALL",
		"v=spf1 -ip4:203.0.113.7 ~all":   "v=spf1 -ip4:203.0.113.7 ip4:203.0.113.7 ip6:2001:db8::7 ~all",
	} {
		if got := mergeSPF(was, ours); got != want {
			t.Errorf("%q became\n%s, want\n%s", was, got, want)
		}
	}
}

func FuzzSPF(f *testing.F) {
	for _, s := range []string{"v=spf1 -all", "v=spf1 a:x.test/24//64 include:b.test redirect=%{d} ip6:::/0 ~all", "v=spf1 ip4:203.0.113.7", "v=spf1  mx  ", "v=spf1 all all"} {
		f.Add(s)
	}
	addr := netip.MustParseAddr("203.0.113.7")
	f.Fuzz(func(t *testing.T, text string) {
		terms, err := parseSPF(text)
		merged := mergeSPF(text, []netip.Addr{addr})
		if err != nil {
			return
		}
		// What was good stays good, keeps every word, and does not grow again.
		again, err := parseSPF(merged)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, merged, err)
		}
		for _, term := range terms {
			if !slices.ContainsFunc(again, func(o spfTerm) bool { return o.text == term.text }) {
				t.Fatalf("%q lost %q: %q", text, term.text, merged)
			}
		}
		if !endsInAll(again) {
			t.Fatalf("%q has no end", merged)
		}
		if covers(again, addr) && mergeSPF(merged, []netip.Addr{addr}) != merged {
			t.Fatalf("%q grows again: %q", merged, mergeSPF(merged, []netip.Addr{addr}))
		}
	})
}
