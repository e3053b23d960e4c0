// Package suspension keeps which destinations are not delivered to for now.
//
// An operator suspends a destination: mail for it is still taken in, waits
// unattempted, and goes on when the suspension ends or is resumed. A [Book]
// writes suspensions to the registry, so that all nodes of a relay know them; a
// [View] is each node's copy of them, cheap enough to be asked for every lease.
//
// It promises that a change is known to every node within a second or two, and
// that a registry that does not answer changes nothing: what was suspended stays
// so. It leaves to others who may suspend (api) and what delivery does about it
// (relay/delivery).
package suspension
