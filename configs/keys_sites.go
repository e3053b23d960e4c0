package configs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Site is how fast mail goes to a provider, or to mail servers below a domain.
// Zero values leave what holds otherwise.
type Site struct {
	Match                 string // name of a provider, or a domain, which has a dot
	Connections           int
	MessagesPerConnection int
	Rate                  SiteRate
	TLS                   SiteTLS
}

// SiteRate is so many messages in a time.
type SiteRate struct {
	Count int
	Per   time.Duration
}

// SiteTLS is what a site asks of connections.
type SiteTLS string

// What a site asks of connections: no mail without TLS, or none if it is not
// offered though the provider's rule would ask for it.
const (
	SiteEncrypt       SiteTLS = "encrypt"
	SiteOpportunistic SiteTLS = "opportunistic"
)

func siteFields() []field[Site] {
	return []field[Site]{
		one(Key{Path: "match", Example: "google",
			Doc: "A provider that is known, such as `google`, `outlook`, `office365`, `yahoo`, `icloud`, `gmx` or `orange`, or the domain of mail servers, such as `mx.example.com`, which stands for all below it too. It counts for a recipient domain only if all its mail servers fit. The more specific domain counts, and before any provider."},
			func(s *Site) *string { return &s.Match }, textual("provider or domain", parseSiteMatch)),
		one(Key{Path: "connections", Example: "5", Default: "of the provider, else delivery.connections_per_site", Doc: "Connections at once, from each source address."},
			func(s *Site) *int { return &s.Connections }, countKind(1, 65536)),
		one(Key{Path: "messages_per_connection", Example: "50", Default: "of the provider, else delivery.messages_per_connection", Doc: "Messages sent over one connection before it is closed."},
			func(s *Site) *int { return &s.MessagesPerConnection }, countKind(1, siteMost)),
		one(Key{Path: "rate", Example: "600/min", Default: "of the provider, else none but what it is found to allow",
			Doc: "Messages in a time, from each source address: a number, a slash, and `s`, `min`, `h` or `d`. Less is sent while the site refuses so many."},
			func(s *Site) *SiteRate { return &s.Rate }, boundKind("rate", parseSiteRate)),
		one(Key{Path: "tls", Example: "encrypt", Default: "of the provider, else delivery.tls",
			Doc: "`encrypt` sends nothing without TLS; `opportunistic` drops what the provider's rule asks."},
			func(s *Site) *SiteTLS { return &s.TLS }, oneOf(SiteEncrypt, SiteOpportunistic)),
	}
}

// siteMost bounds counts of messages.
const siteMost = 1_000_000

func sitesField() field[Config] {
	return field[Config]{
		Key: Key{Path: "delivery.sites", Type: "list of sites", Default: "of each provider that is known", Advanced: true,
			Example: `[{match: google, connections: 3, tls: encrypt}, {match: mx.example.com, messages_per_connection: 20, rate: 600/min}]`,
			Doc:     "How fast mail goes to some receivers. Large providers are known, with what they are found to put up with; what is written here replaces it. Replies of the receivers move the limits below that."},
		set: func(c *Config, g given) []fault {
			if g.node == nil {
				return []fault{{what: "can only be written in the file", fix: "write it there"}}
			}
			sites, faults := elements(g.node, siteFields(), []string{"match"})
			seen := make(map[string]bool)
			for i, s := range sites {
				if s.Match != "" && seen[s.Match] {
					faults = append(faults, fault{what: "there are two sites for " + s.Match, fix: "keep one"})
				}
				seen[s.Match] = true
				if s == (Site{Match: s.Match}) && s.Match != "" {
					faults = append(faults, fault{key: fmt.Sprintf("[%d]", i), what: "the site " + s.Match + " has no limit", fix: "add connections, messages_per_connection, rate or tls"})
				}
			}
			if len(faults) == 0 {
				c.Delivery.Sites = sites
			}
			return faults
		},
		show: func(c *Config) string {
			var parts []string
			for _, s := range c.Delivery.Sites {
				parts = append(parts, s.String())
			}
			return strings.Join(parts, ",")
		},
	}
}

// String is the site in one line.
func (s Site) String() string {
	text := s.Match
	if s.Connections > 0 {
		text += " connections=" + strconv.Itoa(s.Connections)
	}
	if s.MessagesPerConnection > 0 {
		text += " messages_per_connection=" + strconv.Itoa(s.MessagesPerConnection)
	}
	if s.Rate.Count > 0 {
		text += " rate=" + s.Rate.String()
	}
	if s.TLS != "" {
		text += " tls=" + string(s.TLS)
	}
	return text
}

// parseSiteMatch accepts a word, or a domain with or without *. before and a dot
// after it.
func parseSiteMatch(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "*"), "."), "."))
	const fix = "write the name of a provider, such as google, or the domain of mail servers, such as mx.example.com"
	if len(name) > 253 {
		return "", wrong(fix, "the name is too long")
	}
	for label := range strings.SplitSeq(name, ".") {
		bad := strings.IndexFunc(label, func(r rune) bool { return !isLetter(r) && !isDigit(r) && r != '-' && r != '_' })
		if label == "" || bad >= 0 {
			return "", wrong(fix, "%q is neither a provider nor a domain", s)
		}
	}
	return name, nil
}

const rateFix = "write it as 10/s, 600/min, 5000/h or 20000/d"

func parseSiteRate(s string) (SiteRate, error) {
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !ok || err != nil || n < 1 || n > siteMost {
		return SiteRate{}, wrong(rateFix, "%q is not a rate", s)
	}
	switch strings.TrimSpace(unit) {
	case "s":
		return SiteRate{n, time.Second}, nil
	case "m", "min":
		return SiteRate{n, time.Minute}, nil
	case "h":
		return SiteRate{n, time.Hour}, nil
	case "d":
		return SiteRate{n, 24 * time.Hour}, nil
	}
	return SiteRate{}, wrong(rateFix, "%q has no unit that is known", s)
}

// String is the rate as it is written.
func (r SiteRate) String() string {
	units := []struct {
		per  time.Duration
		name string
	}{{time.Second, "s"}, {time.Minute, "min"}, {time.Hour, "h"}, {24 * time.Hour, "d"}}
	for _, u := range units {
		if r.Per == u.per {
			return strconv.Itoa(r.Count) + "/" + u.name
		}
	}
	return ""
}
