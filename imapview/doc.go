// Package imapview shows the folders of package folders to mail programs: a
// read-only IMAP4rev1 server (RFC 3501) with the extensions that capability.go
// names.
//
// It promises:
//
//   - What a client was told is what its session goes by: sequence numbers move
//     only where the protocol lets them, whatever happens in the store meanwhile.
//   - Octets under a UID are those of the entry, or there are none.
//   - No session waits for another's network. While an answer is written, nothing
//     of the store is held: no iterator, no open content, no lock.
//   - Memory is bounded: a connection that waits has given its buffers back, and
//     sections of messages are streamed.
//
// Of all that a client may ask to be changed, \Seen and subscriptions are kept.
// STORE of other flags and EXPUNGE do nothing and say OK, for that is what mail
// programs bear best; what would add, move or remove messages or folders is
// answered NO [NOPERM]. All who log in to an account share its \Seen.
//
// One goroutine serves a connection, command by command; a second one tells of
// changes during IDLE.
package imapview
