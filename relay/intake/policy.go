package intake

import (
	"context"
	"strings"

	"postrider/queue"
)

// FromPolicy says what happens to a sender outside an account's domains.
type FromPolicy string

// The From policies.
const (
	FromAccept  FromPolicy = "accept"  // any sender may be used
	FromReject  FromPolicy = "reject"  // others are refused
	FromRewrite FromPolicy = "rewrite" // others move to Reply-To; the account's own takes their place
)

// Policy is what an account may do. It is asked for anew with every message.
type Policy struct {
	Senders       Senders
	From          FromPolicy    // empty: accept
	DefaultSender queue.Address // takes the place of senders that are rewritten
	Disabled      string        // why the account may not send; empty: it may
	HourlyLimit   int           // messages per hour beyond which mail is held; 0: none
}

// Policies knows the accounts. An error is our own trouble, not a refusal;
// queue.ErrNotFound is an account that is gone.
type Policies interface {
	Policy(ctx context.Context, account string) (Policy, error)
}

// Senders is a set of allowed senders. The zero value allows all.
type Senders struct {
	patterns []senderPattern
}

type senderPattern struct {
	local  string // empty: any
	domain string // folded
	below  bool   // all subdomains, not the domain itself
}

// ParseSenders reads patterns: `example.com` and `*@example.com` allow every
// local-part, `*.example.com` every subdomain, `shop@example.com` one address,
// `*` everything.
func ParseSenders(patterns []string) (Senders, error) {
	var s Senders
	for _, p := range patterns {
		if p == "*" {
			return Senders{}, nil
		}
		pat, err := parseSender(p)
		if err != nil {
			return Senders{}, err
		}
		s.patterns = append(s.patterns, pat)
	}
	return s, nil
}

func parseSender(p string) (senderPattern, error) {
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
		return senderPattern{}, err
	}
	return senderPattern{local: local, domain: domain, below: below}, nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// Any reports whether every sender is allowed.
func (s Senders) Any() bool { return len(s.patterns) == 0 }

// Allow reports whether a may be used.
func (s Senders) Allow(a queue.Address) bool {
	if s.Any() {
		return true
	}
	domain := strings.ToLower(a.Domain)
	for _, p := range s.patterns {
		if p.local != "" && !strings.EqualFold(p.local, a.Local) {
			continue
		}
		if !p.below && domain == p.domain || p.below && strings.HasSuffix(domain, "."+p.domain) {
			return true
		}
	}
	return false
}

// Default proposes a sender of the set: its first full address, else noreply at
// its first domain, else none.
func (s Senders) Default() queue.Address {
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

// fromPolicy resolves what is left open.
func (p Policy) fromPolicy() FromPolicy {
	if p.From == "" || p.Senders.Any() {
		return FromAccept
	}
	return p.From
}

func (p Policy) defaultSender() queue.Address {
	if !p.DefaultSender.IsNull() {
		return p.DefaultSender
	}
	return p.Senders.Default()
}
