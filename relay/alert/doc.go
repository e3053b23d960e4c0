// Package alert tells the operator, by mail or by a command, of trouble that goes
// on until somebody here mends it: a site that blocks us, mail that fails its
// authentication, a smart host that refuses our login, an account whose mail
// fails far more than it usually does, and conditions that others raise, such as
// a blocked port 25.
//
// It follows the event log, on one node at a time, under a claim; conditions are
// raised on every node. It promises:
//
//   - One message for each cause and hour (Options.Every), all nodes together. A
//     record for each cause, changed by compare-and-set, decides who tells and
//     survives a death; a mail is submitted under an idempotency key. A command
//     may run twice if the node dies while it runs.
//   - A first message waits a minute, so that it can say how many recipients are
//     concerned.
//   - Failures of the relay's own mail, of which alerts are some, and what was
//     sandboxed alert nobody, so that alerts make no alerts.
//   - Memory is bounded: so many causes at a time, so many messages an hour, so
//     many recipients that are counted of one. What is left out is in the log.
//
// It leaves to relay/bounce which classes alert, to queue.Advice what to do, and
// to relay/intake that the mail is durable.
package alert
