package intake

import (
	"strings"
	"testing"

	"postrider/queue"
)

func TestAnIntersectionHoldsWhatIsInAll(t *testing.T) {
	t.Parallel()
	a, b, c := mustSenders(t, "example.com", "example.org"), mustSenders(t, "example.org", "example.net"), mustSenders(t, "*.example.org", "bob@example.org")
	for name, s := range map[string]struct {
		set     Addresses
		yes, no string
	}{
		"of two":           {a.And(b), "x@example.org", "x@example.com"},
		"of three":         {a.And(b).And(c), "bob@example.org", "x@example.org"},
		"nested":           {a.And(b.And(c)), "bob@example.org", "x@example.org"},
		"with everything":  {a.And(Addresses{}), "x@example.com", "x@example.net"},
		"everything with":  {Addresses{}.And(a), "x@example.com", "x@example.net"},
		"left as it was":   {a, "x@example.com", "x@example.net"},
		"of nothing alike": {a.And(mustSenders(t, "other.example")).And(b), "", "x@example.org"},
	} {
		if s.yes != "" && !s.set.Allow(mustAddress(t, s.yes)) || s.set.Allow(mustAddress(t, s.no)) {
			t.Errorf("%s: %s %v, %s %v", name, s.yes, !s.set.Allow(mustAddress(t, s.yes)), s.no, s.set.Allow(mustAddress(t, s.no)))
		}
	}
}

func TestASetTellsItsPatternsAndDomains(t *testing.T) {
	t.Parallel()
	s := mustSenders(t, "Example.com", "*.example.org", "*@example.net", "bob@one.example")
	if got := strings.Join(s.Patterns(), " "); got != "example.com *.example.org example.net bob@one.example" {
		t.Errorf("patterns are %s", got)
	}
	both := s.And(mustSenders(t, "one.example", "two.example"))
	if got := strings.Join(both.Patterns(), " "); got != "one.example two.example" {
		t.Errorf("patterns of both are %s", got)
	}
	for domain, want := range map[string]bool{"EXAMPLE.com": true, "example.org": false, "a.example.org": true, "one.example": true, "two.example": false} {
		if s.AllowDomain(domain) != want || both.AllowDomain(domain) != (domain == "one.example") || !(Addresses{}).AllowDomain(domain) {
			t.Errorf("%s: %v, of both %v", domain, s.AllowDomain(domain), both.AllowDomain(domain))
		}
	}
}

func FuzzParseAddresses(f *testing.F) {
	for _, p := range []string{"*", "example.com", "*.example.com", "*@example.com", "shop@example.com", "@", "a@b@c", "*.*", "", "x@*.example.com"} {
		f.Add(p, "shop@example.com")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		s, err := ParseAddresses([]string{pattern})
		if err != nil {
			return
		}
		if s.Any() != (pattern == "*") {
			t.Fatalf("%q lets everything through", pattern)
		}
		a, err := queue.ParseAddress(text)
		if err != nil {
			return
		}
		if s.And(s).Allow(a) != s.Allow(a) {
			t.Fatalf("%q and itself differ for %q", pattern, text)
		}
		if d := s.Default(); !d.IsNull() && !s.Allow(d) {
			t.Fatalf("%q proposes %q, which it does not allow", pattern, d)
		}
	})
}
