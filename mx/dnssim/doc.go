// Package dnssim is a DNS server fed from zone text, for tests, the demo and
// benchmarks.
//
// It answers like a recursive resolver that knows only its own zones: over UDP
// and TCP on one address, with wildcards, CNAMEs followed across zones, SOA in
// negative answers, and NXDOMAIN for everything else. While it runs, any
// name can be made to fail ([Server.Set]) and zones can be replaced
// ([Server.Load]); it counts what it was asked ([Server.Count]).
//
// It does no DNSSEC: the AD bit is set where a [Behavior] says so, and for zones
// that [Server.Authenticate] names. It keeps a
// counter for each name and type asked for, so it is not for use beyond
// loopback.
package dnssim
