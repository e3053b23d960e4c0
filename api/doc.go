// Package api is the relay's HTTP side: probes and metrics for machines, and
// the administration that the command line uses, on a Unix socket without a key
// and on TCP with one.
//
// It promises neutral answers: errors are problem documents (RFC 9457) that
// name neither our internals nor what the caller sent. It reads and changes the
// queue through the contract in package queue, and declares small interfaces
// for what other rooms own (accounts, DNS records).
package api
