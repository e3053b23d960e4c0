// Package mx finds where mail for a domain goes.
//
// A [Resolver] asks DNS and turns the answers into a [Plan]: the hosts to
// try, in order, each with its addresses. It follows RFC 5321 §5.1: MX by
// preference, hosts of equal preference shuffled on every call, the domain
// itself where there is no MX, null MX (RFC 7505), CNAMEs, loops back to
// ourselves, and it drops addresses that no mail server on the Internet has
// (see [ProhibitedAddr]). It also answers single questions: TXT, PTR, addresses,
// TLSA and CNAME. [Routes] is the operator's table of domains that go
// through a smart host instead; looking it up costs no DNS.
//
// It promises that trouble of DNS or of our own is always reported as
// temporary ([Error.Temporary]) and only a definite answer is permanent, that
// memory is bounded by [Options.CacheEntries], and that after
// [Resolver.Close] none of its goroutines is left.
//
// It leaves to others: connecting (with [DialControl] in the dialer), which
// addresses to give up on, TLS policy (the AD bits are carried in Plan and
// Host for it), and how long to keep retrying. It does not validate DNSSEC: it
// trusts the AD bit of resolvers on this host, or of those
// [Options.TrustAD] vouches for. What domains ask of TLS is the business of
// mx/dane and mx/mtasts.
package mx
