package mtasts

import (
	"strings"
	"time"
)

// Mode is what a policy asks for.
type Mode string

// The modes of a [Policy].
const (
	None    Mode = "none"    // no policy, or one that asks for nothing
	Testing Mode = "testing" // failures are reported, and mail goes on
	Enforce Mode = "enforce" // hosts that fail may not be used
)

// The failures of RFC 8460 §4.3.2.2, in [Policy.Fault].
const (
	FaultFetch   = "sts-policy-fetch-error" // the policy cannot be fetched
	FaultInvalid = "sts-policy-invalid"     // the record or the policy cannot be read
	FaultWebPKI  = "sts-webpki-invalid"     // the policy host has no valid certificate
)

// Policy is what is known of a domain. The zero value but for Mode [None] is
// that of a domain without one.
type Policy struct {
	Mode    Mode
	Hosts   []string // patterns for [Policy.Matches]; shared: not to be changed
	ID      string   // of the TXT record the policy was fetched for
	Expires time.Time
	// Fault is the failure of RFC 8460 that the last attempt to fetch ended
	// with, or "". The policy may still be an older one.
	Fault string
}

// Matches reports whether the policy allows a mail host (RFC 8461 §4.1). A
// policy in mode [None] allows every one.
func (p *Policy) Matches(host string) bool {
	if p.Mode == None || p.Mode == "" {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, deep := strings.Cut(host, ".")
	for _, pattern := range p.Hosts {
		if suffix, wild := strings.CutPrefix(pattern, "*."); wild {
			// The wildcard stands for exactly one label.
			if deep && len(parent) < len(host)-1 && suffix == parent {
				return true
			}
		} else if pattern == host {
			return true
		}
	}
	return false
}
