// Package throttle says how fast mail may go to each site: how many
// transactions at a time, and when not at all.
//
// A site that does not answer is left alone: after some failures in a row it is
// paused for a minute, then, each time that a single probe fails again, for
// twice as long, up to half an hour. A site that says that it gets too much is
// paused for as long as its caller asks. After any pause one transaction at a
// time is let through until one of them gets an answer.
//
// It promises that no more permits of a site are out than its limit, that its
// memory is bounded by the sites in use or in trouble, and that it reads no
// clock. It knows the traffic of this process only. What a refused caller does
// meanwhile is left to relay/delivery.
package throttle
