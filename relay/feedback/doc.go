// Package feedback feeds the suppression list with bounces: an address whose
// mailbox does not exist, or has been full again and again, gets no more mail.
//
// It follows the event log, on one node at a time, under a claim. It promises:
//
//   - Only what the recipient's side says about the recipient counts, and only
//     for good: the class of a bounce decides, by Options.After. Blocks of the
//     sender, authentication, content, pace, the network and our own trouble are
//     never held against an address, nor is the end of a message's lifetime,
//     since nobody said no.
//   - What was sandboxed and what the relay itself wrote, such as reports, does
//     not count.
//   - Each bounce counts once, also where a node dies over it. Whoever is taken
//     off the list by hand stays off until another message bounces, even where
//     the log has to be read from its beginning.
//   - What happened before a store was first used with this package does not
//     count.
//
// Bounces of the kind that has to happen several times are counted in the
// registry by address, account and class; a delivery to the address begins the
// count anew. There is room for some hundred thousand of them: the oldest are
// forgotten first. Messages that are queued already when an address comes on the
// list are left alone.
//
// It leaves to queue/suppression what is kept, and to relay/intake what comes of
// it for the next message.
package feedback
