// Package port25 finds out whether the network lets this host reach the port of
// other people's mail servers.
//
// Many providers of servers block outgoing port 25 until they are asked. Mail
// then waits for days for no visible reason, unless somebody notices that it is
// not this or that destination that cannot be reached, but all of them. A [Watch]
// is told of every connection that delivery tries, and connects itself to the
// mail servers of a few large domains: at the start, when connections to several
// unrelated hosts fail in a row, and for as long as it thinks that the port is
// blocked. It reads their greeting and says QUIT; no mail is sent.
//
// It promises to be slow to say that the port is blocked, and quick to say that
// it is not: two rounds in a row in which nobody could be reached, but one
// greeting, or connections to two unrelated hosts. What it cannot find out, such
// as when the DNS does not answer either, changes nothing. Nothing here is waited
// for by delivery, and each change is logged once, with what to do about it.
//
// It leaves to others where mail goes while the port is blocked (the chain of a
// route), and which hosts are connected to at all.
package port25
