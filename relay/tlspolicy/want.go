package tlspolicy

import (
	"context"
	"fmt"
	"strings"
)

// Mode names what is asked of a connection. It is recorded as
// queue.Attempt.TLSPolicy, with [RequireTLSSuffix] behind it where the message
// has REQUIRETLS.
type Mode string

// The modes.
const (
	Default       Mode = ""                // of an override: there is none
	None          Mode = "none"            // plain text
	Opportunistic Mode = "opportunistic"   // TLS where it works, whatever the certificate
	Encrypt       Mode = "encrypt"         // TLS, whatever the certificate
	Verify        Mode = "verify"          // TLS with a certificate valid for the host's name
	DANE          Mode = "dane"            // TLS with a certificate that matches the host's TLSA records
	DANEUnusable  Mode = "dane-unusable"   // TLS, whatever the certificate: no TLSA record can be matched
	MTASTS        Mode = "mta-sts"         // as verify, for a host of the domain's policy
	MTASTSTesting Mode = "mta-sts-testing" // as opportunistic; what mta-sts would refuse is recorded
)

// RequireTLSSuffix is behind the mode in queue.Attempt.TLSPolicy of messages with
// REQUIRETLS.
const RequireTLSSuffix = "+requiretls"

// ParseOverride reads the mode that an operator gives to a route: none,
// opportunistic, encrypt, verify, dane, or nothing.
func ParseOverride(s string) (Mode, error) {
	switch m := Mode(strings.ToLower(strings.TrimSpace(s))); m {
	case Default, None, Opportunistic, Encrypt, Verify, DANE:
		return m, nil
	}
	return Default, fmt.Errorf("TLS of a route: %.40q is none of none, opportunistic, encrypt, verify and dane", s)
}

// Want is what message and route ask for.
type Want struct {
	// RequireTLS is REQUIRETLS of RFC 8689: every hop must be proven to be the
	// right one, and promise the same for the next.
	RequireTLS bool
	// Encrypted asks for TLS whatever the certificate, where nothing asks for
	// more. It is stronger than an override.
	Encrypted bool
	// Optional says whether the header of the message has "TLS-Required: No",
	// see [SaysOptional]; nil: it has not. It is called at most once, and only if
	// the answer matters: for a domain that has a policy.
	Optional func(context.Context) (bool, error)
	// Override is what the route asks for.
	Override Mode
}

// strict reports that the message itself asks for TLS: its header cannot take
// that back (RFC 8689 §4.1).
func (w *Want) strict() bool { return w.RequireTLS || w.Encrypted }
