// Package queue holds the words of the relay and the contract of its store.
//
// The words are those of the field (RFC 5321, RFC 3461, RFC 5598): a Message
// has an Envelope, one content and 1 to 1000 Recipients, each with a fate of
// its own; a Lease is the exclusive, timed and fenced right to attempt some of
// them; an Attempt ends in a Reply or in an error; a Settlement records what
// became of it; an Event tells the rest of the world.
//
// The contract is Store, a sum of small roles. Every engine lives in a package
// below this one (queue/logstore is the embedded one, queue/redisstore the one
// for several nodes) and passes the suite in queue/storetest. What they decide
// alike is in queue/rules, what they write alike in queue/codec. An engine keeps records and promises; it holds no policy,
// reads no clock and knows no MIME: times, ids, outcomes and lanes are passed
// in, so that an engine is deterministic under test.
//
// # States of a recipient
//
//	 Enqueue ──► queued ──Lease──► active ──Settle──► delivered │ relayed │ bounced
//	    │          ▲ ▲               │                 expired  │ cancelled │ suppressed
//	    │          │ └──Release──────┤
//	    └► scheduled                 └──Settle──► deferred ──(due)──Lease──► active
//
//	Hold takes queued, deferred and scheduled to held; ReleaseHeld takes held
//	back; Retry makes deferred and scheduled due now; Cancel and Expire end
//	all but active at once, and active when its lease ends without success.
//
// # What an engine promises
//
// A call that returned nil from Enqueue, Settle, Apply, PutRecord or
// DeleteRecord is durable: it survives the loss of power one instant later.
// Every change of state and its Event are one commit: both are there or
// neither is. All methods are safe for concurrent use unless they say
// otherwise. An engine's own trouble is an error that wraps ErrUnavailable or
// ErrFull, and never a change that is half done.
package queue
