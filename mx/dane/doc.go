// Package dane finds and applies what a domain says in DNS about the
// certificates of its mail servers: opportunistic DANE for SMTP (RFC 7672).
//
// [Find] asks for the TLSA records of one host of a plan, but only where the
// answers that led to the host are authenticated, and says what they ask of a
// connection to it; [Policy.Verify] judges the connection.
//
// It promises that DNS trouble never weakens a policy: an error of Find means
// that the host may not be used for now, and not that there is no policy.
//
// It leaves to others: the order of policies (a failed DANE is not made good by
// MTA-STS), the connection with [Policy.Base] as its server name, and what
// happens after a mismatch. It does not validate DNSSEC: it needs a resolver
// whose AD bit can be trusted, and finds nothing without one.
package dane
