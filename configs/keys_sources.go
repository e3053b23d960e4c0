package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func sourceFields() []field[Source] {
	return []field[Source]{
		one(Key{Path: "name", Example: "news", Doc: "What routes call it."},
			func(s *Source) *string { return &s.Name }, sourceNameKind()),
		many(Key{Path: "address", Example: `["192.0.2.10", "2001:db8::10"]`,
			Doc: "Address that connections are made from, one of IPv4, one of IPv6, or both. With one alone, receivers are reached over that family only."},
			func(s *Source) *[]netip.Addr { return &s.Addresses }, boundKind("addresses", parseSourceAddress)),
		one(Key{Path: "helo", Example: "news.example.com", Default: "hostname",
			Doc: "Name for EHLO. It should resolve to the address, and the address back to it."},
			func(s *Source) *string { return &s.HELO }, textual("host name", parseHostname)),
	}
}

func sourcesSection() section {
	return section{"sources", "Addresses that mail leaves from. A route names one with `source`; all other mail leaves from the address that the system chooses, with `hostname`. Limits of a provider are kept for each source apart.", []field[Config]{{
		Key: Key{Path: "sources", Type: "list of sources", Doc: "Addresses of this machine, each with a name in EHLO.", Default: "the system's choice"},
		set: func(c *Config, g given) []fault {
			if g.node == nil {
				return []fault{{what: "can only be written in the file", fix: "write it there"}}
			}
			sources, faults := elements(g.node, sourceFields(), []string{"name", "address"})
			seen := make(map[string]bool)
			for _, s := range sources {
				if seen[s.Name] && s.Name != "" {
					faults = append(faults, fault{what: fmt.Sprintf("there are two sources named %q", s.Name), fix: "rename or remove one"})
				}
				seen[s.Name] = true
			}
			if len(faults) == 0 {
				c.Sources = sources
			}
			return faults
		},
		show: func(c *Config) string {
			var parts []string
			for _, s := range c.Sources {
				parts = append(parts, s.String())
			}
			return strings.Join(parts, ",")
		},
	}}}
}

// sourceNameKind is what a source may be called.
func sourceNameKind() kind[string] {
	return textual("name", func(s string) (string, error) {
		bad := strings.IndexFunc(s, func(r rune) bool { return !isLetter(r) && !isDigit(r) && !strings.ContainsRune("._-", r) })
		if s == "" || len(s) > 60 || bad >= 0 {
			return "", wrong("use letters, digits and . _ -, at most 60 of them", "%q is not the name of a source", s)
		}
		return strings.ToLower(s), nil
	})
}

func parseSourceAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, wrong("write an address of this machine, such as 192.0.2.10", "%q is not an address to send from", s)
	}
	return a.Unmap(), nil
}

// String is the source in one line.
func (s Source) String() string {
	text := s.Name + "=" + joined(s.Addresses)
	if s.HELO != "" {
		text += " as " + s.HELO
	}
	return text
}

func joined(addrs []netip.Addr) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " ")
}

// checkSources looks at each source's addresses, and warns of those that this
// machine does not have now: a floating one may come.
func (l *loader) checkSources() {
	for i, s := range l.cfg.Sources {
		if l.anyBroken("sources") {
			return
		}
		key := fmt.Sprintf("sources[%d].address", i)
		four, six := 0, 0
		for _, a := range s.Addresses {
			if a.Is4() {
				four++
			} else {
				six++
			}
			if len(l.Addresses) > 0 && !a.IsLoopback() && !slices.Contains(l.Addresses, a) {
				l.problems = append(l.problems, Problem{Severity: Warning, Key: key, Source: l.cfg.Origin("sources"),
					What: fmt.Sprintf("%s is not an address of this machine: mail of source %s waits until it is", a, s.Name),
					Fix:  "give it to an interface (ip addr add), or name one of " + joined(global(l.Addresses))})
			}
		}
		if four > 1 || six > 1 || four+six == 0 {
			l.fail(key, l.cfg.Origin("sources"), "source "+s.Name+" has not one address of either family", "name one of IPv4, one of IPv6, or both; make further sources for further ones")
		}
		if six > 0 && four == 0 && l.cfg.Delivery.IPv6 == IPv6Off {
			l.fail(key, l.cfg.Origin("sources"), "source "+s.Name+" has IPv6 only, and delivery.ipv6 is off", "turn that on, or add an IPv4 address")
		}
	}
}

// global leaves out the addresses that are good on one link only, unless there
// are no others.
func global(all []netip.Addr) []netip.Addr {
	some := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a.IsLinkLocalUnicast() })
	if len(some) == 0 {
		return all
	}
	return some
}
