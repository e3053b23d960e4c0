// Package outbound hands messages to next hops by SMTP: our own client and the
// pool of its connections. It knows how to send; what to send, when, and what a
// refusal means are for its callers (relay/delivery, relay/bounce).
//
// A [Pool] keeps connections by site, policy and source address, and
// [Pool.Deliver] sends one content to some recipients in as few transactions as
// the next hop allows. It walks the hosts of a [Target] in their order
// (RFC 5321 §5.1) until one of them has answered for every recipient, and says
// for each what became of it, with all the facts of a [queue.Attempt].
//
// # What it promises
//
//   - No final dot leaves before Transaction.BeforeDot has returned nil, and
//     nothing is cancelled between the dot and its reply. A reply to the dot that
//     is not read is InDoubt, and nothing is sent a second time for it.
//   - What leaves as content has CRLF line ends, no bare CR, bare LF or NUL, and
//     every leading dot doubled; otherwise the dot is not sent. No command has
//     more lines than one.
//   - A peer may be slow, silent, wordy or hostile: each phase has a time limit
//     (RFC 5321 §4.5.3.2), each reply a size limit, and a connection on which
//     something unexpected was said is not used again.
//   - What a peer says before MAIL is never permanent, since it is about us or
//     about the connection. Whatever is unknown is temporary.
//   - Under [TLSRequired] and [TLSImplicit] nothing but STARTTLS is said without
//     TLS, and credentials are not sent without it unless asked to. A connection
//     or TLS session of one policy is never used for another.
//   - Each result says which policy there was, what failed of it, and which
//     address it was sent from, also where the mail got through.
//
// # What it leaves to others
//
// DNS and the choice of hosts, what TLS each needs (relay/tlspolicy), rates, DKIM (bytes put in front of the content),
// the retry schedule, and the guard against private addresses, which is given
// to it as [Options].Control.
package outbound
