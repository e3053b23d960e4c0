package outbound

import (
	"slices"
	"strings"

	"postrider/queue"
)

// oneDomain leaves those recipients whose domains may be in one transaction: a
// route carries mail for many, and some servers take one at a time.
func (d *delivery) oneDomain(s *session, fit []int) []int {
	limit := d.limits.DomainsPerTransaction
	if s.oneDomain {
		limit = 1
	}
	if limit == 0 {
		return fit
	}
	return d.ofDomains(nil, limit, fit)
}

// withinDomains leaves those recipients whose domains the peer takes on this
// connection (RFC 9422, RCPTDOMAINMAX).
func (d *delivery) withinDomains(s *session, fit []int) []int {
	if s.caps.domainMax == 0 {
		return fit
	}
	return d.ofDomains(s.domains, s.caps.domainMax, fit)
}

// ofDomains picks the recipients of known domains, and of others as long as there
// are no more than limit in all.
func (d *delivery) ofDomains(known []string, limit int, fit []int) []int {
	known = slices.Clip(known)
	var out []int
	for _, i := range fit {
		domain := d.domain(i)
		if !slices.Contains(known, domain) {
			if len(known) >= limit {
				continue
			}
			known = append(known, domain)
		}
		out = append(out, i)
	}
	return out
}

func (d *delivery) domain(i int) string { return strings.ToLower(d.tx.Recipients[i].Address.Domain) }

// meet remembers the domains of recipients for a peer that limits them.
func (s *session) meet(d *delivery, rcpts []int) {
	if s.caps.domainMax == 0 {
		return
	}
	for _, i := range rcpts {
		if domain := d.domain(i); !slices.Contains(s.domains, domain) {
			s.domains = append(s.domains, domain)
		}
	}
}

// tooManyDomains reports a refusal of a recipient because the domain of those
// before is another; Google's servers do so. From then on the session has one
// domain in a transaction.
func (x *exchange) tooManyDomains(i int, r queue.Reply) bool {
	if !r.Temporary() || !strings.Contains(strings.ToLower(r.Text), "multiple destination domains") {
		return false
	}
	x.s.oneDomain = slices.ContainsFunc(x.accepted, func(k int) bool { return x.d.domain(k) != x.d.domain(i) })
	return x.s.oneDomain
}
