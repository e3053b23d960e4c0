// Package doctor finds what stops mail from this host, before a receiver does.
//
// A [Doctor] looks at a [Case], which is what the relay knows of itself: its
// name, the addresses it sends from, the domains it sends for, where it listens
// and how mail has fared. Each check is a small function that asks one thing and
// answers with findings: what was asked, what was found, and what to publish or
// to do, where. The names of the checks are stable, for scripts.
//
// DNS is asked in two views: the configured resolver, and where that does not
// show what it should, the zone's own name servers. So "not published" is told
// from "published, and not seen everywhere yet".
//
// The doctor promises to send no mail and to change nothing; to connect only to
// addresses on the public Internet on behalf of what it reads in the DNS (see
// [mx.ProhibitedAddr]), unless told otherwise; and to end in time: every check
// has its own limit and all have one together. What could not be tested is
// [Unknown] with the reason, never a guess.
//
// It leaves to others where the facts of a Case come from, how findings are
// shown, and when it is called.
package doctor
