package dkim

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxCandidates bounds the look-ups that one From domain can cause: its
// labels are the sender's to choose.
const maxCandidates = 8

// normalDomain returns the domain in lower case and A-labels, as it stands in
// d= and in the DNS.
func normalDomain(domain string) (string, error) {
	s := strings.TrimSuffix(domain, ".")
	if s == "" || len(s) > 253 {
		return "", fmt.Errorf("domain %q: empty or too long", domain)
	}
	// Names under which hosts really send, such as a_b.example.com, fail the
	// stricter registration rules of IDNA; nothing is gained by refusing them.
	if !isASCII(s) {
		ascii, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", fmt.Errorf("domain %q: %w", domain, err)
		}
		s = ascii
	}
	s = strings.ToLower(s)
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notHostOctet) {
			return "", fmt.Errorf("domain %q: not a host name", domain)
		}
	}
	return s, nil
}

func notHostOctet(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// candidates lists the domains whose keys may sign for a From domain so that
// DMARC finds them aligned (RFC 7489 §3.1.1, relaxed): the domain itself, then
// its parents up to the organisational domain and never above. The domain is
// in normal form.
func candidates(domain string) []string {
	list := []string{domain}
	organisational, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil { // a public suffix itself, or a name of one label
		return list
	}
	for domain != organisational {
		_, domain, _ = strings.Cut(domain, ".")
		if len(list) < maxCandidates-1 || domain == organisational {
			list = append(list, domain)
		}
	}
	return list
}

// publishable reports whether the record of a key for domain could be in the
// public DNS, by its form: addresses and names of one label have none.
func publishable(domain string) bool {
	_, err := netip.ParseAddr(domain)
	return err != nil && strings.Contains(domain, ".")
}

// organisationalDomain returns the zone in which an operator most likely
// publishes the record of a key for domain.
func organisationalDomain(domain string) string {
	all := candidates(domain)
	return all[len(all)-1]
}
