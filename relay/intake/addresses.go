package intake

import (
	"strings"

	"postrider/queue"
)

// Addresses is a set of addresses, such as the allowed senders. The zero value
// holds all.
type Addresses struct {
	patterns []addressPattern
	and      *Addresses // must hold it too
}

type addressPattern struct {
	local  string // empty: any
	domain string // folded
	below  bool   // all subdomains, not the domain itself
}

// ParseAddresses reads patterns: `example.com` and `*@example.com` stand for
// every local-part, `*.example.com` for every subdomain, `shop@example.com` for
// one address, `*` for everything. No pattern at all is everything too.
func ParseAddresses(patterns []string) (Addresses, error) {
	var s Addresses
	for _, p := range patterns {
		if p == "*" {
			return Addresses{}, nil
		}
		pat, err := parsePattern(p)
		if err != nil {
			return Addresses{}, err
		}
		s.patterns = append(s.patterns, pat)
	}
	return s, nil
}

func parsePattern(p string) (addressPattern, error) {
	local, domain, ok := cutLast(p, '@')
	if !ok {
		local, domain = "", p
	}
	if local == "*" {
		local = ""
	}
	domain, below := strings.CutPrefix(strings.ToLower(domain), "*.")
	probe := local
	if probe == "" {
		probe = "x"
	}
	if _, err := queue.ParseAddress(probe + "@" + domain); err != nil {
		return addressPattern{}, err
	}
	return addressPattern{local: local, domain: domain, below: below}, nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// And returns the addresses that are in both sets.
func (s Addresses) And(other Addresses) Addresses {
	switch {
	case other.Any():
		return s
	case s.Any():
		return other
	case s.and != nil:
		other = s.and.And(other)
	}
	s.and = &other
	return s
}

// Any reports whether every address is in the set.
func (s Addresses) Any() bool { return len(s.patterns) == 0 }

// Allow reports whether a is in the set.
func (s Addresses) Allow(a queue.Address) bool {
	if s.Any() {
		return true
	}
	return s.match(a) && (s.and == nil || s.and.Allow(a))
}

// AllowDomain reports whether some address of the domain may be in the set.
func (s Addresses) AllowDomain(domain string) bool {
	if s.Any() {
		return true
	}
	domain = strings.ToLower(domain)
	for _, p := range s.patterns {
		if p.covers(domain) {
			return s.and == nil || s.and.AllowDomain(domain)
		}
	}
	return false
}

// Patterns returns what ParseAddresses reads, none for everything. Of sets of
// which an address must be in all it returns those of the last, the narrowest as
// a rule.
func (s Addresses) Patterns() (list []string) {
	if s.and != nil {
		return s.and.Patterns()
	}
	for _, p := range s.patterns {
		text := p.domain
		if p.below {
			text = "*." + text
		}
		if p.local != "" {
			text = p.local + "@" + text
		}
		list = append(list, text)
	}
	return list
}

// covers reports whether a domain in small letters is that of the pattern.
func (p addressPattern) covers(domain string) bool {
	if p.below {
		return strings.HasSuffix(domain, "."+p.domain)
	}
	return domain == p.domain
}

func (s Addresses) match(a queue.Address) bool {
	domain := strings.ToLower(a.Domain)
	for _, p := range s.patterns {
		if p.local != "" && !strings.EqualFold(p.local, a.Local) {
			continue
		}
		if p.covers(domain) {
			return true
		}
	}
	return false
}

// Default proposes a sender of the set: its first full address, else noreply at
// its first domain, else none.
func (s Addresses) Default() queue.Address {
	for _, p := range s.patterns {
		if p.local != "" && !p.below {
			return queue.Address{Local: p.local, Domain: p.domain}
		}
	}
	for _, p := range s.patterns {
		if !p.below {
			return queue.Address{Local: "noreply", Domain: p.domain}
		}
	}
	return queue.Address{}
}
