// Package filing puts messages into their account's folders, where the read-only
// views show them: what waits, what is delayed, what went and what failed.
//
// It follows the event log, one node at a time, and looks at each message that an
// event names as the message is then. From that it derives which entries the
// folders should have, compares them with those that are filed, and writes the
// difference. So it does not matter how often it looks, where it was interrupted,
// or whether another node looked at the same time; and a store that was never
// filed is filled by looking at all its messages once. It promises:
//
//   - Every message that the store has is shown for what it is: at the latest when
//     the reader of events has come to its last event.
//   - What a reader has seen under a UID stays as it is. What changed is another
//     entry, with another UID; whether it was read is carried over, unless it
//     tells of other trouble.
//   - A message is filed with the text of its content as it lies in the store, or,
//     if that cannot be read, with what is known without it. It is never in the
//     way of others.
//
// It leaves to queue/folders how entries are kept, and to relay/report/skeleton
// how they are taken apart for the views.
package filing
