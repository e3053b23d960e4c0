// Package folders is the index behind the read-only views: it gives each entry of
// an account a UID, keeps for every folder the set of its members, who has read
// what, and the modification sequence by which clients ask what changed.
//
// It works the same over any store's shelves (queue.Folders): all of an account
// changes by compare-and-set, so that UIDs are given and published in the commit
// that writes the entry, whichever node does it. It promises:
//
//   - UIDs ascend in the order in which entries become visible, and are never
//     given again. After a change of the store's lineage, by which commits may
//     have been lost, the counter jumps.
//   - Octets under a UID never change.
//   - A View is a moment: it costs nothing to keep, holds no lock and nothing of
//     the store, and two of them are compared in the time that their differences
//     take.
//   - An edit can be repeated, also after an answer that was lost: what is filed
//     of a message under a key is not filed again.
//
// It leaves to relay/report/filing what is shown where, and to imapview and
// pop3view how.
//
// # What is stored
//
// Keys are octets; numbers in keys have the highest octet first. Every value but
// a chunk begins with the octet 1, the format; what follows is written with
// package codec. What is empty is not stored, but for
// the head, and for z of the folders at the top. The index:
//
//	h                       head: UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ, lineage
//	b set NUL chunk(4)      members of a set in a chunk, as package bitmap has it
//	z folder                the sum of its members' sizes; the greatest UID that ever
//	                        came into it
//	f chunk(4)              count; per change of flags the modification sequence
//	                        and the members, as a chunk
//	s                       the folders subscribed to, once somebody chose
//
// Sets are folders by their names, and "unseen", "hidden:" and a login,
// "flag:" and a flag, "kind:" and one of Queued, Deferred, Sent and Bounced. An
// entry has its kind from the folders in which it was filed first, for good.
//
// The rows:
//
//	r uid(4)                the entry
//	s uid(4)                how many further values the entry has, its message,
//	                        size, and what is searched for
//	m message(16)           what is filed of a message: UID and key of each. It
//	                        may name some that are gone
//
// Behind its format, a row begins with the number of further values that it
// takes; these have the row's key and one octet, from 1, and nothing in front.
// Entries never change, so a row is read whole or is gone.
//
// HIGHESTMODSEQ has the UID given last in its upper 44 bits and, in the lower 20,
// the number of commits since that changed something else. The entry u was added
// at u<<20: no sequence is kept for entries whose flags were not changed.
package folders
