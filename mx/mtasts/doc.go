// Package mtasts finds the MTA-STS policies of recipient domains (RFC 8461):
// which hosts may take a domain's mail, and only over TLS with a certificate
// that public authorities vouch for.
//
// A [Cache] discovers policies by the TXT record at _mta-sts.<domain>, fetches
// them from https://mta-sts.<domain>/.well-known/mta-sts.txt and keeps them,
// until they expire, in memory and in a [Store] that survives restarts and is
// shared by nodes. What is in use is fetched again every day, so that nobody who
// suppresses DNS or HTTPS for a while can wait for a policy to go.
//
// It promises that a known policy holds until it expires whatever fails
// meanwhile, that a fetch follows no redirect, reads at most 64 KiB, takes at
// most a minute and never connects to a private address, and that memory is
// bounded by [Options.Entries] and [Options.Bytes].
//
// It leaves to others: what takes precedence (DANE does), the connection, and
// the reports of RFC 8460, for which it names the failures.
package mtasts
