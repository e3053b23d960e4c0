// Package tlspolicy decides what is asked of the connection to each host that
// mail for a domain may go to: how strong its TLS must be, and what proves that
// the host is the right one.
//
// The first of these that applies counts; see [Decider.Decide]:
//
//	REQUIRETLS (RFC 8689)       one of the proofs below, and the keyword of the peer
//	the route says otherwise    none or opportunistic: nothing else is asked
//	DANE (RFC 7672)             STARTTLS, and a certificate that matches a TLSA record
//	MTA-STS (RFC 8461)          a host of the policy, STARTTLS, and a valid certificate
//	the route asks for more     encrypt or verify
//	nothing                     STARTTLS where it works, whatever the certificate
//
// A message with "TLS-Required: No" goes without DANE and MTA-STS. What the route
// asks for is the operator's own wish and holds for it too.
//
// A host whose DANE records cannot be looked up is not used now, since an
// attacker could have it so (RFC 7672 §2.1). What is wrong with a policy never
// makes mail go over a weaker connection, and never bounces it: it waits.
//
// It leaves to others: the lookups (mx/dane, mx/mtasts), the handshake
// (relay/outbound), and reports of RFC 8460, for which each attempt records the
// policy and what failed of it.
package tlspolicy
