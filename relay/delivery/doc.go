// Package delivery decides when which message is tried, and what follows.
//
// A [Dispatcher] leases no more than it has free workers, finds the route of
// each lease, asks the limits of its site, signs, has relay/outbound send it,
// has relay/bounce judge what the peer said, and settles the outcome with the
// store. What was just accepted comes straight from intake ([Dispatcher.Reserve]).
//
// # What it promises
//
//   - Every lease ends: settled, or released unattempted. An outcome is offered
//     to the store until it answers.
//   - No final dot is sent without the store's mark, and none under a lease that
//     was lost. Nothing is cancelled between the dot and its reply, but by the
//     end of [Dispatcher.Drain], which leaves the mark behind.
//   - Our own trouble (store, DNS, keys, a panic) is never a bounce.
//   - A site that is busy or paused burns no attempts: its lanes are parked and
//     the leases released, and the other lanes flow.
//   - Memory is bounded by the workers and by the caches, whatever is queued.
//
// # What follows a failure
//
// A recipient is tried again by the schedule of its class of failure or the
// configured one, or later if the reply asks for it. A try that would come after the message's end is moved to
// shortly before it, if enough time is left to be of use; then the recipient
// waits for the end and expires. Mail for a paused site expires when the pause
// ends, so up to half an hour late. A domain that does not exist is looked up
// once more some minutes later before the first attempt becomes a bounce.
//
// # Which way mail goes
//
// A route is a chain of steps: mail exchangers or smart hosts (mx.Chain). At which
// step a recipient is follows from its lane, its attempts and the last of them, so
// that it is the same after a restart; its lane says it to people. A failure that
// leads to the next step moves the recipient to that step's lane at once, also
// where it would have ended it; but nothing that may have been delivered takes
// another way. While port 25 is found blocked, or a site is paused for a class of
// failure that leads on, what waits for it goes on unattempted.
//
// # Who goes first
//
// Within an account mail of high priority does, also where the lanes of one site
// wait for it: the lane with such mail has the next turn ([Dispatcher.Urge]).
//
// # What is suspended
//
// Mail for a destination that an operator suspended is given back unattempted.
// If all of its lane is suspended the lane is parked; else, as where a route
// serves many domains, its recipients are moved to a lane of the suspension's
// own, which is. Both are looked at every second, so that they go on soon after
// the suspension ends, and served every half minute, so that what has come to
// its end meanwhile expires.
//
// # Who gets nothing
//
// Where the relay is set to staging, intake keeps mail from those who must not get
// it. What was accepted before is looked at here ([Options.KeepBack]), right before
// it would be attempted, and held.
//
// It leaves to others: the meaning of replies (relay/bounce), the pace
// (relay/throttle), the dialog (relay/outbound), reports and folders (events).
package delivery
